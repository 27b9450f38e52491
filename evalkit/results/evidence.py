"""What is behind the scores: rankings, judgements and texts, so that any query can be looked at without a model."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from evalkit.grid import Cell, Outcome
from evalkit.metrics.ranking import Judgements, judge
from evalkit.results.records import CELL_KEYS
from evalkit.types import IntArray, RetrievalTask, Run, StsTask, Task

KEPT = 10
"""Results of a query that are kept; more if the largest top k is more."""
TASK_KEYS = ["task", "split"]
COLUMNS = {
    "rankings": [*CELL_KEYS, "query", "rank", "document", "score"],
    "first_relevant": [*CELL_KEYS, "query", "rank"],
    "judgements": [*TASK_KEYS, "query", "document", "grade"],
    "queries": [*TASK_KEYS, "query", "text", "tags"],
    "documents": [*TASK_KEYS, "document", "title", "text"],
    "pairs": [*TASK_KEYS, "id", "sentence1", "sentence2"],
}


@dataclass(frozen=True)
class Evidence:
    """Frames with the columns in `COLUMNS`. In `rankings` labels and ids are categories, ranks count from 1.

    `first_relevant` has a row for each query of each cell: the rank of its first relevant document among all that the
    cell ranked (all candidates, however few `rankings` holds); NaN where none of them is relevant.
    `judgements` holds grades above 0, `queries` those that are judged, with their tags as a JSON object, `documents`
    those that are in a ranking here or relevant, `pairs` the sentences of STS tasks.
    """

    rankings: pd.DataFrame
    first_relevant: pd.DataFrame
    judgements: pd.DataFrame
    queries: pd.DataFrame
    documents: pd.DataFrame
    pairs: pd.DataFrame

    @classmethod
    def none(cls) -> Self:
        """No rows."""
        return cls(**{name: pd.DataFrame(columns=columns) for name, columns in COLUMNS.items()})

    @classmethod
    def of(cls, outcome: Outcome, tasks: Sequence[Task], top_k: Sequence[int]) -> Self:
        """The evidence of a grid on its tasks."""
        depth = max(KEPT, *top_k)
        rankings: list[pd.DataFrame] = []
        first: list[pd.DataFrame] = []
        rows: dict[str, list[tuple[object, ...]]] = {name: [] for name in COLUMNS}
        for task in tasks:
            key = task.name, task.split
            if isinstance(task, StsTask):
                sentences = zip(task.pair_ids, task.sentences1, task.sentences2, strict=True)
                rows["pairs"] += [(*key, *pair) for pair in sentences]
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
            shown = {document for _, document, _ in judged}.union(
                *(part["document"].cat.categories for part in ranked)
            )
            rankings += ranked
            first += _first_relevant(runs, task)
            rows["judgements"] += [(*key, *judgement) for judgement in judged]
            rows["queries"] += [
                (*key, query.id, query.text, json.dumps(dict(query.tags), ensure_ascii=False))
                for query in task.queries
            ]
            rows["documents"] += [(*key, each.id, each.title, each.text) for each in task.corpus if each.id in shown]
        frames = {name: pd.DataFrame(rows[name], columns=columns) for name, columns in COLUMNS.items()}
        joined = {"rankings": _together("rankings", rankings), "first_relevant": _together("first_relevant", first)}
        return cls(**{**frames, **joined})

    def write(self, folder: Path) -> None:
        """Write each frame as a parquet file."""
        folder.mkdir(parents=True, exist_ok=True)
        for each in fields(self):
            getattr(self, each.name).to_parquet(folder / f"{each.name}.parquet", index=False)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what `write` wrote; no rows where the folder was left out, to share scores alone."""
        if not folder.is_dir():
            return cls.none()
        return cls(**{each.name: pd.read_parquet(folder / f"{each.name}.parquet") for each in fields(cls)})


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
    """The cell, and the ids of queries by row, as columns."""
    return {
        **{key: pd.Categorical([getattr(cell, key)]).take(np.zeros_like(queries)) for key in CELL_KEYS},
        "query": pd.Categorical.from_codes(queries, _texts(query.id for query in task.queries)),
    }


def _texts(ids: Iterable[str]) -> pd.Index:
    """Ids as categories, of text even where there are none: pandas joins categories of one kind only."""
    return pd.Index(list(ids), dtype=str)


def _together(name: str, parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One frame of all rows, in which categories stay categories: as text they would take many times the memory."""
    columns = COLUMNS[name]
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
