"""The bundled retrieval task as a folder of one's own, changed on request."""

import json
from pathlib import Path

from evalkit.tasks.reference import bundled_tasks


def copied_task(folder: Path, drop_query=None, reword_query=None, add_document=False):
    """Write it. Returns the folder, or the ids of the queries that were dropped and reworded."""
    original = bundled_tasks() / "rag-mini"
    (folder / "qrels").mkdir(parents=True)
    lines = {name: (original / f"{name}.jsonl").read_text().splitlines() for name in ("corpus", "queries")}
    queries = [json.loads(line) for line in lines["queries"]]
    changed = [queries[row]["_id"] for row in (drop_query, reword_query) if row is not None]
    if reword_query is not None:
        queries[reword_query]["text"] += " please"
    if drop_query is not None:
        del queries[drop_query]
    documents = lines["corpus"] + ([json.dumps({"_id": "new", "text": "Another page."})] if add_document else [])
    (folder / "corpus.jsonl").write_text("\n".join(documents))
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    kept = {query["_id"] for query in queries}
    head, *rows = (original / "qrels" / "test.tsv").read_text().splitlines()
    (folder / "qrels" / "test.tsv").write_text(
        "\n".join([head, *(row for row in rows if row.split("\t")[0] in kept)])
    )
    return changed or folder
