"""What cells cost, measured: latency, throughput, memory, bytes, tokens, prices. Not among the scores."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pandas as pd

from evalkit.results.records import CELL_KEYS

CELLS, TRUNCATED = "measurements.csv", "truncated.csv"
COLUMNS = [
    *CELL_KEYS,
    "embed_p50_ms", "search_p50_ms", "rerank_p50_ms", "latency_p50_ms", "latency_p95_ms", "queries",
    "documents_per_second", "index_seconds", "peak_memory_mb", "dim", "vector_bytes", "corpus_bytes",
    "tokens_p50", "tokens_p95", "tokens_max", "documents_truncated", "pairs_truncated",
    "usd_per_million_tokens", "usd_per_thousand_queries", "price_note", "note",
]  # fmt: skip
TEXTS = (*CELL_KEYS, "price_note", "note")
TRUNCATED_COLUMNS = ["task", "split", "model", "query", "document"]


@dataclass(frozen=True)
class Measurements:
    """What `evalkit.measure` found. Times depend on the machine and the moment, unlike scores.

    `cells` has a row a cell of the retrieval tasks and the columns `COLUMNS`; NaN: there is no such thing, or it is
    not known, and `note` says why where that is not plain.

    - `embed_p50_ms`, `search_p50_ms`, `rerank_p50_ms`: milliseconds of each stage of a single query; a retriever has
      no embedding, a first stage alone no reranking. `latency_p50_ms`, `latency_p95_ms`: of their sum for the same
      query, over `queries` queries.
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
        return cls(pd.DataFrame(columns=COLUMNS), pd.DataFrame(columns=TRUNCATED_COLUMNS))

    def write(self, folder: Path) -> None:
        """Write both frames as CSV into the folder of a run."""
        self.cells.to_csv(folder / CELLS, index=False, float_format="%.6g", lineterminator="\n")
        self.truncated.to_csv(folder / TRUNCATED, index=False, lineterminator="\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what `write` wrote; no rows where nothing was measured."""
        if not (folder / CELLS).is_file():
            return cls.none()
        numbers = {column: [""] for column in COLUMNS if column not in TEXTS}  # "none" and "NA" are names elsewhere
        types = dict.fromkeys(TEXTS, str)
        return cls(
            pd.read_csv(folder / CELLS, dtype=types, keep_default_na=False, na_values=numbers),
            pd.read_csv(folder / TRUNCATED, dtype=str, keep_default_na=False),
        )
