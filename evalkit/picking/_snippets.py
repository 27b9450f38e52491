"""Write the code that builds a choice, with LlamaIndex or with sentence-transformers alone."""

from collections.abc import Mapping
from typing import Any

from evalkit.cell import NO_RERANKER
from evalkit.models.registry import parse_spec
from evalkit.models.registry.selection import is_fusion
from evalkit.picking._choice import Choice
from evalkit.results import Results

_LLAMAINDEX = """\
from pathlib import Path

from llama_index.core.schema import TextNode

from evalkit.picking.documents import Chunking, read_folder, split
from evalkit.integrations.llamaindex import EvalkitRetriever

# Read and cut as they were measured: LlamaIndex's own readers add file metadata to what is cut and embedded.
chunks = split(read_folder(Path("docs"){how_read}), {chunking})
nodes = [TextNode(id_=chunk.id, text=chunk.text) for chunk in chunks]
retriever = EvalkitRetriever(
    nodes, {model!r}, {reranker!r}, similarity_top_k={k}, candidates={candidates}, device={device!r}, dtype={dtype!r}
)
for found in retriever.retrieve("your question"):
    print(f"{{found.score:.3f}}", found.node.get_content()[:80])
"""
_SENTENCE_TRANSFORMERS = """\
from pathlib import Path

from sentence_transformers import {classes}

from evalkit.picking.documents import Chunking, read_folder, split

chunks = [chunk.text for chunk in split(read_folder(Path("docs"){how_read}), {chunking})]
model = SentenceTransformer({model})
{max_length}corpus = model.encode_document(chunks{document_prompt})
question = "your question"
scores = model.similarity(model.encode_query([question]{query_prompt}), corpus)[0]
best = scores.argsort(descending=True)[:{first}].tolist()
{rerank}for row in best:
    print(chunks[row][:80])
"""
_RERANK = """\
reranker = CrossEncoder({reranker})
ranked = reranker.rank(question, [chunks[row] for row in best])
best = [best[each["corpus_id"]] for each in ranked][:{k}]
"""


def llamaindex_code(choice: Choice, results: Results) -> str:
    """Python that builds the choice over the documents in a folder "docs", with LlamaIndex."""
    run = results.provenance
    task = run["tasks"][0]["task"]
    return _LLAMAINDEX.format(
        how_read=_how_read(run),
        chunking=_chunking(choice),
        model=results.spec_to_use(task, choice.chunking, choice.model),
        reranker=results.spec_to_use(task, choice.chunking, choice.reranker),
        k=max(run["top_k"]),
        candidates=run["candidates"],
        device=run["device"],
        dtype=run["dtype"],
    )


def sentence_transformers_code(choice: Choice, results: Results) -> str | None:
    """Python that builds the choice with sentence-transformers alone; None if it is made of something else.

    That is, if it is a fusion, if the model is not of the family sbert or the reranker not a cross-encoder, or if an
    option is set that the package's own classes do not have.
    """
    run = results.provenance
    if is_fusion(run["specs"].get(choice.model, choice.model)):
        return None
    model = parse_spec(run["specs"].get(choice.model, choice.model))
    reranker = None if choice.reranker == NO_RERANKER else parse_spec(run["specs"][choice.reranker])
    options = model.options.model_dump(exclude_unset=True)
    behind = reranker.options.model_dump(exclude_unset=True) if reranker is not None else {}
    known = {"dim", "query_prompt", "document_prompt", "sentence_prompt", "max_length", "revision", "dtype"}
    if model.family != "sbert" or options.keys() - known:
        return None
    if reranker is not None and (reranker.family != "ce" or behind.keys() - {"max_length", "revision", "dtype"}):
        return None
    k = max(run["top_k"])
    prompts = {role: f", prompt={options[role]!r}" if role in options else "" for role in known}
    rerank = ""
    if reranker is not None:
        model_behind = _arguments(reranker.name, run, behind, max_length=behind.get("max_length"))
        rerank = _RERANK.format(k=k, reranker=model_behind)
    return _SENTENCE_TRANSFORMERS.format(
        classes="SentenceTransformer" if reranker is None else "CrossEncoder, SentenceTransformer",
        how_read=_how_read(run),
        chunking=_chunking(choice),
        model=_arguments(model.name, run, options, truncate_dim=options.get("dim")),
        max_length=f"model.max_seq_length = {options['max_length']}\n" if "max_length" in options else "",
        document_prompt=prompts["document_prompt"],
        query_prompt=prompts["query_prompt"],
        first=k if reranker is None else run["candidates"],
        rerank=rerank,
    )


def _arguments(name: str, run: Mapping[str, Any], options: Mapping[str, Any], **more: Any) -> str:
    """Tell what is between the brackets of a model's class, only what is set."""
    given = {
        "revision": options.get("revision"),
        "device": run["device"],
        "model_kwargs": {"dtype": options.get("dtype") or run["dtype"]},
        **more,
    }
    return ", ".join([repr(name), *(f"{key}={value!r}" for key, value in given.items() if value is not None)])


def _chunking(choice: Choice) -> str:
    size, _, overlap = choice.chunking.partition("/")
    return f"Chunking({size}, {overlap})" if overlap else "Chunking.whole"


def _how_read(run: Mapping[str, Any]) -> str:
    """Return what was asked for in reading the folder, as arguments behind its path."""
    documents = run["pick"]["documents"]
    return "".join(f", {key}={documents[key]!r}" for key in ("include", "fields") if documents.get(key))
