"""What of a table is more than noise: marks, places, and tables of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from evalkit.cell import cell_name
from evalkit.metrics.metric import Metric
from evalkit.reporting.table import Table, TableCell, in_brackets
from evalkit.results import Results
from evalkit.results.across import across_tasks
from evalkit.results.comparisons import ALL, LEVEL, CellLabel, detectable, needed, reranker_gains
from evalkit.results.scores import is_thin, thin_in_words
from evalkit.tasks.kinds import kind_named

SMALL = 0.01
"""A difference (a fraction) that many would still choose a model by."""
TIED = "≈: cannot be told from the table's best by this metric (paired by query, corrected for all pairs, 5 %)."


def asked(task: Mapping[str, Any], form: str = "") -> str:
    """Tell what a task's scores are taken over, `task` as in run.json: "252 queries", "a sample of 20 of 252
    queries".
    """
    return kind_named(task["type"]).asked(task, form)


def if_sample(task: Mapping[str, Any]) -> str:
    """Tell what stands behind a heading that does not say how many items there are: ", a sample of …", or nothing."""
    return "" if task.get("sampled_from") is None else f", {asked(task)}"


def marked(cells: Sequence[TableCell], labels: Sequence[CellLabel], board: pd.DataFrame) -> list[TableCell]:
    """Return the cells of a table that stand for the cells of a grid, those tied with the best of `board` marked."""
    tied = {(row.model, row.reranker) for row in _rows(board)[1:] if row.tied}
    return [replace(cell, tied=label in tied) for cell, label in zip(cells, labels, strict=True)]


def places(labels: Sequence[CellLabel], board: pd.DataFrame) -> list[TableCell]:
    """Return ranks with their intervals; a cell without a score has none."""
    told = {(row.model, row.reranker): row for row in _rows(board) if not pd.isna(row.rank)}
    return [TableCell("–" if row is None else f"{row.rank:.0f}{_range(row)}") for row in map(told.get, labels)]


def _range(row: Any) -> str:
    return "" if pd.isna(row.rank_low) else f" ({row.rank_low:.0f}–{row.rank_high:.0f})"


def thin_cells(board: pd.DataFrame, items: int, things: str) -> str:
    """Tell which cells have a score over too few items, as sentences; empty if none has."""
    thin = board[is_thin(board)]
    told = [f"{row_name(row)} {thin_in_words(int(row['n']), items, things)}" for _, row in thin.iterrows()]
    return f"{'; '.join(told)}: no rank, and no part in comparisons, marks and means." if told else ""


def what_shows(board: pd.DataFrame, things: str = "queries", form: str = "{:.3f}", scale: float = 1) -> str:
    """Say what difference from the best this number of queries shows, and how many a small one takes.

    Empty where there are no two cells to compare.
    """
    if board["score"].notna().sum() < 2:
        return ""
    if board["sd"].eq(0).any() and not board["sd"].gt(0).any():
        return f"No difference between these cells on any of the {things}: nothing follows for other {things}."
    least = detectable(board)
    if not least <= 1:
        return f"Too few {things} for any statement of power."
    shown, small = form.format(scale * least), form.format(scale * SMALL)
    shown = f"With {board['n'].min():.0f} {things}, a difference of {shown} is found at 80 % power"
    return f"{shown}; one of {small} takes {needed(board, SMALL):,.0f}." if least > SMALL else f"{shown}."


def gains_table(results: Results, task: Mapping[str, Any], metric: Metric) -> Table:
    """Tell whether a reranker helps: a row an embedder, and one for all together."""
    gains = reranker_gains(results, task["task"], task["split"], metric.name)
    rerankers, models = list(dict.fromkeys(gains["reranker"])), list(dict.fromkeys(gains["model"]))
    models.sort(key=lambda model: model == ALL)
    columns = [_gains(gains[gains["reranker"] == each].set_index("model").reindex(models)) for each in rerankers]
    names = [TableCell("all together" if model == ALL else model) for model in models]
    return Table(
        f"What rerankers add: {task['task']} ({task['split']}), {metric.title}{if_sample(task)}",
        ("Embedder", *rerankers),
        tuple(zip(names, *columns, strict=True)),
        f"How much better {metric.title} is with the reranker than without, in brackets 95 % intervals. Bold: a gain "
        "that is more than noise (paired by query, corrected for their number, 5 %).",
    )


def _gains(found: pd.DataFrame) -> list[TableCell]:
    return [
        TableCell("–")
        if pd.isna(row.difference)
        else TableCell(
            f"{row.difference:+.3f}" + ("" if pd.isna(row.ci_low) else f" ({row.ci_low:+.3f}, {row.ci_high:+.3f})"),
            best=row.difference > 0 and row.p_holm <= LEVEL,
        )
        for row in _rows(found.reset_index())
    ]


def across_tables(results: Results) -> list[Table]:
    """Return each kind of task that a run has several of: means over them."""
    board = across_tasks(results)
    return [_across(results, str(kind), rows) for kind, rows in board.groupby("type", sort=False)]


def _across(results: Results, kind: str, rows: pd.DataFrame) -> Table:
    of_kind = [(each["task"], each["split"]) for each in results.tasks if each["type"] == kind]
    metrics = {results.main_metric(*task).title for task in of_kind if results.metrics(*task)}
    sampled = any(each.get("sampled_from") for each in results.tasks if each["type"] == kind)
    forms = {"mean": "{:.3f}", "mean_rank": "{:.2f}", "borda": "{:g}"}
    columns = [
        [
            TableCell("–")
            if pd.isna(row[name])
            else TableCell(form.format(row[name]) + in_brackets(row[f"{name}_low"], row[f"{name}_high"], form))
            for _, row in rows.iterrows()
        ]
        for name, form in forms.items()
    ]
    missing = rows[rows["missing"] != ""]
    left_out = [
        f"{row_name(row)} has no score, or one over too few items, on {row['missing']}, and so no mean."
        for _, row in missing.iterrows()
    ]
    return Table(
        f"Over {rows['tasks'].iloc[0]} tasks: {kind}, {', '.join(sorted(metrics))}{', on samples' * sampled}",
        ("Model", "Mean", "Mean rank", "Borda"),
        tuple(zip([TableCell(row_name(row)) for _, row in rows.iterrows()], *columns, strict=True)),
        " ".join(
            ["In brackets: 95 % intervals, for these tasks. Borda: cells left behind, over all tasks.", *left_out]
        ),
    )


def _rows(frame: pd.DataFrame) -> list[Any]:
    return list(frame.itertuples())


def row_name(row: pd.Series) -> str:
    """Put the cell that a row of a frame is about in words."""
    return cell_name(str(row["model"]), str(row["reranker"]))
