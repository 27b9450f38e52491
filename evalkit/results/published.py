"""Published figures: scores that others report, read from a table, as a frame beside one's own."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from evalkit.errors import ConfigError
from evalkit.metrics.metric import Metric
from evalkit.results.records import CELL_KEYS
from evalkit.stats.intervals import wilson
from evalkit.tasks.checks import Problems
from evalkit.tasks.opening import no_file
from evalkit.tasks.reading import read_rows
from evalkit.tasks.rows import PUBLISHED, Row


@dataclass(frozen=True)
class PublishedScore:
    """A score that was not measured here: a fraction, over `n` queries or pairs (None if unknown)."""

    task: str
    split: str
    model: str
    reranker: str
    metric: str
    score: float
    n: int | None
    source: str


def read_published(path: Path) -> list[PublishedScore]:
    """Read a table with the columns task, split, model, reranker, metric, score, n and source: CSV, or any other.

    `reranker` is "none" where there is none; `n` may be empty. Raises ConfigError if there is no such file,
    DataError with every problem in it.
    """
    if reason := no_file(path):
        raise ConfigError(f"no file {str(path)!r} with published figures: {reason}. Give a CSV file.")
    problems = Problems(path)
    scores: dict[tuple[str, ...], PublishedScore] = {}
    for row in read_rows(path, PUBLISHED, problems):
        names = [row.text(key) for key in ("task", "split", "model", "reranker", "metric", "source")]
        task, split, model, reranker, metric, source = (name or "" for name in names)
        for column in ("task", "split", "model", "metric", "source"):
            if row.get(column) == "":
                row.report(f"{column} is empty", fatal=True)
        found = PublishedScore(task, split, model, reranker, metric, _score(row, metric), _count(row), source)
        cell = (task, split, model, reranker, metric)
        if scores.setdefault(cell, found) is not found:
            row.report("the same task, split, model, reranker and metric as a row above", fatal=True)
    if not scores and not problems.fatal:
        problems.add(f"{path.name}: no row", fatal=True)
    problems.settle(None)
    problems.warn_of_notes()
    return list(scores.values())


def _score(row: Row, metric: str) -> float:
    score = row.number("score")
    low = max(Metric.named(metric).low, -1)  # nobody publishes a fraction beyond that
    if math.isfinite(score) and not low <= score <= 1:
        row.report(f"score of {metric} outside {low:g} to 1 (scores are fractions, not percent)", fatal=True)
    return score


def _count(row: Row) -> int | None:
    if row.has("n") and row.get("n") in (None, ""):
        return None
    count = row.number("n")
    if math.isfinite(count) and (count < 1 or count != int(count)):
        row.report("n is not a whole number of at least 1", fatal=True)
    return int(count) if math.isfinite(count) else None


COLUMNS = [*CELL_KEYS, "metric", "score", "ci_low", "ci_high", "n", "source"]


def published_frame(scores: Sequence[PublishedScore] = ()) -> pd.DataFrame:
    """Return one row a published figure: task, split, model, reranker, metric, score, ci_low, ci_high, n, source.

    `n` is a nullable integer. Wilson's interval for hit rates over a known number of queries; NaN for other figures,
    of which only the mean is known.
    """
    frame = pd.DataFrame([asdict(score) for score in scores], columns=[name for name in COLUMNS if "ci_" not in name])
    bounds = [
        wilson(score.score, score.n) if score.n and Metric.named(score.metric).binary else (float("nan"),) * 2
        for score in scores
    ]
    frame[["ci_low", "ci_high"]] = pd.DataFrame(bounds, columns=["ci_low", "ci_high"], dtype="float64")
    return frame.astype({"n": "Int64", "score": "float64"})[COLUMNS]
