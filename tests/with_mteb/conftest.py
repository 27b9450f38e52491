"""mteb's own task classes with local data in them, and no network."""

import json
import socket
from pathlib import Path

import pytest

from evalkit.compute import Compute
from evalkit.registry import build, parse_spec


@pytest.fixture(autouse=True)
def _no_socket(monkeypatch):
    """Any connection fails the test, even one whose failure somebody swallows."""
    opened = []

    def refuse(self, address):
        opened.append(address)
        raise OSError("no network in these tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    yield
    assert opened == [], "a socket was opened"


@pytest.fixture
def feed(monkeypatch):
    """Gives a task class of mteb data in place of its download: `feed("STSBenchmark", dataset)`."""
    import mteb

    def give(name, dataset):
        def load_data(self, *args, **kwargs):
            self.dataset, self.data_loaded = dataset() if callable(dataset) else dataset, True

        monkeypatch.setattr(type(mteb.get_task(name)), "load_data", load_data)
        return mteb.get_task(name)

    return give


def read_jsonl(path: Path, limit: int | None = None) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[:limit]]


@pytest.fixture(scope="session")
def sts_data(data_dir):
    from datasets import Dataset, DatasetDict

    return DatasetDict(test=Dataset.from_list(read_jsonl(data_dir / "stsb-en/test.jsonl")))


@pytest.fixture(scope="session")
def cranfield(data_dir):
    """Cranfield as mteb's retrieval data, without the two documents that have no text."""
    from datasets import Dataset

    folder = data_dir / "cranfield"
    corpus = [
        {"id": row["_id"], "title": row["title"], "text": row["text"]}
        for row in read_jsonl(folder / "corpus.jsonl")
        if row["text"].strip()
    ]
    queries = [{"id": row["_id"], "text": row["text"]} for row in read_jsonl(folder / "queries.jsonl")]
    ids = {row["id"] for row in corpus}
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels/test.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        if document in ids:
            qrels.setdefault(query, {})[document] = int(grade)

    def fresh():
        split = {"corpus": Dataset.from_list(corpus), "queries": Dataset.from_list(queries)}
        return {"default": {"test": {**split, "relevant_docs": dict(qrels), "top_ranked": None}}}

    return fresh


@pytest.fixture(scope="session")
def potion(data_dir):
    """The spec of a static model that is quick to run."""
    return f"static:{data_dir / 'potion-base-4m-int8'}"


@pytest.fixture(scope="session")
def potion_model(potion):
    return build(parse_spec(potion), Compute())
