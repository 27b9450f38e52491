"""mteb's own task classes with local data in them, and no network."""

import json
import socket
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from evalkit.models.weights import locate


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


@pytest.fixture(scope="session", autouse=True)
def _no_stacks():
    """torch keeps the stack of each seed that is set, for devices that may yet be started; mteb sets one for each of
    the thousands of tasks that it makes, and inside pytest stacks are deep.
    """
    with pytest.MonkeyPatch.context() as patched:
        for module in (torch.cuda, torch.mtia, torch.xpu):
            patched.setattr(module, "traceback", SimpleNamespace(format_stack=list))
        yield


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


@pytest.fixture
def unrounded(monkeypatch):
    """What mteb has before it rounds retrieval scores to 5 digits: means by pytrec_eval's names."""
    kept = {}

    def keep(self, scores, qrels, results, **_):
        for name in next(iter(scores.values())):
            kept[name] = float(np.mean([of_query[name] for of_query in scores.values()]))
        return {}

    monkeypatch.setattr("mteb.abstasks.retrieval.AbsTaskRetrieval.task_specific_scores", keep)
    return kept


def read_jsonl(path: Path, limit: int | None = None) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[:limit]]


@pytest.fixture(scope="session")
def sts_data(data_dir):
    from datasets import Dataset, DatasetDict

    return DatasetDict(test=Dataset.from_list(read_jsonl(data_dir / "stsb-en/test.jsonl")))


@pytest.fixture(scope="session")
def cranfield(data_dir):
    """A part of Cranfield as mteb's retrieval data: 300 documents with a text, and the queries that they answer."""
    from datasets import Dataset

    folder = data_dir / "cranfield"
    corpus = [
        {"id": row["_id"], "title": row["title"], "text": row["text"]}
        for row in read_jsonl(folder / "corpus.jsonl")
        if row["text"].strip()
    ][:300]
    ids = {row["id"] for row in corpus}
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels/test.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        if document in ids:
            qrels.setdefault(query, {})[document] = int(grade)
    queries = [
        {"id": row["_id"], "text": row["text"]} for row in read_jsonl(folder / "queries.jsonl") if row["_id"] in qrels
    ]

    def fresh():
        split = {"corpus": Dataset.from_list(corpus), "queries": Dataset.from_list(queries)}
        return {"default": {"test": {**split, "relevant_docs": dict(qrels), "top_ranked": None}}}

    return fresh


@pytest.fixture(scope="session")
def potion(data_dir):
    """The spec of a static model that is quick to run."""
    return f"static:{data_dir / 'potion-base-4m-int8'}"


class PlainModel:
    """mteb's protocol over a library's own model: nothing of this project, and mteb's own search."""

    def __init__(self, folder):
        from model2vec import StaticModel
        from mteb.models import ModelMeta

        self.model = StaticModel.from_pretrained(folder)
        self.mteb_model_meta = ModelMeta.create_empty({"name": "test/plain", "revision": "1"})

    def encode(self, inputs, **_):
        return self.model.encode([text for batch in inputs for text in batch["text"]])

    def similarity(self, a, b):
        from mteb.similarity_functions import cos_sim

        return cos_sim(a, b)

    def similarity_pairwise(self, a, b):
        from mteb.similarity_functions import pairwise_cos_sim

        return pairwise_cos_sim(a, b)


@pytest.fixture(scope="session")
def plain_potion(data_dir):
    return PlainModel(data_dir / "potion-base-4m-int8")


@pytest.fixture(scope="session")
def kinds(data_dir, sts_data, cranfield):
    """For one task of mteb of each type that its own evaluators score, what gives a little real data, afresh."""
    from datasets import Dataset, DatasetDict

    banking = {split: read_jsonl(data_dir / f"banking77/{split}.jsonl") for split in ("train", "test")}
    labels = sorted({row["label"] for row in banking["train"]})[:6]
    classes = {
        split: Dataset.from_list(
            [{"text": row["text"], "label": labels.index(row["label"])} for row in rows if row["label"] in labels]
        )
        for split, rows in banking.items()
    }
    train = [row for row in banking["train"] if row["label"] in labels]
    texts = {"sentences": [row["text"] for row in train], "labels": [labels.index(row["label"]) for row in train]}
    subsets = {
        pair: Dataset.from_list(read_jsonl(data_dir / f"tatoeba/{pair}.jsonl", 200))
        for pair in ("deu-eng", "fra-eng")
    }
    few = sts_data["test"].select(range(300))
    sentences = {"sentence1": few["sentence1"], "sentence2": few["sentence2"]}

    def reranking():
        data = cranfield()
        split = data["default"]["test"]
        ids = split["corpus"]["id"]
        split["top_ranked"] = {
            query: list(dict.fromkeys([*split["relevant_docs"].get(query, {}), *ids[row : row + 20]]))
            for row, query in enumerate(split["queries"]["id"])
        }
        return data

    groups = [few.select(range(start, start + 4)) for start in range(0, 80, 4)]
    summaries = {
        "text": [group["sentence1"][0] for group in groups],
        "human_summaries": [list(group["sentence1"]) for group in groups],
        "machine_summaries": [list(group["sentence2"]) for group in groups],
        "relevance": [list(group["score"]) for group in groups],
    }
    tests = {
        "TwentyNewsgroupsClustering.v2": texts,
        "SprintDuplicateQuestions": {**sentences, "labels": [int(score > 2.5) for score in few["score"]]},
        "SummEvalSummarization.v2": summaries,
    }
    of_tests = {name: partial(DatasetDict, test=Dataset.from_dict(columns)) for name, columns in tests.items()}
    return {
        "Banking77Classification": partial(DatasetDict, classes),
        "Tatoeba": lambda: {pair: DatasetDict(test=of) for pair, of in subsets.items()},
        "SciDocsRR": reranking,
        **of_tests,
    }


@pytest.fixture
def fed_kinds(feed, kinds):
    """One task of mteb of each type that its own evaluators score, with a little real data."""
    for name, data in kinds.items():
        feed(name, data)


def local(wrapper, folder, name, revision=None, **kwargs):
    return wrapper(str(folder), **kwargs)


@pytest.fixture
def entry(monkeypatch):
    """Points an entry of mteb's registry at local weights; `changes` are made to the entry."""

    def point(name, folder, wrapper=None, **changes):
        from mteb import SentenceTransformerEncoderWrapper
        from mteb.models.model_implementations import MODEL_REGISTRY

        wrapper = wrapper or SentenceTransformerEncoderWrapper
        meta = MODEL_REGISTRY[name]
        changed = meta.model_copy(update={"loader": partial(local, wrapper, folder), **changes})
        monkeypatch.setitem(MODEL_REGISTRY, name, changed)
        return changed

    return point


@pytest.fixture(scope="session")
def minilm():
    return locate("sentence-transformers/all-MiniLM-L6-v2")
