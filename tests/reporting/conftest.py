"""A report on hostile texts, and a browser to read it in."""

import json
from pathlib import Path

import pytest

import evalkit
from evalkit.reporting.html import write_report
from evalkit.results import Results

SCRIPT = '</script><script>window.broken = true</script><img src=x onerror="window.broken = true">'
QUOTES = "what \"does\" it 'cost' & <b>who</b> pays\u2028? </script>"
BEASTS = ("cat", "dog", "fish", "bird", "horse", "goat", "crab", "wolf", "bear", "hare", "toad", "mole")


def write_hostile_tasks(folder: Path) -> tuple[str, str]:
    """A retrieval task and an STS task whose texts would run if they were markup."""
    root = folder / "beasts"
    (root / "qrels").mkdir(parents=True)
    documents = [
        {"_id": f"d-{beast}", "title": f"<i>{beast}</i>", "text": f"The {beast} lives in the {beast} house. {SCRIPT}"}
        for beast in BEASTS
    ]
    queries = [{"_id": f"q-{beast}", "text": f"where does the {beast} live"} for beast in BEASTS[:-1]]
    queries.append({"_id": "q-mole", "text": QUOTES})
    for name, rows in (("corpus", documents), ("queries", queries)):
        (root / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    qrels = "".join(f"q-{beast}\td-{beast}\t1\n" for beast in BEASTS)
    (root / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels)
    pairs = [
        {"sentence1": f"a {beast} {SCRIPT}", "sentence2": f"the {BEASTS[row // 2]}", "score": row % 6}
        for row, beast in enumerate(BEASTS)
    ]
    (folder / "likeness.jsonl").write_text("\n".join(map(json.dumps, pairs)) + "\n")
    return str(root), str(folder / "likeness.jsonl")


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory) -> Path:
    """The folder of a run over hostile texts: three models, one that fails, a reranker, two tasks."""
    folder = tmp_path_factory.mktemp("hostile")
    evalkit.run(
        models=["bm25", "tfidf", "tfidf?ngrams=2", "glove:no-such-file.txt"], tasks=list(write_hostile_tasks(folder)),
        rerankers="bm25", top_k=3, device="cpu", out=folder / "a & <b>run",
    )  # fmt: skip
    return folder / "a & <b>run"


@pytest.fixture(scope="session")
def report_file(hostile_run) -> Path:
    """The report on it."""
    path = hostile_run.parent / "report.html"
    write_report({hostile_run.name: Results.read(hostile_run)}, path)
    return path
