"""Write a program that searches as the choice does, with LlamaIndex."""

from dataclasses import replace
from string import Template

from evalkit.picking._recommendation import named
from evalkit.picking.programs._parts import (
    MAIN,
    OPEN_INDEX,
)
from evalkit.picking.programs._plain import Part, assemble, cross_encoder
from evalkit.picking.programs._winner import Winner
from evalkit.reporting.write import SEARCH_LLAMAINDEX

STEPS = frozenset({"Transformer", "Pooling", "Dense", "Normalize"})
"""Modules that HuggingFaceEmbedding runs as they were measured: it knows no routes for queries and documents."""
NAMED = ("BAAI/bge-", "hkunlp/instructor-", "hku-nlp/instructor-")
"""To these it gives a prompt of its own where it is given none."""

_INDEX = Template('''\
@cache
def embedder():
    """Return the model of the vectors, loaded when it is first needed."""
$load


def build(folder, chunks):
    """Make the index of chunks in a folder."""
    nodes = [TextNode(id_=id, text=text) for id, text in chunks]
    VectorStoreIndex(nodes, embed_model=embedder()).storage_context.persist(folder)


@cache
def retriever():
    """Return LlamaIndex's retriever over the index on disk."""
    storage = StorageContext.from_defaults(persist_dir=str(open_index(read_chunks())))
    index = load_index_from_storage(storage, embed_model=embedder())
    return index.as_retriever(similarity_top_k=$first)

''')
_SEARCH = '''\
def search(question):
    """Return the id, score and text of the best chunks, best first."""
    found = retriever().retrieve(question)
    return handed_on([(each.node_id, each.score, each.node.get_content()) for each in found])
'''
_SEARCH_RERANKED = '''\
class Reranker(BaseNodePostprocessor):
    """The cross-encoder as a postprocessor of LlamaIndex; its scores are those that were measured."""

    def _postprocess_nodes(self, nodes, query_bundle=None):
        if not nodes:
            return []
        scores = rerank(query_bundle.query_str, [each.node.get_content() for each in nodes])
        found = [NodeWithScore(node=each.node, score=score) for each, score in zip(nodes, scores)]
        return sorted(found, key=lambda each: -each.score)


def search(question):
    """Return the id, score and text of the best chunks, best first."""
    found = Reranker().postprocess_nodes(retriever().retrieve(question), query_str=question)
    return handed_on([(each.node_id, each.score, each.node.get_content()) for each in found])
'''
_OVER_PLAIN = Template('''\
"""Search the documents with $choice, as `evalkit pick` measured it.

    python $file "your question"

LlamaIndex has no parts for it: this is a retriever for its pipelines over search.py, which has to stand beside it.
Needs: what search.py needs, and pip install llama-index-core
"""

import sys
from functools import cache

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, TextNode

import search as plain


class Retriever(BaseRetriever):
    """The search of search.py as a retriever of LlamaIndex."""

    def _retrieve(self, query_bundle):
        found = plain.search(query_bundle.query_str)
        return [NodeWithScore(node=TextNode(id_=id, text=text), score=score) for id, score, text in found]


@cache
def retriever():
    """Return LlamaIndex's retriever over the index on disk."""
    return Retriever()


def search(question):
    """Return the id, score and text of the best chunks, best first."""
    found = retriever().retrieve(question)
    return [(each.node_id, each.score, each.node.get_content()) for each in found]


''')
_EVALKIT_RETRIEVER = Template('''\
@cache
def retriever():
    """Return a retriever of LlamaIndex; evalkit's store keeps the vectors of the chunks."""
    nodes = [TextNode(id_=id, text=text) for id, text in read_chunks()]
    return EvalkitRetriever(
        nodes, $model, $reranker,
        similarity_top_k=TOP_K, candidates=$candidates, device=$device, dtype=$dtype,
    )


def search(question):
    """Return the id, score and text of the best chunks, best first."""
    found = retriever().retrieve(question)
    return handed_on([(each.node_id, each.score, each.node.get_content()) for each in found])
''')


def llamaindex_program(winner: Winner) -> str:
    """Return the program: a vector index of LlamaIndex, or where it has no such parts, a retriever over `search.py`.

    The choice is one that `plain_program` builds.
    """
    part = _embedding(winner)
    if part is None:
        return _over_plain(winner)
    first = "TOP_K" if winner.reranker is None else "CANDIDATES"
    code = _INDEX.substitute(load=part.code, first=first)
    imports = [
        "from llama_index.core import StorageContext, VectorStoreIndex, load_index_from_storage",
        "from llama_index.core.schema import TextNode",
    ]
    used, search = [replace(part, code="")], _SEARCH
    if winner.reranker is not None:
        used.append(cross_encoder(winner.reranker))
        search = _SEARCH_RERANKED
        imports[1] = "from llama_index.core.schema import NodeWithScore, TextNode"
        imports.append("from llama_index.core.postprocessor.types import BaseNodePostprocessor")
    return assemble(winner, SEARCH_LLAMAINDEX, used, [OPEN_INDEX, code, search], imports, ("llama-index-core",))


def evalkit_program(winner: Winner) -> str:
    """Return the program with evalkit's own retriever of LlamaIndex, for any choice that is made of specs."""
    code = _EVALKIT_RETRIEVER.substitute(
        model=repr(winner.spec(winner.choice.model)),
        reranker=repr(winner.spec(winner.choice.reranker)),
        candidates=winner.run["candidates"],
        device=repr(winner.run["device"]),
        dtype=repr(winner.run["dtype"]),
    )
    imports = (
        "from evalkit.integrations.llamaindex import EvalkitRetriever",
        "from llama_index.core.schema import TextNode",
    )
    return assemble(winner, SEARCH_LLAMAINDEX, [], [code], imports, ("'evalkit-embeddings[llamaindex]'",))


def _over_plain(winner: Winner) -> str:
    return _OVER_PLAIN.substitute(choice=named(winner.choice), file=SEARCH_LLAMAINDEX) + MAIN


def _embedding(winner: Winner) -> Part | None:
    """Return the choice's only model as LlamaIndex's HuggingFaceEmbedding; None if it gives others."""
    model = winner.models[0]
    if winner.fusion is not None or model.spec.family != "sbert":
        return None
    options = model.options
    query, document = (model.setting(f"{role}_prompt") or None for role in ("query", "document"))
    adds_its_own = query is None and model.spec.name.startswith(NAMED)
    as_measured = model.setting("similarity") == "cosine" and STEPS.issuperset(model.setting("modules") or [""])
    if adds_its_own or not as_measured:
        return None
    arguments = model.arguments(
        query_instruction=query,
        text_instruction=document,
        max_length=options.get("max_length"),
        truncate_dim=options.get("dim"),
    )
    return Part(
        ("from llama_index.embeddings.huggingface import HuggingFaceEmbedding", *model.imports),
        ("llama-index-embeddings-huggingface", *model.packages),
        f"    return HuggingFaceEmbedding({arguments})",
        {"MODEL": model.weights},
    )
