"""Tasks with hostile data: folders in BEIR's layout, LlamaIndex datasets, and files of sentence pairs."""

import json
from pathlib import Path

HEAD = "query-id\tcorpus-id\tscore"
CORPUS = [
    ("d1", "cats sleep on warm roofs"),
    ("d2", "trains brake over a long way"),
    ("d3", "rails bend in the heat"),
]
QUERIES = [("q1", "where do cats sleep"), ("q2", "how far do trains brake")]
QRELS = [("q1", "d1", 1), ("q2", "d2", 1)]


def lines(rows) -> bytes:
    """JSONL of (id, text) pairs, or of rows as they are; bytes stay bytes."""
    if isinstance(rows, bytes):
        return rows
    found = [{"_id": row[0], "text": row[1]} if isinstance(row, tuple) else row for row in rows]
    return "".join(json.dumps(row) + "\n" for row in found).encode()


def beir(folder: Path, corpus=CORPUS, queries=QUERIES, qrels=QRELS) -> str:
    """A folder in BEIR's layout; each part is rows, or the bytes of its file."""
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_bytes(lines(corpus))
    (folder / "queries.jsonl").write_bytes(lines(queries))
    table = qrels if isinstance(qrels, bytes) else "\n".join([HEAD, *("\t".join(map(str, row)) for row in qrels)])
    (folder / "qrels" / "test.tsv").write_bytes(table if isinstance(table, bytes) else table.encode())
    return str(folder)


def dataset(folder: Path, corpus, queries, relevant) -> str:
    """A LlamaIndex dataset, whose ids may be any text."""
    folder.mkdir(parents=True)
    content = {"corpus": dict(corpus), "queries": dict(queries), "relevant_docs": relevant}
    (folder / "task.json").write_text(json.dumps(content))
    return str(folder / "task.json")


def pairs(folder: Path, content: bytes | list) -> str:
    """A CSV file of sentence pairs, or JSONL of rows."""
    folder.mkdir(parents=True)
    if isinstance(content, bytes):
        (folder / "pairs.csv").write_bytes(content)
        return str(folder / "pairs.csv")
    rows = [dict(zip(("sentence1", "sentence2", "score"), row, strict=True)) for row in content]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / "pairs.jsonl")
