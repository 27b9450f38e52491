"""How long a grid takes: each model is timed on a few texts and pairs, and the rest is taken in proportion."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from evalkit.contracts import Embedder, Fittable, ListReranker, Reranker, Retriever
from evalkit.errors import ConfigError
from evalkit.models.registry.reference import ModelRef
from evalkit.runner.context import RunContext
from evalkit.runner.grid.encoding import fitted, for_task, in_context
from evalkit.runner.grid.plan import GridPlan
from evalkit.spending import Paid
from evalkit.types import RetrievalTask

SECONDS = 0.3
"""A model is timed on the texts of a task for about so long."""
FIRST = 4
"""Texts that are timed at first, and then twice as many, until the time is up."""
MOST = 2000
"""Texts of a corpus that a model is fitted on, to tell how long it takes for all of them."""
QUERIES = 32
OFTEN = 8
"""The pairs of one document that are timed, at most."""
NEW_BEHIND = 0.5
"""Of what a further first stage hands to a reranker, about so much was not handed to it by those before."""


@dataclass(frozen=True)
class Pace:
    """The seconds that a model takes: to be `ready`, for the corpus of each task, for each query, and for each pair.

    `known` is False for a model behind an API, which is asked nothing, and for one that fails: nothing is counted.
    """

    ready: float = 0.0
    corpora: Mapping[str, float] = field(default_factory=dict)
    query: float = 0.0
    pair: float = 0.0
    known: bool = True

    def of_corpus(self, task: RetrievalTask) -> float:
        """Return the seconds for learning from a task's corpus, and encoding it."""
        return self.corpora.get(task.content_hash, 0.0)


def paces(plan: GridPlan, context: RunContext, seed: int, seconds: float = math.inf) -> dict[str, Pace]:
    """Tell the pace of each model and reranker, by label: each is loaded, and reads a sample of the texts.

    Raises ConfigError if so many `seconds` are over before the last of them.
    """
    found: dict[str, Pace] = {}
    started, models = time.perf_counter(), plan.participants.all
    for label, model in models.items():
        if time.perf_counter() - started > seconds:
            raise ConfigError(
                f"the budget was over when {len(found)} of {len(models)} models were timed, before {label}. Give "
                "more time, or name fewer models."
            )
        with context.progress.step(f"timing {label}", 1, "models"):
            found[label] = _pace(plan, label, model, context, seed)
    return found


def _pace(plan: GridPlan, label: str, model: ModelRef, context: RunContext, seed: int) -> Pace:
    tasks = plan.retrieval_tasks
    try:
        for library in () if model.family is None else model.family.libraries:
            import_module(library)
        started = time.perf_counter()
        loaded = context.load(model)
        if isinstance(loaded, Paid):
            return Pace(known=False)
        readers = [_Reader(loaded, label, task.searched, np.random.default_rng(seed)) for task in tasks]
        readers[0].warm_up()
        ready = time.perf_counter() - started - sum(reader.fitting for reader in readers)
        corpora = {task.content_hash: reader.corpus() for task, reader in zip(tasks, readers, strict=True)}
        query = max(reader.query() for reader in readers) if label in plan.participants.models else 0.0
        pair = 0.0
        if label in plan.participants.rerankers:
            # Of each document so many times: some rerankers read one only once for all of its queries.
            often = [min(OFTEN, max(1, int(_pairs(plan, task, label) / len(task.corpus)))) for task in tasks]
            pair = max(reader.pair(times) for reader, times in zip(readers, often, strict=True))
        return Pace(ready, corpora, query, pair)
    except Exception:  # whatever it raises, its cells will fail for that reason, which is told there
        return Pace(known=False)


def steps(plan: GridPlan, found: Mapping[str, Pace], questions: int | None = None) -> list[tuple[str, float]]:
    """Return what the grid will do and the seconds that each step takes, as `Progress` names it; fusions take none.

    With `questions`, as if each task had so many.
    """
    participants = plan.participants
    told: list[tuple[str, float]] = []
    for label in participants.models:
        own = found[label]
        tasks = [task for task in plan.retrieval_tasks if plan.runs(label, task)]
        told += [(f"loading {label}", own.ready)] if tasks else []
        told += [
            (f"{task.name}: {label}", own.of_corpus(task) + _asked(task, questions) * own.query) for task in tasks
        ]
    for label in participants.rerankers:
        own = found[label]
        lists = [(task, plan.stages_before(task, label)) for task in plan.retrieval_tasks]
        told += [(f"loading {label}", own.ready)] if any(before for _, before in lists) else []
        for task, before in lists:
            seconds = own.of_corpus(task) + _pairs(plan, task, label, questions) * own.pair
            told += [(f"{task.name}: {label}", seconds)] if before else []
    return told


def _pairs(plan: GridPlan, task: RetrievalTask, reranker: str, questions: int | None = None) -> float:
    """Return about how many distinct pairs a reranker scores on a task: at most each query with all documents."""
    lists = len(plan.stages_before(task, reranker))
    return _asked(task, questions) * min(len(task.corpus), plan.candidates * (1 + NEW_BEHIND * (lists - 1)))


def _asked(task: RetrievalTask, questions: int | None) -> int:
    return len(task.queries) if questions is None else questions


class _Reader:
    """A model with a sample of a task's texts, on which it is fitted, if it learns from them."""

    def __init__(self, model: Any, label: str, task: RetrievalTask, rng: np.random.Generator) -> None:
        # Parts of a whole stand together: for one part the whole is read.
        order = rng.permutation(len(task.corpus)) if task.parts is None else np.arange(len(task.corpus))
        model, task = in_context(model, label, task)
        contents, rows = task.contents, order[:MOST]
        self._texts = [contents[row] for row in rows.tolist()]
        self._questions = [task.queries[row].text for row in rng.permutation(len(task.queries))[:QUERIES].tolist()]
        self._all, self._times = len(contents), len(contents) / len(rows)
        started = time.perf_counter()
        self._model = fitted(for_task(model, task.name), self._texts)
        self.fitting = time.perf_counter() - started if isinstance(model, Fittable) else 0.0

    def warm_up(self) -> None:
        """Have the model read its weights."""
        if isinstance(self._model, Embedder):
            self._model.encode(self._texts[:1], "document")
        elif isinstance(self._model, Reranker) and not isinstance(self._model, Retriever):
            self._model.score(self._questions[:1], self._texts[:1])

    def corpus(self) -> float:
        """Return the seconds for all documents: linear in their number."""
        learning = self.fitting * self._times
        if not isinstance(self._model, Embedder):
            return learning
        model = self._model
        return learning + self._all * _each(
            lambda part: model.encode(self._texts[part], "document"), len(self._texts)
        )

    def query(self) -> float:
        """Return the seconds for one query: to encode it, or to search for it, which is linear in the documents."""
        model, ids = self._model, [str(row) for row in range(len(self._texts))]
        if isinstance(model, Embedder):
            return _each(lambda part: model.encode(self._questions[part], "query"), len(self._questions))
        return self._times * _each(
            lambda part: model.search(self._questions[part], ids, min(10, len(ids))), len(self._questions)
        )

    def pair(self, times: int) -> float:
        """Return the seconds for one pair of a query and a document, of which each is in so many.

        An embedder needs none but for the corpus.
        """
        model, texts = self._model, [text for text in self._texts for _ in range(times)][:MOST]
        questions = [self._questions[row % len(self._questions)] for row in range(len(texts))]
        if isinstance(model, Embedder):
            return 0.0
        if isinstance(model, ListReranker):
            lists = min(len(texts), 2 * FIRST)
            return _each(lambda part: model.rerank(questions[0], texts[part], np.arange(lists, 0.0, -1)), lists)
        return _each(lambda part: model.score(questions[part], texts[part]), len(texts), FIRST * times)


def _each(do: Callable[[slice], object], most: int, first: int = FIRST) -> float:
    """Return the seconds for each of some items: of the last batch that was timed, at which caches are warm."""
    at, size, seconds, started = 0, first, 0.0, time.perf_counter()
    while True:
        part = slice(at, min(at + size, most))
        before = time.perf_counter()
        do(part)
        seconds = (time.perf_counter() - before) / (part.stop - part.start)
        at, size = part.stop, 2 * size
        if at >= most or time.perf_counter() - started > SECONDS:
            return seconds
