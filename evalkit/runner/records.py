"""Make per-item records of what a grid gives, and the evidence behind them: rankings, judgements and texts."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from evalkit.cell import Cell
from evalkit.metrics import ir
from evalkit.metrics.metric import Metric
from evalkit.metrics.ranking import Judgements, judge
from evalkit.results.records import CELL_KEYS, EVIDENCE_COLUMNS, GOLD_COLUMNS, Evidence
from evalkit.runner.grid import Outcome
from evalkit.tasks.kinds import kind_of
from evalkit.token_counts import count_tokens
from evalkit.types import FloatArray, IntArray, RetrievalTask, Run, Task


def make_records(outcome: Outcome, tasks: Sequence[Task], metrics: Sequence[Metric], depth: int) -> pd.DataFrame:
    """Make the records (see `results.records`) of a grid on its tasks, with these metrics of rankings.

    A metric of ir_measures looks at the first `depth` documents, and cuts them itself.
    """
    parts = [
        _rows(cell, ids, metric, values)
        for task in tasks
        for ids in [kind_of(task).ids(task)]
        for cell, metric, values in _task_records(outcome, task, ids, metrics, depth)
    ]
    columns = [*CELL_KEYS, "id", "metric", "value"]
    records = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    # In order of appearance, which is the order the user gave; models in the order they ran, since one may have
    # no cell in the first task.
    ran = pd.Series([cell.model for cell in outcome.facts], dtype=object)
    appearance = {column: records[column] for column in columns[:-1]} | {"model": ran}
    categories = {column: pd.CategoricalDtype(list(pd.unique(values))) for column, values in appearance.items()}
    return records.astype({**categories, "value": "float64"})


def _rows(cell: Cell, ids: Sequence[str], metric: str, values: FloatArray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "task": cell.task,
            "split": cell.split,
            "model": cell.model,
            "reranker": cell.reranker,
            "id": ids,
            "metric": metric,
            "value": values,
        }
    )


def make_gold(tasks: Sequence[Task]) -> pd.DataFrame:
    """Make the frame of gold scores: one row an item of a task that has them, with the columns `GOLD_COLUMNS`."""
    parts = [
        pd.DataFrame({"task": task.name, "split": task.split, "id": kind_of(task).ids(task), "value": gold})
        for task in tasks
        if (gold := kind_of(task).gold(task)) is not None
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=GOLD_COLUMNS)


def _task_records(
    outcome: Outcome, task: Task, ids: Sequence[str], metrics: Sequence[Metric], depth: int
) -> Iterator[tuple[Cell, str, FloatArray]]:
    label = task.name, task.split
    if isinstance(task, RetrievalTask):
        judgements = Judgements.of(task.qrels, task.document_ids, ids)
        by_tokens = any(metric.tokens is not None for metric in metrics)
        lengths = np.array(count_tokens(task.contents) if by_tokens else [], dtype=np.int64)
        for cell, run in outcome.rankings.items():
            if (cell.task, cell.split) == label:
                judged = judge(run, judgements)
                for metric in metrics:
                    own = metric.definition
                    if own is None:
                        values = ir.values(metric.name, run.cut(depth), task.qrels, task.document_ids, ids)
                    elif metric.tokens is not None:
                        values = own.per_query(judge(run.within(metric.tokens, lengths), judgements), run.depth)
                    else:
                        values = own.per_query(judged, metric.k or run.depth)
                    yield cell, metric.name, values
    for cell, observed in outcome.values.items():
        if (cell.task, cell.split) == label:
            for name, values in observed.items():
                yield cell, name, values


KEPT = 10
"""Results of a query that are kept; more if the largest top k is more."""


def make_evidence(outcome: Outcome, tasks: Sequence[Task], deepest: int) -> Evidence:
    """Make the evidence of a grid on its tasks, with the first `deepest` results of a query, but at least `KEPT`."""
    depth = max(KEPT, deepest)
    rankings: list[pd.DataFrame] = []
    first: list[pd.DataFrame] = []
    rows: dict[str, list[tuple[object, ...]]] = {name: [] for name in EVIDENCE_COLUMNS}
    for task in tasks:
        key = task.name, task.split
        rows["items"] += [(*key, *item) for item in kind_of(task).items_as_texts(task)]
        if not isinstance(task, RetrievalTask):
            continue
        runs = {cell: run for cell, run in outcome.rankings.items() if (cell.task, cell.split) == key}
        ranked = [_ranking(cell, run, task, depth) for cell, run in runs.items()]
        judged = [
            (query.id, document, float(grade))
            for query in task.queries
            for document, grade in task.qrels[query.id].items()
            if grade > 0
        ]
        shown = {document for _, document, _ in judged}.union(*(part["document"].cat.categories for part in ranked))
        rankings += ranked
        first += _first_relevant(runs, task)
        rows["judgements"] += [(*key, *judgement) for judgement in judged]
        rows["queries"] += [
            (*key, query.id, query.text, json.dumps(dict(query.tags), ensure_ascii=False)) for query in task.queries
        ]
        rows["documents"] += [(*key, each.id, each.title, each.text) for each in task.corpus if each.id in shown]
    frames = {name: pd.DataFrame(rows[name], columns=columns) for name, columns in EVIDENCE_COLUMNS.items()}
    joined = {"rankings": _together("rankings", rankings), "first_relevant": _together("first_relevant", first)}
    return Evidence(**{**frames, **joined})


def _ranking(cell: Cell, run: Run, task: RetrievalTask, depth: int) -> pd.DataFrame:
    documents = run.documents[:, :depth]
    queries, places = np.nonzero(documents >= 0)
    kept, codes = np.unique(documents[queries, places], return_inverse=True)
    ids = task.document_ids
    return pd.DataFrame(
        {
            **_labels(cell, task, queries),
            "rank": places + 1,
            "document": pd.Categorical.from_codes(codes, _texts(ids[row] for row in kept.tolist())),
            "score": run.scores[queries, places],
        }
    )


def _first_relevant(runs: Mapping[Cell, Run], task: RetrievalTask) -> Iterator[pd.DataFrame]:
    ids = task.document_ids
    judgements = Judgements.of(task.qrels, ids, [query.id for query in task.queries])
    for cell, run in runs.items():
        relevant = judge(run, judgements).gains > 0
        ranks = np.where(relevant, np.arange(1, run.depth + 1), np.inf).min(axis=1, initial=np.inf)
        yield pd.DataFrame(
            {**_labels(cell, task, np.arange(len(ranks))), "rank": np.where(np.isinf(ranks), np.nan, ranks)}
        )


def _labels(cell: Cell, task: RetrievalTask, queries: IntArray) -> dict[str, pd.Categorical]:
    """Return the cell, and the ids of queries by row, as columns."""
    return {
        **{key: pd.Categorical([getattr(cell, key)]).take(np.zeros_like(queries)) for key in CELL_KEYS},
        "query": pd.Categorical.from_codes(queries, _texts(query.id for query in task.queries)),
    }


def _texts(ids: Iterable[str]) -> pd.Index:
    """Return ids as categories, of text even where there are none: pandas joins categories of one kind only."""
    return pd.Index(list(ids), dtype=str)


def _together(name: str, parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return one frame of all rows, in which categories stay categories: as text they would take many times the
    memory.
    """
    columns = EVIDENCE_COLUMNS[name]
    if not parts:
        return pd.DataFrame(columns=columns)
    return pd.DataFrame(
        {
            column: union_categoricals([part[column] for part in parts])
            if isinstance(parts[0][column].dtype, pd.CategoricalDtype)
            else np.concatenate([part[column] for part in parts])
            for column in columns
        }
    )
