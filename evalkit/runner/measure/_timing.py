"""What is measured of one model, in whichever process it is loaded. Nothing that is timed comes from a store.

The tasks of a model are timed side by side, query by query: A B C A B C. A query is embedded once for all tasks that
it is embedded alike for, such as the chunkings of a folder.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from scipy.sparse import issparse

from evalkit.compute import Compute
from evalkit.contracts import Embedder, Fittable, ListReranker, PromptedByTask, Reranker, Retriever, Vectors
from evalkit.errors import ConfigError
from evalkit.runner.context import RunContext
from evalkit.runner.grid.encoding import for_task, in_context, prepared
from evalkit.runner.grid.live import Found, LiveModel, second_stage
from evalkit.runner.grid.truncation import read_documents, read_pairs
from evalkit.runner.measure._memory import peak_megabytes
from evalkit.runner.measure._rounds import Limits, Turn, clock, for_seconds
from evalkit.runner.measure._stages import FirstStage, FoundRows, Measured, SecondStage, found_rows
from evalkit.spending import Paid
from evalkit.types import RetrievalTask

FIRST_DOCUMENTS = 8
"""Encoded to warm up and to learn the speed."""


@dataclass(frozen=True)
class FirstWork:
    """A model is asked for so many candidates of each of these tasks' queries."""

    tasks: tuple[RetrievalTask, ...]
    candidates: int
    turn: Turn = Turn()  # noqa: RUF009 - it is frozen
    stage: ClassVar[type] = FirstStage

    @property
    def identity(self) -> dict[str, object]:
        """What it depends on, as plain data."""
        return {"tasks": _identities(self.tasks), "candidates": self.candidates, "turn": vars(self.turn)}

    def do(
        self, model: Embedder | Retriever, label: str, context: RunContext, limits: Limits, before: float | None
    ) -> Measured:
        """Measure `model`; `before` is the memory of the process, None if it is not the model's own."""
        if isinstance(model, Paid):
            if isinstance(model, Embedder) and context.store is None:
                raise ConfigError(f"without a store, measuring {label!r} would pay for the whole corpus again.")
            limits = limits.paid
        compute = context.compute
        seconds = limits.seconds / self.turn.of / len(self.tasks)
        rates = [_rates(model, label, task.searched, compute, limits, seconds) for task in self.tasks]
        # Before the corpus's vectors come into memory: those are counted in bytes, for any engine.
        peak = peak_megabytes(compute, before)
        started = clock(compute)
        live = [
            LiveModel.start(task.corpus, for_task(model, task.name), context, task.passages, task.parts)
            for task in self.tasks
        ]
        turn = _turn(self.turn, model, clock(compute) - started, limits)
        answers = _answered(model, live, self.tasks, self.candidates, compute, limits, turn)
        stages = tuple(
            FirstStage(
                len(task.searched.corpus), rate.documents_per_second, rate.index_seconds, rate.dim, rate.vector_bytes,
                read_documents(of_task.model, task.searched) if turn.number == 0 else None,
                tuple(answer.asked), tuple(answer.embed), tuple(answer.search), tuple(answer.found),
                answer.usd,
            )
            for task, rate, of_task, answer in zip(self.tasks, rates, live, answers, strict=True)
        )  # fmt: skip
        return Measured(peak, stages, complete=turn.of == 1)


@dataclass(frozen=True)
class SecondWork:
    """A reranker gets what models found: a task, rows of its queries, and what was found for each of them."""

    tasks: tuple[RetrievalTask, ...]
    parts: tuple[tuple[int, tuple[int, ...], tuple[FoundRows, ...]], ...]
    turn: Turn = Turn()  # noqa: RUF009 - it is frozen
    stage: ClassVar[type] = SecondStage

    @property
    def identity(self) -> dict[str, object]:
        """What it depends on, as plain data."""
        return {"tasks": _identities(self.tasks), "parts": self.parts, "turn": vars(self.turn)}

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
            limits = limits.paid
        context = replace(context, store=None)
        started = clock(context.compute)
        rerankers = [
            prepared(model, task.name, [document.content for document in task.corpus]) for task in self.tasks
        ]
        turn = _turn(self.turn, model, clock(context.compute) - started, limits)
        behind = [
            _Behind(rerankers[row], self.tasks[row], number, asked, found, limits.queries)
            for number, (row, asked, found) in enumerate(self.parts)
        ]
        _rerank(model, behind, context, limits, turn)
        peak = peak_megabytes(context.compute, before)
        return Measured(peak, tuple(each.stage(read=turn.number == 0) for each in behind), complete=turn.of == 1)


def _identities(tasks: Sequence[RetrievalTask]) -> list[list[str]]:
    return [[task.content_hash, *(query.id for query in task.queries)] for task in tasks]


def _turn(turn: Turn, model: object, starting: float, limits: Limits) -> Turn:
    """Return the turn, or in place of the first the only one, where another start would be paid for or take long."""
    return Turn() if turn.number == 0 and (isinstance(model, Paid) or starting > limits.seconds) else turn


@dataclass(frozen=True)
class _Rates:
    documents_per_second: float
    index_seconds: float
    dim: float
    vector_bytes: float


def _rates(
    model: Embedder | Retriever, label: str, task: RetrievalTask, compute: Compute, limits: Limits, seconds: float
) -> _Rates:
    """Tell how fast a model encodes documents, of so many as take about `seconds`; a retriever indexes them."""
    # Parts of a whole stand together: for one part the whole is read.
    in_order = task.parts is not None
    model, task = in_context(model, label, task)
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
    sample = distinct if in_order else [distinct[row] for row in order]
    first = sample[:FIRST_DOCUMENTS]
    model.encode(first, "document")
    started = clock(compute)
    model.encode(first, "document")
    expected = seconds * len(first) / (clock(compute) - started)
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


@dataclass
class _Answers:
    """What came of the queries of a task, as in `FirstStage`; `usd` of all of them."""

    asked: list[int] = field(default_factory=list)
    embed: list[float] = field(default_factory=list)
    search: list[float] = field(default_factory=list)
    found: list[FoundRows] = field(default_factory=list)
    usd: float = 0.0


def _answered(
    model: Embedder | Retriever,
    live: Sequence[LiveModel],
    tasks: Sequence[RetrievalTask],
    candidates: int,
    compute: Compute,
    limits: Limits,
    turn: Turn,
) -> list[_Answers]:
    """Time the queries of each task, those of all tasks side by side."""
    answers = [_Answers() for _ in tasks]

    def ask(text: str, of_tasks: Sequence[int], query: int | None) -> None:
        """Answer a query in each of the tasks; without a row it is a warm-up, of which nothing is kept."""
        spent, started = _spent(model), clock(compute)
        embedded = live[of_tasks[0]].embed(text)
        embed, usd = clock(compute) - started, _spent(model) - spent
        for number in of_tasks:
            started = clock(compute)
            run = live[number].search(text, embedded, candidates)
            search = clock(compute) - started
            if query is not None:
                answer = answers[number]
                answer.asked.append(query)
                answer.embed.append(np.nan if embedded is None else embed)
                answer.search.append(search)
                answer.found.append(found_rows(run))
                answer.usd += usd

    alike = _embedded_alike(model, tasks)
    seconds = limits.seconds / turn.of * len(tasks)
    for _ in for_seconds(range(limits.warm_up), seconds, least=1):
        for of_tasks in alike:
            ask(_warm_up(tasks[of_tasks[0]]), of_tasks, None)
    drawn = [_drawn(tasks[of_tasks[0]], limits) for of_tasks in alike]
    for place in for_seconds(turn.queries(range(max(map(len, drawn)))), seconds, turn.least):
        for of_tasks, rows in zip(alike, drawn, strict=True):
            if place < len(rows):
                # What comes right after the model is slower than what follows: each of the tasks in turn.
                first = place // turn.of % len(of_tasks)
                rotated = [*of_tasks[first:], *of_tasks[:first]]
                ask(tasks[of_tasks[0]].queries[rows[place]].text, rotated, rows[place])
    return answers


def _embedded_alike(model: Embedder | Retriever, tasks: Sequence[RetrievalTask]) -> list[list[int]]:
    """Put together the numbers of tasks with the same queries, of which this model makes the same vectors."""
    together: dict[tuple[object, ...], list[int]] = {}
    for number, task in enumerate(tasks):
        corpus = number if isinstance(model, Fittable) else None
        prompts = task.name if isinstance(model, PromptedByTask) else None
        together.setdefault((corpus, prompts, *(query.text for query in task.queries)), []).append(number)
    return list(together.values())


def _drawn(task: RetrievalTask, limits: Limits) -> list[int]:
    """Draw rows of the task's queries, in a random order."""
    rows = np.random.default_rng(limits.seed).permutation(len(task.queries))[: limits.queries]
    return [int(row) for row in rows]


class _Behind:
    """A reranker behind one model on a task: its candidates, and what came of reranking them."""

    def __init__(
        self,
        reranker: Embedder | Reranker | ListReranker,
        task: RetrievalTask,
        number: int,
        rows: Sequence[int],
        found: Sequence[FoundRows],
        most: int,
    ) -> None:
        self.reranker, self.task, self.rows = reranker, task, rows[:most]
        # Blanks at the end change nothing but the text: what a model keeps of queries is not met again.
        self.texts = [task.queries[row].text + " " * number for row in rows]
        self.candidates: list[tuple[Found, ...]] = [
            tuple((task.corpus[at], score) for at, score in of_query) for of_query in found
        ]
        self.asked: list[int] = []
        self.seconds: list[float] = []
        self.usd = 0.0

    def stage(self, read: bool) -> SecondStage:
        """Return what was measured; `read` tells of all candidates which are read only in part."""
        pairs = [
            (text, document.content)
            for text, of_query in zip(self.texts, self.candidates, strict=True)
            for document, _ in of_query
        ]
        reading = read_pairs(self.reranker, self.task, pairs) if read else None
        return SecondStage(tuple(self.asked), tuple(self.seconds), reading, self.usd)


def _rerank(model: object, behind: Sequence[_Behind], context: RunContext, limits: Limits, turn: Turn) -> None:
    """Time the queries behind each model, those of all side by side."""
    compute, seconds = context.compute, limits.seconds / turn.of * len(behind)
    for _ in for_seconds(range(limits.warm_up), seconds, least=1):
        for each in behind:
            second_stage(each.reranker, _warm_up(each.task), each.candidates[0], context)
    most = max(len(each.rows) for each in behind)
    for place in for_seconds(turn.queries(range(most)), seconds, turn.least):
        for each in behind:
            if place < len(each.rows):
                spent, started = _spent(model), clock(compute)
                second_stage(each.reranker, each.texts[place], each.candidates[place], context)
                each.seconds.append(clock(compute) - started)
                each.asked.append(each.rows[place])
                each.usd += _spent(model) - spent


def _warm_up(task: RetrievalTask) -> str:
    """Return a query like the task's, and none of them: what a model keeps of it is of no use to those that are
    timed.
    """
    return f"{task.queries[0].text} ?"


def _spent(model: object) -> float:
    return model.spending.usd if isinstance(model, Paid) else 0.0
