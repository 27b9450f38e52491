"""Make per-item records of what a grid gives."""

from collections.abc import Iterator, Sequence

import pandas as pd

from evalkit.cell import Cell
from evalkit.metrics import ir
from evalkit.metrics.metric import Metric
from evalkit.metrics.ranking import Judgements, judge
from evalkit.results.records import CELL_KEYS, GOLD_COLUMNS
from evalkit.runner.grid import Outcome
from evalkit.tasks.kinds import kind_of
from evalkit.types import FloatArray, RetrievalTask, Task


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
        for cell, run in outcome.rankings.items():
            if (cell.task, cell.split) == label:
                judged = judge(run, judgements)
                for metric in metrics:
                    if (own := metric.definition) is not None and metric.k is not None:
                        values = own.per_query(judged, metric.k)
                    else:
                        values = ir.values(metric.name, run.cut(depth), task.qrels, task.document_ids, ids)
                    yield cell, metric.name, values
    for cell, observed in outcome.values.items():
        if (cell.task, cell.split) == label:
            for name, values in observed.items():
                yield cell, name, values
