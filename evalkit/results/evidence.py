"""What is behind the scores: rankings, judgements and texts, so that any query can be looked at without a model."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import pandas as pd

from evalkit.results.records import CELL_KEYS

KEPT = 10
"""Results of a query that are kept; more if the largest top k is more."""
TASK_KEYS = ["task", "split"]
COLUMNS = {
    "rankings": [*CELL_KEYS, "query", "rank", "document", "score"],
    "first_relevant": [*CELL_KEYS, "query", "rank"],
    "judgements": [*TASK_KEYS, "query", "document", "grade"],
    "queries": [*TASK_KEYS, "query", "text", "tags"],
    "documents": [*TASK_KEYS, "document", "title", "text"],
    "items": [*TASK_KEYS, "id", "text", "second"],
}


@dataclass(frozen=True)
class Evidence:
    """Frames with the columns in `COLUMNS`. In `rankings` labels and ids are categories, ranks count from 1.

    `first_relevant` has a row for each query of each cell: the rank of its first relevant document among all that the
    cell ranked (all candidates, however few `rankings` holds); NaN where none of them is relevant.
    `judgements` holds grades above 0, `queries` those that are judged, with their tags as a JSON object, `documents`
    those that are in a ranking here or relevant, `items` the
    texts of each item of other tasks (`second` is empty where an item has one).
    """

    rankings: pd.DataFrame
    first_relevant: pd.DataFrame
    judgements: pd.DataFrame
    queries: pd.DataFrame
    documents: pd.DataFrame
    items: pd.DataFrame

    @classmethod
    def none(cls) -> Self:
        """No rows."""
        return cls(**{name: pd.DataFrame(columns=columns) for name, columns in COLUMNS.items()})

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
