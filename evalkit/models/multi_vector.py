"""A vector a token: late-interaction checkpoints, and plain encoders used as one. Imports torch."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from torch import Tensor
from torch.nn.functional import normalize

from evalkit.compute import Compute
from evalkit.models.batching import forward_batches
from evalkit.models.checkpoint import (
    Checkpoint,
    count_read_tokens,
    document_limit,
    limit_length,
    model_arguments,
    readable,
    ready,
    role_prompt,
)
from evalkit.models.transformer import allowed_length
from evalkit.terms import Role
from evalkit.types import IntArray


class MultiVector:
    """Token vectors of queries and of documents, and the similarity between two such texts.

    A late-interaction checkpoint (sentence-transformers, PyLate, Stanford's ColBERT) brings its projection, markers,
    lengths, and which tokens count. Of any other encoder the last layer's vectors are taken as they are, scaled to
    length 1: sentence-transformers would add an untrained projection. `max_length` counts tokens of a document,
    and of a plain encoder's queries too. Raises ModelNotFoundError if the folder holds neither, SpecError if
    `max_length` is more than the model has positions for.
    """

    def __init__(self, folder: Path, max_length: int | None, compute: Compute) -> None:
        checkpoint = Checkpoint.read(folder)
        self._compute = compute
        if _is_multi_vector(checkpoint):
            self._model = checkpoint.load("MultiVectorEncoder", compute)
            if max_length is not None:
                transformer = self._model[0]
                transformer.document_length = allowed_length(
                    transformer.tokenizer, transformer.auto_model, max_length
                )
        else:
            self._model = _plain(folder, max_length, compute)
        self._scaled = isinstance(self._model[-1], Normalize)

    def queries(self, texts: Sequence[str]) -> list[Tensor]:
        """Vectors of each query's tokens: float32 of shape (n_tokens, dim)."""
        # Not in our batches: they cut off padding, and expansion puts a query's further tokens there. Each is read
        # alone: beside others its last bits would depend on them, and what is kept of it on the calls before.
        found = self._model.encode_query(list(texts), batch_size=1, show_progress_bar=False)
        return [self._exact(vectors) for vectors in found]

    def documents(self, texts: Sequence[str]) -> Iterator[tuple[int, Tensor]]:
        """Each document's row number and its tokens' vectors, float32 of shape (n_tokens, dim), in any order."""
        tokenize: Any = partial(self._model.preprocess, prompt=self._prompt("document") or None, task="document")
        forward = partial(self._model, task="document")
        for rows, _, output in forward_batches(texts, tokenize, forward, self._compute):
            masks = output["attention_mask"].bool()
            for row, vectors, mask in zip(rows, output["token_embeddings"], masks, strict=True):
                yield int(row), self._exact(vectors[mask])

    @property
    def document_limit(self) -> int | None:
        """Tokens read of a document; None: all of them."""
        return document_limit(self._model)

    def count_tokens(self, texts: Sequence[str], role: Role) -> IntArray:
        """Tokens of each text, markers too, if nothing were cut off: int64 of shape (n_texts,)."""
        return count_read_tokens(self._model, texts, self._prompt(role))

    def _prompt(self, role: Role) -> str:
        return role_prompt(self._model.prompts, self._model.default_prompt_name, role)

    def similarity(self, queries: list[Tensor], documents: list[Tensor]) -> Tensor:
        """The library's MaxSim of all queries with all documents: float32 of shape (n_queries, n_documents)."""
        scores: Tensor = self._model.similarity(queries, documents)
        return scores

    def _exact(self, vectors: Tensor) -> Tensor:
        # Scaled again where the model scales: in half precision lengths are off 1 by a thousandth.
        return normalize(vectors.float(), dim=-1) if self._scaled else vectors.float()


def _is_multi_vector(checkpoint: Checkpoint) -> bool:
    """Whether sentence-transformers reads this as a trained late-interaction model; its own marks for that."""
    settings = checkpoint.settings
    named = settings.get("model_type") in ("MultiVectorEncoder", "ColBERT") or "query_prefix" in settings
    return named or "HF_ColBERT" in checkpoint.architectures


def _plain(folder: Path, max_length: int | None, compute: Compute) -> Any:
    trust = {"trust_remote_code": compute.trust_remote_code}
    with readable(folder, "model that sentence-transformers"):
        transformer = Transformer(
            str(folder),
            model_kwargs={**model_arguments(compute), **trust},
            processor_kwargs=trust,
            config_kwargs=trust,
        )
    tokenizer: Any = transformer.tokenizer
    tokenizer.padding_side = "right"  # so that absolute positions count from a text's first token
    modules = [transformer, MultiVectorMask(), Normalize(module_input_name="token_embeddings")]
    model = MultiVectorEncoder(modules=modules, device=compute.device, similarity_fn_name="meanmaxsim")
    limit_length(model, allowed_length(tokenizer, transformer.auto_model, max_length))
    return ready(model, compute)
