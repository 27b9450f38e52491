"""What stands beside a chunking in a table: how many chunks it makes, and how long they are."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from evalkit.picking.documents.chunking import Chunk, Chunking, count_tokens
from evalkit.picking.documents.folder import Folder

if TYPE_CHECKING:
    import pandas as pd


def chunk_statistics(folder: Folder, chunkings: Mapping[Chunking, Sequence[Chunk]]) -> "pd.DataFrame":
    """A row a chunking: its label, files, skipped, chunks, and p50, p95 and max of chunks a file and tokens a chunk.

    Percentiles are float64 (linear between two values), all else int64. Tokens are counted as `Chunking` says.
    """
    import pandas as pd

    rows: list[dict[str, object]] = []
    for chunking, chunks in chunkings.items():
        per_file = Counter(chunk.file for chunk in chunks)
        rows.append(
            {
                "chunking": chunking.label,
                "files": len(folder.files),
                "skipped": len(folder.skipped),
                "chunks": len(chunks),
                **_spread("chunks_per_file", [per_file[file.name] for file in folder.files]),
                **_spread("tokens", count_tokens(chunk.text for chunk in chunks)),
            }
        )
    return pd.DataFrame(rows)


def _spread(name: str, counts: Sequence[int]) -> dict[str, object]:
    middle, high = np.percentile(counts, [50, 95])
    return {f"{name}_p50": float(middle), f"{name}_p95": float(high), f"{name}_max": max(counts)}
