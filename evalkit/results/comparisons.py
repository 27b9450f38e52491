"""Which differences between cells are more than noise: frames derived from a run's records."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from inspect import signature
from itertools import combinations
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import numpy as np
import pandas as pd

from evalkit.cell import NO_RERANKER
from evalkit.errors import ConfigError, did_you_mean
from evalkit.results.scores import is_covered
from evalkit.stats.correlation import resampled_spearman, spearman_influence
from evalkit.stats.intervals import resampled_means
from evalkit.stats.paired import PairedTests, compare_correlations, compare_means, queries_needed, smallest_difference
from evalkit.stats.step_down import told_apart
from evalkit.types import FloatArray, IntArray

if TYPE_CHECKING:
    from evalkit.results.results import Results

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")
LEVEL = 0.05
"""Of the tests: a corrected p at or below it is a difference."""
FEWEST = 6
"""Queries that two cells need to be told apart: differences of one sign on 5 have a p of 2/32."""
ALL = "all"
"""Stands for all embedders together."""
PLACES = ["rank", "rank_low", "rank_high", "tied"]
CellLabel = tuple[str, str]
"""Model and reranker."""


def once(function: Callable[Arguments, Made]) -> Callable[Arguments, Made]:
    """Call a function of results once for each of its arguments: several tables of a page ask the same.

    `cells` may be all of them, or None: the same. A frame is given away as a copy, which its receiver may change.
    """

    @wraps(function)
    def kept(*arguments: Arguments.args, **named: Arguments.kwargs) -> Made:
        call = signature(function).bind(*arguments, **named)
        results: Any = call.arguments["results"]
        cells = call.arguments.get("cells")
        if cells is not None and set(cells) >= _scored(results, *list(call.arguments.values())[1:3]):
            call.arguments["cells"] = cells = None
        label = [value for name, value in call.arguments.items() if name not in ("results", "cells")]
        key = (function.__name__, *label, None if cells is None else frozenset(cells))
        made = results.once(key, lambda: function(*call.args, **call.kwargs))
        return cast(Made, made.copy() if isinstance(made, pd.DataFrame) else made)

    return kept


@once
def _scored(results: "Results", task: str, split: str) -> set[CellLabel]:
    """Return the cells of a task that have records."""
    records = results.records
    here = records[(records["task"] == task) & (records["split"] == split)][["model", "reranker"]].drop_duplicates()
    return {(str(model), str(reranker)) for model, reranker in here.itertuples(index=False)}


@dataclass(frozen=True)
class Compared:
    """The per-query values of a task's cells: float64 of shape (n_queries, n_cells), and for STS the gold scores.

    `sign` is -1 where less is better (see `Metric.sign`): all differences tell how much better a cell is.
    """

    cells: tuple[CellLabel, ...]
    ids: tuple[str, ...]
    values: FloatArray
    gold: FloatArray | None
    seed: int
    sign: int = 1

    @cached_property
    def covered(self) -> FloatArray:
        """The values times `sign`, all NaN for a cell that covers too few of the items (see `scores.FLOOR`).

        Comparisons are made of these: such a cell touches no number of the others'.
        """
        return np.where(is_covered(self.values), self.sign * self.values, np.nan)

    def tests(self, pairs: Sequence[tuple[int, int]]) -> PairedTests:
        """Return paired tests of cells by number: of means, or for STS of Spearman's correlations; NaN for a thin
        cell.
        """
        columns: IntArray = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        if self.gold is None:
            return compare_means(self.covered, columns, seed=self.seed)
        return compare_correlations(self.covered, self.gold, columns, seed=self.seed)

    def told_apart(self) -> tuple[FloatArray, FloatArray]:
        """Return all pairs of cells tested together: statistics and corrected p, (n_cells, n_cells) each."""
        if self.gold is None:
            return told_apart(self.covered, level=LEVEL, seed=self.seed)
        correlations, influence = spearman_influence(self.covered, self.gold)
        return told_apart(influence, correlations, level=LEVEL, seed=self.seed)

    def resampled(self) -> FloatArray:
        """Return scores of the cells, times `sign`, in the same resamples: float64 of shape (n_cells, n_resamples).

        A cell's row does not depend on which others there are; that of a thin one is NaN.
        """
        if self.gold is None:
            return resampled_means(self.covered, seed=self.seed)
        return resampled_spearman(self.covered, self.gold, seed=self.seed)


@once
def compared(
    results: "Results", task: str, split: str, metric: str, cells: Collection[CellLabel] | None = None
) -> Compared:
    """Return the values that a metric of a task is made of, of all its cells or of those named.

    `metric` is one of scores.csv, for STS a Spearman correlation.

    Raises ConfigError for a metric that the task does not have, or that is no mean over queries nor a Spearman
    correlation: there is nothing to compare by.
    """
    if cells is not None:
        whole = compared(results, task, split, metric)
        named = [column for column, cell in enumerate(whole.cells) if cell in cells]
        return replace(whole, cells=tuple(whole.cells[column] for column in named), values=whole.values[:, named])
    known = results.metric(metric)
    offered = [each.name for each in results.metrics(task, split) if each.compared != "none"]
    if metric not in offered:
        raise ConfigError(
            f"{metric!r} of {task} ({split}) cannot be compared query by query. {did_you_mean(metric, offered)}"
        )
    records = results.records
    records = records[(records["task"] == task) & (records["split"] == split)]
    labels = ["model", "reranker"]
    source = known.similarity or metric
    wide = records[records["metric"] == source].set_index(["id", *labels])["value"].unstack(labels, sort=False)
    gold = None
    if known.similarity is not None:
        held = results.gold[(results.gold["task"] == task) & (results.gold["split"] == split)]
        by_id = held.astype({"id": str}).set_index("id")["value"]
        gold = by_id.reindex(wide.index.astype(str)).to_numpy(dtype=np.float64)
    left = tuple((str(column[0]), str(column[1])) for column in wide.columns)
    values = wide.to_numpy(dtype=np.float64)
    return Compared(left, tuple(wide.index), values, gold, results.provenance["seed"], known.sign)


@once
def against_best(
    results: "Results", task: str, split: str, metric: str, cells: Collection[CellLabel] | None = None
) -> pd.DataFrame:
    """Return each cell of a task (or of those named) beside the best one: a row a cell, best first, scores as
    fractions.

    Columns: model, reranker, score, ci_low, ci_high, n; `difference` (how much better the best is) with `diff_low`,
    `diff_high` (95 %, not corrected), `p` and `p_corrected`, for all pairs of cells here; `sd` of a query's
    difference; `rank` by score, with its 95 % interval `rank_low`, `rank_high`; `tied`: no other cell is better by
    more than chance explains. A cell whose score is over too few items (see `scores.FLOOR`) comes after the others,
    with NaN for all that compares it and not tied; one without a score is last.

    The best of many cells is partly the luckiest, so all pairs of cells are tested together (`stats.step_down`), and
    all places follow from the pairs that are told apart at 5 %: a cell's rank is at least one more than the number of
    those better than it, at most the number of those that are not worse (Mogstad, Romano, Shaikh and Wilhelm 2024).
    Raises ConfigError as `compared`.
    """
    found = compared(results, task, split, metric, cells)
    scores = results.scores
    scores = scores[(scores["task"] == task) & (scores["split"] == split) & (scores["metric"] == metric)]
    row_of = {cell: row for row, cell in enumerate(zip(scores["model"], scores["reranker"], strict=True))}
    board = scores[["model", "reranker", "score", "ci_low", "ci_high", "n"]].iloc[
        [row_of[cell] for cell in found.cells]
    ]
    board = board.astype({"model": str, "reranker": str})
    score = found.sign * board["score"].to_numpy()
    ranked = np.where(is_covered(found.values), score, np.nan)
    is_ranked = np.isfinite(ranked)
    best = int(np.argmax(np.where(is_ranked, ranked, -np.inf)))
    others = [cell for cell in range(len(ranked)) if cell != best]
    tests = found.tests([(best, cell) for cell in others])

    def beside(of_others: FloatArray, of_best: float) -> FloatArray:
        return np.insert(of_others, best, of_best if is_ranked[best] else np.nan)

    statistics, p = found.told_apart()
    better = (statistics > 0) & (p <= LEVEL) & (ranked[:, None] > ranked)
    columns: dict[str, Any] = {
        "difference": beside(tests.difference, 0.0),
        "diff_low": beside(tests.low, 0.0),
        "diff_high": beside(tests.high, 0.0),
        "p": beside(tests.p, 1.0),
        "sd": beside(tests.sd, np.nan),
        "p_corrected": np.where(np.arange(len(ranked)) == best, 1.0 if is_ranked[best] else np.nan, p[best]),
        "rank": np.where(is_ranked, 1.0 + (ranked[:, None] > ranked).sum(axis=0), np.nan),
        "rank_low": np.where(is_ranked, 1.0 + better.sum(axis=0), np.nan),
        "rank_high": np.where(is_ranked, 1.0 * is_ranked.sum() - better.sum(axis=1), np.nan),
        "tied": is_ranked & (better.sum(axis=0) == 0),
    }
    board = pd.DataFrame({**{str(name): board[name].array for name in board}, **columns})
    # Best first; then those with a score over too few items, then those without.
    order = np.lexsort([np.where(np.isfinite(each), -each, np.inf) for each in (score, ranked)])
    return board.iloc[order].reset_index(drop=True)


@once
def pairwise(
    results: "Results", task: str, split: str, metric: str, cells: Collection[CellLabel] | None = None
) -> pd.DataFrame:
    """Return all pairs of cells, or of those named.

    Columns: model_a, reranker_a, model_b, reranker_b, difference (how much better a is: a fraction), ci_low, ci_high,
    p, p_holm (corrected for all rows), n, sd. Raises ConfigError as `compared`.
    """
    found = compared(results, task, split, metric, cells)
    pairs = list(combinations(range(len(found.cells)), 2))
    labels = [(*found.cells[a], *found.cells[b]) for a, b in pairs]
    frame = pd.DataFrame(labels, columns=["model_a", "reranker_a", "model_b", "reranker_b"])
    return _with_tests(frame, found.tests(pairs), ["difference", "ci_low", "ci_high", "p", "p_holm", "n", "sd"])


@once
def reranker_gains(results: "Results", task: str, split: str, metric: str) -> pd.DataFrame:
    """Tell what each reranker adds to each embedder, and to all of them together.

    Columns: model ("all" for the mean over the embedders, which is compared query by query too), reranker,
    difference (how much better it is with the reranker: a fraction), ci_low, ci_high, p, p_holm (corrected for all
    rows), n. "all" is over the embedders that have both scores, on enough of the queries. Empty without rerankers;
    raises ConfigError as
    `compared`.
    """
    found = compared(results, task, split, metric)
    number = {cell: place for place, cell in enumerate(found.cells)}
    rerankers = list(dict.fromkeys(reranker for _, reranker in found.cells if reranker != NO_RERANKER))
    columns: list[FloatArray] = []
    rows: list[CellLabel] = []
    for reranker in rerankers:
        models = [model for model, behind in found.cells if behind == NO_RERANKER and (model, reranker) in number]
        sides = [found.covered[:, [number[model, behind] for model in models]] for behind in (reranker, NO_RERANKER)]
        rows += [(model, reranker) for model in models]
        columns += [column for pair in zip(*(side.T for side in sides), strict=True) for column in pair]
        if len(models) > 1:
            rows.append((ALL, reranker))
            both = np.isfinite(sides[0] - sides[1]).any(axis=0)
            columns += [side[:, both].mean(axis=1) for side in sides]
    frame = pd.DataFrame(rows, columns=["model", "reranker"])
    values = np.array(columns).reshape(-1, len(found.ids)).T
    pairs: IntArray = np.arange(values.shape[1], dtype=np.int64).reshape(-1, 2)
    tests = compare_means(values, pairs, seed=found.seed)
    return _with_tests(frame, tests, ["difference", "ci_low", "ci_high", "p", "p_holm", "n"])


def detectable(board: pd.DataFrame) -> float:
    """Return the smallest difference (a fraction) from the best cell that the queries show with 80 % power.

    `board` is what `against_best` gives. For one uncorrected comparison with a cell whose per-query differences
    vary as those of the median cell, of those that differ from the best at all. NaN where there is none, or fewer
    queries than `FEWEST`.
    """
    known = board[board["sd"] > 0]
    if known["n"].min() < FEWEST:
        return float("nan")
    return smallest_difference(float(known["sd"].median()), int(known["n"].min())) if len(known) else float("nan")


def needed(board: pd.DataFrame, difference: float) -> float:
    """Return how many queries a difference (a fraction) from the best cell takes to be found with 80 % power.

    For the same comparison as `detectable`. NaN where no cell differs from the best.
    """
    known = board[board["sd"] > 0]
    return queries_needed(difference, float(known["sd"].median())) if len(known) else float("nan")


def cell_index(cells: Sequence[CellLabel]) -> pd.MultiIndex:
    """Return cells as the index of a frame with a row each."""
    return pd.MultiIndex.from_tuples(cells, names=["model", "reranker"])


def _with_tests(frame: pd.DataFrame, tests: PairedTests, columns: Sequence[str]) -> pd.DataFrame:
    named = {column: getattr(tests, column.removeprefix("ci_")) for column in columns}
    return frame.assign(**named)
