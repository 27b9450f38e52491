"""The frames that a run leaves beside its scores: records by item, the evidence behind them, and what its cells cost.

Records are the source that every other number is derived from. They have one row per cell, item (a query, a pair, and
so on) and name of a value. The name is that of a metric whose score is the mean of its values, fractions; or that of
a similarity, which is held against the gold score of the item; or, of a task with an evaluator of its own, which has
one item, that of a metric whose score it is. A value is NaN where it is undefined. The column is called `metric`.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import pandas as pd

CELL_KEYS = ["task", "split", "model", "reranker"]
GOLD_COLUMNS = ["task", "split", "id", "value"]
"""Of the frame of gold scores, in the data's units: a row an item of each task that has them."""


KEPT = 10
"""Results of a query that are kept; more if the largest top k is more."""
TASK_KEYS = ["task", "split"]
EVIDENCE_COLUMNS = {
    "rankings": [*CELL_KEYS, "query", "rank", "document", "score"],
    "first_relevant": [*CELL_KEYS, "query", "rank"],
    "judgements": [*TASK_KEYS, "query", "document", "grade"],
    "queries": [*TASK_KEYS, "query", "text", "tags"],
    "documents": [*TASK_KEYS, "document", "title", "text"],
    "items": [*TASK_KEYS, "id", "text", "second"],
}


@dataclass(frozen=True)
class Evidence:
    """Frames with the columns in `EVIDENCE_COLUMNS`. In `rankings` labels and ids are categories, ranks count from 1.

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
        return cls(**{name: pd.DataFrame(columns=columns) for name, columns in EVIDENCE_COLUMNS.items()})

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


CELLS, TRUNCATED = "measurements.csv", "truncated.csv"
MEASUREMENT_COLUMNS = [
    *CELL_KEYS,
    "embed_p50_ms", "search_p50_ms", "rerank_p50_ms",
    "latency_p50_ms", "latency_p50_low_ms", "latency_p50_high_ms",
    "latency_p95_ms", "latency_p95_low_ms", "latency_p95_high_ms", "queries",
    "documents_per_second", "index_seconds", "peak_memory_mb", "dim", "vector_bytes", "corpus_bytes",
    "tokens_p50", "tokens_p95", "tokens_max", "documents_truncated", "pairs_truncated",
    "usd_per_million_tokens", "usd_per_thousand_queries", "price_note", "note",
]  # fmt: skip
SPREADS = {
    "latency_p50_ms": ("latency_p50_low_ms", "latency_p50_high_ms"),
    "latency_p95_ms": ("latency_p95_low_ms", "latency_p95_high_ms"),
}
"""The columns of what was measured in rounds, and those of the lowest and the highest round."""
TEXTS = (*CELL_KEYS, "price_note", "note")
TRUNCATED_COLUMNS = ["task", "split", "model", "query", "document"]


@dataclass(frozen=True)
class Measurements:
    """What `evalkit.runner.measure` found. Times depend on the machine and the moment, unlike scores.

    `cells` has a row a cell of the retrieval tasks and the columns `MEASUREMENT_COLUMNS`; NaN: there is no such
    thing, or it is not known, and `note` says why where that is not plain.

    - `embed_p50_ms`, `search_p50_ms`, `rerank_p50_ms`: milliseconds of each stage of a single query; a retriever has
      no embedding, a first stage alone no reranking. `latency_p50_ms`, `latency_p95_ms`: of their sum for the same
      query, over `queries` queries: the shortest time within which that share of them was answered.
    - `latency_p95_low_ms`, `latency_p95_high_ms`, and so of p50: the same of the lowest and of the highest of the six
      rounds in which queries that follow each other are put together (fewer than six queries are a round each). With
      97 % confidence the median of all rounds is between them. NaN of a single query.
    - `documents_per_second`: documents that the model encodes a second, in batches. `index_seconds`: to encode the
      corpus at that rate, and to learn from it where the model does; for a retriever, to index it.
    - `peak_memory_mb`: megabytes (10^6 bytes) that the model, and the reranker, need at most, each in a process of
      its own: beyond its libraries, and without the corpus's vectors; on CUDA, of the device's memory.
    - `dim`, `vector_bytes` (at the vectors' precision), `corpus_bytes`: of the vectors of the corpus.
    - `tokens_p50`, `tokens_p95`, `tokens_max`: the model's tokens of a document, if none were cut off.
      `documents_truncated`, `pairs_truncated`: the share of documents that the model, and of candidates that the
      reranker, reads only in part (fractions).
    - `usd_per_million_tokens`: the model's price, `price_note` the reason if there is none, and the reranker's price.
      `usd_per_thousand_queries`: what its APIs, and the reranker's, charged for the queries measured; 0 if none did.

    `truncated` has a row for each relevant document that a model (or reranker), named by its label in the column
    `model`, reads only in part: task, split, model, query, document.
    """

    cells: pd.DataFrame
    truncated: pd.DataFrame

    @classmethod
    def none(cls) -> Self:
        """No rows."""
        return cls(pd.DataFrame(columns=MEASUREMENT_COLUMNS), pd.DataFrame(columns=TRUNCATED_COLUMNS))

    def write(self, folder: Path) -> None:
        """Write both frames as CSV into the folder of a run."""
        self.cells.to_csv(folder / CELLS, index=False, float_format="%.6g", lineterminator="\n")
        self.truncated.to_csv(folder / TRUNCATED, index=False, lineterminator="\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what `write` wrote; no rows where nothing was measured."""
        if not (folder / CELLS).is_file():
            return cls.none()
        numbers = {
            column: [""] for column in MEASUREMENT_COLUMNS if column not in TEXTS
        }  # "none" and "NA" are names elsewhere
        types = dict.fromkeys(TEXTS, str)
        return cls(
            pd.read_csv(folder / CELLS, dtype=types, keep_default_na=False, na_values=numbers),
            pd.read_csv(folder / TRUNCATED, dtype=str, keep_default_na=False),
        )
