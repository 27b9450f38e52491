"""Fit a pick into a time: many cells on few questions, the better half on twice as many, the last ones on all."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evalkit.cell import Cell
from evalkit.models.registry.selection import Participants
from evalkit.picking.decision.halving import Round, halve
from evalkit.results import Results
from evalkit.results.records import CELL_KEYS
from evalkit.runner.config import RunConfig
from evalkit.runner.context import RunContext
from evalkit.runner.grid import GridPlan
from evalkit.runner.run import Interrupted, run_tasks
from evalkit.types import FloatArray, IntArray, RetrievalTask

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
    are halved (see `decision.halving`), with the same questions first, so that what was computed is used again.
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
