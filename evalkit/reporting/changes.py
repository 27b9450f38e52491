"""What changed between two runs, in sentences and tables."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from evalkit.cell import cell_name
from evalkit.reporting._significance import if_sample
from evalkit.reporting.table import Table, TableCell, to_markdown
from evalkit.results.diff import Changes
from evalkit.tasks.kinds import kind_named

QUERIES = 5
"""Queries that are named, of those that lost most and of those that won most."""
CELLS = 8
"""Cells that are named, of those in one run only."""
QUERY_WIDTH = 90
"""Characters of a query in a table."""


def headline(changes: Changes) -> list[str]:
    """Tell what is most important, a sentence each."""
    sentences = []
    main = changes.cells[changes.cells["main"].astype(bool)]
    for verdict in ("worse", "better"):
        rows = main[main["verdict"] == verdict]
        if len(rows):
            each = "; ".join(
                f"{pair_name(row)} on {row['task']} ({row['split']}) {_change(row)}" for row in _rows(rows)
            )
            sentences.append(f"{verdict.capitalize()} by more than noise: {each}.")
    told = main["verdict"].isin(["worse", "better", "same"])
    if len(main) and (main["verdict"] == "same").all():
        sentences.append("No score changed on any query.")
    elif len(main) and not main["verdict"].isin(["worse", "better"]).any():
        sentences.append("No change is more than noise.")
    elif (~told).any():
        sentences.append(f"Of {int((~told).sum())} other cell(s) it cannot be told.")
    sentences += [f"{each.task} ({each.split}) is not compared: {each.reason}." for each in changes.apart]
    for cells, which in ((changes.only_a, "first"), (changes.only_b, "second")):
        if cells:
            names = [f"{cell_name(model, reranker)} on {task} ({split})" for task, split, model, reranker in cells]
            more = f" and {len(names) - CELLS} more" if len(names) > CELLS else ""
            sentences.append(f"Only in the {which} run: {', '.join(names[:CELLS])}{more}.")
    return sentences


def change_tables(changes: Changes, name_a: str, name_b: str) -> list[Table]:
    """Return a table a task, then the queries that changed most, then the inputs that differ."""
    tables = [
        _scores(str(task), str(split), rows, name_a, name_b, changes.tasks[str(task), str(split)])
        for (task, split), rows in changes.cells.groupby(["task", "split"], sort=False)
    ]
    for (task, split), rows in changes.queries.groupby(["task", "split"], sort=False):
        losses, wins = rows[rows["difference"] < 0], rows[rows["difference"] > 0]
        if len(losses):
            tables.append(_queries(f"Queries that lost most: {task} ({split})", losses.head(QUERIES)))
        if len(wins):
            tables.append(_queries(f"Queries that won most: {task} ({split})", wins.tail(QUERIES).iloc[::-1]))
    if len(changes.inputs):
        tables.append(_inputs(changes.inputs, name_a, name_b))
    return tables


def changes_to_markdown(changes: Changes, name_a: str, name_b: str) -> str:
    """Return all of it as Markdown, for a pull request."""
    lines = [f"## {name_a} → {name_b}", "", *(f"- {sentence}" for sentence in headline(changes))]
    tables = change_tables(changes, name_a, name_b)
    return "\n".join(lines) + "\n\n" + (to_markdown(tables) if tables else "")


def pair_name(row: pd.Series) -> str:
    """Return a pair of cells in words: "m", or "m → n" where another model took its place."""
    old, new = cell_name(row["model_a"], row["reranker_a"]), cell_name(row["model_b"], row["reranker_b"])
    return old if old == new else f"{old} → {new}"


def _rows(frame: pd.DataFrame) -> list[pd.Series]:
    return [row for _, row in frame.iterrows()]


def _change(row: pd.Series) -> str:
    if math.isnan(row["difference"]):
        return "–"
    if math.isnan(row["ci_low"]):
        return f"{row['difference']:+.3f}"
    return f"{row['difference']:+.3f} ({row['ci_low']:+.3f}, {row['ci_high']:+.3f})"


def _scores(task: str, split: str, rows: pd.DataFrame, name_a: str, name_b: str, facts: Mapping[str, Any]) -> Table:
    main = rows[rows["main"].astype(bool)]
    metric = str(main["metric"].iloc[0])
    others = [str(name) for name in rows["metric"].unique() if name != metric]
    cells = ["task", "split", "model_a", "reranker_a", "model_b", "reranker_b"]
    other = {name: rows[rows["metric"] == name].set_index(cells) for name in others}
    counted = main["won"].notna().any()
    told = []
    for row in _rows(main):
        key = tuple(row[cells])
        told.append(
            (
                TableCell(pair_name(row)),
                TableCell(_score(row["score_a"])),
                TableCell(_score(row["score_b"])),
                TableCell(_change(row), best=row["verdict"] == "better"),
                TableCell(row["verdict"]),
                *((TableCell(f"{row['won']:.0f}"), TableCell(f"{row['lost']:.0f}")) if counted else ()),
                *(TableCell(_change(other[name].loc[key])) for name in others),
            )
        )
    return Table(
        f"{task} ({split}), {metric}, {int(main['n'].max())} {kind_named(facts['type']).items}{if_sample(facts)}",
        ("Cell", name_a, name_b, "change", "verdict", *(("won", "lost") if counted else ()), *others),
        tuple(told),
        f"Change: {name_b} less {name_a}, in brackets 95 % intervals, paired by query. Verdict: by a paired test, "
        "corrected for the number of cells, 5 %."
        + (" Won, lost: queries whose score got better, worse." if counted else ""),
    )


def _score(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def _queries(title: str, rows: pd.DataFrame) -> Table:
    return Table(
        title,
        ("Query", "Cell", "score", "first relevant at"),
        tuple(
            (
                TableCell(f"{row['query']}: {shortened(row['text'])}"),
                TableCell(pair_name(row)),
                TableCell(f"{row['value_a']:.3f} → {row['value_b']:.3f}"),
                TableCell(f"{_rank(row['rank_a'])} → {_rank(row['rank_b'])}"),
            )
            for row in _rows(rows)
        ),
        text_columns=2,
    )


def shortened(text: str) -> str:
    """Return a query in one line of at most `QUERY_WIDTH` characters."""
    words = " ".join(str(text).split())
    return words if len(words) <= QUERY_WIDTH else words[: QUERY_WIDTH - 1] + "…"


def _rank(rank: float) -> str:
    return "not found" if math.isnan(rank) else f"{rank:.0f}"


def _inputs(inputs: pd.DataFrame, name_a: str, name_b: str) -> Table:
    rows: Sequence[pd.Series] = _rows(inputs)
    return Table(
        "Inputs that differ",
        ("What", name_a, name_b),
        tuple((TableCell(row["what"]), TableCell(row["a"]), TableCell(row["b"])) for row in rows),
        text_columns=3,
    )
