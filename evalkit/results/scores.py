"""Scores of cells, with intervals, derived from per-item records; and which of them rest on too few items."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evalkit.errors import ConfigError
from evalkit.metrics.metric import CORRELATIONS, Metric
from evalkit.metrics.similarity import pearson, spearman
from evalkit.results.records import CELL_KEYS
from evalkit.stats.correlation import resampled_pearson, resampled_spearman
from evalkit.stats.intervals import bounded_mean_interval, influence_interval, percentiles
from evalkit.terms import SIMILARITIES
from evalkit.types import FloatArray

FLOOR = 0.9
"""Share of a task's items on which a cell must be defined to have a rank, and to take part in comparisons and means.

What a cell scores on fewer is a score of other items than those of the others: often the easier ones.
"""


def is_enough(n: Any, items: int) -> Any:
    """Tell whether `n` defined items (a number, or an array or column of them) are enough of a task's `items`."""
    return n >= FLOOR * items


def is_covered(values: FloatArray) -> NDArray[np.bool_]:
    """Tell which columns are finite on enough rows: float64 of shape (n_items, n_cells) to bool (n_cells,)."""
    return np.asarray(is_enough(np.isfinite(values).sum(axis=0), len(values)))


def is_thin(board: pd.DataFrame) -> pd.Series:
    """Tell which rows of a board (see `comparisons.against_best`) have a score over too few items, and so no rank."""
    return board["score"].notna() & board["rank"].isna()


def thin_in_words(n: int, items: int, things: str) -> str:
    """Tell what a thin cell is, as the end of a sentence: "covers 12 of 1,379 pairs, fewer than 90 %"."""
    return f"covers {n:,} of {items:,} {things}, fewer than {FLOOR:.0%}".replace("%", " %")


Resample = Callable[..., FloatArray]
METHODS = (("spearman", spearman, resampled_spearman), ("pearson", pearson, resampled_pearson))
SCORE_COLUMNS = [*CELL_KEYS, "metric", "score", "ci_low", "ci_high", "n"]


@dataclass(frozen=True)
class Known:
    """What a run says of its scores: its seed, its metrics by name, and the samples of tasks scored as a whole."""

    seed: int
    named: Mapping[str, Metric] = field(default_factory=dict)
    samples: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def metric(self, name: str) -> Metric:
        """Look up a metric, as it was when the run was made."""
        return self.named.get(name) or Metric.named(name)

    def metrics(self, values: Sequence[str]) -> list[Metric]:
        """List the metrics that are computed of values of these names: means of them, or correlations with gold."""
        pairs = [each for each in SIMILARITIES if each in values]
        correlations = [f"{name}({each})" for each in pairs for name in CORRELATIONS]
        wanted = [name for name, metric in self.named.items() if metric.similarity is not None]
        alone = [name for name in values if name not in pairs]
        return [self.metric(name) for name in (*(n for n in correlations if not wanted or n in wanted), *alone)]


def score(records: pd.DataFrame, gold: pd.DataFrame, known: Known) -> pd.DataFrame:
    """Return one row per cell and metric: score and the bounds of its 95 % interval (fractions), and n.

    `gold` has the gold scores (see `records.GOLD_COLUMNS`). `n` is the number of items with a defined value. A mean
    over them has a score interval, which is Wilson's for zeros and ones (`intervals.mean_interval`), or Student's for
    a metric without bounds; a correlation over pairs has a bootstrap interval. Scores of a task as a whole have none,
    since what they are taken over is not known; their `n` is the number of samples.
    """
    rows: list[tuple[object, ...]] = []
    for (task, split), of_task in records.groupby(["task", "split"], observed=True, sort=False):
        metrics = known.metrics([str(name) for name in of_task["metric"].unique()])
        if any(metric.similarity is not None for metric in metrics):
            held = gold[(gold["task"] == task) & (gold["split"] == split)]
            if held.empty:
                raise ConfigError(
                    f"these results have no gold scores of {task} ({split}) to hold similarities against. Give the "
                    "whole folder of the run (gold.parquet), or run it again."
                )
            rows += _correlations(of_task, held, metrics, known.seed)
        elif any(metric.compared == "means" for metric in metrics):
            rows += _means(of_task, metrics)
        else:
            rows += _wholes(of_task, known.samples.get((str(task), str(split)), 1))
    return pd.DataFrame(rows, columns=SCORE_COLUMNS)


def _means(records: pd.DataFrame, metrics: Sequence[Metric]) -> Iterator[tuple[object, ...]]:
    # A row a query, a column a cell and metric.
    # Not pivot_table: it drops all-NaN columns, or else makes up columns for cells that there are not.
    columns = [*CELL_KEYS, "metric"]
    wide = records.set_index(["id", *columns])["value"].unstack(columns, sort=False).sort_index(axis=1)
    values = wide.to_numpy()
    known = {metric.name: metric for metric in metrics}
    of_column = [known[str(column[-1])] for column in wide.columns]
    is_mean = np.array([not metric.influence for metric in of_column], dtype=bool)
    within = np.array([(metric.low, metric.high) for metric in of_column]).reshape(-1, 2)
    low, high = np.full((2, len(of_column)), np.nan)
    low[is_mean], high[is_mean] = bounded_mean_interval(values[:, is_mean], within[is_mean])
    for column in np.flatnonzero(~is_mean).tolist():
        low[column], high[column] = influence_interval(values[np.isfinite(values[:, column]), column])
    for column, key in enumerate(wide.columns):
        defined = values[:, column][np.isfinite(values[:, column])]
        mean = defined.mean() if defined.size else np.nan
        yield (*key, mean, low[column], high[column], defined.size)


def _correlations(
    records: pd.DataFrame, gold: pd.DataFrame, metrics: Sequence[Metric], seed: int
) -> Iterator[tuple[object, ...]]:
    wide = records.set_index(["id", *CELL_KEYS, "metric"])["value"].unstack([*CELL_KEYS, "metric"], sort=False)
    held = (
        gold.astype({"id": str}).set_index("id")["value"].reindex(wide.index.astype(str)).to_numpy(dtype=np.float64)
    )
    cells = list(dict.fromkeys(column[:-1] for column in wide.columns))
    wanted = {metric.name: metric for metric in metrics}
    # A baseline keeps one similarity.
    columns = [column for cell in cells for each in SIMILARITIES if (column := (*cell, each)) in wide.columns]
    values = wide[columns].to_numpy()
    bounds = {name: _over_same_pairs(values, held, resample, seed) for name, _, resample in METHODS}
    for number, (*cell, similarity) in enumerate(columns):
        for name, correlation, _ in METHODS:
            if (metric := f"{name}({similarity})") in wanted:
                r = correlation(values[:, number], held)
                low, high = bounds[name][:, number] if np.isfinite(r) else (np.nan, np.nan)
                yield (*cell, metric, r, low, high, int(np.isfinite(values[:, number]).sum()))


def _over_same_pairs(values: FloatArray, gold: FloatArray, resample: Resample, seed: int) -> FloatArray:
    """Compute bounds of each column's correlation, (2, n_columns): columns that are defined on the same pairs share
    draws.
    """
    finite = np.isfinite(values)
    bounds = np.full((2, values.shape[1]), np.nan)
    masks, which = np.unique(finite.T, axis=0, return_inverse=True)
    for number, mask in enumerate(masks):
        same = which == number
        bounds[:, same] = percentiles(resample(values[mask][:, same], gold[mask], seed=seed))
    return bounds


def _wholes(records: pd.DataFrame, samples: int) -> Iterator[tuple[object, ...]]:
    for key, cell in records.groupby(CELL_KEYS, observed=True, sort=False):
        for metric, value in zip(cell["metric"], cell["value"], strict=True):
            yield (*key, metric, value, np.nan, np.nan, samples)
