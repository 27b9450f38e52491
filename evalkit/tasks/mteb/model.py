"""What mteb calls an encoder and a search model, over a way to encode of ours and our exact search."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalkit.contracts import VectorRows
from evalkit.errors import ConfigError
from evalkit.metrics.similarity import paired_similarities
from evalkit.search.exact import dense, search
from evalkit.search.ranking import id_ranks, rank
from evalkit.terms import Role, Similarity
from evalkit.types import FloatArray, IntArray

if TYPE_CHECKING:
    import torch
    from mteb.models import ModelMeta

Encode = Callable[[Sequence[str], Role], VectorRows]


def empty_meta(name: str, revision: str | None, similarity: Similarity) -> "ModelMeta":
    """Return mteb's description of a model of which it knows nothing but these."""
    from mteb.models import ModelMeta
    from mteb.models.model_meta import ScoringFunction

    scoring = {
        "cosine": ScoringFunction.COSINE, "dot": ScoringFunction.DOT_PRODUCT,
        "euclidean": ScoringFunction.EUCLIDEAN, "manhattan": ScoringFunction.MANHATTAN,
    }[similarity]  # fmt: skip
    return ModelMeta.create_empty({"name": name, "revision": revision, "similarity_fn_name": scoring})


class MtebModel:
    """What mteb calls an encoder and a search model; the arguments of its methods are mteb's protocols'."""

    def __init__(
        self,
        encode: Encode,
        similarity: Similarity,
        meta: "ModelMeta",
        fit: Callable[[Sequence[str]], Encode] | None = None,
    ) -> None:
        self.mteb_model_meta = meta
        self._encode = encode
        self._similarity = similarity
        self._fit = fit
        self._corpus: tuple[VectorRows, list[str]] | None = None
        self._encode_here = encode

    def encode(self, inputs: Any, *, prompt_type: Any = None, **kwargs: Any) -> NDArray[np.float32]:
        """Return vectors of mteb's batches: dense float32 of shape (n_texts, dim)."""
        role: Role = prompt_type.value if prompt_type is not None else "sentence"
        return dense(self._encode(_texts(inputs), role)[:])

    def similarity(self, embeddings1: Any, embeddings2: Any) -> "torch.Tensor":
        """Compute similarities of all with all, by mteb's functions: shape (n1, n2)."""
        import torch
        from mteb.similarity_functions import select_similarity

        a, b = _matrix(embeddings1), _matrix(embeddings2)
        if self._similarity == "manhattan":  # which mteb does not know
            return -torch.cdist(torch.from_numpy(a), torch.from_numpy(b), p=1.0)
        return torch.as_tensor(select_similarity(a, b, self.mteb_model_meta.similarity_fn_name))

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> "torch.Tensor":
        """Compute similarities of row i with row i, by mteb's functions: shape (n,)."""
        import torch
        from mteb.similarity_functions import select_pairwise_similarity

        a, b = _matrix(embeddings1), _matrix(embeddings2)
        if self._similarity == "manhattan":
            return torch.from_numpy(-np.abs(a - b).sum(axis=1))
        return torch.as_tensor(select_pairwise_similarity(a, b, self.mteb_model_meta.similarity_fn_name))

    def index(self, corpus: Any, *, task_metadata: Any, **kwargs: Any) -> None:
        """Take a retrieval task's corpus."""
        texts = _read(corpus, task_metadata, "document")
        self._encode_here = self._fit(texts) if self._fit is not None else self._encode
        self._corpus = self._encode_here(texts, "document"), list(map(str, corpus["id"]))

    def search(
        self,
        queries: Any,
        *,
        task_metadata: Any,
        top_k: int,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        **kwargs: Any,
    ) -> dict[str, dict[str, float]]:
        """Return the exact best documents of the corpus, or of each query's candidates: scores by document, by
        query.
        """
        if self._corpus is None:
            raise ConfigError("search was called before index: give the corpus first.")
        corpus, document_ids = self._corpus
        query_ids = list(map(str, queries["id"]))
        vectors = self._encode_here(_read(queries, task_metadata, "query"), "query")
        if top_ranked is None:
            run = search(vectors, corpus, document_ids, self._similarity, top_k)
        else:
            candidates = _candidates(query_ids, document_ids, top_ranked)
            scores = _candidate_scores(vectors, corpus, candidates, self._similarity)
            run = rank(candidates, scores, id_ranks(document_ids), top_k)
        return {
            query: {document_ids[row]: float(score) for row, score in zip(rows, scores, strict=True) if row >= 0}
            for query, rows, scores in zip(query_ids, run.documents, run.scores, strict=True)
        }


def _texts(batches: Any) -> list[str]:
    return [text for batch in batches for text in batch["text"]]


def _read(dataset: Any, task_metadata: Any, role: str) -> list[str]:
    """Return the texts of documents or queries as mteb gives them to any model: titles and instructions joined."""
    from mteb._create_dataloaders import create_dataloader
    from mteb.types import PromptType

    return _texts(create_dataloader(dataset, task_metadata=task_metadata, prompt_type=PromptType(role)))


def _matrix(vectors: Any) -> NDArray[np.float32]:
    return np.atleast_2d(np.asarray(vectors, dtype=np.float32))


def _candidates(
    query_ids: Sequence[str], document_ids: Sequence[str], top_ranked: Mapping[str, Sequence[str]]
) -> IntArray:
    row_of = {identifier: row for row, identifier in enumerate(document_ids)}
    rows = [[row_of[document] for document in dict.fromkeys(top_ranked[query])] for query in query_ids]
    candidates = np.full((len(rows), max(map(len, rows), default=0)), -1, dtype=np.int64)
    for row, found in enumerate(rows):
        candidates[row, : len(found)] = found
    return candidates


def _candidate_scores(
    queries: VectorRows, corpus: VectorRows, candidates: IntArray, similarity: Similarity
) -> FloatArray:
    scores = np.full(candidates.shape, np.nan)
    for row, documents in enumerate(candidates):
        found = documents[documents >= 0]
        if found.size:
            asked = queries[np.full(found.size, row)]
            scores[row, : found.size] = paired_similarities(asked, corpus[found])[similarity]
    return scores
