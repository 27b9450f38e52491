"""Tables of what cells cost, and of where their misses come from."""

import math
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from evalkit.cell import NO_RERANKER, cell_name
from evalkit.reporting._significance import asked
from evalkit.reporting.table import Table, TableCell
from evalkit.results import Results
from evalkit.results.misses import attribute
from evalkit.results.records import SPREADS

COSTS: Mapping[str, str] = {
    "latency_p50_ms": "p50 ms",
    "latency_p95_ms": "p95 ms",
    "embed_p50_ms": "embed ms",
    "search_p50_ms": "search ms",
    "rerank_p50_ms": "rerank ms",
    "documents_per_second": "documents/s",
    "index_seconds": "index s",
    "peak_memory_mb": "memory MB",
    "dim": "dim",
    "vector_bytes": "bytes a vector",
    "corpus_bytes": "corpus MB",
    "documents_truncated": "documents cut %",
    "pairs_truncated": "pairs cut %",
    "usd_per_million_tokens": "USD/M tokens",
    "usd_per_thousand_queries": "USD/1000 queries",
}
SCALES = {"corpus_bytes": 1e-6, "documents_truncated": 100, "pairs_truncated": 100}
LOSSES: Mapping[str, str] = {
    "missed": "missed",
    "not_in_corpus": "not in the corpus",
    "not_found": "not among the candidates",
    "not_lifted": "among them, below k",
    "demoted": "pushed out by the reranker",
    "missed_truncated": "missed, passage cut",
    "relevant_truncated": "passages cut",
    "relevant_truncated_by_reranker": "cut by the reranker",
}


def measurement_tables(results: Results) -> list[Table]:
    """Tell what the cells of each task cost, if that was measured."""
    cells = results.measurements.cells
    return [
        _measured(str(task), str(split), found)
        for (task, split), found in cells.groupby(["task", "split"], sort=False)
    ]


def _measured(task: str, split: str, cells: pd.DataFrame) -> Table:
    told = cells.to_dict("records")
    shown = {column: title for column, title in COSTS.items() if cells[column].notna().any()}
    if not cells["usd_per_thousand_queries"].any():
        shown.pop("usd_per_thousand_queries", None)
    rows = [
        (
            TableCell(cell["model"]),
            TableCell("–" if cell["reranker"] == NO_RERANKER else cell["reranker"]),
            *(TableCell(_with_spread(cell, column)) for column in shown),
        )
        for cell in told
    ]
    fewest, most = cells["queries"].min(), cells["queries"].max()
    notes = [
        "Milliseconds of single queries, warm, one at a time: medians, but for p95"
        + ("." if pd.isna(most) else f", of {_range(int(fewest), int(most))} queries.")
        + " In brackets: the lowest and the highest of the rounds that they were timed in; where those of two "
        "overlap, neither was shown to be faster.",
        "Memory: beyond the libraries'. Cut: longer than the model reads. –: there is none, or it is not known.",
        *dict.fromkeys(f"{cell['model']}: {cell['price_note']}." for cell in told if "USD" in cell["price_note"]),
        *(f"{cell_name(cell['model'], cell['reranker'])}: {cell['note']}" for cell in told if cell["note"]),
    ]
    title = f"Cost: {task} ({split})"
    return Table(title, ("Model", "Reranker", *shown.values()), tuple(rows), " ".join(notes), text_columns=2)


def loss_tables(results: Results, k: int) -> list[Table]:
    """Tell where the misses of each task's cells come from, at k."""
    losses = attribute(results, k)
    tasks = {(task["task"], task["split"]): task for task in results.provenance["tasks"]}
    return [
        _lost(tasks[str(task), str(split)], found, k, results.provenance["candidates"])
        for (task, split), found in losses.groupby(["task", "split"], sort=False)
    ]


def _lost(task: Mapping[str, Any], losses: pd.DataFrame, k: int, candidates: int) -> Table:
    shown = {column: title for column, title in LOSSES.items() if losses[column].notna().any()}
    rows = [
        (
            TableCell(cell["model"]),
            TableCell("–" if cell["reranker"] == NO_RERANKER else cell["reranker"]),
            *(TableCell("–" if pd.isna(cell[column]) else f"{cell[column]:.0f}") for column in shown),
        )
        for _, cell in losses.iterrows()
    ]
    relevant = losses["relevant"].max()
    return Table(
        f"Missed at {k}: {task['task']} ({task['split']}), {asked(task)}, {relevant} relevant passages",
        ("Model", "Reranker", *shown.values()),
        tuple(rows),
        f"A query is missed if no relevant passage is in its first {k}, of {candidates} candidates. Each missed one "
        "is in one of the parts beside. Cut: longer than the model reads.",
        text_columns=2,
    )


def _with_spread(cell: Mapping[Hashable, Any], column: str) -> str:
    """Write what was measured, and in brackets the lowest and the highest round."""
    number = as_number(SCALES.get(column, 1) * cell[column])
    low, high = (cell[end] for end in SPREADS[column]) if column in SPREADS else (math.nan, math.nan)
    return number if math.isnan(low) else f"{number} ({as_number(low)}–{as_number(high)})"


def _range(fewest: int, most: int) -> str:
    return str(most) if fewest == most else f"{fewest} to {most}"


def as_number(value: float) -> str:
    """Write three significant digits, or all before the point."""
    if math.isnan(value):
        return "–"
    digits = 2 if value == 0 else 2 - math.floor(math.log10(abs(value)))
    return f"{value:,.{max(0, digits)}f}".rstrip("0").rstrip(".") if digits > 0 else f"{value:,.0f}"
