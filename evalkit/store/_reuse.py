"""Compute only what the store lacks, and commit it batch by batch."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evalkit.contracts import Advance, Engine, FullVectors, QueryByQuery, Reranker, ScoreParts, VectorParts
from evalkit.engine import LOCAL
from evalkit.store.keys import concatenated, first_of_each, pair_keys, text_keys
from evalkit.store.store import Store
from evalkit.store.table import Table
from evalkit.terms import Role
from evalkit.types import FloatArray, IntArray

SECONDS_PER_COMMIT = 2.5
"""What is computed in that time is committed together; a commit takes a fiftieth of it."""
UNIT_CHARACTERS = {"cpu": 1 << 17, "mps": 1 << 18, "cuda": 1 << 20}
"""Characters of texts that are computed together, by device: seconds of work, and what a kill can lose."""
COMMIT_BYTES = 1 << 26
"""Or so many bytes: what is cheap to compute would fill the memory in that time."""
BLOCK_TEXTS = 1 << 16
"""Texts read at once, and sorted by length; bounds memory, whatever the number of texts."""

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
    store: Store,
    embedder: FullVectors,
    model: str,
    texts: Sequence[str],
    role: Role,
    check: Check,
    advance: Advance,
    engine: Engine = LOCAL,
) -> StoredVectors:
    """Return vectors of `texts`; those that the store lacks are encoded, checked and committed first.

    `texts` are read by slices of some ten thousand, twice, and may stay on disk.
    """
    prompt = embedder.prompt(role)
    table = store.table("vectors", model, embedder.raw_identity)
    blocks = range(0, len(texts), BLOCK_TEXTS)
    keys = concatenated([text_keys(texts[start : start + BLOCK_TEXTS], prompt) for start in blocks])
    missing = _missing(store, table, keys, advance)

    def units() -> Iterator[tuple[IntArray, tuple[list[str], str]]]:
        for start in blocks:
            if not missing[start : start + BLOCK_TEXTS].any():
                continue
            block: Sequence[str] = texts[start : start + BLOCK_TEXTS]
            lengths = _lengths(block)
            for unit in cut(np.argsort(-lengths, kind="stable"), lengths, UNIT_CHARACTERS[engine.device]):
                rows: IntArray = unit[missing[start + unit]]
                if rows.size:
                    yield start + rows, ([block[row] for row in rows], prompt)

    def parts() -> Parts:
        if not isinstance(embedder, VectorParts):
            return _computed(engine, embedder, "raw", units(), advance)
        rows = np.flatnonzero(missing)
        rows = rows[np.argsort(-_lengths([texts[row] for row in rows.tolist()]), kind="stable")]
        found = embedder.raw_parts([texts[row] for row in rows.tolist()], prompt, advance)
        return ((rows[part], vectors) for part, vectors in found)

    return StoredVectors(table, _complete(table, keys, missing, parts, check), embedder.derive)


def score_once(
    store: Store,
    reranker: Reranker,
    model: str,
    queries: Sequence[str],
    documents: Sequence[str],
    check: Check,
    advance: Advance,
    engine: Engine = LOCAL,
) -> FloatArray:
    """Return scores of the pairs, float64 of shape (n_pairs,); those that the store lacks are computed first."""
    table = store.table("scores", model, reranker.identity)
    keys = pair_keys(queries, documents)
    missing = _missing(store, table, keys, advance)
    document_lengths = _lengths(documents)
    together = None
    if isinstance(reranker, QueryByQuery):
        together = _numbered(queries)
        order = np.argsort(together, kind="stable")
    else:  # the pairs of a document are neighbours, for rerankers that read each document of a batch once
        order = np.lexsort((_numbered(documents), -document_lengths))

    def sides(rows: IntArray) -> tuple[list[str], list[str]]:
        return [queries[row] for row in rows], [documents[row] for row in rows]

    def parts() -> Parts:
        if isinstance(reranker, ScoreParts):
            rows = order[missing[order]]
            return ((rows[part], scores) for part, scores in reranker.score_parts(*sides(rows), advance))
        lengths = document_lengths + _lengths(queries)
        wanted = (unit[missing[unit]] for unit in cut(order, lengths, UNIT_CHARACTERS[engine.device], together))
        return _computed(engine, reranker, "score", ((rows, sides(rows)) for rows in wanted if rows.size), advance)

    return cast(FloatArray, table.take(_complete(table, keys, missing, parts, check)).reshape(-1))


def _lengths(texts: Sequence[str]) -> IntArray:
    return np.fromiter(map(len, texts), np.int64, len(texts))


def _numbered(texts: Sequence[str]) -> IntArray:
    """Return the number of each text among the distinct ones, in order of appearance: int64 of shape (n_texts,)."""
    number = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    return np.array([number[text] for text in texts], dtype=np.int64)


def _missing(store: Store, table: Table, keys: pa.Array, advance: Advance) -> NDArray[np.bool_]:
    """Return rows that must be computed: those the table lacks, and of equal keys, which are one text, the first."""
    missing = np.asarray((table.find(keys) < 0) & first_of_each(keys))
    computed = int(missing.sum())
    store.reused += len(keys) - computed
    store.computed += computed
    advance(len(keys) - computed)
    if computed:
        store.check_writable()
    return missing


def _complete(
    table: Table, keys: pa.Array, missing: NDArray[np.bool_], parts: Callable[[], Parts], check: Check
) -> IntArray:
    """Return the table's row of each key, once every key has one."""
    if missing.any():
        _commit(table, keys, parts(), check)
        table.refresh()
        table.compact()
    return table.find(keys)


def _computed(
    engine: Engine, model: object, method: str, units: Iterable[tuple[IntArray, tuple[Any, ...]]], advance: Advance
) -> Parts:
    """Return rows and values of each unit, as the engine finishes them."""
    rows_of: list[IntArray] = []

    def arguments() -> Iterator[tuple[Any, ...]]:
        for rows, given in units:
            rows_of.append(rows)
            yield given

    for number, values in engine.calls(model, method, arguments(), advance):
        yield rows_of[number], values


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
            size = sum(values.nbytes for _, values in came)
            if size >= COMMIT_BYTES or time.perf_counter() - since >= SECONDS_PER_COMMIT:
                append()
                since = time.perf_counter()
    finally:
        if came:
            append()


def cut(order: IntArray, lengths: IntArray, size: int, together: IntArray | None = None) -> Iterator[IntArray]:
    """Yield rows in order, cut into units of about `size` characters; neighbours with one number in `together` stay
    so.

    Values of a network can differ in the last bits with what else is in a batch. A unit is computed and committed as
    a whole, and where it begins depends on the texts alone, not on what is computed already, how fast or by whom: so
    a run that was interrupted, and every engine, gives what an undisturbed one gives.
    """
    ends = np.cumsum(lengths[order] + 1)
    start = 0
    while start < len(order):
        done = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + size, side="right")))
        while together is not None and stop < len(order) and together[order[stop]] == together[order[stop - 1]]:
            stop += 1
        yield order[start:stop]
        start = stop
