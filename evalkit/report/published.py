"""Published figures as tables of their own, with the run's score beside a figure where the names agree."""

import pandas as pd

from evalkit.report.table import Table, TableCell
from evalkit.results import Results
from evalkit.results.records import CELL_KEYS


def published_tables(results: Results) -> list[Table]:
    """One table for each task and split that figures were published of; those of the run's tasks first."""
    ran = [(task["task"], task["split"]) for task in results.provenance["tasks"]]
    found = results.published
    keys = list(dict.fromkeys(zip(found["task"], found["split"], strict=True)))
    ordered = sorted(keys, key=lambda key: ran.index(key) if key in ran else len(ran))
    return [
        _table(found[(found["task"] == task) & (found["split"] == split)], results.scores, task, split)
        for task, split in ordered
    ]


def _table(figures: pd.DataFrame, scores: pd.DataFrame, task: str, split: str) -> Table:
    keys = [*CELL_KEYS, "metric"]
    measured = scores.astype(dict.fromkeys(keys, str)).set_index(keys)["score"]
    metrics = list(dict.fromkeys(figures["metric"]))
    rows = []
    for (model, reranker), found in figures.groupby(["model", "reranker"], sort=False):
        by_metric = found.set_index("metric")
        cells = [TableCell(f"published: {model}"), TableCell(str(reranker))]
        for metric in metrics:
            cells.append(TableCell(_figure(by_metric.loc[metric]) if metric in by_metric.index else "–"))
            here = measured.get((task, split, model, reranker, metric))
            cells.append(TableCell("–" if here is None or pd.isna(here) else f"{here:.4f}"))
        rows.append(tuple(cells))
    columns = [name for metric in metrics for name in (metric, "here")]
    intervals = " In brackets: Wilson's 95 % intervals." if figures["ci_low"].notna().any() else ""
    return Table(
        f"Published, not measured here: {task} ({split})",
        ("Model", "Reranker", *columns),
        tuple(rows),
        f"Source: {'; '.join(dict.fromkeys(figures['source']))}. Column 'here': this run's own score, where it has "
        f"one of that name.{intervals}",
        text_columns=2,
    )


def _figure(row: pd.Series) -> str:
    interval = "" if pd.isna(row["ci_low"]) else f" ({row['ci_low']:.3f}–{row['ci_high']:.3f})"
    return f"{row['score']:.4f}{interval}"
