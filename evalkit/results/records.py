"""Per-query records: the source that every other number is derived from."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from evalkit.grid import Cell, Outcome
from evalkit.metrics.ranking import RANKING_METRICS, Judgements, judge
from evalkit.types import EvaluatorTask, FloatArray, RetrievalTask, StsTask, Task

CELL_KEYS = ["task", "split", "model", "reranker"]
GOLD = "gold"
SAMPLES = "samples"
WHOLE = "all"
"""The id in records of scores that are of a task as a whole."""


def make_records(outcome: Outcome, tasks: Sequence[Task], top_k: Sequence[int]) -> pd.DataFrame:
    """One row per cell, query or pair, and metric: columns task, split, model, reranker, id, metric, value.

    For retrieval the metrics are `hit_rate@5` and so on, as fractions. For STS they are the similarities of
    the pair, and `gold`, in the data's units; NaN where a similarity is undefined. A task with an evaluator of
    its own has one row a metric, with the id "all", and `samples`, what the scores are taken over.
    """
    parts = [
        _rows(cell, ids, metric, values)
        for task in tasks
        for cell, ids, metric, values in _task_records(outcome, task, top_k)
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


def _task_records(
    outcome: Outcome, task: Task, top_k: Sequence[int]
) -> Iterator[tuple[Cell, Sequence[str], str, FloatArray]]:
    if isinstance(task, StsTask):
        return _sts(outcome, task)
    if isinstance(task, RetrievalTask):
        return _retrieval(outcome, task, top_k)
    return _whole(outcome, task)


def _retrieval(
    outcome: Outcome, task: RetrievalTask, top_k: Sequence[int]
) -> Iterator[tuple[Cell, Sequence[str], str, FloatArray]]:
    query_ids = [query.id for query in task.queries]
    judgements = Judgements.of(task.qrels, task.document_ids, query_ids)
    for cell, run in outcome.rankings.items():
        if (cell.task, cell.split) == (task.name, task.split):
            judged = judge(run, judgements)
            for k in top_k:
                for name, metric in RANKING_METRICS.items():
                    yield cell, query_ids, f"{name}@{k}", metric(judged, k)


def _sts(outcome: Outcome, task: StsTask) -> Iterator[tuple[Cell, Sequence[str], str, FloatArray]]:
    for cell, similarities in outcome.similarities.items():
        if (cell.task, cell.split) == (task.name, task.split):
            for name, values in similarities.items():
                yield cell, task.pair_ids, name, values
            yield cell, task.pair_ids, GOLD, np.asarray(task.gold)


def _whole(outcome: Outcome, task: EvaluatorTask) -> Iterator[tuple[Cell, Sequence[str], str, FloatArray]]:
    for cell, scores in outcome.scores.items():
        if (cell.task, cell.split) == (task.name, task.split):
            for name, value in {**scores, SAMPLES: task.samples}.items():
                yield cell, [WHOLE], name, np.array([value], dtype=np.float64)
