"""What was measured of a model, stage by stage, and what follows: a fusion's stage, and the figures of a cell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from evalkit.compute import Compute
from evalkit.results.records import SPREADS
from evalkit.runner.grid.live import fuse_lists
from evalkit.runner.grid.truncation import Reading
from evalkit.runner.measure._rounds import clock, percentile, spread
from evalkit.search.ranking import Fusion, id_ranks
from evalkit.types import RetrievalTask, Run

FoundRows = tuple[tuple[int, float], ...]
"""What was found for a query, best first: rows of the corpus, and scores."""


@dataclass(frozen=True)
class FirstStage:
    """A model on a task. `documents` counts the texts that are searched.

    `asked` are rows of the task's queries, in the order in which they were timed.

    `embed` and `search` are the seconds of each of them; `embed` is NaN where a query has no vector. `found` is what
    was found for each. `usd` is what all of them were charged.
    """

    documents: int
    documents_per_second: float
    index_seconds: float
    dim: float
    vector_bytes: float
    reading: Reading | None
    asked: tuple[int, ...]
    embed: tuple[float, ...]
    search: tuple[float, ...]
    found: tuple[FoundRows, ...]
    usd: float

    def then(self, later: Self) -> Self:
        """Return this and what was measured in a later turn."""
        both = (self, later)
        return replace(
            self,
            documents_per_second=2 / sum(1 / stage.documents_per_second for stage in both),
            index_seconds=sum(stage.index_seconds for stage in both) / 2,
            asked=self.asked + later.asked,
            embed=self.embed + later.embed,
            search=self.search + later.search,
            found=self.found + later.found,
            usd=self.usd + later.usd,
        )


@dataclass(frozen=True)
class SecondStage:
    """A reranker behind a model on a task: the seconds of each query. `asked` and `usd` are as in `FirstStage`."""

    asked: tuple[int, ...]
    rerank: tuple[float, ...]
    reading: Reading | None
    usd: float

    def then(self, later: Self) -> Self:
        """Return this and what was measured in a later turn."""
        asked, rerank = self.asked + later.asked, self.rerank + later.rerank
        return replace(self, asked=asked, rerank=rerank, usd=self.usd + later.usd)


@dataclass(frozen=True)
class Measured:
    """What came of a model: the memory it took at most, in megabytes, and a stage for each part of the work.

    `complete` where another turn has nothing to add.
    """

    peak_megabytes: float
    stages: tuple[Any, ...]
    complete: bool

    def then(self, later: Self) -> Self:
        """Return this and what was measured in a later turn."""
        stages = tuple(stage.then(other) for stage, other in zip(self.stages, later.stages, strict=True))
        return replace(later, peak_megabytes=max(self.peak_megabytes, later.peak_megabytes), stages=stages)


def fused(
    stages: Sequence[FirstStage], fusion: Fusion, task: RetrievalTask, candidates: int, compute: Compute
) -> FirstStage:
    """Return a fusion of models that were measured by themselves: their times add up, as where one runs after the
    other.

    It has the queries that all of them were asked. Which documents are read only in part is told of its models. A
    weight that is still to be chosen is taken as one half: it changes what is found, not how long that takes.
    """
    if fusion.method == "weighted" and fusion.weight is None:
        fusion = replace(fusion, weight=0.5)
    id_rank = id_ranks([document.id for document in task.corpus])
    places = [{row: place for place, row in enumerate(stage.asked)} for stage in stages]
    asked = [row for row in stages[0].asked if all(row in of_stage for of_stage in places)]
    dense = [not np.isnan(stage.dim) for stage in stages]
    embed, search, answers = [], [], []
    for row in asked:
        at = [of_stage[row] for of_stage in places]
        lists = [_run(stage.found[place]) for stage, place in zip(stages, at, strict=True)]
        started = clock(compute)
        answers.append(found_rows(fuse_lists(lists, fusion, id_rank, candidates)))
        seconds = clock(compute) - started
        search.append(seconds + sum(stage.search[place] for stage, place in zip(stages, at, strict=True)))
        embeds = [stage.embed[place] for stage, place, is_dense in zip(stages, at, dense, strict=True) if is_dense]
        embed.append(sum(embeds) if embeds else math.nan)
    with_vectors = [stage for stage, is_dense in zip(stages, dense, strict=True) if is_dense]
    return FirstStage(
        stages[0].documents,
        1 / sum(1 / stage.documents_per_second for stage in with_vectors) if with_vectors else np.nan,
        sum(stage.index_seconds for stage in stages),
        sum(stage.dim for stage in with_vectors) if with_vectors else np.nan,
        sum(stage.vector_bytes for stage in with_vectors) if with_vectors else np.nan,
        None,
        tuple(asked),
        tuple(embed),
        tuple(search),
        tuple(answers),
        sum(stage.usd / len(stage.asked) for stage in stages) * len(asked),
    )


def found_rows(run: Run) -> FoundRows:
    """Tell what a run of one query has found."""
    pairs = zip(run.documents[0].tolist(), run.scores[0].tolist(), strict=True)
    return tuple((row, score) for row, score in pairs if row >= 0)


def _run(found: FoundRows) -> Run:
    """Return the run that `found_rows` was made of; it may be of nothing."""
    rows = np.array([row for row, _ in found], dtype=np.int64)
    return Run(rows[None, :], np.array([score for _, score in found], dtype=np.float64)[None, :])


def figures(ahead: FirstStage, behind: SecondStage | None = None) -> dict[str, float]:
    """Return the figures of a cell, by column."""
    place = {row: number for number, row in enumerate(ahead.asked)}
    at = [place[row] for row in (ahead.asked if behind is None else behind.asked)]
    embed, search = (1000 * np.array(times)[at] for times in (ahead.embed, ahead.search))
    rerank = np.full(len(at), np.nan) if behind is None else 1000 * np.array(behind.rerank)
    # The stages of one query are added before any percentile: those of the sum are not the sum of theirs.
    latency = np.nan_to_num(embed) + search + np.nan_to_num(rerank)
    told: dict[str, float] = {}
    for column, percent in (("latency_p50_ms", 50), ("latency_p95_ms", 95)):
        told[column] = percentile(latency, percent)
        told |= dict(zip(SPREADS[column], spread(latency, percent), strict=True))
    documents, pairs = ahead.reading, behind.reading if behind else None
    return {
        "embed_p50_ms": percentile(embed, 50),
        "search_p50_ms": percentile(search, 50),
        "rerank_p50_ms": percentile(rerank, 50),
        **told,
        "queries": len(at),
        "documents_per_second": ahead.documents_per_second,
        "index_seconds": ahead.index_seconds,
        "dim": ahead.dim,
        "vector_bytes": ahead.vector_bytes,
        "corpus_bytes": ahead.vector_bytes * ahead.documents,
        "tokens_p50": documents.p50 if documents else np.nan,
        "tokens_p95": documents.p95 if documents else np.nan,
        "tokens_max": documents.largest if documents else np.nan,
        "documents_truncated": documents.truncated if documents else np.nan,
        "pairs_truncated": pairs.truncated if pairs else np.nan,
    }
