"""LlamaIndex components that are quick and can be checked by hand."""

from hashlib import sha256
from typing import Any

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle
from pydantic import PrivateAttr

KEY = "sk-not-to-be-seen-0123456789"


class Calls:
    """What was asked. No plain data, which would count as part of what the component is."""

    def __init__(self) -> None:
        self.made: list[tuple[str, Any]] = []


class TwoSided(BaseEmbedding):
    """Vectors drawn from the hash of side and text: no two alike. Notes each call."""

    dim: int = 8
    salt: str = ""
    api_key: str = KEY
    fail: bool = False
    _calls: Calls = PrivateAttr(default_factory=Calls)

    def vector(self, side: str, text: str) -> list[float]:
        seed = int.from_bytes(sha256(f"{self.salt}{side}{text}".encode()).digest()[:4], "big")
        return np.random.default_rng(seed).normal(size=self.dim).tolist()

    def _get_query_embedding(self, query: str) -> list[float]:
        if self.fail:
            raise ValueError(f"401: no such key {self.api_key}")
        self._calls.made.append(("query", [query]))
        return self.vector("query", query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        self._calls.made.append(("text", list(texts)))
        return [self.vector("text", text) for text in texts]


class SharedWords(BaseNodePostprocessor):
    """Scores a node by the words it shares with the query, keeps `top_n`. `skip` leaves nodes without a score."""

    top_n: int = 1
    skip: bool = False
    api_key: str = KEY
    _calls: Calls = PrivateAttr(default_factory=Calls)

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        assert query_bundle is not None
        self._calls.made.append((query_bundle.query_str, len(nodes)))
        words = set(query_bundle.query_str.lower().split())
        for node in nodes:
            shared = words & set(node.node.get_content().lower().split())
            node.score = None if self.skip else len(shared) + len(node.node.get_content()) / 1e6
        return sorted(nodes, key=lambda node: -(node.score or 0))[: self.top_n]


class SecondFirst(BaseNodePostprocessor):
    """Puts the second node first and drops the last one, as no score of a pair could say."""

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return [*nodes[1:2], *nodes[:1], *nodes[2:-1]]


class Twice(BaseNodePostprocessor):
    """Gives the first node twice."""

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return [*nodes[:1], *nodes]


class Configured(BaseEmbedding):
    """Takes arguments of several types, and nothing else."""

    def __init__(self, size: int, scale: float = 1.0, names: list[str] | None = None, flag: bool = False) -> None:
        super().__init__(model_name=f"{size} {scale} {names} {flag}")

    def _get_query_embedding(self, query: str) -> list[float]:
        return [1.0, 2.0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return [1.0, 2.0]

    def _get_text_embedding(self, text: str) -> list[float]:
        return [2.0, 1.0]


NOT_A_COMPONENT: Any = 3
