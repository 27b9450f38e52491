"""What a chunking costs: its chunks, and what the models make of them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from evalkit.cell import cell_name
from evalkit.picking._choice import Choice
from evalkit.reporting.measurements import SCALES, as_number
from evalkit.reporting.table import Table, TableCell
from evalkit.results import Results

MEASURED = ("index_seconds", "corpus_bytes", "documents_truncated")
COLUMNS: Mapping[str, str] = {
    "chunks": "chunks",
    "chunks_per_file_p50": "a file",
    "chunks_per_file_p95": "p95",
    "chunks_per_file_max": "most",
    "tokens_p50": "tokens",
    "tokens_p95": "p95",
    "tokens_max": "most",
    "tokens_at_k": "handed on at {k}",
    "documents_truncated": "cut %",
    "index_seconds": "index s",
    "corpus_bytes": "vectors MB",
}


def with_costs(statistics: pd.DataFrame, tokens: Mapping[tuple[str, str], int], results: Results) -> pd.DataFrame:
    """Return a row a chunking, model and reranker: the chunking's `statistics`, and what was measured with the
    models.

    `tokens` has the tokens of each chunk by its chunking's label and its id. `tokens_at_k` is their mean sum over the
    first k results of a question, k the largest: the text that is handed on. Index time, bytes of vectors and the
    share of chunks that the model reads only in part are those of `Measurements`.
    """
    k = max(results.provenance["top_k"])
    ranked = results.evidence.rankings
    ranked = ranked[ranked["rank"] <= k]
    keys = ["split", "model", "reranker"]
    chunks = zip(ranked["split"].astype(str), ranked["document"].astype(str), strict=True)
    of_result = np.array([tokens[chunk] for chunk in chunks], dtype=np.float64)
    of_query = ranked.assign(tokens=of_result).astype(dict.fromkeys(keys, str))
    handed_on = of_query.groupby([*keys, "query"], observed=True)["tokens"].sum().groupby(keys).sum()
    asked = results.evidence.queries.groupby("split", observed=True)["query"].nunique().rename(str)
    questions = asked.reindex(handed_on.index.get_level_values("split")).to_numpy()
    at_k = (handed_on / questions).rename("tokens_at_k").reset_index().astype(dict.fromkeys(keys, str))
    measured = results.measurements.cells[[*keys, *MEASURED]]
    cells = measured.merge(at_k, on=keys, how="left", sort=False).rename(columns={"split": "chunking"})
    cells["tokens_at_k"] = cells["tokens_at_k"].fillna(0)  # what finds nothing hands on nothing
    return statistics.merge(cells, on="chunking", how="left", sort=False)


def chunking_table(chunkings: pd.DataFrame, choice: Choice, k: int) -> Table:
    """Return the chunkings with the models of one choice, which is marked."""
    rows = chunkings[(chunkings["model"] == choice.model) & (chunkings["reranker"] == choice.reranker)]
    first = chunkings.iloc[0]
    return Table(
        f"Chunkings, with {cell_name(choice.model, choice.reranker)}",
        ("Chunking", *(title.format(k=k) for title in COLUMNS.values())),
        tuple(
            (
                TableCell(row["chunking"], best=row["chunking"] == choice.chunking),
                *(TableCell(as_number(SCALES.get(column, 1) * row[column])) for column in COLUMNS),
            )
            for row in rows.to_dict("records")
        ),
        f"{first['files']} files were read, {first['skipped']} skipped. Tokens are LlamaIndex's; handed on: what the "
        f"first {k} results of a question have together. Cut: longer than the model reads. Bold: as named above.",
    )
