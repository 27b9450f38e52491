"""Scores of cells, with intervals, derived from per-query records."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from evalkit.metrics.similarity import pearson, spearman
from evalkit.results.records import CELL_KEYS, GOLD, SAMPLES
from evalkit.stats.intervals import bootstrap_mean, correlation_interval
from evalkit.terms import SIMILARITIES

SCORE_COLUMNS = [*CELL_KEYS, "metric", "score", "ci_low", "ci_high", "n"]


def score(records: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One row per cell and metric: score and the bounds of its 95 % interval (fractions), and n.

    `n` is the number of judged queries, or of pairs whose similarity is defined. Retrieval scores are means
    with a bootstrap interval over queries; STS scores are correlations with Fisher's. Scores of a task as a whole
    have no interval, since there is nothing to resample; their `n` is the number of samples.
    """
    rows: list[tuple[object, ...]] = []
    for (_, _), task_records in records.groupby(["task", "split"], observed=True, sort=False):
        metrics = set(task_records["metric"])
        if GOLD in metrics:
            rows += _correlations(task_records)
        elif SAMPLES in metrics:
            rows += _wholes(task_records)
        else:
            rows += _means(task_records, seed)
    return pd.DataFrame(rows, columns=SCORE_COLUMNS)


def _means(records: pd.DataFrame, seed: int) -> Iterator[tuple[object, ...]]:
    # A row a query, a column a cell and metric: every column is resampled by the same draws of queries.
    # Not pivot_table: it drops all-NaN columns, or else makes up columns for cells that there are not.
    columns = [*CELL_KEYS, "metric"]
    wide = records.set_index(["id", *columns])["value"].unstack(columns, sort=False).sort_index(axis=1)
    values = wide.to_numpy()
    low, high = bootstrap_mean(values, seed=seed)
    for column, key in enumerate(wide.columns):
        defined = values[:, column][np.isfinite(values[:, column])]
        mean = defined.mean() if defined.size else np.nan
        yield (*key, mean, low[column], high[column], defined.size)


def _correlations(records: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    for key, cell in records.groupby(CELL_KEYS, observed=True, sort=False):
        by_metric = {metric: part["value"].to_numpy() for metric, part in cell.groupby("metric", observed=True)}
        for similarity in SIMILARITIES:
            predicted = by_metric[similarity]
            n = int(np.isfinite(predicted).sum())
            r = spearman(predicted, by_metric[GOLD])
            yield (*key, f"spearman_{similarity}", r, *correlation_interval(r, n, kind="spearman"), n)
            r = pearson(predicted, by_metric[GOLD])
            yield (*key, f"pearson_{similarity}", r, *correlation_interval(r, n, kind="pearson"), n)


def _wholes(records: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    for key, cell in records.groupby(CELL_KEYS, observed=True, sort=False):
        values = dict(zip(cell["metric"], cell["value"], strict=True))
        samples = int(values.pop(SAMPLES))
        for metric, value in values.items():
            yield (*key, metric, value, np.nan, np.nan, samples)
