"""The best documents of each query in float32: a matrix product and a selection, on the CPU or a GPU."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.types import IntArray

QUERIES_AT_ONCE = 1_024
DOCUMENTS_AT_ONCE = {"cpu": 4_096, "mps": 65_536, "cuda": 65_536}
"""On a CPU 16 MB of scores, which stay in its cache between the product and the selection."""


class Best:
    """The `width` highest dot products of each query with the documents added so far.

    Most documents lie below a query's `width`-th best before them, so that a comparison rules them out; the
    others gather in a buffer, which is cut back to the best when it is full.
    """

    def __init__(self, queries: NDArray[np.float32], width: int, device: Literal["cpu", "cuda", "mps"]) -> None:
        self._queries = queries
        self._width = width
        self._device = device
        self._documents = np.full((len(queries), 2 * width), -1, dtype=np.int64)
        self._scores = np.full((len(queries), 2 * width), -np.inf, dtype=np.float32)
        self._filled = np.zeros(len(queries), dtype=np.int64)
        self._floor = np.full(len(queries), -np.inf, dtype=np.float32)
        """At least `width` documents score as high as this."""

    def add(self, start: int, documents: NDArray[np.float32], known: NDArray[np.bool_]) -> None:
        """Offer documents to all queries, except those not known; the first has number `start`."""
        numbers = np.arange(start, start + len(documents))[None]
        for first in range(0, len(self._queries), QUERIES_AT_ONCE):
            rows = slice(first, first + QUERIES_AT_ONCE)
            if self._device == "cpu":
                scores = self._queries[rows] @ documents.T
                if not known.all():
                    scores[:, ~known] = -np.inf
                self._offer(rows, numbers, scores)
            else:
                found, scores = _select_on(self._device, self._queries[rows], documents, known, self._width)
                self._offer(rows, found + start, scores)

    def result(self) -> tuple[IntArray, NDArray[np.float32]]:
        """Documents, -1 where there are fewer, and scores, -inf there: of shape (n_queries, width), in no order."""
        self._cut(np.flatnonzero(self._filled > self._width))
        return self._documents[:, : self._width], self._scores[:, : self._width]

    def _offer(self, rows: slice, numbers: IntArray, scores: NDArray[np.float32]) -> None:
        """Take in scores of shape (n_rows, n); `numbers` names their documents, for each row or for all."""
        above = scores > self._floor[rows, None]
        crowded = np.flatnonzero(np.count_nonzero(above, axis=1) > self._width)
        if crowded.size:
            top = np.argpartition(scores[crowded], -self._width, axis=1)[:, -self._width :]
            above[crowded] = False
            above[crowded[:, None], top] = True
            self._floor[rows][crowded] = scores[crowded[:, None], top].min(axis=1)
        row, column = np.divmod(np.flatnonzero(above), scores.shape[1])
        counts = np.bincount(row, minlength=len(scores))
        self._cut(np.flatnonzero(self._filled[rows] + counts > 2 * self._width) + rows.start)
        query = row + rows.start
        place = self._filled[query] + np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        self._documents[query, place] = np.broadcast_to(numbers, scores.shape)[row, column]
        self._scores[query, place] = scores[row, column]
        self._filled[rows] += counts

    def _cut(self, rows: IntArray) -> None:
        order = np.argpartition(-self._scores[rows], self._width - 1, axis=1)[:, : self._width]
        scores = np.take_along_axis(self._scores[rows], order, 1)
        self._documents[rows, : self._width] = np.take_along_axis(self._documents[rows], order, 1)
        self._scores[rows, : self._width] = scores
        self._scores[rows, self._width :] = -np.inf
        self._filled[rows] = self._width
        self._floor[rows] = np.maximum(self._floor[rows], scores.min(axis=1, initial=np.inf))


def _select_on(
    device: str,
    queries: NDArray[np.float32],
    documents: NDArray[np.float32],
    known: NDArray[np.bool_],
    width: int,
) -> tuple[IntArray, NDArray[np.float32]]:
    import torch

    with torch.inference_mode():
        product = torch.from_numpy(queries).to(device) @ torch.from_numpy(documents).to(device).T
        if not known.all():
            product[:, torch.from_numpy(~known).to(device)] = -torch.inf
        top = torch.topk(product, min(width, len(documents)), dim=1, sorted=False)
        return top.indices.cpu().numpy(), top.values.cpu().numpy()
