"""Models that the user wrote are kept in the store under their identity, as CONTRIBUTING says."""

import numpy as np
import pytest
from fakes import write_retrieval_task, write_tasks
from scipy.sparse import csr_matrix

import evalkit as package
from evalkit.errors import ConfigError

LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Letters:
    """As in CONTRIBUTING; `asked` holds the role and texts of every call."""

    similarity = "cosine"

    def __init__(self, **identity):
        self.identity = {"model": "letters", "version": 1, **identity}
        self.asked = []

    def encode(self, texts, role, advance=lambda finished: None):
        self.asked.append((role, list(texts)))
        bias = 5 * (role == "query") * np.arange(26)
        return np.array([[text.lower().count(each) for each in LETTERS] for text in texts], dtype=np.float64) + bias


class Pairs:
    """A reranker of one's own."""

    def __init__(self, **identity):
        self.identity = {"model": "pairs", "version": 1, **identity}
        self.asked = []

    def score(self, queries, documents, advance=lambda finished: None):
        self.asked += zip(queries, documents, strict=True)
        return np.array(
            [len({*query} & {*text}) for query, text in zip(queries, documents, strict=True)], dtype=float
        )


class Learns(Letters):
    """Learns from a corpus, and does not say so in its identity."""

    def fit(self, texts):
        fitted = type(self)()
        fitted.asked, fitted.mean = self.asked, np.mean([len(text) for text in texts])
        return fitted

    def encode(self, texts, role, advance=lambda finished: None):
        return super().encode(texts, role, advance) + self.mean


class Prompted(Letters):
    """Reads texts otherwise in each task, and does not say so in its identity."""

    task = ""

    def for_task(self, name):
        chosen = type(self)()
        chosen.asked, chosen.task = self.asked, name
        return chosen

    def encode(self, texts, role, advance=lambda finished: None):
        return super().encode(texts, role, advance) + len(self.task)


@pytest.fixture
def run(tmp_path):
    tasks = write_tasks(tmp_path)

    def call(model, reranker=None, tasks=tasks, **keys):
        rerankers = "none" if reranker is None else [("pairs", reranker)]
        keys = {"store": tmp_path / "store", **keys}
        found = package.run(
            models=[("mine", model)],
            tasks=list(tasks),
            rerankers=rerankers,
            top_k=2,
            candidates=3,
            device="cpu",
            **keys,
        )
        assert found.failures == []
        return found

    return call


def test_the_second_run_asks_nothing(run):
    first, second = (Letters(), Pairs()), (Letters(), Pairs())
    found, again = run(*first), run(*second)
    assert first[0].asked
    assert first[1].asked
    assert second[0].asked == []
    assert second[1].asked == []
    assert again.records.equals(found.records)
    bare = run(Letters(), Pairs(), no_store=True, store=None)
    assert bare.scores.equals(found.scores)
    assert again.provenance["computed"] == 0


def test_another_identity_is_another_model(run):
    run(Letters(), Pairs())
    other, others = Letters(version=2), Pairs(version=2)
    run(other, others)
    assert other.asked
    assert others.asked


def test_a_text_in_two_roles_has_two_vectors(tmp_path, run):
    same = write_retrieval_task(tmp_path / "same", {"d": "a cat", "e": "a dog"}, {"q": "a cat"}, {"q": {"d": 1}})
    model = Letters()
    found = run(model, tasks=[same])
    assert {role for role, texts in model.asked if "a cat" in texts} == {"query", "document"}
    assert run(Letters(), tasks=[same]).evidence.rankings.equals(found.evidence.rankings)


@pytest.mark.parametrize("kind", [Learns, Prompted])
def test_what_it_took_from_a_task_is_part_of_the_key(kind, tmp_path, run):
    corpora = [{"d": "a cat", "e": "a dog"}, {"d": "a cat", "e": "a much longer text about dogs"}]
    tasks = [
        write_retrieval_task(tmp_path / f"task{'s' * row}", corpus, {"q": "a cat"}, {"q": {"d": 1}})
        for row, corpus in enumerate(corpora)
    ]
    for task in tasks:
        with_store = run(kind(), tasks=[task])
        assert with_store.evidence.rankings.equals(
            run(kind(), tasks=[task], no_store=True, store=None).evidence.rankings
        )
    model = kind()
    run(model, tasks=tasks)
    assert model.asked == []


def test_sparse_vectors_are_used_and_not_kept(run):
    class Sparse(Letters):
        def encode(self, texts, role, advance=lambda finished: None):
            return csr_matrix(super().encode(texts, role, advance), dtype=np.float32)

    model = Sparse()
    assert run(model).scores.equals(run(Sparse()).scores)
    calls = len(model.asked)
    run(model)
    assert len(model.asked) == 2 * calls


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ({}, "is empty"),
        ({"weights": np.ones(2)}, "cannot be a key of the store: Object of type ndarray is not JSON serializable"),
        ({"rate": float("nan")}, "cannot be a key of the store"),
        ("letters", "cannot be a key of the store"),
        ({1: "a", "b": 2}, "cannot be a key of the store"),
    ],
)
@pytest.mark.parametrize("kind", [Letters, Pairs])
def test_an_identity_that_is_none_is_refused_before_anything_runs(kind, identity, message, tmp_path):
    model = kind()
    model.identity = identity
    place = {"models": [("mine", model)]} if kind is Letters else {"models": "bow", "rerankers": [("mine", model)]}
    with pytest.raises(ConfigError, match=f"identity of 'mine' {message}"):
        package.run(**place, tasks=write_tasks(tmp_path)[0], device="cpu", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
