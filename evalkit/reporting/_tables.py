"""The tables of a run, derived from its results."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from evalkit.cell import NO_RERANKER
from evalkit.metrics.metric import Metric, main_of
from evalkit.reporting._published import published_tables
from evalkit.reporting._significance import (
    TIED,
    across_tables,
    asked,
    gains_table,
    marked,
    places,
    thin_cells,
    what_shows,
)
from evalkit.reporting.measurements import loss_tables, measurement_tables
from evalkit.reporting.sections import added_tables
from evalkit.reporting.table import Table, TableCell, in_brackets
from evalkit.results import Results
from evalkit.results.comparisons import against_best
from evalkit.results.facts import MOST_COUNTED, read_notes
from evalkit.results.scores import is_thin
from evalkit.tasks.kinds import kind_named

INTERVALS = "In brackets: 95 % intervals."
GRID = ("hit_rate", "MRR")
"""What the grid of embedders and rerankers shows, where it was computed; elsewhere the main metric."""
METRICS_SHOWN = 4
"""Of a task with an evaluator of its own: the main metric and a few more; scores.csv has all."""


def make_tables(results: Results) -> list[Table]:
    """Return all tables of a run: per task its scores and the grid; what cells cost and where their misses come from,
    if it was measured; then published figures, notes, coverage, costs, failures.
    """
    tables = []
    for task in results.tasks:
        is_task = (results.scores["task"] == task["task"]) & (results.scores["split"] == task["split"])
        scores = results.scores[is_task]
        if scores.empty:
            continue
        if not kind_named(task["type"]).ranks:
            tables.append(_table(results, task, scores))
            continue
        for metrics in _by_cut_off(results.metrics(task["task"], task["split"], in_tables=True)):
            main = main_of(metrics, results.provenance.get("main_metrics", ()))
            tables.append(_retrieval_table(results, task, scores[scores["reranker"] == NO_RERANKER], metrics, main))
            if scores["reranker"].nunique() > 1:
                tables += [_grid_table(results, task, scores, metrics, main), gains_table(results, task, main)]
    tables += across_tables(results)
    if not results.measurements.cells.empty:
        tables += measurement_tables(results)
        tables += [table for k in results.provenance["top_k"] for table in loss_tables(results, k)]
    further = _notes_table(results) + _coverage_table(results) + _cost_table(results) + _failure_table(results)
    tables += published_tables(results) + added_tables(results) + further
    if not results.missing:
        return tables
    partial = [replace(table, title=f"PARTIAL: {table.title}") for table in tables]
    return [_missing_table(results), *partial]


def _by_cut_off(metrics: Sequence[Metric]) -> list[list[Metric]]:
    """Group metrics by the rank that they are cut at, ascending; those without a cut-off come last.

    Those that are cut at a number of tokens stand in the first group, before the others.
    """
    by_tokens = [metric for metric in metrics if metric.tokens is not None]
    others = [metric for metric in metrics if metric.tokens is None]
    cuts = sorted({metric.k for metric in others}, key=lambda k: math.inf if k is None else k)
    first, *more = [[metric for metric in others if metric.k == k] for k in cuts] or [[]]
    return [[*by_tokens, *first], *more]


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


def _table(results: Results, task: Mapping[str, Any], scores: pd.DataFrame) -> Table:
    """Return the scores of a task that is not scored by rankings."""
    kind, label = kind_named(task["type"]), (task["task"], task["split"])
    main = results.main_metric(*label)
    if main.compared == "none":
        return _untested_table(results, task, scores)
    others = [each for each in results.metrics(*label, in_tables=True) if each != main]
    # Correlations of the same similarity beside each other.
    others.sort(key=lambda metric: metric.similarity != main.similarity)
    by_metric = {metric: found.set_index("model") for metric, found in scores.groupby("metric", sort=False)}
    board = against_best(results, *label, main.name)
    order = board["model"].tolist()
    labels = [(model, NO_RERANKER) for model in order]
    items = by_metric[main.name].loc[order, "n"]
    thin = is_thin(board).tolist()
    return Table(
        f"{kind.title}: {task['task']} ({task['split']}), {asked(task)}"
        + ("" if kind.scale == 1 else f", scores × {kind.scale:g}"),
        ("Model", "Rank", main.title, *(_short(metric, main) for metric in others), kind.items),
        _rows(
            order,
            places(labels, board),
            marked(_scored(by_metric[main.name].loc[order], main, kind.form, kind.scale, thin), labels, board),
            *(
                _scored(by_metric[metric.name].loc[order], metric, kind.form, kind.scale, thin)
                if metric.similarity == main.similarity
                else _best_in_column(
                    [kind.form.format(kind.scale * value) for value in by_metric[metric.name].loc[order, "score"]],
                    metric,
                    thin,
                )
                for metric in others
            ),
            _plain(items),
        ),
        _notes(
            INTERVALS if scores["ci_low"].notna().any() else "",
            f"{kind.items.capitalize()} with a text of which the model knows no word are left out."
            if items.min() < task[kind.items]
            else "",
            thin_cells(board, task[kind.items], kind.items),
            TIED if len(order) > 1 else "",
            what_shows(board, kind.items, kind.form, kind.scale),
        ),
    )


def _short(metric: Metric, main: Metric) -> str:
    """Return a title that lets all columns stand side by side in a terminal."""
    if metric.similarity == main.similarity:
        return metric.title
    for word, short in (("Spearman", "Sp."), ("euclidean", "eucl."), ("manhattan", "manh.")):
        metric = replace(metric, title=metric.title.replace(word, short))
    return metric.title


def _untested_table(results: Results, task: Mapping[str, Any], scores: pd.DataFrame) -> Table:
    """Return scores that have no items behind them, and so neither intervals nor tests."""
    metrics = results.metrics(task["task"], task["split"])[:METRICS_SHOWN]
    by_metric = {each: scores[scores["metric"] == each.name].set_index("model")["score"] for each in metrics}
    main = metrics[0]
    order = by_metric[main].sort_values(ascending=not main.higher_is_better, kind="stable").index.tolist()
    return Table(
        f"{task.get('kind', kind_named(task['type']).title)}: {task['task']} ({task['split']}), {asked(task)}",
        ("Model", *(each.title for each in metrics)),
        _rows(
            order,
            *(_best_in_column([f"{v:.3f}" for v in found.loc[order]], each) for each, found in by_metric.items()),
        ),
        f"Ranked by {main.title}, the task's main score; scores.csv has all metrics.",
    )


def _retrieval_table(
    results: Results, task: Mapping[str, Any], scores: pd.DataFrame, metrics: Sequence[Metric], main: Metric
) -> Table:
    first_stages = {(str(model), NO_RERANKER) for model in scores["model"].unique()}
    boards = {each: against_best(results, task["task"], task["split"], each.name, first_stages) for each in metrics}
    by_metric = {each: scores[scores["metric"] == each.name].set_index("model") for each in metrics}
    order = boards[main]["model"].tolist()
    labels = [(model, NO_RERANKER) for model in order]
    excluded, kind = task["excluded_queries"], kind_named(task["type"])
    return Table(
        f"{kind.title}: {task['task']} ({task['split']}), {asked(task)}, {task['documents']} documents",
        ("Model", "Rank", *(each.title for each in metrics)),
        _rows(
            order,
            places(labels, boards[main]),
            *(
                marked(_scored(by_metric[each].loc[order], each, "{:.3f}", 1), labels, boards[each])
                for each in metrics
            ),
        ),
        _notes(
            INTERVALS if scores["ci_low"].notna().any() else "",
            f"Ranked by {main.title}." if len(order) > 1 else "",
            f"{excluded} more queries have no relevant document and are excluded." if excluded else "",
            TIED if len(order) > 1 else "",
            what_shows(boards[main]),
        ),
    )


def _grid_table(
    results: Results, task: Mapping[str, Any], scores: pd.DataFrame, metrics: Sequence[Metric], main: Metric
) -> Table:
    rerankers = list(dict.fromkeys(scores["reranker"]))
    models = list(dict.fromkeys(scores["model"]))
    crossed = [metric for metric in metrics if metric.name in {f"{name}@{main.k}" for name in GRID}] or [main]
    boards = {metric: against_best(results, task["task"], task["split"], metric.name) for metric in crossed}
    columns, titles, half_widths = [], ["Embedder"], []
    for reranker in rerankers:
        for metric, board in boards.items():
            found = scores[(scores["reranker"] == reranker) & (scores["metric"] == metric.name)]
            by_model = found.set_index("model").reindex(models)
            half_widths.append((by_model["ci_high"] - by_model["ci_low"]).max() / 2)
            values = ["failed" if pd.isna(value) else f"{value:.4f}" for value in by_model["score"]]
            cells = _best_in_column(values, metric)
            columns.append(marked(cells, [(model, reranker) for model in models], board))
            title = metric.title.removesuffix(f"@{main.k}")
            titles.append(f"{'no reranker' if reranker == NO_RERANKER else reranker}: {title}")
    reach = max(half_widths)
    intervals = f"95 % intervals reach up to ±{reach:.3f} here (scores.csv has each): smaller gaps may be noise."
    at = "" if main.k is None else f"at {main.k} "
    candidates = results.provenance["candidates"]
    return Table(
        f"Grid: {task['task']} ({task['split']}), {at}over {candidates} candidates, {asked(task)}",
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


def _scored(
    found: pd.DataFrame, metric: Metric, form: str, scale: float, thin: Sequence[bool] = ()
) -> list[TableCell]:
    """Return scores with their intervals; the best score marked, which is none of those that are `thin`."""
    cells = _best_in_column([form.format(scale * value) for value in found["score"]], metric, thin)
    bounds = zip(found["ci_low"], found["ci_high"], strict=True)
    return [
        replace(cell, text=cell.text + in_brackets(*bound, form, scale))
        for cell, bound in zip(cells, bounds, strict=True)
    ]


def _best_in_column(values: Sequence[str], metric: Metric, thin: Sequence[bool] = ()) -> list[TableCell]:
    """Mark the best shown value, and those shown equal to it; none of those that are `thin`."""
    numbers = [
        None if value in ("failed", "nan") or is_out else metric.sign * float(value)
        for value, is_out in zip(values, thin or [False] * len(values), strict=True)
    ]
    top = max((number for number in numbers if number is not None), default=None)
    return [
        TableCell(value, number is not None and number == top) for value, number in zip(values, numbers, strict=True)
    ]
