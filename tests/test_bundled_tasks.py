"""The bundled sets hold what they promise, and travel inside the wheel."""

import json
import re
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from evalkit.tasks import load_task
from evalkit.types import RetrievalTask, StsTask

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def rag() -> RetrievalTask:
    task = load_task("rag-mini")
    assert isinstance(task, RetrievalTask)
    return task


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.lower()) if len(word) > 3}


def test_sts_has_every_grade_and_pairs_that_mislead() -> None:
    task = load_task("sts-mini")
    assert isinstance(task, StsTask)
    assert len(task.gold) >= 200
    assert all((task.gold == grade).sum() >= 20 for grade in range(6))
    overlap = [
        len(_words(a) & _words(b)) / max(1, len(_words(a) | _words(b)))
        for a, b in zip(task.sentences1, task.sentences2, strict=True)
    ]
    pairs = list(zip(overlap, task.gold, strict=True))
    assert sum(shared >= 0.5 and gold <= 2.5 for shared, gold in pairs) >= 20
    assert sum(shared <= 0.1 and gold >= 4 for shared, gold in pairs) >= 20


def test_rag_has_its_passages_queries_and_grades(rag: RetrievalTask) -> None:
    corpus = (ROOT / "tasks/rag-mini/corpus.jsonl").read_text(encoding="utf-8").splitlines()
    subjects = Counter(json.loads(line)["metadata"]["subject"] for line in corpus)
    assert len(rag.corpus) >= 300
    assert len(subjects) >= 10
    assert len(rag.queries) >= 200
    assert {grade for grades in rag.qrels.values() for grade in grades.values()} == {1.0, 2.0}
    assert sum(len(grades) > 1 for grades in rag.qrels.values()) >= 40
    assert {query.tags["kind"] for query in rag.queries} == {"keyword", "paraphrase", "detail", "multi"}


def test_paraphrases_share_few_words_with_their_answers(rag: RetrievalTask) -> None:
    content = {document.id: _words(document.content) for document in rag.corpus}
    common = {word for word, count in Counter(w for words in content.values() for w in words).items() if count > 36}
    shared = [
        min(len((_words(query.text) & content[doc]) - common) for doc, g in rag.qrels[query.id].items() if g == 2)
        for query in rag.queries
        if query.tags["kind"] == "paraphrase"
    ]
    assert len(shared) >= 60
    assert sum(count <= 1 for count in shared) >= 0.95 * len(shared)


def test_passages_have_near_duplicates(rag: RetrievalTask) -> None:
    words = [_words(document.content) for document in rag.corpus]
    similar = sum(
        any(len(a & b) / len(a | b) > 0.2 for other, b in enumerate(words) if other != row)
        for row, a in enumerate(words)
    )
    assert similar >= 50


def test_the_wheel_carries_tasks_and_suites(tmp_path: Path) -> None:
    command = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run([sys.executable, "-m", "pip", *command], check=True, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    for file in (
        "rag-mini/corpus.jsonl",
        "rag-mini/qrels/test.tsv",
        "sts-mini/task.yaml",
        "suites/demo.yaml",
        "suites/sbert-paper.csv",
    ):
        assert f"evalkit/bundled_tasks/{file}" in names
    assert "evalkit/models/registry/catalogue.yaml" in names
    assert "evalkit/py.typed" in names
