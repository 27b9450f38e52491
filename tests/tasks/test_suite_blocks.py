"""A corpus that stays on disk: the same task as one in memory, read in blocks."""

import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest

import evalkit
from evalkit.errors import DataError
from evalkit.tasks import _blocks as blocks
from evalkit.tasks import _hashing as hashing
from evalkit.tasks import load_task
from evalkit.tasks._blocks import BlockCorpus
from evalkit.tasks.reference import bundled_tasks

RAG_MINI = bundled_tasks() / "rag-mini"


def rows(name):
    return [json.loads(line) for line in (RAG_MINI / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def jsonl(folder, parts):
    """Blank lines and a mark of the byte order, as files have them."""
    texts = [
        f"{chr(0xFEFF) if not part else ''}{json.dumps(row, ensure_ascii=False)}\n\n"
        for part, row in enumerate(rows("corpus"))
    ]
    if parts == 1:
        (folder / "corpus.jsonl").write_text("".join(texts), encoding="utf-8")
        (folder / "queries.jsonl").write_bytes((RAG_MINI / "queries.jsonl").read_bytes())
    else:
        (folder / "corpus").mkdir()
        for number, part in enumerate(np.array_split(np.arange(len(texts)), parts)):
            (folder / "corpus" / f"part{number}.jsonl").write_text(
                "".join(texts[row] for row in part), encoding="utf-8"
            )
        (folder / "queries.jsonl").write_bytes((RAG_MINI / "queries.jsonl").read_bytes())
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_bytes((RAG_MINI / "qrels/test.tsv").read_bytes())


def parquet(folder, parts):
    """As the hub keeps it, in row groups of uneven sizes."""
    grades = pd.read_csv(RAG_MINI / "qrels/test.tsv", sep="\t", dtype={0: str, 1: str})
    for name, count in (("corpus", parts), ("queries", 1), ("qrels", 1)):
        (folder / name).mkdir()
        frame = grades if name == "qrels" else pd.DataFrame(rows(name))
        for number, part in enumerate(np.array_split(np.arange(len(frame)), count)):
            file = f"{'test' if name == 'qrels' else name}-{number:05d}-of-{count:05d}.parquet"
            frame.iloc[part].to_parquet(folder / name / file, row_group_size=13)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_DOCUMENTS", 7)
    monkeypatch.setattr(hashing, "RUN", 50)
    monkeypatch.setattr(hashing, "FILES", 3)


@pytest.fixture
def expected(monkeypatch):
    """The task in memory; from then on a file that large is not read into it."""
    task = load_task("rag-mini")
    monkeypatch.setattr(blocks, "IN_MEMORY_BYTES", 100)
    return task


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("write", [jsonl, parquet])
@pytest.mark.parametrize("parts", [1, 3])
def test_the_same_task_as_in_memory(write, parts, expected, tmp_path):
    write(tmp_path, parts)
    found = load_task(str(tmp_path))
    assert isinstance(found.corpus, BlockCorpus)
    assert not isinstance(expected.corpus, BlockCorpus)
    assert found.content_hash == expected.content_hash
    assert (found.queries, found.qrels, found.excluded) == (expected.queries, expected.qrels, expected.excluded)
    assert list(found.corpus) == list(expected.corpus)
    assert list(found.document_ids) == list(expected.document_ids)
    asked = [
        (5, 40),
        (None,),
        (350, 999),
        (3, 30, 4),
        (8, 8),
        (100, 120),
        (120, 125),
        (124, 141),
        (250, 251),
        (60, 300),
    ]
    for index in itertools.starmap(slice, asked):
        assert found.corpus[index] == list(expected.corpus[index])
        assert found.contents[index] == expected.contents[index]
    assert [found.corpus[row] for row in (359, 0, -1, 14)] == [expected.corpus[row] for row in (359, 0, -1, 14)]
    with pytest.raises(IndexError):
        found.corpus[360]


@pytest.mark.usefixtures("small_blocks")
def test_a_run_gives_the_same_bytes(tmp_path):
    parquet(tmp_path, 2)
    scores = {}
    for name, task in {"memory": "rag-mini", "disk": str(tmp_path)}.items():
        results = evalkit.run(
            models="bm25,tfidf,word2vec:train?size=20", tasks=task, rerankers="bm25", max_queries=20, device="cpu",
            store=tmp_path / name,
        )  # fmt: skip
        assert results.failures == []
        scores[name] = results.scores.drop(columns=["task"])
    assert scores["memory"].equals(scores["disk"])


@pytest.mark.usefixtures("small_blocks", "expected")
def test_faults_are_told_as_for_a_corpus_in_memory(tmp_path):
    jsonl(tmp_path, 1)
    with (tmp_path / "corpus.jsonl").open("a", encoding="utf-8") as file:
        first = rows("corpus")[0]["_id"]
        file.write(json.dumps({"_id": first, "text": " "}) + "\n")
    with (tmp_path / "qrels" / "test.tsv").open("a") as file:
        file.write(f"{rows('queries')[0]['_id']}\tnowhere\t1\n")
    with pytest.raises(DataError) as caught:
        load_task(str(tmp_path))
    for problem in (
        f"corpus.jsonl: repeated document id (1): {first!r}", "corpus.jsonl: document with no text",
        "judgement of an absent document (1): 'nowhere'",
    ):  # fmt: skip
        assert re.search(re.escape(problem), str(caught.value))


def test_small_files_are_read_into_memory(tmp_path):
    jsonl(tmp_path, 1)
    assert isinstance(load_task(str(tmp_path)).corpus, tuple)
