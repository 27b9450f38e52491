"""Scores of cells, with intervals, derived from per-query records."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from evalkit.metrics.similarity import pearson, spearman
from evalkit.results.records import CELL_KEYS, GOLD, SAMPLES
from evalkit.stats.correlation import resampled_pearson, resampled_spearman
from evalkit.stats.intervals import mean_interval, percentiles
from evalkit.terms import SIMILARITIES
from evalkit.types import FloatArray

Resample = Callable[..., FloatArray]
METHODS = (("spearman", spearman, resampled_spearman), ("pearson", pearson, resampled_pearson))
SCORE_COLUMNS = [*CELL_KEYS, "metric", "score", "ci_low", "ci_high", "n"]


def score(records: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One row per cell and metric: score and the bounds of its 95 % interval (fractions), and n.

    `n` is the number of judged queries, or of pairs whose similarity is defined. Retrieval scores are means over
    queries, with a score interval, which is Wilson's for zeros and ones (`intervals.mean_interval`); STS scores are
    correlations over pairs, with a bootstrap interval. Scores of a task as a whole have none, since what they are
    taken over is not known; their `n` is the number of samples.
    """
    rows: list[tuple[object, ...]] = []
    for (_, _), task_records in records.groupby(["task", "split"], observed=True, sort=False):
        metrics = set(task_records["metric"])
        if GOLD in metrics:
            rows += _correlations(task_records, seed)
        elif SAMPLES in metrics:
            rows += _wholes(task_records)
        else:
            rows += _means(task_records)
    return pd.DataFrame(rows, columns=SCORE_COLUMNS)


def _means(records: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    # A row a query, a column a cell and metric.
    # Not pivot_table: it drops all-NaN columns, or else makes up columns for cells that there are not.
    columns = [*CELL_KEYS, "metric"]
    wide = records.set_index(["id", *columns])["value"].unstack(columns, sort=False).sort_index(axis=1)
    values = wide.to_numpy()
    low, high = mean_interval(values)
    for column, key in enumerate(wide.columns):
        defined = values[:, column][np.isfinite(values[:, column])]
        mean = defined.mean() if defined.size else np.nan
        yield (*key, mean, low[column], high[column], defined.size)


def _correlations(records: pd.DataFrame, seed: int) -> Iterator[tuple[object, ...]]:
    wide = records.set_index(["id", *CELL_KEYS, "metric"])["value"].unstack([*CELL_KEYS, "metric"], sort=False)
    cells = list(dict.fromkeys(column[:-1] for column in wide.columns))
    gold = wide[(*cells[0], GOLD)].to_numpy()
    # A baseline keeps one similarity.
    columns = [column for cell in cells for each in SIMILARITIES if (column := (*cell, each)) in wide.columns]
    values = wide[columns].to_numpy()
    found = {name: _over_same_pairs(values, gold, resample, seed) for name, _, resample in METHODS}
    for number, (*cell, similarity) in enumerate(columns):
        for name, correlation, _ in METHODS:
            r = correlation(values[:, number], gold)
            low, high = found[name][:, number] if np.isfinite(r) else (np.nan, np.nan)
            yield (*cell, f"{name}_{similarity}", r, low, high, int(np.isfinite(values[:, number]).sum()))


def _over_same_pairs(values: FloatArray, gold: FloatArray, resample: Resample, seed: int) -> FloatArray:
    """Bounds of each column's correlation, (2, n_columns): columns that are defined on the same pairs share draws."""
    finite = np.isfinite(values)
    bounds = np.full((2, values.shape[1]), np.nan)
    masks, which = np.unique(finite.T, axis=0, return_inverse=True)
    for number, mask in enumerate(masks):
        same = which == number
        bounds[:, same] = percentiles(resample(values[mask][:, same], gold[mask], seed=seed))
    return bounds


def _wholes(records: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    for key, cell in records.groupby(CELL_KEYS, observed=True, sort=False):
        values = dict(zip(cell["metric"], cell["value"], strict=True))
        samples = int(values.pop(SAMPLES))
        for metric, value in values.items():
            yield (*key, metric, value, np.nan, np.nan, samples)


def metric_names(records: pd.DataFrame) -> set[str]:
    """Name the metrics that `score` derives from records, without computing any."""
    names: set[str] = set()
    for _, of_task in records.groupby(["task", "split"], observed=True, sort=False):
        there = {str(metric) for metric in of_task["metric"].unique()} - {SAMPLES}
        if GOLD in there:
            there = {f"{name}_{similarity}" for name, _, _ in METHODS for similarity in there - {GOLD}}
        names |= there
    return names


def ranking_metric(scores: pd.DataFrame) -> str:
    """The metric that a task's cells are ranked by: Spearman of the cosine, nDCG at the largest k, or, of a task
    with an evaluator of its own, the first.
    """
    metrics: list[str] = list(dict.fromkeys(scores["metric"]))
    if "spearman_cosine" in metrics:
        return "spearman_cosine"
    gains = [metric for metric in metrics if metric.startswith("ndcg@")]
    return max(gains, key=lambda metric: int(metric.removeprefix("ndcg@")), default=metrics[0])
