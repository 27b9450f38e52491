"""What is measured of one model, in whichever process it is loaded. Nothing that is timed comes from a store."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import numpy as np
from scipy.sparse import issparse

from evalkit.compute import Compute
from evalkit.contracts import Embedder, ListReranker, Reranker, Retriever, Vectors
from evalkit.errors import ConfigError
from evalkit.measure._memory import peak_megabytes
from evalkit.runner.context import RunContext
from evalkit.runner.grid.encoding import for_task, prepared
from evalkit.runner.grid.live import Found, LiveModel, fuse_lists, second_stage
from evalkit.runner.grid.truncation import Reading, read_documents, read_pairs
from evalkit.search.ranking import Fusion, id_ranks
from evalkit.spending import Paid
from evalkit.types import RetrievalTask, Run

LEAST_QUERIES = 3
"""Timed however long they take."""
WARM_UP = 3
"""Queries answered before the first one that is timed: by then everything is loaded, and caches are warm."""
FIRST_DOCUMENTS, MOST_DOCUMENTS = 8, 256
"""Encoded to warm up and to learn the speed, and then timed at most."""
PAID_QUERIES, PAID_DOCUMENTS = 5, 16
"""The most that is asked of a paid API."""

Item = TypeVar("Item")
FoundRows = tuple[tuple[int, float], ...]
"""What was found for a query, best first: rows of the corpus, and scores."""


@dataclass(frozen=True)
class Limits:
    """How much is timed: at most `queries`, for about `seconds` a stage, drawn with `seed`."""

    queries: int = 50
    seconds: float = 5.0
    seed: int = 0
    documents: int = MOST_DOCUMENTS
    warm_up: int = WARM_UP


@dataclass(frozen=True)
class FirstStage:
    """A model on a task. `embed` and `search` are the seconds of each query.

    `embed` is NaN where a query has no vector. `queries` are the texts, and `found` what was found for each: rows of
    the corpus, and scores.
    """

    documents: int
    documents_per_second: float
    index_seconds: float
    dim: float
    vector_bytes: float
    reading: Reading | None
    queries: tuple[str, ...]
    embed: tuple[float, ...]
    search: tuple[float, ...]
    found: tuple[FoundRows, ...]
    usd_per_query: float


@dataclass(frozen=True)
class SecondStage:
    """A reranker behind a model on a task: the seconds of each query."""

    rerank: tuple[float, ...]
    reading: Reading | None
    usd_per_query: float


@dataclass(frozen=True)
class Measured:
    """What came of a model: the memory it took at most, in megabytes, and a stage for each part of the work."""

    peak_megabytes: float
    stages: tuple[Any, ...]


@dataclass(frozen=True)
class FirstWork:
    """A model is asked for so many candidates of each of these tasks' queries."""

    tasks: tuple[RetrievalTask, ...]
    candidates: int
    stage: ClassVar[type] = FirstStage

    @property
    def identity(self) -> dict[str, object]:
        """What it depends on, as plain data."""
        return {"tasks": _identities(self.tasks), "candidates": self.candidates}

    def do(
        self, model: Embedder | Retriever, label: str, context: RunContext, limits: Limits, before: float | None
    ) -> Measured:
        """Measure `model`; `before` is the memory of the process, None if it is not the model's own."""
        if isinstance(model, Paid):
            if isinstance(model, Embedder) and context.store is None:
                raise ConfigError(f"without a store, measuring {label!r} would pay for the whole corpus again.")
            limits = _paid(limits)
        rates = [_rates(model, task, context.compute, limits) for task in self.tasks]
        # Before the corpus's vectors come into memory: those are counted in bytes, for any engine.
        peak = peak_megabytes(context.compute, before)
        stages = [
            _answers(model, task, rate, self.candidates, context, limits)
            for task, rate in zip(self.tasks, rates, strict=True)
        ]
        return Measured(peak, tuple(stages))


@dataclass(frozen=True)
class SecondWork:
    """A reranker gets what first stages found: for each task, by model, queries and what was found for each."""

    tasks: tuple[RetrievalTask, ...]
    parts: tuple[tuple[int, tuple[str, ...], tuple[FoundRows, ...]], ...]
    stage: ClassVar[type] = SecondStage

    @property
    def identity(self) -> dict[str, object]:
        """What it depends on, as plain data."""
        return {"tasks": _identities(self.tasks), "parts": self.parts}

    def do(
        self,
        model: Embedder | Reranker | ListReranker,
        label: str,
        context: RunContext,
        limits: Limits,
        before: float | None,
    ) -> Measured:
        """Measure `model`, as in `FirstWork.do`."""
        if isinstance(model, Paid):
            limits = _paid(limits)
        context = replace(context, store=None)
        stages = []
        for row, task in enumerate(self.tasks):
            reranker = prepared(model, task.name, [document.content for document in task.corpus])
            for number, (of_task, queries, rows) in enumerate(self.parts):
                if of_task == row:
                    candidates = [tuple((task.corpus[at], score) for at, score in of_query) for of_query in rows]
                    # Blanks at the end change nothing but the text: what a model keeps of queries is not met again.
                    asked = [query + " " * number for query in queries]
                    stages.append(_reranked(reranker, task, asked, candidates, context, limits))
        return Measured(peak_megabytes(context.compute, before), tuple(stages))


def _identities(tasks: Sequence[RetrievalTask]) -> list[list[str]]:
    return [[task.content_hash, *(query.id for query in task.queries)] for task in tasks]


def _paid(limits: Limits) -> Limits:
    return replace(limits, queries=min(limits.queries, PAID_QUERIES), documents=PAID_DOCUMENTS, warm_up=1)


def clock(compute: Compute) -> float:
    """Return seconds, once the device has done all it was given."""
    if compute.device == "cuda":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()


@dataclass(frozen=True)
class _Rates:
    documents_per_second: float
    index_seconds: float
    dim: float
    vector_bytes: float


def _rates(model: Embedder | Retriever, task: RetrievalTask, compute: Compute, limits: Limits) -> _Rates:
    """Tell how fast a model encodes documents; a retriever indexes them."""
    contents = [document.content for document in task.corpus]
    started = clock(compute)
    model = prepared(model, task.name, contents)
    fitting = clock(compute) - started
    query = _warm_up(task)
    if not isinstance(model, Embedder):
        model.search([query], [document.id for document in task.corpus], 1)
        return _Rates(np.nan, fitting, np.nan, np.nan)
    distinct = list(dict.fromkeys(contents))
    order = np.random.default_rng(limits.seed).permutation(len(distinct))
    sample = [distinct[row] for row in order]
    first = sample[:FIRST_DOCUMENTS]
    model.encode(first, "document")
    started = clock(compute)
    model.encode(first, "document")
    expected = limits.seconds * len(first) / (clock(compute) - started)
    sample = sample[: max(FIRST_DOCUMENTS, min(limits.documents, int(expected)))]
    started = clock(compute)
    vectors = model.encode(sample, "document")
    rate = len(sample) / (clock(compute) - started)
    model.encode([query], "query")
    return _Rates(rate, fitting + len(contents) / rate, float(vectors.shape[1]), _vector_bytes(model, vectors))


def _vector_bytes(model: Embedder, vectors: Vectors) -> float:
    """Return bytes that a vector needs at its precision; of sparse ones the mean, with the numbers of their
    entries.
    """
    if issparse(vectors):
        return float(vectors.nnz / vectors.shape[0] * (vectors.data.itemsize + vectors.indices.itemsize))
    bits = {"int8": 8, "binary": 1}.get(str(model.identity.get("precision")), 8 * vectors.dtype.itemsize)
    return float(math.ceil(vectors.shape[1] * bits / 8))


def _answers(
    model: Embedder | Retriever,
    task: RetrievalTask,
    rates: _Rates,
    candidates: int,
    context: RunContext,
    limits: Limits,
) -> FirstStage:
    live = LiveModel.start(task.corpus, for_task(model, task.name), context)
    for query in _for_seconds([_warm_up(task)] * limits.warm_up, limits.seconds, least=1):
        live.search(query, live.embed(query), candidates)
    rng = np.random.default_rng(limits.seed)
    rows = rng.permutation(len(task.queries))[: limits.queries]
    before = _spent(model)
    asked, embed, search, answers = [], [], [], []
    for text in _for_seconds([task.queries[row].text for row in rows], limits.seconds):
        start = clock(context.compute)
        embedded = live.embed(text)
        middle = clock(context.compute)
        answers.append(_rows(live.search(text, embedded, candidates)))
        end = clock(context.compute)
        asked.append(text)
        embed.append(np.nan if embedded is None else middle - start)
        search.append(end - (start if embedded is None else middle))
    return FirstStage(
        len(task.corpus),
        rates.documents_per_second,
        rates.index_seconds,
        rates.dim,
        rates.vector_bytes,
        read_documents(live.model, task),
        tuple(asked),
        tuple(embed),
        tuple(search),
        tuple(answers),
        (_spent(model) - before) / len(asked),
    )


def fused(
    stages: Sequence[FirstStage], fusion: Fusion, task: RetrievalTask, candidates: int, compute: Compute
) -> FirstStage:
    """Return a fusion of models that were measured by themselves: their times add up, as where one runs after the
    other.

    Which documents are read only in part is told of its models. A weight that is still to be chosen is taken as one
    half: it changes what is found, not how long that takes.
    """
    if fusion.method == "weighted" and fusion.weight is None:
        fusion = replace(fusion, weight=0.5)
    id_rank = id_ranks([document.id for document in task.corpus])
    n = min(len(stage.queries) for stage in stages)
    seconds, answers = [], []
    for query in range(n):
        lists = [stage.found[query] for stage in stages]
        started = clock(compute)
        answers.append(_rows(fuse_lists([_run(of_model) for of_model in lists], fusion, id_rank, candidates)))
        seconds.append(clock(compute) - started)
    dense = [stage for stage in stages if not np.isnan(stage.dim)]
    return FirstStage(
        len(task.corpus),
        1 / sum(1 / stage.documents_per_second for stage in dense) if dense else np.nan,
        sum(stage.index_seconds for stage in stages),
        sum(stage.dim for stage in dense) if dense else np.nan,
        sum(stage.vector_bytes for stage in dense) if dense else np.nan,
        None,
        stages[0].queries[:n],
        tuple(map(sum, zip(*(stage.embed[:n] for stage in dense), strict=True))) if dense else (math.nan,) * n,
        tuple(map(sum, zip(seconds, *(stage.search[:n] for stage in stages), strict=True))),
        tuple(answers),
        sum(stage.usd_per_query for stage in stages),
    )


def _rows(run: Run) -> FoundRows:
    """Tell what a run of one query has found."""
    pairs = zip(run.documents[0].tolist(), run.scores[0].tolist(), strict=True)
    return tuple((row, score) for row, score in pairs if row >= 0)


def _run(found: FoundRows) -> Run:
    """Return the run that `_rows` was made of; it may be of nothing."""
    rows = np.array([row for row, _ in found], dtype=np.int64)
    return Run(rows[None, :], np.array([score for _, score in found], dtype=np.float64)[None, :])


def _reranked(
    reranker: Embedder | Reranker | ListReranker,
    task: RetrievalTask,
    queries: Sequence[str],
    found: Sequence[tuple[Found, ...]],
    context: RunContext,
    limits: Limits,
) -> SecondStage:
    for query in _for_seconds([_warm_up(task)] * limits.warm_up, limits.seconds, least=1):
        second_stage(reranker, query, found[0], context)
    before = _spent(reranker)
    seconds = []
    for query, candidates in _for_seconds(list(zip(queries, found, strict=True))[: limits.queries], limits.seconds):
        started = clock(context.compute)
        second_stage(reranker, query, candidates, context)
        seconds.append(clock(context.compute) - started)
    pairs = [
        (query, document.content) for query, of_query in zip(queries, found, strict=True) for document, _ in of_query
    ]
    return SecondStage(
        tuple(seconds),
        read_pairs(reranker, task, pairs),
        (_spent(reranker) - before) / len(seconds),
    )


def _for_seconds(items: Sequence[Item], seconds: float, least: int = LEAST_QUERIES) -> Iterator[Item]:
    """Yield the items until about so many seconds have passed, but the first few in any case."""
    started = time.perf_counter()
    for number, item in enumerate(items):
        if number >= least and time.perf_counter() - started > seconds:
            return
        yield item


def _warm_up(task: RetrievalTask) -> str:
    """Return a query like the task's, and none of them: what a model keeps of it is of no use to those that are
    timed.
    """
    return f"{task.queries[0].text} ?"


def _spent(model: object) -> float:
    return model.spending.usd if isinstance(model, Paid) else 0.0
