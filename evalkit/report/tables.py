"""The tables of a run, derived from its results."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from evalkit.grid.cells import NO_RERANKER
from evalkit.grid.reading import MOST_COUNTED
from evalkit.report.measurements import loss_tables, measurement_tables
from evalkit.report.published import published_tables
from evalkit.report.significance import (
    TIED,
    across_tables,
    asked,
    gains_table,
    marked,
    places,
    thin_cells,
    what_shows,
)
from evalkit.report.table import Table, TableCell, in_brackets
from evalkit.results import Results
from evalkit.results.comparisons import against_best
from evalkit.results.coverage import is_thin
from evalkit.results.notes import read_notes

INTERVALS = "In brackets: 95 % intervals."
METRICS_SHOWN = 4
"""Of a task with an evaluator of its own: the main metric and a few more; scores.csv has all."""
TITLES = {"hit_rate": "Hit Rate", "mrr": "MRR", "ndcg": "nDCG", "recall": "Recall"}


def make_tables(results: Results) -> list[Table]:
    """All tables of a run: per task its scores and the grid; what cells cost and where their misses come from, if it
    was measured; then published figures, notes, coverage, costs, failures.
    """
    tables = []
    for task in results.provenance["tasks"]:
        is_task = (results.scores["task"] == task["task"]) & (results.scores["split"] == task["split"])
        scores = results.scores[is_task]
        if scores.empty:
            continue
        if task["type"] == "sts":
            tables.append(_sts_table(results, task, scores))
            continue
        if task["type"] == "evaluator":
            tables.append(_evaluator_table(task, scores))
            continue
        for k in results.provenance["top_k"]:
            tables.append(_retrieval_table(results, task, scores[scores["reranker"] == NO_RERANKER], k))
            if scores["reranker"].nunique() > 1:
                tables += [_grid_table(results, task, scores, k), gains_table(results, task, k)]
    tables += across_tables(results)
    if not results.measurements.cells.empty:
        tables += measurement_tables(results)
        tables += [table for k in results.provenance["top_k"] for table in loss_tables(results, k)]
    further = _notes_table(results) + _coverage_table(results) + _cost_table(results) + _failure_table(results)
    tables += published_tables(results) + further
    if not results.missing:
        return tables
    partial = [replace(table, title=f"PARTIAL: {table.title}") for table in tables]
    return [_missing_table(results), *partial]


def _missing_table(results: Results) -> Table:
    missing = results.missing
    rows = tuple(tuple(TableCell(cell[key]) for key in ("model", "reranker", "task", "split")) for cell in missing)
    done = len(results.provenance["cells"])
    return Table(
        f"PARTIAL: interrupted with {done} cell(s) finished; these {len(missing)} are missing",
        ("Model", "Reranker", "Task", "Split"),
        rows,
        "Run the same command again: what was computed is in the store.",
        text_columns=4,
    )


def _sts_table(results: Results, task: dict[str, Any], scores: pd.DataFrame) -> Table:
    by_metric = {metric: found.set_index("model") for metric, found in scores.groupby("metric", sort=False)}
    board = against_best(results, task["task"], task["split"], "spearman_cosine")
    order = board["model"].tolist()
    labels = [(model, NO_RERANKER) for model in order]
    pairs = by_metric["spearman_cosine"].loc[order, "n"]
    thin = is_thin(board).tolist()
    return Table(
        f"STS: {task['task']} ({task['split']}), {asked(task)}, Spearman and Pearson × 100",
        ("Model", "Rank", "Spearman cosine", "Pearson cosine", "Sp. dot", "Sp. eucl.", "Sp. manh.", "pairs"),
        _rows(
            order,
            places(labels, board),
            marked(_scored(by_metric["spearman_cosine"].loc[order], "{:.1f}", 100, thin), labels, board),
            _scored(by_metric["pearson_cosine"].loc[order], "{:.1f}", 100, thin),
            *(
                _best_in_column(
                    [f"{value:.1f}" for value in 100 * by_metric[f"spearman_{name}"].loc[order, "score"]], thin
                )
                for name in ("dot", "euclidean", "manhattan")
            ),
            _plain(pairs),
        ),
        _notes(
            INTERVALS if scores["ci_low"].notna().any() else "",
            "Pairs with a text of which the model knows no word are left out." if pairs.min() < task["pairs"] else "",
            thin_cells(board, task["pairs"], "pairs"),
            TIED if len(order) > 1 else "",
            what_shows(board, "pairs", "{:.1f}", 100),
        ),
    )


def _evaluator_table(task: dict[str, Any], scores: pd.DataFrame) -> Table:
    metrics = list(dict.fromkeys(scores["metric"]))[:METRICS_SHOWN]
    by_metric = {metric: scores[scores["metric"] == metric].set_index("model")["score"] for metric in metrics}
    order = by_metric[metrics[0]].sort_values(ascending=False, kind="stable").index.tolist()
    return Table(
        f"{task['kind']}: {task['task']} ({task['split']}), {task['samples']} samples",
        ("Model", *(metric.replace("_", " ") for metric in metrics)),
        _rows(order, *(_best_in_column([f"{v:.3f}" for v in found.loc[order]]) for found in by_metric.values())),
        f"Ranked by {metrics[0].replace('_', ' ')}, the task's main score; scores.csv has all metrics.",
    )


def _retrieval_table(results: Results, task: dict[str, Any], scores: pd.DataFrame, k: int) -> Table:
    by_metric = {name: scores[scores["metric"] == f"{name}@{k}"].set_index("model") for name in TITLES}
    first_stages = {(str(model), NO_RERANKER) for model in scores["model"].unique()}
    boards = {
        name: against_best(results, task["task"], task["split"], f"{name}@{k}", first_stages) for name in TITLES
    }
    order = boards["ndcg"]["model"].tolist()
    labels = [(model, NO_RERANKER) for model in order]
    excluded = task["excluded_queries"]
    return Table(
        f"Retrieval: {task['task']} ({task['split']}), {asked(task)}, {task['documents']} documents",
        ("Model", "Rank", *(f"{title}@{k}" for title in TITLES.values())),
        _rows(
            order,
            places(labels, boards["ndcg"]),
            *(marked(_scored(by_metric[name].loc[order], "{:.3f}", 1), labels, boards[name]) for name in TITLES),
        ),
        _notes(
            INTERVALS if scores["ci_low"].notna().any() else "",
            "Ranked by nDCG." if len(order) > 1 else "",
            f"{excluded} more queries have no relevant document and are excluded." if excluded else "",
            TIED if len(order) > 1 else "",
            what_shows(boards["ndcg"]),
        ),
    )


def _grid_table(results: Results, task: dict[str, Any], scores: pd.DataFrame, k: int) -> Table:
    rerankers = list(dict.fromkeys(scores["reranker"]))
    models = list(dict.fromkeys(scores["model"]))
    boards = {name: against_best(results, task["task"], task["split"], f"{name}@{k}") for name in ("hit_rate", "mrr")}
    columns, titles, half_widths = [], ["Embedder"], []
    for reranker in rerankers:
        for name, board in boards.items():
            found = scores[(scores["reranker"] == reranker) & (scores["metric"] == f"{name}@{k}")]
            by_model = found.set_index("model").reindex(models)
            half_widths.append((by_model["ci_high"] - by_model["ci_low"]).max() / 2)
            values = ["failed" if pd.isna(value) else f"{value:.4f}" for value in by_model["score"]]
            columns.append(marked(_best_in_column(values), [(model, reranker) for model in models], board))
            titles.append(f"{'no reranker' if reranker == NO_RERANKER else reranker}: {TITLES[name]}")
    reach = max(half_widths)
    intervals = f"95 % intervals reach up to ±{reach:.3f} here (scores.csv has each): smaller gaps may be noise."
    candidates = results.provenance["candidates"]
    return Table(
        f"Grid: {task['task']} ({task['split']}), at {k} over {candidates} candidates, {asked(task)}",
        tuple(titles),
        _rows(models, *columns),
        _notes("Too few queries for intervals." if pd.isna(reach) else intervals, TIED),
    )


def _notes(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def _notes_table(results: Results) -> list[Table]:
    rows = tuple(
        (TableCell(note.model or "all"), TableCell(", ".join(note.tasks)), TableCell(note.sentence))
        for note in read_notes(results.provenance)
    )
    return [Table("Notes", ("Model", "Task", "Note"), rows, text_columns=3)] if rows else []


def _coverage_table(results: Results) -> list[Table]:
    known = [cell for cell in results.provenance["cells"] if "oov_rate" in cell]
    rows = dict.fromkeys(  # what a reranker knows is the same behind each model
        (
            TableCell(cell["model"] if cell["reranker"] == NO_RERANKER else cell["reranker"]),
            TableCell(f"{cell['task']} ({cell['split']})"),
            TableCell("–" if cell["oov_rate"] is None else f"{100 * cell['oov_rate']:.1f} %"),
            TableCell(str(len(cell["texts_without_known_word"]))),
            TableCell(str(len(cell["texts_without_word"])) if "texts_without_word" in cell else "–"),
        )
        for cell in known
        if cell["oov_rate"] or cell["texts_without_known_word"]
    )
    columns = ("Model", "Task", "unknown words", "texts without a known word", "of these without any word")
    note = (
        "A query without a known word finds nothing; a transformer reads all such texts of a length alike. Without "
        "any word: empty, or of stop words alone. "
        f"For a transformer, at most {MOST_COUNTED:,} documents and as many queries are looked at."
    )
    return [Table("Vocabulary", columns, tuple(rows), note, text_columns=2)] if rows else []


def _cost_table(results: Results) -> list[Table]:
    costs = results.provenance.get("costs", {})
    rows = tuple(
        (
            TableCell(model),
            TableCell(f"{cost['texts']:,}"),
            TableCell(f"{cost['requests'] + cost['unanswered']:,}"),
            TableCell(f"{about}{cost['tokens']:,}"),
            TableCell("unknown" if cost["usd"] is None else f"{about if cost['usd'] else ''}{cost['usd']:.6f}"),
        )
        for model, cost in costs.items()
        for about in ["about " if cost["estimated"] else ""]
    )
    columns = ("Model", "texts or pairs", "requests", "tokens", "USD")
    note = "What this run paid for, at the catalogue's prices; what was in the store cost nothing."
    return [Table("Cost", columns, rows, note)] if rows else []


def _failure_table(results: Results) -> list[Table]:
    rows = tuple(
        tuple(TableCell(failure[key]) for key in ("model", "reranker", "task", "split", "reason"))
        for failure in results.failures
    )
    columns = ("Model", "Reranker", "Task", "Split", "Reason")
    return [Table("Failed", columns, rows, text_columns=len(columns))] if rows else []


def _rows(labels: Sequence[str], *columns: Sequence[TableCell]) -> tuple[tuple[TableCell, ...], ...]:
    return tuple(zip(_plain(labels), *columns, strict=True))


def _plain(texts: Sequence[str]) -> list[TableCell]:
    return [TableCell(str(text)) for text in texts]


def _scored(found: pd.DataFrame, form: str, scale: float, thin: Sequence[bool] = ()) -> list[TableCell]:
    """Scores with their intervals; the best score marked, which is none of those that are `thin`."""
    cells = _best_in_column([form.format(scale * value) for value in found["score"]], thin)
    bounds = zip(found["ci_low"], found["ci_high"], strict=True)
    return [
        replace(cell, text=cell.text + in_brackets(*bound, form, scale))
        for cell, bound in zip(cells, bounds, strict=True)
    ]


def _best_in_column(values: Sequence[str], thin: Sequence[bool] = ()) -> list[TableCell]:
    """The highest shown value, and those shown equal to it, are best; none of those that are `thin`."""
    numbers = [
        None if value in ("failed", "nan") or is_out else float(value)
        for value, is_out in zip(values, thin or [False] * len(values), strict=True)
    ]
    top = max((number for number in numbers if number is not None), default=None)
    return [
        TableCell(value, number is not None and number == top) for value, number in zip(values, numbers, strict=True)
    ]
