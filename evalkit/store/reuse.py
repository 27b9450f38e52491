"""Compute only what the store lacks, and commit it batch by batch."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evalkit.contracts import Advance, FullVectors, QueryByQuery, Reranker, ScoreParts, VectorParts
from evalkit.store.keys import pair_keys, text_keys
from evalkit.store.store import Store
from evalkit.store.table import Table
from evalkit.terms import Role
from evalkit.types import FloatArray, IntArray

SECONDS_PER_COMMIT = 5.0
"""What a kill can lose, about; a commit takes a hundredth of this."""
FIRST_BATCH = 1 << 17
"""Characters in the first batch, when the model's speed is not known yet."""

Check = Callable[[Any, IntArray], None]
"""Raises if some of the values, for these rows of the texts or pairs, cannot be scored."""
Parts = Iterator[tuple[IntArray, NDArray[Any]]]
"""Rows of the texts or pairs, and their values, as they are computed."""


@dataclass(frozen=True)
class StoredVectors:
    """Vectors that stay in the store until rows of them are asked for, by a slice or an array of row numbers."""

    table: Table
    rows: IntArray
    derive: Callable[[NDArray[np.float32]], NDArray[np.float32]]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of texts, and dimension."""
        return len(self.rows), self[:1].shape[1]

    def __getitem__(self, index: slice | IntArray) -> NDArray[np.float32]:
        return self.derive(cast(NDArray[np.float32], self.table.take(self.rows[index])))


def encode_once(
    store: Store, embedder: FullVectors, model: str, texts: Sequence[str], role: Role, check: Check, advance: Advance
) -> StoredVectors:
    """Vectors of `texts`; those that the store lacks are encoded, checked and committed first."""
    prompt = embedder.prompt(role)
    table = store.table("vectors", model, embedder.raw_identity)

    def compute(rows: IntArray) -> Parts:
        if isinstance(embedder, VectorParts):
            parts = embedder.raw_parts([texts[row] for row in rows], prompt, advance)
            return ((rows[part], vectors) for part, vectors in parts)
        batches = _batches(rows, lengths)
        return ((batch, embedder.raw([texts[row] for row in batch], prompt, advance)) for batch in batches)

    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")
    rows = _complete(store, table, text_keys(texts, prompt), order, compute, check, advance)
    return StoredVectors(table, rows, embedder.derive)


def score_once(
    store: Store,
    reranker: Reranker,
    model: str,
    queries: Sequence[str],
    documents: Sequence[str],
    check: Check,
    advance: Advance,
) -> FloatArray:
    """Scores of the pairs, float64 of shape (n_pairs,); those that the store lacks are computed first."""
    table = store.table("scores", model, reranker.identity)

    def compute(rows: IntArray) -> Parts:
        if isinstance(reranker, ScoreParts):
            parts = reranker.score_parts([queries[row] for row in rows], [documents[row] for row in rows], advance)
            return ((rows[part], scores) for part, scores in parts)
        return (
            (batch, reranker.score([queries[row] for row in batch], [documents[row] for row in batch], advance))
            for batch in _batches(rows, lengths, together)
        )

    document_lengths = np.array([len(document) for document in documents], dtype=np.int64)
    lengths = document_lengths + np.array([len(query) for query in queries], dtype=np.int64)
    together = None
    if isinstance(reranker, QueryByQuery):
        together = _numbered(queries)
        order = np.argsort(together, kind="stable")
    else:  # the pairs of a document are neighbours, for rerankers that read each document of a batch once
        order = np.lexsort((_numbered(documents), -document_lengths))
    rows = _complete(store, table, pair_keys(queries, documents), order, compute, check, advance)
    return cast(FloatArray, table.take(rows).reshape(-1))


def _numbered(texts: Sequence[str]) -> IntArray:
    """The number of each text among the distinct ones, in order of appearance: int64 of shape (n_texts,)."""
    number = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    return np.array([number[text] for text in texts], dtype=np.int64)


def _complete(
    store: Store,
    table: Table,
    keys: pa.Array,
    order: IntArray,
    compute: Callable[[IntArray], Parts],
    check: Check,
    advance: Advance,
) -> IntArray:
    """The table's row of each key, once every key has one; missing ones are computed in the order given.

    That order is by length over everything, so that what is computed together is alike in length.
    """
    absent = order[table.find(keys)[order] < 0]
    # Equal keys are one text: its first row stands for all.
    _, first = np.unique(np.array(keys.take(pa.array(absent)).to_pylist(), dtype=object), return_index=True)
    missing = absent[np.sort(first)]
    store.reused += len(keys) - len(missing)
    store.computed += len(missing)
    advance(len(keys) - len(missing))
    if missing.size:
        store.check_writable()
        _commit(table, keys, compute(missing), check)
        table.refresh()
        table.compact()
    return table.find(keys)


def _commit(table: Table, keys: pa.Array, parts: Parts, check: Check) -> None:
    """Append parts as they come, a few seconds' worth at a time; what came before an error is kept, too."""
    came: list[tuple[IntArray, NDArray[Any]]] = []
    since = time.perf_counter()

    def append() -> None:
        rows = np.concatenate([rows for rows, _ in came])
        table.append(keys.take(pa.array(rows)), np.concatenate([values for _, values in came]).reshape(len(rows), -1))
        came.clear()

    try:
        for rows, values in parts:
            check(values, rows)
            came.append((rows, values))
            if time.perf_counter() - since >= SECONDS_PER_COMMIT / 2:
                append()
                since = time.perf_counter()
    finally:
        if came:
            append()


def _batches(rows: IntArray, lengths: IntArray, together: IntArray | None = None) -> Iterator[IntArray]:
    """Batches that take about SECONDS_PER_COMMIT each, judged by how long the ones before took.

    Neighbours with the same number in `together` are not parted.
    """
    ends = np.cumsum(lengths[rows] + 1)
    size, start = FIRST_BATCH, 0
    while start < len(rows):
        done = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + size, side="right")))
        while together is not None and stop < len(rows) and together[rows[stop]] == together[rows[stop - 1]]:
            stop += 1
        began = time.perf_counter()
        yield rows[start:stop]
        seconds = time.perf_counter() - began
        if seconds < SECONDS_PER_COMMIT / 2:
            size *= 2
        elif seconds > SECONDS_PER_COMMIT * 2:
            size = max(1, size // 2)
        start = stop
