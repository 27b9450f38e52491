"""Peak memory and time by size of corpus: loading, encoding and searching one that stays on disk.

A corpus in parquet of N documents of about 40 words, 100 queries, vectors of 384 float32 (1,536 bytes each) that
cost next to nothing to compute. Each figure is of a process of its own: the most memory it held, less what it held
once everything was imported (on Linux). "load" reads and checks the task; "encode" is a first run, which encodes the
corpus into the store and searches it; "search" is a second one, which searches what the store has.

What stays flat is what does not grow with N; the table tells what does, in bytes a document. The time of "encode" is
what evalkit needs for itself: reading, keys, commits, the search. No model is faster than that.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from hashlib import sha512
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from side_by_side import report

import evalkit
from evalkit.compute import Compute
from evalkit.models._dense import DenseEmbedder
from evalkit.models.registry import parse_spec
from evalkit.runner.measure._child import peak_megabytes, start_counting
from evalkit.tasks import load_task

DIM, QUERIES, AT_ONCE = 384, 100, 50_000
STEPS = ("load", "encode", "search")


class Hashed(DenseEmbedder):
    """Vectors of what a text hashes to."""

    def __init__(self) -> None:
        super().__init__(parse_spec("sbert:hashed").options, {"family": "hashed"})

    def raw(self, texts: Sequence[str], prompt: str, advance: object) -> np.ndarray:
        """Float32 of shape (n_texts, DIM)."""
        found = b"".join(sha512(text.encode()).digest() * (DIM // 64) for text in texts)
        return np.frombuffer(found, dtype=np.int8).reshape(-1, DIM).astype(np.float32)


def write_task(folder: Path, documents: int) -> None:
    """The corpus in row groups, and queries that each have one relevant document."""
    rng = np.random.default_rng(0)
    words = np.array(["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 6)) for _ in range(5_000)])
    (folder / "qrels").mkdir(parents=True)
    schema = pa.schema([("_id", pa.string()), ("text", pa.string())])
    with pq.ParquetWriter(folder / "corpus.parquet", schema) as writer:
        for start in range(0, documents, AT_ONCE):
            rows = range(start, min(documents, start + AT_ONCE))
            texts = [" ".join(line) for line in words[rng.integers(len(words), size=(len(rows), 40))]]
            writer.write_table(pa.table([[f"document-{row}" for row in rows], texts], schema=schema))
    queries = [{"_id": f"q{row}", "text": f"question {row}"} for row in range(QUERIES)]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    judged = "\n".join(f"q{row}\tdocument-{row}\t1" for row in range(QUERIES))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}\n")


def step(name: str, folder: Path) -> tuple[float, float]:
    """Megabytes that a step took at most, beyond what its process held before, and seconds."""
    small = folder / "small"
    if not small.exists():
        write_task(small, QUERIES)
    run(small, folder / f"store of {name}")  # what is imported, compiled and opened once
    before, started = start_counting(), time.perf_counter()
    if name == "load":
        load_task(str(folder / "large"))
    else:
        run(folder / "large", folder / "store")
    return peak_megabytes(Compute(), before), time.perf_counter() - started


def run(task: Path, store: Path) -> None:
    """A run of the model on the task."""
    keys = {"models": [("hashed", Hashed())], "top_k": 100, "device": "cpu"}
    results = evalkit.run(tasks=str(task), store=store, **keys)
    if results.failures:
        raise SystemExit(str(results.failures))


def main() -> None:
    """Measure, print and write reports/benchmarks/streaming.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", default="200000,1000000,2000000", help="sizes, comma-separated")
    parser.add_argument("--step", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        print(json.dumps(step(asked.step[0], Path(asked.step[1]))))
        return
    sizes = [int(size) for size in asked.documents.split(",")]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in STEPS}
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            write_task(Path(name) / "large", size)
            for each in STEPS:
                command = [sys.executable, __file__, "--step", each, name]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
                found[each].append(tuple(json.loads(done.stdout)))
    rows: list[dict[str, object]] = []
    for each, measured in found.items():
        row: dict[str, object] = {"step": each}
        for size, (peak, seconds) in zip(sizes, measured, strict=True):
            row |= {f"{size:,}: MB": round(peak), f"{size:,}: s": round(seconds, 1)}
        if len(sizes) > 1:
            row["bytes a document"] = round((measured[-1][0] - measured[0][0]) * 1e6 / (sizes[-1] - sizes[0]))
        rows.append(row)
    report("streaming", {"steps": rows}, {})


if __name__ == "__main__":
    main()
