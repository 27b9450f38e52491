"""The best documents of each query in float32: a matrix product and a selection, on the CPU or a GPU."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from evalkit.terms import Device
from evalkit.types import IntArray

QUERIES_AT_ONCE = 1_024
DOCUMENTS_AT_ONCE: dict[Device, int] = {"cpu": 4_096, "mps": 65_536, "cuda": 65_536}
"""On a CPU at most 16 MB of scores a thread, which stay in its cache between the product and the selection."""


class Filter:
    """The `width` highest dot products of each query with the documents added so far.

    To be used in a `with` statement: in it, on a CPU, as many threads as BLAS would take share the queries, and
    BLAS takes one in each, so that the selection runs on all cores too.
    """

    def __init__(self, queries: NDArray[np.float32], width: int, device: Device) -> None:
        self._device = device
        self._blas = _blas()
        self._threads = blas_threads() if device == "cpu" else 1
        size = min(QUERIES_AT_ONCE, -(-len(queries) // self._threads))
        self._parts = [_Best(queries[start : start + size], width) for start in range(0, len(queries), size)]
        self._scratch = threading.local()

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(self._threads)
        self._limit = self._blas.limit(limits=1 if self._threads > 1 else None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._limit.restore_original_limits()
        self._pool.shutdown()

    def add(self, start: int, documents: NDArray[np.float32], known: NDArray[np.bool_]) -> None:
        """Offer documents to all queries, except those not known; the first has number `start`."""

        def offer(part: _Best) -> None:
            if self._device == "cpu":
                numbers = np.arange(start, start + len(documents))
                scores = self._buffer("scores", np.float32, len(part.queries), len(documents))
                np.matmul(part.queries, documents.T, out=scores)
                if not known.all():
                    scores[:, ~known] = -np.inf
            else:
                numbers, scores = _top_on(self._device, part.queries, documents, known, part.width)
                numbers += start
            part.offer(numbers, scores, self._buffer("above", np.bool_, *scores.shape))

        list(self._pool.map(offer, self._parts))

    def result(self) -> tuple[IntArray, NDArray[np.float32]]:
        """Return documents, -1 where there are fewer, and scores, -inf there: of shape (n_queries, width), in no
        order.
        """
        results = [part.result() for part in self._parts]
        return np.concatenate([found for found, _ in results]), np.concatenate([scores for _, scores in results])

    def _buffer(self, name: str, dtype: type[np.generic], n_rows: int, n_columns: int) -> NDArray[Any]:
        """Return the thread's own memory, used over and over: new memory each time costs as much as the product."""
        held = getattr(self._scratch, name, None)
        if held is None or held.size < n_rows * n_columns:
            held = np.empty(n_rows * n_columns, dtype=dtype)
            setattr(self._scratch, name, held)
        return np.asarray(held[: n_rows * n_columns].reshape(n_rows, n_columns))


def blas_threads() -> int:
    """Tell how many threads a matrix product takes now."""
    return max([1, *(int(library["num_threads"]) for library in _blas().info())])


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


class _Best:
    """The best documents of some queries so far.

    Most documents lie below a query's `width`-th best before them, so that one comparison rules them out; the
    others gather in a buffer, which is cut back to the best when it is full.
    """

    def __init__(self, queries: NDArray[np.float32], width: int) -> None:
        self.queries = queries
        self.width = width
        self._documents = np.full((len(queries), 2 * width), -1, dtype=np.int64)
        self._scores = np.full((len(queries), 2 * width), -np.inf, dtype=np.float32)
        self._filled = np.zeros(len(queries), dtype=np.int64)
        self._floor = np.full(len(queries), -np.inf, dtype=np.float32)
        """At least `width` documents score as high as this."""

    def offer(self, numbers: IntArray, scores: NDArray[np.float32], above: NDArray[np.bool_]) -> None:
        """Take in scores of shape (n_queries, n) of documents with these numbers, one row for all or one a query."""
        np.greater(scores, self._floor[:, None], out=above)
        cells, counts = _marked(above)
        crowded = np.flatnonzero(counts > self.width)
        if crowded.size:
            top = np.argpartition(scores[crowded], -self.width, axis=1)[:, -self.width :]
            self._floor[crowded] = scores[crowded[:, None], top].min(axis=1)
            above[crowded] = False
            above[crowded[:, None], top] = True
            cells, counts = _marked(above)
        row, column = np.divmod(cells, scores.shape[1])
        self._cut(np.flatnonzero(self._filled + counts > 2 * self.width))
        place = self._filled[row] + np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        self._documents[row, place] = np.broadcast_to(numbers, scores.shape)[row, column]
        self._scores[row, place] = scores[row, column]
        self._filled += counts

    def result(self) -> tuple[IntArray, NDArray[np.float32]]:
        self._cut(np.flatnonzero(self._filled > self.width))
        return self._documents[:, : self.width], self._scores[:, : self.width]

    def _cut(self, rows: IntArray) -> None:
        order = np.argpartition(-self._scores[rows], self.width - 1, axis=1)[:, : self.width]
        self._documents[rows, : self.width] = np.take_along_axis(self._documents[rows], order, 1)
        self._scores[rows, : self.width] = np.take_along_axis(self._scores[rows], order, 1)
        self._scores[rows, self.width :] = -np.inf
        self._filled[rows] = self.width
        self._floor[rows] = self._scores[rows, : self.width].min(axis=1)


def _marked(cells: NDArray[np.bool_]) -> tuple[IntArray, IntArray]:
    """Return the flat positions of marked cells, and how many there are in each row."""
    found = np.flatnonzero(cells)
    ends = np.arange(len(cells) + 1) * cells.shape[1]
    return found, np.diff(np.searchsorted(found, ends))


def _top_on(
    device: Device,
    queries: NDArray[np.float32],
    documents: NDArray[np.float32],
    known: NDArray[np.bool_],
    width: int,
) -> tuple[IntArray, NDArray[np.float32]]:
    """Return row numbers and scores of each query's best documents among these: of shape (n_queries, width or
    fewer).
    """
    import torch

    with torch.inference_mode():
        product = torch.from_numpy(queries).to(device) @ torch.from_numpy(documents).to(device).T
        if not known.all():
            product[:, torch.from_numpy(~known).to(device)] = -torch.inf
        top = torch.topk(product, min(width, len(documents)), dim=1, sorted=False)
        return top.indices.cpu().numpy(), top.values.cpu().numpy()
