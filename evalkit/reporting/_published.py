"""Published figures as tables of their own, with the run's score beside a figure where the names agree."""

import pandas as pd

from evalkit.reporting._significance import asked, if_sample
from evalkit.reporting.table import Table, TableCell, in_brackets
from evalkit.results import Results
from evalkit.results.records import CELL_KEYS


def published_tables(results: Results) -> list[Table]:
    """Return one table for each task and split that figures were published of; those of the run's tasks first."""
    ran = {(task["task"], task["split"]): task for task in results.provenance["tasks"]}
    found = results.published
    keys = list(dict.fromkeys(zip(found["task"], found["split"], strict=True)))
    ordered = sorted(keys, key=lambda key: list(ran).index(key) if key in ran else len(ran))
    tables = []
    for task, split in ordered:
        here = ran.get((task, split), {})
        title = f"Published, not measured here: {task} ({split})" + (
            f"; here {asked(here)}" if if_sample(here) else ""
        )
        tables.append(_table(title, found[(found["task"] == task) & (found["split"] == split)], results.scores))
    return tables


def _table(title: str, figures: pd.DataFrame, scores: pd.DataFrame) -> Table:
    keys = [*CELL_KEYS, "metric"]
    here = scores.astype(dict.fromkeys(keys, str)).set_index(keys)["score"].rename("here")
    beside = figures.join(here, on=keys)
    compared = bool(beside["here"].notna().any())
    metrics = list(dict.fromkeys(beside["metric"]))
    rows = []
    for (model, reranker), found in beside.groupby(["model", "reranker"], sort=False):
        by_metric = found.set_index("metric").reindex(metrics)
        cells = [TableCell(f"published: {model}"), TableCell(str(reranker))]
        for _, figure in by_metric.iterrows():
            cells.append(TableCell(_number(figure["score"]) + _interval(figure)))
            cells += [TableCell(_number(figure["here"]))] * compared
        rows.append(tuple(cells))
    notes = [f"Source: {'; '.join(dict.fromkeys(figures['source']))}."]
    if compared:
        notes.append("Column 'here': this run's own score, where it has one of that name.")
    if figures["ci_low"].notna().any():
        notes.append("In brackets: Wilson's 95 % intervals.")
    return Table(
        title,
        ("Model", "Reranker", *(name for metric in metrics for name in (metric, "here")[: 1 + compared])),
        tuple(rows),
        " ".join(notes),
        text_columns=2,
    )


def _number(score: float) -> str:
    return "–" if pd.isna(score) else f"{score:.4f}"


def _interval(figure: pd.Series) -> str:
    return in_brackets(figure["ci_low"], figure["ci_high"], "{:.3f}")
