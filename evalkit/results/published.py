"""Published figures as a frame: beside the measured scores, and never among them."""

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from evalkit.metrics.metric import Metric
from evalkit.results.records import CELL_KEYS
from evalkit.stats.intervals import wilson
from evalkit.tasks.published import PublishedScore

COLUMNS = [*CELL_KEYS, "metric", "score", "ci_low", "ci_high", "n", "source"]


def published_frame(scores: Sequence[PublishedScore] = ()) -> pd.DataFrame:
    """One row a published figure: task, split, model, reranker, metric, score, ci_low, ci_high, n, source.

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
