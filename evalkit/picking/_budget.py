"""Fit a pick into a time by successive halving: many choices on few questions, the better half on twice as many.

Jamieson and Talwalkar 2016 ("Non-stochastic best arm identification"), Karnin, Koren and Somekh 2013. The questions
of a round contain those of the rounds before, so that what was computed for them is reused.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np

from evalkit.cell import Cell
from evalkit.errors import ConfigError
from evalkit.models.registry.selection import Participants
from evalkit.results import Results
from evalkit.results.records import CELL_KEYS
from evalkit.runner.config import RunConfig
from evalkit.runner.context import RunContext
from evalkit.runner.grid import GridPlan
from evalkit.runner.run import Interrupted, run_tasks
from evalkit.types import FloatArray, IntArray, RetrievalTask

Item = TypeVar("Item")
LEAST_QUESTIONS = 8
"""A round has at least so many: fewer order the choices by chance."""


@dataclass(frozen=True)
class Round(Generic[Item]):
    """A round has the mean of what took part in it, on so many questions, and what was cut after it."""

    questions: int
    scores: dict[Item, float]
    cut: tuple[Item, ...]


def halve(
    items: Sequence[Item],
    score: Callable[[Sequence[Item], IntArray], FloatArray],
    questions: int,
    *,
    last: int = 2,
    seed: int = 0,
) -> tuple[Round[Item], ...]:
    """Halve the items until `last` are left, which are scored on all questions in the last round.

    `score` is called with the items of a round and its questions (row numbers, ascending), and gives float64 of shape
    (n_questions, n_items). The rows are drawn with `seed`. With few questions, there are fewer rounds, each cutting
    more. Raises ConfigError if `last` is less than 1, or there is nothing to score.
    """
    if last < 1 or not items or questions < 1:
        raise ConfigError(
            f"halving {len(items)} choices down to {last} on {questions} questions: give at least 1 of each."
        )
    order = np.random.default_rng(seed).permutation(questions)
    sizes, kept = _schedule(len(items), questions, last)
    left = list(items)
    rounds = []
    for size, keep in zip(sizes, kept, strict=True):
        means = score(left, np.sort(order[:size])).mean(axis=0)
        ranked = np.argsort(-means, kind="stable")
        cut = tuple(left[row] for row in sorted(ranked[keep:]))
        rounds.append(Round(size, dict(zip(left, map(float, means), strict=True)), cut))
        left = [left[row] for row in sorted(ranked[:keep])]
    return tuple(rounds)


def _schedule(items: int, questions: int, last: int) -> tuple[list[int], list[int]]:
    """Questions of each round, and how many items it keeps; the last round has all questions and cuts none."""
    counts = [items]
    while counts[-1] > last:
        counts.append(max(last, -(-counts[-1] // 2)))
    sizes = [questions // 2 ** (len(counts) - 1 - place) for place in range(len(counts))]
    usable = [place for place, size in enumerate(sizes) if size >= LEAST_QUESTIONS or place == len(sizes) - 1]
    sizes, counts = [sizes[place] for place in usable], [counts[place] for place in usable]
    return sizes, [*counts[1:], counts[-1]]


SAMPLE = 8
"""Questions of each of the two samples that the rate is told from."""


@dataclass(frozen=True)
class Fitted:
    """What a budget led to: the cells to compute on all questions (None: all of them), and how that came about.

    `rounds` has the cells that took part, their means, and those that were cut, by round; none if all fit.
    """

    wanted: frozenset[Cell] | None
    rounds: tuple[Round[Cell], ...]
    told: str


def fit(
    config: RunConfig,
    participants: Participants,
    tasks: Sequence[RetrievalTask],
    context: RunContext,
    metric: str,
    budget: float,
) -> Fitted:
    """Decide which cells are computed on all questions, for a `budget` in seconds.

    Two samples of the questions are run first: the corpus is encoded then and kept in the store, and the second tells
    how long a question takes. If all cells fit into the budget on all questions, all are computed. Otherwise they
    are halved (see `halve`), with the same questions first, so that what was computed is used again.
    Halving makes the work less, it does not promise the time: that is known only afterwards. Raises Interrupted after
    Ctrl-C, with what was finished on the questions of that sample.
    """
    started = time.perf_counter()
    cells = list(GridPlan(tasks, participants, config.rerank_depth, config.depth).cells())
    questions = len(tasks[0].queries)

    def score(items: Sequence[Cell], rows: IntArray) -> FloatArray:
        sample = [replace(task, queries=tuple(task.queries[row] for row in rows)) for task in tasks]
        results = run_tasks(config, participants, sample, context, wanted=frozenset(items))
        if results.missing:
            raise Interrupted(results)
        return _values(results, items, metric)

    if questions <= 2 * SAMPLE:
        return Fitted(None, (), f"With {questions} questions all {len(cells)} choices are computed on all of them.")
    score(cells, np.arange(SAMPLE))
    warm = time.perf_counter()
    score(cells, np.arange(2 * SAMPLE))
    now = time.perf_counter()
    needed = (now - warm) * (questions - 2 * SAMPLE) / SAMPLE
    left = budget - (now - started)
    if needed <= left:
        return Fitted(None, (), f"All {len(cells)} choices fit into the budget of {budget:.0f} s.")
    rounds = halve(cells, score, questions, seed=config.seed)
    took = time.perf_counter() - started
    steps = "; ".join(f"{len(each.scores)} on {each.questions} questions" for each in rounds)
    return Fitted(
        frozenset(rounds[-1].scores),
        rounds,
        f"All {len(cells)} choices on all {questions} questions would have taken about {needed:.0f} s more, with "
        f"{max(left, 0):.0f} s left of the budget of {budget:.0f} s. They were halved by {metric}: {steps}. "
        f"That took {took:.0f} s. What was cut was seen on fewer questions, and is not in the tables.",
    )


def _values(results: Results, items: Sequence[Cell], metric: str) -> FloatArray:
    """Return the metric of each question and cell: float64 of shape (n_questions, n_items); NaN for a cell that
    failed.
    """
    records = results.records[results.records["metric"] == metric].astype(dict.fromkeys(CELL_KEYS, str))
    wide: Any = records.pivot(index="id", columns=CELL_KEYS, values="value")
    labels = [(item.task, item.split, item.model, item.reranker) for item in items]
    return np.asarray(wide.reindex(columns=labels), dtype=np.float64)
