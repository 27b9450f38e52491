"""`mteb:NAME`: any model of mteb's registry, run by mteb's own code with its prompts for each task."""

from collections.abc import Mapping, Sequence
from copy import copy
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from evalkit.compute import Compute
from evalkit.contracts import Advance, no_progress
from evalkit.errors import ModelNotFoundError
from evalkit.models._dense import DenseEmbedder
from evalkit.models._loading import complete_weights
from evalkit.models._trust import guarded
from evalkit.models.mteb_registry import check_model, load, model_facts
from evalkit.models.registry.families import Family
from evalkit.models.registry.options import DenseOptions, DerivedOptions
from evalkit.models.terms import not_fitted, texts_hash
from evalkit.search.ranking import id_ranks, rank
from evalkit.tasks.mteb.reference import DEFAULT_SUBSET, metadata_for
from evalkit.terms import ROLES, SIMILARITIES, Role, Similarity
from evalkit.types import FloatArray, Run

if TYPE_CHECKING:
    from mteb import CrossEncoderProtocol, EncoderProtocol, SearchProtocol
    from mteb.types import PromptType
    from torch.utils.data import DataLoader

BATCH_SIZE = 32
"""mteb's own."""
# What mteb tells a model about where texts come from, beside the task.
PLACE = {"hf_split": "test", "hf_subset": DEFAULT_SUBSET}


class MtebOptions(DerivedOptions):
    """Options of `mteb`: all that concerns reading texts is as mteb's registry has it."""


def load_mteb(name: str, options: MtebOptions, compute: Compute) -> "MtebEmbedder | MtebReranker | MtebRetriever":
    """Load a model of mteb's registry: an embedder, a reranker (cross-encoder) or a retriever, whichever it is.

    Raises UnknownNameError for a name that the registry lacks, ModelNotFoundError if mteb cannot load it,
    UntrustedError if it would do what the user does not allow.
    """
    from mteb import CrossEncoderProtocol, EncoderProtocol, SearchProtocol

    with guarded(compute, f"mteb's {name!r}"), complete_weights(f"mteb's {name!r}"):
        model = load(name, compute.device)
    facts = {"family": "mteb", "name": name, "revision": model.mteb_model_meta.revision, **_settle(model, compute)}
    if isinstance(model, EncoderProtocol):
        return MtebEmbedder(model, options, facts)
    if isinstance(model, CrossEncoderProtocol):
        return MtebReranker(model, facts)
    if isinstance(model, SearchProtocol):
        return MtebRetriever(model, facts)
    raise ModelNotFoundError(
        f"mteb's {name!r} is a {type(model).__name__}, which neither encodes, scores nor searches."
    )


def _settle(model: Any, compute: Compute) -> dict[str, object]:
    """Bring weights that torch holds to the run's dtype; the dtype, and a hash of the weights as loaded."""
    import torch

    inner = getattr(model, "model", None)
    if not isinstance(inner, torch.nn.Module):
        return {}
    total = sha256()
    for key, tensor in sorted(inner.state_dict().items()):
        total.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    inner.to(dtype=getattr(torch, compute.dtype)).eval()
    limit = getattr(inner, "max_seq_length", None)
    return {"weights": total.hexdigest(), "compute_dtype": compute.dtype, "max_seq_length": limit}


class MtebEmbedder(DenseEmbedder):
    """An encoder of mteb's. Texts of both sides of a symmetric task are given to it without a prompt type.

    A prompt is the text itself where mteb's wrapper of sentence-transformers picks it; for other wrappers, which do
    as they like with the task, it is the task and the role, and no two tasks share vectors.
    """

    def __init__(self, model: "EncoderProtocol", options: MtebOptions, facts: Mapping[str, object]) -> None:
        super().__init__(DenseOptions(**options.model_dump()), facts)
        self._model = model
        self._task = ""

    @property
    def similarity(self) -> Similarity:
        """The option, else what the model is compared by in mteb, else cosine."""
        inner, meta = getattr(self._model, "model", None), self._model.mteb_model_meta
        stated = getattr(inner, "similarity_fn_name", None) or meta.similarity_fn_name
        own = next((known for known in SIMILARITIES if known == getattr(stated, "value", stated)), None)
        return self.options.similarity or own or "cosine"

    def for_task(self, name: str) -> Self:
        """Return a copy with mteb's prompts for the task of this name; those for any task of the kind if mteb lacks
        it.
        """
        chosen = copy(self)
        chosen._task = name
        return chosen

    def prompt(self, role: Role) -> str:
        """See the class: the text put before each text of this role, or what stands for it."""
        from mteb.models.abs_encoder import get_prompt

        metadata = metadata_for(self._task, role)
        inner = _plain_sentence_transformer(self._model)
        if inner is None:
            return f"{metadata.type} {metadata.name} {role}"
        text = get_prompt(cast(Any, self._model).model_prompts, metadata, _prompt_type(role))
        return _default_prompt(inner, role) if text is None else text

    def raw(self, texts: Sequence[str], prompt: str, advance: Advance) -> NDArray[np.float32]:
        """Return vectors as mteb's code gives them: float32 of shape (n_texts, dim)."""
        # Roles that have the same prompt have the same vectors.
        role = next(role for role in ROLES if self.prompt(role) == prompt)
        vectors = self._model.encode(
            _batches(texts),
            task_metadata=metadata_for(self._task, role),
            prompt_type=_prompt_type(role),
            batch_size=BATCH_SIZE,
            show_progress_bar=False,
            **PLACE,
        )
        advance(len(texts))
        return np.asarray(vectors, dtype=np.float32)


def _plain_sentence_transformer(model: "EncoderProtocol") -> Any | None:
    """Return the sentence-transformers model, where a prompt's text is all that a task and a role change."""
    from mteb import SentenceTransformerEncoderWrapper

    if type(model) is not SentenceTransformerEncoderWrapper:
        return None
    routed = any(type(module).__name__ == "Router" for module in model.model)
    return None if routed else model.model


def _default_prompt(inner: Any, role: Role) -> str:
    """Return the prompt that sentence-transformers' encode_query, encode_document and encode take when given none."""
    names = {"query": ("query",), "document": ("document", "passage", "corpus"), "sentence": ()}[role]
    named = next((name for name in names if name in inner.prompts), inner.default_prompt_name)
    return inner.prompts.get(named) or ""


class MtebReranker:
    """A cross-encoder of mteb's."""

    def __init__(self, model: "CrossEncoderProtocol", facts: Mapping[str, object]) -> None:
        self.identity: Mapping[str, object] = facts
        self._model = model

    def score(self, queries: Sequence[str], documents: Sequence[str], advance: Advance = no_progress) -> FloatArray:
        """Return relevance of the pairs (queries[i], documents[i]): float64 of shape (n_pairs,)."""
        scores = self._model.predict(
            _batches(queries),
            _batches(documents),
            task_metadata=metadata_for("", "document"),
            batch_size=BATCH_SIZE,
            show_progress_bar=False,
            **PLACE,
        )
        advance(len(queries))
        return np.asarray(scores, dtype=np.float64).reshape(len(queries))


class MtebRetriever:
    """A model of mteb's that indexes a corpus and searches it (late interaction, BM25)."""

    def __init__(self, model: "SearchProtocol", facts: Mapping[str, object]) -> None:
        self._model = model
        self._facts = facts
        self._texts: list[str] | None = None

    @property
    def identity(self) -> Mapping[str, object]:
        """The model and, once fitted, the hash of the corpus."""
        return self._facts if self._texts is None else {**self._facts, "corpus": texts_hash(self._texts)}

    def fit(self, texts: Sequence[str]) -> Self:
        """Return a copy that has `texts` as its corpus."""
        fitted = copy(self)
        fitted._texts = list(texts)
        return fitted

    def search(
        self, queries: Sequence[str], document_ids: Sequence[str], depth: int, advance: Advance = no_progress
    ) -> Run:
        """Return the best documents of each query; `document_ids` names the fitted texts.

        Raises ConfigError before `fit`.
        """
        from datasets import Dataset

        if self._texts is None:
            raise not_fitted("mteb")

        def rows(texts: Sequence[str]) -> Dataset:
            return Dataset.from_dict({"id": [str(row) for row in range(len(texts))], "text": list(texts)})

        how: Any = {"task_metadata": metadata_for("", "document"), "num_proc": None, **PLACE}
        how["encode_kwargs"] = {"batch_size": BATCH_SIZE}
        self._model.index(rows(self._texts), **how)
        found = self._model.search(rows(queries), top_k=min(depth, len(document_ids)), **how)
        advance(len(document_ids))
        documents = np.full((len(queries), depth), -1, dtype=np.int64)
        scores = np.full((len(queries), depth), np.nan)
        for query, results in found.items():
            best = sorted(results.items(), key=lambda result: result[1], reverse=True)[:depth]
            documents[int(query), : len(best)] = [int(document) for document, _ in best]
            scores[int(query), : len(best)] = [score for _, score in best]
        return rank(documents, scores, id_ranks(document_ids), depth)


def _prompt_type(role: Role) -> "PromptType | None":
    from mteb.types import PromptType

    return None if role == "sentence" else PromptType(role)


def _batches(texts: Sequence[str]) -> "DataLoader[Any]":
    from datasets import Dataset
    from torch.utils.data import DataLoader

    return DataLoader(cast(Any, Dataset.from_dict({"text": list(texts)})), batch_size=BATCH_SIZE)


FAMILIES = (
    Family(
        "mteb", frozenset({"embedder", "retriever", "reranker"}), MtebOptions, load_mteb,
        "any model of mteb's registry", "name in the registry (`evalkit models mteb:` lists them)",
        "registry", "mteb", "mteb", check=check_model, facts=model_facts, may_charge=True,
    ),
)  # fmt: skip
