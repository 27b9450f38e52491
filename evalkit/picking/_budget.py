"""Fit a pick into a time by successive halving: many choices on few questions, the better half on twice as many.

Jamieson and Talwalkar 2016 ("Non-stochastic best arm identification"), Karnin, Koren and Somekh 2013. The questions
of a round contain those of the rounds before, so that what was computed for them is reused.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np

from evalkit.cell import Cell
from evalkit.errors import ConfigError
from evalkit.progress import in_words
from evalkit.results import Results
from evalkit.results.records import CELL_KEYS
from evalkit.runner.config import RunConfig
from evalkit.runner.context import RunContext
from evalkit.runner.grid import GridPlan
from evalkit.runner.measure import Limits, expected, within
from evalkit.runner.pace import Pace, steps
from evalkit.runner.run import Interrupted, run_tasks
from evalkit.types import FloatArray, IntArray

Item = TypeVar("Item")
LAST = 2
"""So many choices are left at the end, to be compared on all questions."""
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
    last: int = LAST,
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


CHOOSING = 2.0
"""Seconds for comparing the cells, once they are measured."""
SPARE = 0.1
"""Kept free of a budget, a fraction of what is expected: the last rounds may take longer than was told."""


@dataclass(frozen=True)
class Fitted:
    """What a budget led to: the cells to compute on all questions (None: all of them), and how that came about.

    `rounds` has the cells that took part, their means, and those that were cut, by round; none if all fit. `untried`
    has the cells that were left out before, with the seconds that each would have taken by itself.
    """

    wanted: frozenset[Cell] | None
    rounds: tuple[Round[Cell], ...]
    untried: Mapping[Cell, float]
    told: str


@dataclass(frozen=True)
class Work:
    """What a plan takes, by the paces of its models; measuring its cells is as short as `limits` may be made."""

    plan: GridPlan
    found: Mapping[str, Pace]
    limits: Limits

    @property
    def questions(self) -> int:
        """The number of questions, which all tasks have."""
        return len(self.plan.retrieval_tasks[0].queries)

    def seconds(self, cells: Sequence[Cell], questions: int | None = None) -> float:
        """Return the seconds for these cells, on so many questions or on all, with what they stand on."""
        return sum(seconds for _, seconds in steps(self._only(cells), self.found, questions))

    def in_all(self, cells: Sequence[Cell]) -> tuple[float, float]:
        """Return the seconds with measuring: of the cells on all questions, and of halving them, if the costliest are
        left in each round.
        """
        plan = self._only(cells)
        limits = within(plan, self.found, self.limits, 0.0)
        measuring = sum(seconds for _, seconds in expected(plan, self.found, limits)) + CHOOSING
        sizes, kept = _schedule(len(cells), self.questions, LAST)
        halving, before, left = self.seconds(cells, 0), 0, len(cells)
        for size, keep in zip(sizes, kept, strict=True):
            costliest = cells[len(cells) - left :]
            halving += self.seconds(costliest, size - before) - self.seconds(costliest, 0)
            before, left = size, keep
        return measuring + self.seconds(cells), measuring + halving

    def by_cost(self) -> dict[Cell, float]:
        """Return the seconds that each cell takes by itself, cheapest first."""
        alone = {cell: self.seconds([cell]) for cell in self.plan.cells()}
        return dict(sorted(alone.items(), key=lambda each: each[1]))

    def _only(self, cells: Sequence[Cell]) -> GridPlan:
        return replace(self.plan, wanted=frozenset(cells))


def fit(work: Work, budget: float, left: float) -> tuple[list[Cell], bool]:
    """Return the cells that are tried in the seconds that are `left` of the `budget`, and whether they are halved.

    As many are tried as fit, the cheapest first. Raises ConfigError, with the least that is possible, if none does.
    """
    alone = work.by_cost()
    cells = list(alone)
    for number in range(len(cells), 0, -1):
        needed, halving = work.in_all(cells[:number])
        if needed * (1 + SPARE) <= left:
            return cells[:number], False
        if number > LAST and halving * (1 + SPARE) <= left:
            return cells[:number], True
    least, _ = work.in_all(cells[:1])
    raise ConfigError(
        f"a budget of {in_words(budget)} is too short: the least that this pick takes is about "
        f"{in_words((budget - left + least) * (1 + SPARE))}, for {cells[0].model} alone. Give more time, fewer chunk "
        "sizes, fewer documents, or name the models to try."
    )


def fitted(
    config: RunConfig,
    work: Work,
    context: RunContext,
    metric: str,
    budget: float,
    left: float,
) -> Fitted:
    """Decide which cells are computed on all questions, for the seconds that are `left` of a `budget`.

    If all cells fit on all questions, all are computed. Otherwise what is costliest is not tried, and the rest are
    halved (see `halve`), if that makes more of them fit. Raises what `fit` does, and Interrupted after Ctrl-C, with
    what was finished on the questions of that round.
    """
    alone = work.by_cost()
    tried, by_halves = fit(work, budget, left)
    untried = {cell: seconds for cell, seconds in alone.items() if cell not in set(tried)}
    if not untried and not by_halves:
        return Fitted(None, (), {}, f"All {len(tried)} choices fit into the budget of {in_words(budget)}.")

    def score(items: Sequence[Cell], rows: IntArray) -> FloatArray:
        sample = [
            replace(task, queries=tuple(task.queries[row] for row in rows)) for task in work.plan.retrieval_tasks
        ]
        results = run_tasks(config, work.plan.participants, sample, context, wanted=frozenset(items))
        if results.missing:
            raise Interrupted(results)
        return _values(results, items, metric)

    rounds = halve(tried, score, work.questions, last=LAST, seed=config.seed) if by_halves else ()
    needed, _ = work.in_all(list(alone))
    told = [
        f"All {len(alone)} choices on all {work.questions} questions would have taken about "
        f"{in_words(needed)}, with {in_words(left)} left of the budget of {in_words(budget)}."
    ]
    if untried:
        told.append(f"The {len(untried)} that take longest were not tried.")
    if rounds:
        listed = "; ".join(f"{len(each.scores)} on {each.questions} questions" for each in rounds)
        told.append(
            f"They were halved by {metric}: {listed}. What was cut was seen on fewer questions, and is not in the "
            "tables."
        )
    wanted = frozenset(rounds[-1].scores if rounds else tried)
    return Fitted(wanted, rounds, untried, " ".join(told))


def _values(results: Results, items: Sequence[Cell], metric: str) -> FloatArray:
    """Return the metric of each question and cell: float64 of shape (n_questions, n_items); NaN for a cell that
    failed.
    """
    records = results.records[results.records["metric"] == metric].astype(dict.fromkeys(CELL_KEYS, str))
    wide: Any = records.pivot(index="id", columns=CELL_KEYS, values="value")
    labels = [(item.task, item.split, item.model, item.reranker) for item in items]
    return np.asarray(wide.reindex(columns=labels), dtype=np.float64)
