"""Tables for people, derived from results; how they are drawn is for the renderers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from evalkit.grid.cells import NO_RERANKER
from evalkit.results import Results

TITLES = {"hit_rate": "Hit Rate", "mrr": "MRR", "ndcg": "nDCG", "recall": "Recall"}


@dataclass(frozen=True)
class TableCell:
    """A piece of text; `best` marks the best value of its column."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A titled table: column names, rows of as many cells, a note below; columns after `text_columns` are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    note: str = ""
    text_columns: int = 1


def make_tables(results: Results) -> list[Table]:
    """All tables of a run: per task STS, first stage and grid; then coverage and failures, if any."""
    tables = []
    for task in results.provenance["tasks"]:
        is_task = (results.scores["task"] == task["task"]) & (results.scores["split"] == task["split"])
        scores = results.scores[is_task]
        if scores.empty:
            continue
        if task["type"] == "sts":
            tables.append(_sts_table(task, scores))
            continue
        for k in results.provenance["top_k"]:
            tables.append(_retrieval_table(task, scores[scores["reranker"] == NO_RERANKER], k))
            if scores["reranker"].nunique() > 1:
                tables.append(_grid_table(task, scores, k, results.provenance["candidates"]))
    return tables + _coverage_table(results) + _failure_table(results)


def _sts_table(task: dict[str, Any], scores: pd.DataFrame) -> Table:
    wide = scores.pivot(index="model", columns="metric", values="score")
    cosine = scores[scores["metric"] == "spearman_cosine"].set_index("model")
    order = cosine["score"].sort_values(ascending=False, kind="stable").index.tolist()
    shown = ["spearman_cosine", "pearson_cosine", "spearman_dot", "spearman_euclidean", "spearman_manhattan"]
    columns = [_best_in_column([f"{value:.2f}" for value in 100 * wide.loc[order, name]]) for name in shown]
    intervals = [_interval(100 * cosine.loc[model], 2) for model in order]
    pairs = [str(n) for n in cosine.loc[order, "n"]]
    left_out = task["pairs"] - cosine["n"].min()
    return Table(
        f"STS: {task['task']} ({task['split']}), {task['pairs']} pairs, correlation × 100",
        ("Model", "Spearman cosine", "95 % interval", "Pearson cosine", "Spearman dot", "Spearman euclidean",
         "Spearman manhattan", "pairs"),
        _rows(order, columns[0], _plain(intervals), *columns[1:], _plain(pairs)),
        "Pairs with a text of which the model knows no word are left out of its score." if left_out else "",
    )  # fmt: skip


def _retrieval_table(task: dict[str, Any], scores: pd.DataFrame, k: int) -> Table:
    by_metric = {name: scores[scores["metric"] == f"{name}@{k}"].set_index("model") for name in TITLES}
    order = by_metric["ndcg"]["score"].sort_values(ascending=False, kind="stable").index.tolist()
    columns, titles = [], ["Model"]
    for name, title in TITLES.items():
        columns.append(_best_in_column([f"{value:.4f}" for value in by_metric[name].loc[order, "score"]]))
        columns.append(_plain([_interval(by_metric[name].loc[model], 3) for model in order]))
        titles += [f"{title}@{k}", "95 % interval"]
    excluded = task["excluded_queries"]
    return Table(
        f"Retrieval: {task['task']} ({task['split']}), {task['queries']} queries, {task['documents']} documents",
        tuple(titles),
        _rows(order, *columns),
        f"{excluded} queries have no relevant document and are excluded." if excluded else "",
    )


def _grid_table(task: dict[str, Any], scores: pd.DataFrame, k: int, candidates: int) -> Table:
    rerankers = list(dict.fromkeys(scores["reranker"]))
    models = list(dict.fromkeys(scores["model"]))
    columns, titles, half_widths = [], ["Embedder"], []
    for reranker in rerankers:
        for name in ("hit_rate", "mrr"):
            found = scores[(scores["reranker"] == reranker) & (scores["metric"] == f"{name}@{k}")]
            by_model = found.set_index("model").reindex(models)
            half_widths.append((by_model["ci_high"] - by_model["ci_low"]).max() / 2)
            values = ["failed" if pd.isna(value) else f"{value:.4f}" for value in by_model["score"]]
            columns.append(_best_in_column(values))
            titles.append(f"{'no reranker' if reranker == NO_RERANKER else reranker}: {TITLES[name]}")
    return Table(
        f"Grid: {task['task']} ({task['split']}), at {k} over {candidates} candidates, {task['queries']} queries",
        tuple(titles),
        _rows(models, *columns),
        f"95 % intervals reach up to ±{max(half_widths):.3f} here (scores.csv has each): smaller gaps may be noise.",
    )


def _coverage_table(results: Results) -> list[Table]:
    known = [cell for cell in results.provenance["cells"] if "oov_rate" in cell]
    rows = tuple(
        (
            TableCell(cell["model"]),
            TableCell(f"{cell['task']} ({cell['split']})"),
            TableCell("–" if cell["oov_rate"] is None else f"{100 * cell['oov_rate']:.1f} %"),
            TableCell(str(len(cell["texts_without_known_word"]))),
        )
        for cell in known
        if cell["oov_rate"] or cell["texts_without_known_word"]
    )
    columns = ("Model", "Task", "unknown words", "texts without a known word")
    return [Table("Vocabulary", columns, rows, text_columns=2)] if rows else []


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


def _best_in_column(values: Sequence[str]) -> list[TableCell]:
    """The highest shown value, and those shown equal to it, are best."""
    numbers = [float(value) for value in values if value not in ("failed", "nan")]
    top = max(numbers, default=None)
    return [TableCell(value, value not in ("failed", "nan") and float(value) == top) for value in values]


def _interval(row: pd.Series, digits: int) -> str:
    return f"{row['ci_low']:.{digits}f} – {row['ci_high']:.{digits}f}"
