"""The way back: an evalkit embedder as a LlamaIndex embedding, a cell of the grid as a LlamaIndex retriever.

Needs the extra `llamaindex`; importing this module imports LlamaIndex.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle, TextNode
from scipy.sparse import csr_matrix

from evalkit.cell import NO_RERANKER
from evalkit.compute import DeviceChoice, Dtype, choose_compute
from evalkit.contracts import Embedder, Fittable
from evalkit.errors import ConfigError
from evalkit.models.registry import Kind
from evalkit.models.registry.reference import ModelRef
from evalkit.models.registry.selection import choose, is_fusion, parse_fusions
from evalkit.results import Results
from evalkit.runner.context import RunContext
from evalkit.runner.grid.fusing import shares
from evalkit.runner.grid.live import LiveCell
from evalkit.search.ranking import Fusion
from evalkit.spending import Spending
from evalkit.store import Store, default_root
from evalkit.tasks import load_task
from evalkit.terms import Role
from evalkit.types import Document, Part, RetrievalTask

__all__ = ["EvalkitEmbedding", "EvalkitRetriever", "best_retriever", "task_nodes"]


class EvalkitEmbedding(BaseEmbedding):
    """An evalkit embedder, by its spec or the object itself, as a LlamaIndex embedding.

    One that learns from a corpus (tfidf, lsa, trained word vectors) is given as an object that is fitted.
    LlamaIndex compares vectors by cosine: to rank as evalkit does, the model's similarity must be cosine.
    """

    _embedder: Embedder = PrivateAttr()

    def __init__(
        self, model: str | Embedder, device: DeviceChoice = "auto", dtype: Dtype = "float32", **fields: Any
    ) -> None:
        label = model if isinstance(model, str) else type(model).__name__
        super().__init__(**{"model_name": label, **fields})
        self._embedder = cast(Embedder, _load(model, {"embedder"}, device, dtype))
        if isinstance(model, str) and isinstance(self._embedder, Fittable):
            raise ConfigError(f"{model!r} learns from a corpus. Build it, fit it, and give the object.")

    @classmethod
    def class_name(cls) -> str:
        """Return the name in LlamaIndex's events."""
        return "EvalkitEmbedding"

    def _encode(self, texts: list[str], role: Role) -> list[list[float]]:
        vectors = self._embedder.encode(texts, role)
        dense = vectors.toarray() if isinstance(vectors, csr_matrix) else vectors
        return cast(list[list[float]], dense.tolist())

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._encode([query], "query")[0]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._encode([text], "document")[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._encode(texts, "document")

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)


class EvalkitRetriever(BaseRetriever):
    """A cell of the grid over the user's nodes: a model (or a fusion of two) and a reranker, by spec or as objects.

    Ranks the nodes as the grid ranks documents of the same texts and ids. A node is read as LlamaIndex's indexes
    read it (`MetadataMode.EMBED`). Vectors of the nodes come from the store, and are kept there; `store=None` is
    the user's, `no_store` computes them anew. `objects` gives, by label, the models of a fusion that have no spec.
    `leaves`, each with one of the nodes as its parent, are searched in the nodes' place; a node stands where the best
    of its leaves does, and is what is reranked and found. Where the texts that the nodes were cut from are given as
    `sources`, embedders read each node with its source in view (late chunking); a node names its source, and the
    characters at which it starts and ends there.

    Raises ConfigError if two nodes share an id, if a leaf has no parent among them or a node no source, if there are
    fewer `candidates` than `similarity_top_k`, or for a weighted fusion without a weight.
    """

    def __init__(
        self,
        nodes: Sequence[BaseNode],
        model: object,
        reranker: object = NO_RERANKER,
        *,
        similarity_top_k: int = 5,
        candidates: int | None = None,
        device: DeviceChoice = "auto",
        dtype: Dtype = "float32",
        store: str | Path | None = None,
        no_store: bool = False,
        objects: Mapping[str, object] | None = None,
        leaves: Sequence[BaseNode] = (),
        sources: Sequence[BaseNode] = (),
        **retriever: Any,
    ) -> None:
        super().__init__(**retriever)
        self._nodes = {node.node_id: node for node in nodes}
        if not nodes or len(self._nodes) < len(nodes):
            raise ConfigError(f"{len(nodes)} nodes with {len(self._nodes)} different ids; give nodes, each once.")
        candidates = candidates or 2 * similarity_top_k
        if reranker != NO_RERANKER and candidates < similarity_top_k:
            raise ConfigError(
                f"candidates={candidates} is fewer than similarity_top_k={similarity_top_k}; give at least as many."
            )
        self._top_k = similarity_top_k
        context = RunContext(choose_compute(device, dtype), None if no_store else Store(store or default_root()))
        self._cell = LiveCell.start(
            list(map(_document, nodes)),
            *_first_stage(model, objects or {}, device, dtype),
            None if reranker == NO_RERANKER else _load(reranker, {"embedder", "reranker"}, device, dtype),
            candidates,
            context,
            _passages(nodes, leaves) if leaves else None,
            _parts(nodes, sources) if sources else None,
        )

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = self._cell.search(query_bundle.query_str, self._top_k)
        return [NodeWithScore(node=self._nodes[document.id], score=score) for document, score in found]


def _document(node: BaseNode) -> Document:
    return Document(node.node_id, node.get_content(metadata_mode=MetadataMode.EMBED))


def _passages(nodes: Sequence[BaseNode], leaves: Sequence[BaseNode]) -> list[Document]:
    """Return the leaves as parts of their parents, under these ids."""
    parents = [None if leaf.parent_node is None else leaf.parent_node.node_id for leaf in leaves]
    known = {node.node_id for node in nodes}
    lost = [leaf.node_id for leaf, parent in zip(leaves, parents, strict=True) if parent not in known]
    if lost:
        raise ConfigError(
            f"{len(lost)} of {len(leaves)} leaves have no parent among the nodes: {', '.join(lost[:5])}. Give the "
            "parents as nodes; NodeRelationship.PARENT of a leaf names its own."
        )
    return [replace(_document(leaf), id=parent) for leaf, parent in zip(leaves, parents, strict=True) if parent]


def _parts(nodes: Sequence[BaseNode], sources: Sequence[BaseNode]) -> tuple[Part, ...]:
    """Return where each node stands in its source."""
    texts = {source.node_id: source.get_content() for source in sources}
    parts = []
    for node in nodes:
        source = None if node.source_node is None else texts.get(node.source_node.node_id)
        start, end = getattr(node, "start_char_idx", None), getattr(node, "end_char_idx", None)
        if source is None or start is None or end is None:
            raise ConfigError(
                f"node {node.node_id} does not say where in the sources it stands. Give its source, and set its "
                "NodeRelationship.SOURCE, start_char_idx and end_char_idx."
            )
        parts.append(Part(source, start, end))
    return tuple(parts)


def best_retriever(
    results: Results,
    nodes: Sequence[BaseNode],
    *,
    task: str | None = None,
    models: Mapping[str, object] | None = None,
    **options: Any,
) -> EvalkitRetriever:
    """Return the best cell of a run, as it was run, over the user's nodes.

    `task` is needed if the run had several retrieval tasks. `models` gives, by label, the objects that the run was
    given in place of specs. `options` win over the run's (`similarity_top_k`, `candidates`, `device`, `dtype`,
    `store`). Raises ConfigError if there is no such cell.
    """
    run = results.provenance
    names = [each["task"] for each in run["tasks"] if each["type"] == "retrieval" and task in (None, each["task"])]
    if len(names) != 1:
        raise ConfigError(
            f"task={task!r} leaves {len(names)} retrieval tasks of the run: {', '.join(names)}. Name one."
        )
    best = results.best(names[0])
    objects = models or {}

    def source(label: str) -> object:
        if label in objects:
            return objects[label]
        if label in run["given_models"]:
            raise ConfigError(
                f"{label!r} was an object, {run['specs'][label]}: give it in models={{{label!r}: ...}}."
            )
        return results.spec_to_use(best.task, best.split, label)

    settings = {"similarity_top_k": max(run["top_k"]), **{key: run[key] for key in ("candidates", "device", "dtype")}}
    return EvalkitRetriever(
        nodes,
        source(best.model),
        source(best.reranker),
        **{**settings, "objects": objects, **options},
    )


def task_nodes(task: str | RetrievalTask) -> list[TextNode]:
    """Return the documents of a retrieval task as nodes, with their ids and the texts that models read."""
    loaded = load_task(task) if isinstance(task, str) else task
    if not isinstance(loaded, RetrievalTask):
        raise ConfigError(f"{loaded.name!r} is no retrieval task; it has no documents.")
    return [TextNode(id_=document.id, text=document.content) for document in loaded.corpus]


def _first_stage(
    model: object, objects: Mapping[str, object], device: DeviceChoice, dtype: Dtype
) -> tuple[list[Any], Fusion | None]:
    """Return the models of a first stage, one or two, and how their rankings become one."""
    if not isinstance(model, str) or not is_fusion(model):
        return [_load(model, {"embedder", "retriever"}, device, dtype)], None
    fusions = parse_fusions(model)
    if len(fusions) != 1:
        raise ConfigError(f"{model!r} stands for {len(fusions)} fusions; give one.")
    shares(fusions[0].fusion, 2)
    parts = [objects.get(part, part) for part in fusions[0].parts]
    return [_load(part, {"embedder", "retriever"}, device, dtype) for part in parts], fusions[0].fusion


def _load(model: object, allowed: set[Kind], device: DeviceChoice, dtype: Dtype) -> Any:
    name = model if isinstance(model, str) else ModelRef.from_object(type(model).__name__, model)
    chosen = list(choose([name], allowed).values())
    if len(chosen) != 1:
        raise ConfigError(f"{model!r} stands for {len(chosen)} models; give one.")
    return chosen[0].load(choose_compute(device, dtype), Spending())
