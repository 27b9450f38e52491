"""Exact search over shards of a corpus, each by a worker of an engine, that gives what searching all of it gives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evalkit.contracts import Advance, Engine, VectorRows, no_progress
from evalkit.search.exact import search
from evalkit.search.ranking import id_ranks, rank
from evalkit.terms import Device, Similarity
from evalkit.types import Run

SHARD_DOCUMENTS = 1 << 17
"""The least that is worth a worker's call; more where there are many, so that each worker gets a few shards."""
SHARDS_PER_WORKER = 4


@dataclass(frozen=True)
class Part:
    """The rows of some vectors from one on, up to another."""

    vectors: VectorRows
    start: int
    stop: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of texts, and dimension."""
        return self.stop - self.start, *self.vectors.shape[1:]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            start, stop, step = index.indices(self.stop - self.start)
            return self.vectors[self.start + start : self.start + stop : step]
        return self.vectors[self.start + index]


@dataclass(frozen=True)
class Shards:
    """What a worker needs to search any part of a corpus."""

    queries: VectorRows
    corpus: VectorRows
    similarity: Similarity
    depth: int
    device: Device

    def find(self, document_ids: Sequence[str], start: int, advance: Advance = no_progress) -> Run:
        """Return the best of the documents that have these ids and stand in the corpus from `start` on."""
        part = Part(self.corpus, start, start + len(document_ids))
        run = search(self.queries, part, document_ids, self.similarity, self.depth, self.device)
        return Run(np.where(run.documents < 0, -1, run.documents + start), run.scores)


def search_shards(
    engine: Engine,
    queries: VectorRows,
    corpus: VectorRows,
    document_ids: Sequence[str],
    similarity: Similarity,
    depth: int,
) -> Run:
    """As `exact.search`, by the workers of an engine; the corpus's vectors are read where they are searched.

    A score depends on its two vectors alone, and ties on ids alone, so that the run is the same bit by bit.
    """
    depth = min(depth, len(document_ids))
    size = max(SHARD_DOCUMENTS, -(-len(document_ids) // (engine.workers * SHARDS_PER_WORKER)))

    def shards() -> Iterator[tuple[Sequence[str], int]]:
        return ((document_ids[start : start + size], start) for start in range(0, len(document_ids), size))

    run = Run(np.empty((queries.shape[0], 0), dtype=np.int64), np.empty((queries.shape[0], 0)))
    searched = Shards(queries[:], corpus, similarity, depth, engine.device)
    for _, found in engine.calls(searched, "find", shards(), no_progress):
        documents = np.concatenate([run.documents, found.documents], axis=1)
        scores = np.concatenate([run.scores, found.scores], axis=1)
        run = rank(documents, scores, id_ranks(document_ids, np.unique(documents[documents >= 0])), depth)
    return run
