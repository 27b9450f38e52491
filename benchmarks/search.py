"""Exact search of the top 100: evalkit against faiss, sentence-transformers and mteb, on the same unit vectors.

Clustered random vectors of 384 dimensions in float32, 1,000 queries; every way may use all cores. evalkit searches
an array, and vectors that stay in its store (a Lance table, in the order of text lengths that encoding gives it);
both return float64 scores and settle ties. faiss: `IndexFlatIP.search`; its index is built beforehand.
sentence-transformers: `semantic_search` on tensors with `dot_score`, which spares it scaling vectors, at the best of
several chunk sizes, found first. mteb: its `chunked_full_corpus_search` with an encoder that only slices the vectors,
`dot_score`, and no data loader, so that nothing but search is timed.

The top-100 sets of all ways must agree, but for documents that tie to 1e-6, or the program fails. Peak memory is
that of a process of its own for each way: its highest use during one search, less what it used before (on Linux).
The corpus in memory, or the index, is there before.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import faiss
import mteb.models.search_wrappers as mteb_search
import numpy as np
import torch
from datasets import Dataset
from mteb.similarity_functions import dot_score as mteb_dot_score
from sentence_transformers.util import dot_score, semantic_search
from side_by_side import measure, report, table

from evalkit.compute import Compute
from evalkit.contracts import VectorRows
from evalkit.runner.measure._child import peak_megabytes, start_counting
from evalkit.search.exact import search
from evalkit.store import Store, StoredVectors, encode_once
from evalkit.terms import Role

DIM, TOP, SEED = 384, 100, 0
CHUNKS = ((100, 500_000), (1_000, 20_000), (250, 100_000))
"""Queries and documents at once for `semantic_search`: its default, and sizes whose scores take 80 and 100 MB."""
WAYS = ("evalkit", "evalkit, store", "faiss", "sentence-transformers", "mteb")

Search = Callable[[], object]
Rows = Callable[[Any], np.ndarray]


@dataclass(frozen=True)
class Prepared:
    """The vectors of a corpus, as a text embedder that has them at hand."""

    vectors: np.ndarray

    @property
    def raw_identity(self) -> dict[str, object]:
        """The same for all."""
        return {"family": "prepared"}

    def prompt(self, role: Role) -> str:
        """None."""
        return ""

    def raw(self, texts: Sequence[str], prompt: str, advance: Callable[[int], None]) -> np.ndarray:
        """The vectors of texts that begin with a row number."""
        return self.vectors[[int(text.split()[0]) for text in texts]]

    def derive(self, vectors: np.ndarray) -> np.ndarray:
        """The vectors as they are."""
        return vectors


def stored(folder: Path, vectors: np.ndarray) -> StoredVectors:
    """The corpus in a store in `folder`; without vectors if it is there already. Texts differ in length at random."""
    lengths = np.random.default_rng(SEED).integers(200, size=count(folder))
    texts = [f"{row} {'x' * length}" for row, length in enumerate(lengths)]
    store = Store(folder / "store")
    return encode_once(store, Prepared(vectors), "prepared", texts, "document", lambda *_: None, lambda _: None)


def make(folder: Path, n_documents: int, n_queries: int) -> None:
    """Write documents and queries, unit vectors around 1,000 centres, and the store."""
    rng = np.random.default_rng(SEED)
    centres = rng.standard_normal((1_000, DIM), dtype=np.float32)
    vectors = np.empty((n_documents + n_queries, DIM), dtype=np.float32)
    for start in range(0, len(vectors), 50_000):
        part = vectors[start : start + 50_000]
        part[:] = centres[rng.integers(1_000, size=len(part))]
        part += 0.7 * rng.standard_normal(part.shape, dtype=np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    np.save(folder / "documents.npy", vectors[:n_documents])
    np.save(folder / "queries.npy", vectors[n_documents:])
    stored(folder, vectors[:n_documents])


def count(folder: Path) -> int:
    """How many documents there are."""
    return int(np.load(folder / "documents.npy", mmap_mode="r").shape[0])


@cache
def corpus_in_memory(folder: Path) -> np.ndarray:
    """The documents, the same array for all ways."""
    return np.asarray(np.load(folder / "documents.npy"))


def prepare(way: str, folder: Path, chunks: tuple[int, int]) -> tuple[Search, Rows]:
    """One way's search, all else done; and a function from what it returns to rows, (n_queries, TOP)."""
    queries = np.load(folder / "queries.npy")
    ids = [f"document{row}" for row in range(count(folder))]
    if way in ("evalkit", "evalkit, store"):
        in_store = way == "evalkit, store"
        corpus: VectorRows = stored(folder, np.empty((0, DIM))) if in_store else corpus_in_memory(folder)
        return lambda: search(queries, corpus, ids, "cosine", TOP), lambda run: run.documents
    documents = corpus_in_memory(folder)
    if way == "faiss":
        index = faiss.IndexFlatIP(DIM)
        index.add(documents)
        return lambda: index.search(queries, TOP), lambda found: found[1]
    tensors = torch.from_numpy(queries), torch.from_numpy(documents)
    if way == "sentence-transformers":
        find = partial(semantic_search, *tensors, *chunks, top_k=TOP, score_function=dot_score)
        return find, lambda found: np.array([[hit["corpus_id"] for hit in hits] for hits in found])
    return mteb_way(*tensors, ids)


def mteb_way(queries: torch.Tensor, documents: torch.Tensor, ids: list[str]) -> tuple[Search, Rows]:
    """mteb's search with its own chunk size; the encoder returns the next chunk of vectors."""
    corpus = Dataset.from_dict({"id": ids})
    size = 50_000

    def run() -> object:
        chunk = iter(torch.split(documents, size))
        with patch.object(mteb_search, "create_dataloader", lambda *_, **__: None):
            return mteb_search.chunked_full_corpus_search(
                task_corpus=corpus,
                corpus_chunk_size=size,
                query_idx_to_id={row: str(row) for row in range(len(queries))},
                query_embeddings=queries,
                task_metadata=None,
                hf_subset="default",
                hf_split="test",
                top_k=TOP,
                encode_kwargs={"show_progress_bar": False},
                encode_fn=lambda *_, **__: next(chunk),
                similarity_fn=mteb_dot_score,
                search_k_offset=1,
            )

    def rows(found: dict[str, list[tuple[float, str]]]) -> np.ndarray:
        return np.array([[int(name.removeprefix("document")) for _, name in hits] for hits in found.values()])

    return run, rows


def check(way: str, folder: Path, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Leave the program unless the sets agree, but for documents within 1e-6 of the last place's score."""
    documents, queries = np.load(folder / "documents.npy", mmap_mode="r"), np.load(folder / "queries.npy")
    for query, expected, got in zip(queries.astype(np.float64), ours, theirs, strict=True):
        differing = np.setxor1d(expected, got)
        last, scores = (documents[rows].astype(np.float64) @ query for rows in (expected[-1], differing))
        if len(np.unique(got)) != TOP or (np.abs(scores - last) > 1e-6).any():
            raise SystemExit(f"{way} and evalkit disagree on the top {TOP}: {len(differing)} documents differ")


def peak(way: str, folder: Path, chunks: tuple[int, int]) -> float:
    """MB used in one search beyond what was used before it."""
    run, _ = prepare(way, folder, chunks)
    faiss.omp_set_num_threads(torch.get_num_threads())
    before = start_counting()
    run()
    return peak_megabytes(Compute(), before)


def peaks(folder: Path, chunks: tuple[int, int]) -> dict[str, float]:
    """The peak of each way, each in a process of its own."""
    if not Path("/proc/self/clear_refs").exists():
        return {}
    command = [sys.executable, __file__, "--peak", str(folder), "--chunks", json.dumps(chunks)]
    ran = {way: subprocess.run([*command, "--way", way], check=True, capture_output=True, text=True) for way in WAYS}
    return {way: float(process.stdout.split()[-1]) for way, process in ran.items()}


def compare(n_documents: int, n_queries: int, rounds: int) -> tuple[list[dict[str, object]], str]:
    """Check all ways against evalkit, time them in turn and take their peaks; also the chunk sizes chosen."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, n_documents, n_queries)
        tries = {str(chunks): prepare("sentence-transformers", folder, chunks)[0] for chunks in CHUNKS}
        tried = measure(tries, rounds=1, warm_up=False)
        chunks = min(CHUNKS, key=lambda sizes: tried[str(sizes)][0])
        del tries
        prepared = {way: prepare(way, folder, chunks) for way in WAYS}
        ours = prepared["evalkit"][1](prepared["evalkit"][0]())
        for way, (run, rows) in prepared.items():
            check(way, folder, ours, rows(run()))
        seconds = measure({way: run for way, (run, _) in prepared.items()}, rounds, warm_up=False)
        timed = table(seconds, ours="evalkit")
        del prepared, run
        corpus_in_memory.cache_clear()
        found = peaks(folder, chunks)
    return [{**row, "peak_MB": found.get(str(row["way"]))} for row in timed], f"{chunks[0]} × {chunks[1]}"


def main() -> None:
    """Compare at two sizes and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="5,000 and 20,000 documents, 100 queries")
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--chunks", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(peak(options.way, options.peak, tuple(options.chunks)))
        return
    sizes = {5_000: 3, 20_000: 3} if options.quick else {100_000: 9, 1_000_000: 3}
    n_queries = 100 if options.quick else 1_000
    faiss.omp_set_num_threads(torch.get_num_threads())
    parts, chunks, met = {}, {}, {}
    for size, rounds in sizes.items():
        title = f"{size:,} × {DIM}, {n_queries:,} queries, top {TOP}"
        parts[title], chunks[title] = compare(size, n_queries, rounds)
        by_way = {str(row["way"]): row for row in parts[title]}
        met[title] = float(str(by_way["faiss"]["times_ours"])) >= 1
    notes = {
        "threads": torch.get_num_threads(),
        "top sets": "agree, but for ties to 1e-6",
        "chunks of sentence-transformers (queries × documents)": chunks,
        "target": "level with faiss or faster",
        "met": met,
        "quick": options.quick,
    }
    report("search", parts, notes)


if __name__ == "__main__":
    main()
