"""The surface as tables: a curve for each pair of a model and a reranker, and one of each model's vectors."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from evalkit.cell import NO_RERANKER, cell_name
from evalkit.metrics.metric import Metric
from evalkit.reporting.measurements import as_number
from evalkit.reporting.table import Table, TableCell, in_brackets

TIMES = {"latency_p50_ms": "p50 ms", "latency_p95_ms": "p95 ms", "usd_per_thousand_queries": "USD/1000 queries"}
NOTE = "Times and prices between the ends of a curve are predicted. All other places are in surface.csv."


def curve_tables(points: pd.DataFrame, metrics: Mapping[tuple[str, str], Metric]) -> list[Table]:
    """Make the tables of all curves, with the metrics of one name at each k; `metrics` has each task's main one."""
    tables: list[Table] = []
    for (task, split), main in metrics.items():
        at_k = points["metric"].str.partition("@")[0] == main.name.partition("@")[0]
        here = points[(points["task"] == task) & (points["split"] == split) & at_k]
        title = f"{task} ({split})"
        given = here[here["model"] == here["of"]]
        behind = given[given["reranker"] != NO_RERANKER]
        for (model, reranker), curve in behind.groupby(["model", "reranker"], sort=False):
            alone = given[(given["model"] == model) & (given["reranker"] == NO_RERANKER)]
            whole = pd.concat([alone, curve])
            tables.append(
                _curve(f"{title}: {cell_name(str(model), str(reranker))}", ("Candidates",), whole, ["candidates"])
            )
        vectors = here[(here["reranker"] == NO_RERANKER) & here["vector_bytes"].notna()]
        for model, curve in vectors.groupby("of", sort=False):
            shown = ["dim", "precision", "vector_bytes", "corpus_megabytes"]
            names = ("Dimensions", "precision", "bytes", "corpus MB")
            tables.append(_curve(f"{title}: vectors of {model!s}", names, curve, shown))
    return tables


def _curve(title: str, names: Sequence[str], curve: pd.DataFrame, keys: Sequence[str]) -> Table:
    times = {column: name for column, name in TIMES.items() if curve[column].notna().any() and curve[column].any()}
    metrics = list(curve["metric"].unique())
    rows = []
    for place, found in curve.groupby(list(keys), sort=False, dropna=False):
        scores = {row["metric"]: row for row in found.to_dict("records")}
        rows.append(
            (
                *(TableCell(_plain(key, value)) for key, value in zip(keys, place, strict=True)),
                *(TableCell(_score(scores, name)) for name in metrics),
                *(TableCell(as_number(found[column].iloc[0])) for column in times),
            )
        )
    titles = [Metric.named(name).title for name in metrics]
    return Table(title, (*names, *titles, *times.values()), tuple(rows), NOTE if times else "")


def _plain(key: str, value: object) -> str:
    if key == "candidates":
        return str(value) if value else "–"
    return as_number(float(value)) if isinstance(value, float) else str(value)


def _score(scores: Mapping[Any, Mapping[Any, Any]], metric: str) -> str:
    if metric not in scores:  # fewer candidates than it looks at
        return "–"
    row = scores[metric]
    return f"{row['score']:.3f}{in_brackets(row['ci_low'], row['ci_high'], '{:.3f}')}"
