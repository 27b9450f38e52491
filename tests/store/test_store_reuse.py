"""What was computed once is never computed again, and nothing else is served in its place."""

import numpy as np
import pyarrow as pa
import pytest
from fakes import FakeEmbedder, FakeReranker, failures, retrieval_task, run, sts_task, write_tasks
from store_models import Counting

import evalkit
from evalkit.cell import Cell
from evalkit.compute import Compute
from evalkit.models.bm25 import Bm25, Bm25Options
from evalkit.models.registry import expand
from evalkit.models.words import TrainedWordOptions, load_word2vec
from evalkit.store import Store, table
from evalkit.store import _reuse as reuse
from evalkit.store.folder import Folder
from evalkit.store.keys import first_of_each, text_keys
from evalkit.store.table import Table

PETS = retrieval_task({"1": "cat", "2": "cat", "3": "dog"}, {"q1": "cat", "q2": "meow"})
CARS = retrieval_task({"1": "van", "2": "dog"}, {"q1": "meow"}, name="cars")
PAIRS = sts_task([("cat", "van", 1.0), ("new", "new", 5.0), ("dog", "meow", 2.0)])
TEXTS = ["cat", "dog", "meow", "new", "van"]
READ = 5 + 3 + 5
"""Texts that the three tasks ask for; STS asks for each sentence once."""


def same(first, second):
    assert not failures(first)
    assert first.rankings.keys() == second.rankings.keys()
    assert first.values.keys() == second.values.keys()
    for cell, ranking in first.rankings.items():
        np.testing.assert_array_equal(ranking.documents, second.rankings[cell].documents)
        np.testing.assert_array_equal(ranking.scores, second.rankings[cell].scores)
    for cell, found in first.values.items():
        for name, values in found.items():
            np.testing.assert_array_equal(values, second.values[cell][name])


@pytest.mark.parametrize("batches", ["one", "many"])
def test_each_text_is_encoded_once_over_all_tasks_roles_and_runs(store, batches, request):
    if batches == "many":
        request.getfixturevalue("one_text_a_commit")
    model, again = Counting(), Counting()
    first = run([PETS, CARS, PAIRS], {"m": model}, store=store)
    assert sorted(model.read) == TEXTS
    assert (store.computed, store.reused) == (len(TEXTS), READ - len(TEXTS))
    second_store = Store(store.root)
    second = run([PETS, CARS, PAIRS], {"m": again}, store=second_store)
    assert again.read == []
    assert (second_store.computed, second_store.reused) == (0, READ)
    for outcome in (second, run([PETS, CARS, PAIRS], {"m": Counting()})):
        same(first, outcome)


def test_roles_share_what_they_read_after_the_same_prompt(store):
    model = Counting("sbert:m?query_prompt=ask%20&document_prompt=tell%20&sentence_prompt=tell%20")
    run([PETS, CARS, PAIRS], {"m": model}, store=store)
    asked = ["ask cat", "ask meow"]
    assert sorted(model.read) == asked + [f"tell {text}" for text in TEXTS]


def test_different_texts_and_prompts_have_different_keys():
    """Models may treat a prompt apart from the text, and Unicode's two ways to write é differently."""
    read = [("a b", "c"), ("a ", "bc"), ("", "abc"), ("", "\u00e9"), ("", "e\u0301"), ("", "\ud800"), ("", "?")]
    keys = {text_keys([text], prompt)[0].as_py() for prompt, text in read}
    assert len(keys) == len(read)


@pytest.mark.slow
def test_all_sizes_and_precisions_come_from_one_encoding(store):
    labels = expand("sbert:m?dim=2|4|8&precision=float32|int8|binary&normalize=true|false&similarity=dot|euclidean")
    models = {label: Counting(label) for label in labels}
    outcome = run([PETS, CARS, PAIRS], models, store=store)
    assert len(models) == 36
    assert sorted(text for model in models.values() for text in model.read) == TEXTS
    same(outcome, run([PETS, CARS, PAIRS], {label: Counting(label) for label in labels}))


@pytest.mark.parametrize(
    "other",
    [
        {"spec": "sbert:m?pooling=cls"},
        {"spec": "sbert:m?max_length=7"},
        {"spec": "sbert:m?dtype=bfloat16"},
        {"spec": "sbert:m?document_prompt=x&query_prompt=x&sentence_prompt=x"},
        {"weights": "other"},
    ],
    ids=str,
)
def test_whatever_changes_full_vectors_is_computed_apart(store, other):
    run([PAIRS], {"m": Counting()}, store=store)
    model = Counting(**other)
    outcome = run([PAIRS], {"m": model}, store=store)
    assert len(model.read) == len(TEXTS)
    same(outcome, run([PAIRS], {"m": Counting(**other)}))


def test_options_that_come_to_the_same_share(store):
    for spec, expected in {"sbert:m": 5, "sbert:m?dtype=float32": 0, "sbert:m?revision=main": 0}.items():
        model = Counting(spec)
        run([PAIRS], {"m": model}, store=store)
        assert len(model.read) == expected


def test_a_new_text_is_all_that_is_encoded(store):
    run([PETS], {"m": Counting()}, store=store)
    model = Counting()
    run([PETS, PAIRS], {"m": model}, store=store)
    assert sorted(model.read) == ["new", "van"]


def test_each_pair_is_scored_once_and_new_embedders_add_only_what_they_find(store):
    corpus = {str(row): f"text {row}" for row in range(12)}
    task = retrieval_task(corpus, {"q1": "one?", "q2": "two?"})

    def grid(*names):
        models = {name: Counting(weights=name) for name in names}
        reranker = FakeReranker(lambda query, document: float(len(query + document) % 7))
        reranker.identity = {"fake": "reranker"}
        outcome = run([task], models, {"r": reranker}, candidates=5, store=Store(store.root))
        union = {
            (query.text, task.corpus[row].text)
            for name in names
            for query, rows in zip(task.queries, outcome.rankings[Cell.of(task, name)].documents, strict=True)
            for row in rows
        }
        return models, sorted(reranker.pairs), union, outcome

    _, scored, union, _ = grid("a", "b")
    assert scored == sorted(union)
    assert len(union) < 2 * 2 * 5, "no shared pair: the test shows nothing"
    assert grid("a", "b")[1] == []
    models, added, wider, outcome = grid("a", "b", "c")
    assert added == sorted(wider - union) != []
    assert {name: len(model.read) for name, model in models.items()} == {"a": 0, "b": 0, "c": 14}
    reranker = FakeReranker(lambda query, document: float(len(query + document) % 7))
    without = run([task], {name: Counting(weights=name) for name in "abc"}, {"r": reranker}, candidates=5)
    same(outcome, without)


def test_vectors_fitted_on_one_corpus_are_not_served_for_another(store):
    shared = {"1": "red cat", "2": "blue dog"}
    tasks = [
        retrieval_task(shared, {"q1": "red"}, name="small"),
        retrieval_task({**shared, "3": "red dog", "4": "blue"}, {"q1": "red"}, name="large"),
    ]
    options = TrainedWordOptions(size=4, epochs=1)

    def grid(kept):
        return run(tasks, {"m": load_word2vec("train", options, Compute())}, store=kept)

    same(grid(store), grid(None))
    assert sorted(info.rows for info in store.ls()) == [3, 5]


def test_an_embedder_that_reranks_computes_nothing_that_it_has_encoded_before(store):
    found, reranks = Counting(weights="a"), Counting(weights="b")
    run([PETS], {"a": found, "b": Counting(weights="b")}, store=store)
    run([PETS], {"a": found}, {"b": reranks}, store=store)
    assert reranks.read == []


def test_bm25_scores_of_one_corpus_are_not_served_for_another(store):
    shared = {"1": "red cat", "2": "red dog"}
    small = retrieval_task(shared, {"q1": "red cat"}, name="small")
    large = retrieval_task({**shared, "3": "cat cat cat", "4": "blue"}, {"q1": "red cat"}, name="large")
    vectors = dict.fromkeys(("red cat", "red dog", "cat cat cat", "blue"), (1.0, 0.5))

    def grid(kept):
        reranker = Bm25("", Bm25Options(), Compute())
        return run([small, large], {"m": FakeEmbedder(vectors)}, {"bm25": reranker}, candidates=4, store=kept)

    outcome = grid(store)
    same(outcome, grid(None))
    first, second = (outcome.rankings[Cell.of(task, "m", "bm25")].scores[0, 0] for task in (small, large))
    assert first != second
    assert len([table for table in store.ls() if table.kind == "scores"]) == 2


@pytest.mark.parametrize(
    "model",
    [pytest.param("sbert:all-MiniLM-L6-v2", marks=pytest.mark.slow), "word2vec:train?size=9", "static"],
)
def test_scores_are_the_same_bytes_with_a_store_without_and_from_a_warm_one(model, tmp_path, request):
    late = ["maxsim:all-MiniLM-L6-v2"] if model.startswith("sbert") else []
    if model == "static":
        model = f"static:{request.getfixturevalue('data_dir') / 'potion-base-4m-int8'}"
    given = {"models": expand(f"{model}{'&' if '?' in model else '?'}dim=5|9"), "tasks": write_tasks(tmp_path)}
    given |= {"rerankers": [model, "bm25", *late], "metrics": "hit_rate@1,nDCG@3", "device": "cpu"}
    scores, facts = {}, {}
    for name, more in {"none": {"no_store": True}, "cold": {"no_store": False}, "warm": {"no_store": False}}.items():
        results = evalkit.run(**given, **more, store=tmp_path / "store", out=tmp_path / name)
        assert results.failures == []
        scores[name] = (tmp_path / name / "scores.csv").read_bytes()
        facts[name] = (results.provenance["computed"], results.provenance["reused"])
    assert scores["none"] == scores["cold"] == scores["warm"]
    assert facts["none"] == (None, None)
    assert facts["cold"][0] > 0
    assert facts["warm"] == (0, sum(facts["cold"]))


def test_what_is_cheap_to_compute_is_committed_before_it_fills_the_memory(store, monkeypatch):
    monkeypatch.setattr(reuse, "UNIT_CHARACTERS", {"cpu": 1})
    monkeypatch.setattr(reuse, "COMMIT_BYTES", 2 * 8 * 4)  # two vectors
    rows, append = [], Table.append

    def noting(self, keys, values):
        rows.append(len(values))
        append(self, keys, values)

    monkeypatch.setattr(Table, "append", noting)
    run([PETS, CARS, PAIRS], {"m": Counting()}, store=store)
    assert sum(rows) == len(TEXTS)
    assert max(rows) == 2


@pytest.mark.parametrize("at_once", [3, 1_000])
def test_keys_are_found_as_by_a_dict(tmp_path, monkeypatch, at_once):
    """Keys that differ in their last bytes only, which may be 0; of rows with one key, the first counts."""
    monkeypatch.setattr(table, "KEYS_AT_ONCE", at_once)
    rng = np.random.default_rng(0)
    known = [bytes(14) + bytes(pair) for pair in rng.integers(0, 3, (40, 2)).tolist()]
    asked = [bytes(14) + bytes(pair) for pair in rng.integers(0, 4, (100, 2)).tolist()]
    kept = Table(Folder(f"{tmp_path}/t.lance"), {})
    assert kept.find(pa.array(asked, pa.binary(16))).tolist() == [-1] * len(asked)
    for start in (0, 25):
        part = known[start : start + 25]
        kept.append(pa.array(part, pa.binary(16)), np.zeros((len(part), 2), dtype=np.float32))
    kept.refresh()
    first = {key: row for row, key in reversed(list(enumerate(known)))}
    found = kept.find(pa.array([b"?" * 16, *asked], pa.binary(16))[1:])
    assert found.tolist() == [first.get(key, -1) for key in asked]
    assert kept.find(pa.array([], pa.binary(16))).tolist() == []
    repeated = first_of_each(pa.array(asked, pa.binary(16)))
    assert repeated.tolist() == [key not in asked[:row] for row, key in enumerate(asked)]
