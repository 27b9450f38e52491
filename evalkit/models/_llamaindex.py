"""Any LlamaIndex `BaseEmbedding` as an embedder, any `BaseNodePostprocessor` as a reranker.

A postprocessor orders the nodes of one query. Those that score each node by itself (cross-encoders, rerank APIs) are
`LlamaIndexReranker`s: pairs are pooled over all first stages. Of the others nothing is known but the order that they
make of a list (an LLM that compares passages, a filter): they are `LlamaIndexListReranker`s, and get the list of each
first stage, in its order and with its scores, as they would in a query engine.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalkit.contracts import Advance, no_progress
from evalkit.errors import ScoreError, SpecError, VectorError
from evalkit.models._dense import DenseEmbedder
from evalkit.models.components import LIMITS, RUNTIME, class_path, describe, secrets_of
from evalkit.models.registry.options import DenseOptions
from evalkit.secrets import hide
from evalkit.terms import Role
from evalkit.types import FloatArray, IntArray

if TYPE_CHECKING:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.postprocessor.types import BaseNodePostprocessor


SCORES_NODES_ALONE = frozenset(
    {
        "SentenceTransformerRerank", "SBERTRerank", "FlagEmbeddingReranker", "ColbertRerank", "OpenVINORerank",
        "CohereRerank", "VoyageAIRerank", "JinaRerank", "MixedbreadAIRerank", "NVIDIARerank", "AWSBedrockRerank",
        "AzureCohereRerank", "TextEmbeddingInference", "DashScopeRerank", "SiliconFlowRerank", "XinferenceRerank",
        "PineconeNativeRerank", "IsaacusRerank",
    }
)  # fmt: skip
"""Classes whose score of a node depends on the query and that node only, as a run makes sure (`grid.company`). To
propose another one, give `LlamaIndexReranker(postprocessor)`. None is found out without that: a class that takes the
first stage's scores into account gives each node the same score alone as among others where it is shown none."""


def adapt(
    component: "BaseEmbedding | BaseNodePostprocessor", given: Mapping[str, object] | None = None
) -> "LlamaIndexEmbedder | LlamaIndexReranker | LlamaIndexListReranker":
    """Return the component as an evalkit model. `given` are the arguments it was made with, if known."""
    from llama_index.core.base.embeddings.base import BaseEmbedding

    if isinstance(component, BaseEmbedding):
        return LlamaIndexEmbedder(component, given=given)
    alone = SCORES_NODES_ALONE & {kind.__name__ for kind in type(component).__mro__}
    return (LlamaIndexReranker if alone else LlamaIndexListReranker)(component, given)


def _identity(component: Any, given: Mapping[str, object] | None) -> dict[str, object]:
    told = {*RUNTIME, *LIMITS, *type(component).model_fields}
    arguments = {name: value for name, value in (given or {}).items() if name not in told}
    return {"family": "llamaindex", "component": describe(component, LIMITS), "arguments": arguments}


class LlamaIndexEmbedder(DenseEmbedder):
    """A LlamaIndex embedding: queries by its query side, documents and sentences by its text side, in batches.

    `options` are applied to what it gives (dim, normalize ...). Raises SpecError for max_length, which is the
    component's own to set.
    """

    def __init__(
        self,
        embedding: "BaseEmbedding",
        options: DenseOptions | None = None,
        given: Mapping[str, object] | None = None,
    ) -> None:
        options = options or DenseOptions.model_validate({})
        if options.max_length is not None:
            raise SpecError(f"max_length={options.max_length}: set it on {class_path(type(embedding))} itself.")
        super().__init__(options, _identity(embedding, given))
        self.embedding = embedding

    def prompt(self, role: Role) -> str:
        """Return the side that reads texts of this role, `query:` or `text:`, before the prompt: the sides may
        differ.
        """
        return f"{'query' if role == 'query' else 'text'}:{super().prompt(role)}"

    def raw(self, texts: Sequence[str], prompt: str, advance: Advance) -> NDArray[np.float32]:
        """Return the component's vectors: float32 of shape (n_texts, dim). Raises VectorError if their lengths
        differ.
        """
        side, _, before = prompt.partition(":")
        vectors: list[list[float]] = []
        size = self.embedding.embed_batch_size
        for start in range(0, len(texts), size):
            batch = [before + text for text in texts[start : start + size]]
            with keys_hidden(self.embedding):
                vectors += self.embed_queries(batch) if side == "query" else self.embed_texts(batch)
            advance(len(batch))
        dims = {len(vector) for vector in vectors}
        if len(dims) > 1:
            raise VectorError(
                f"{class_path(type(self.embedding))} gave vectors of different lengths: {sorted(dims)}."
            )
        return np.array(vectors, dtype=np.float32).reshape(len(vectors), *dims or (0,))

    def embed_queries(self, queries: list[str]) -> list[list[float]]:
        """Return vectors of one batch of queries. LlamaIndex embeds them one by one."""
        return [self.embedding.get_query_embedding(query) for query in queries]

    def embed_texts(self, texts: list[str]) -> list[list[float]]:
        """Return vectors of one batch of texts."""
        return self.embedding.get_text_embedding_batch(texts)


class LlamaIndexReranker:
    """A LlamaIndex postprocessor that scores each document of a query by itself (a cross-encoder, a rerank API).

    It is called once for each query, with all documents that are to be scored, and nothing is cut (`top_n` is
    set to their number).
    """

    query_by_query = True

    def __init__(self, postprocessor: "BaseNodePostprocessor", given: Mapping[str, object] | None = None) -> None:
        self.postprocessor = postprocessor
        self.identity: Mapping[str, object] = _identity(postprocessor, given)

    def score(self, queries: Sequence[str], documents: Sequence[str], advance: Advance = no_progress) -> FloatArray:
        """Return scores of the pairs: float64 of shape (n_pairs,). Raises ScoreError if a pair is left without
        one.
        """
        pairs: defaultdict[str, list[int]] = defaultdict(list)
        for pair, query in enumerate(queries):
            pairs[query].append(pair)
        scores = np.empty(len(queries))
        for query, rows in pairs.items():
            scores[rows] = self._scores(query, [documents[row] for row in rows])
            advance(len(rows))
        return scores

    def _scores(self, query: str, documents: Sequence[str]) -> FloatArray:
        scores = np.full(len(documents), np.nan)
        for row, score in postprocess(self.postprocessor, query, documents, [None] * len(documents)):
            if score is not None:
                scores[row] = score
        if missing := int(np.isnan(scores).sum()):
            raise ScoreError(
                f"{class_path(type(self.postprocessor))} left {missing} of {len(documents)} documents without a "
                f"score for the query {query[:80]!r}."
            )
        return scores


class LlamaIndexListReranker:
    """A LlamaIndex postprocessor that orders, or filters, a list of nodes. `top_n` does not cut it."""

    def __init__(self, postprocessor: "BaseNodePostprocessor", given: Mapping[str, object] | None = None) -> None:
        self.postprocessor = postprocessor
        self.identity: Mapping[str, object] = _identity(postprocessor, given)

    def rerank(self, query: str, documents: Sequence[str], scores: FloatArray) -> IntArray:
        """Return row numbers of the documents that the postprocessor kept, in its order: int64 of shape (n_kept,)."""
        kept = postprocess(self.postprocessor, query, documents, scores.tolist())
        return np.array([row for row, _ in kept], dtype=np.int64)


def postprocess(
    postprocessor: "BaseNodePostprocessor", query: str, documents: Sequence[str], scores: Sequence[float | None]
) -> list[tuple[int, float | None]]:
    """Tell what a postprocessor makes of a query's documents: their row numbers in its order, and the scores it gave.

    Raises ScoreError if it gives a document twice, or one that it was not given.
    """
    from llama_index.core.schema import NodeWithScore, TextNode

    nodes = [
        NodeWithScore(node=TextNode(id_=str(row), text=document), score=score)
        for row, (document, score) in enumerate(zip(documents, scores, strict=True))
    ]
    with keys_hidden(postprocessor):
        kept = uncut(postprocessor, len(nodes)).postprocess_nodes(nodes, query_str=query)
    ids = [node.node.node_id for node in kept]
    if len(set(ids)) < len(ids) or not set(ids) <= {str(row) for row in range(len(nodes))}:
        raise ScoreError(
            f"{class_path(type(postprocessor))} gave nodes twice, or nodes that it was not given; it is no reranker."
        )
    return [(int(node.node.node_id), node.score) for node in kept]


def uncut(postprocessor: "BaseNodePostprocessor", count: int) -> "BaseNodePostprocessor":
    """Return a copy that keeps `count` nodes, if it is one that cuts; the original is left as it is."""
    limits = {name: count for name in LIMITS if name in type(postprocessor).model_fields}
    return postprocessor.model_copy(update=limits)


@contextmanager
def keys_hidden(component: Any) -> Iterator[None]:
    """Raise an error whose message holds one of the component's keys again, without it."""
    try:
        yield
    except Exception as error:
        message = hide(str(error), secrets_of(component))
        if message == str(error):
            raise
        raise RuntimeError(f"{type(error).__name__}: {message}") from None
