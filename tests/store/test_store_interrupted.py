"""A run that is killed, models that fail midway, and processes that write at once: what was committed stays."""

import subprocess
import sys
from pathlib import Path

import lance
import numpy as np
import pytest
from fakes import FakeReranker, failures, retrieval_task, run, write_tasks
from store_models import Counting, check_that_processes_lose_nothing, glove_file

from evalkit.store import Store
from evalkit.store import _reuse as reuse
from evalkit.store import table as table_module
from evalkit.store.folder import Folder
from evalkit.store.keys import fingerprint, text_keys
from evalkit.store.table import Table

SLOW = """
import sys, time
from evalkit.cli import main
from evalkit.models.words import WordAverage
from evalkit.store import Store, _reuse as reuse

reuse.UNIT_CHARACTERS, reuse.SECONDS_PER_COMMIT = {"cpu": 1}, 0  # one text a commit
raw, encoded = WordAverage.raw, []

def slow(self, texts, prompt, advance):
    encoded.extend(texts)
    if len(encoded) == 3:
        print(f"encoding {texts}", flush=True)
        time.sleep(600)
    return raw(self, texts, prompt, advance)

WordAverage.raw = slow
sys.argv[0] = "evalkit"
main()
"""


@pytest.mark.slow
def test_after_a_kill_only_the_batch_in_flight_is_computed_again(evalkit, tmp_path, encoded):
    pets, _ = write_tasks(tmp_path)
    arguments = ["run", "--models", glove_file(tmp_path), "--tasks", pets, "--device", "cpu"]
    kept = ["--store", str(tmp_path / "store")]
    command = [sys.executable, "-c", SLOW, *arguments, *kept, "--out", str(tmp_path / "killed")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "encoding ['fish swim']\n"  # longest first: two texts came before
        process.kill()
    assert not (tmp_path / "killed").exists()

    status, shown, errors = evalkit(*arguments, *kept, "--out", tmp_path / "resumed")
    assert (status, errors) == (0, "")
    assert encoded == ["fish swim", "dogs bark", "zebra", "cat"]
    assert shown.splitlines()[-1] == "Store: 3 texts and pairs were there, 4 were computed."
    evalkit(*arguments, "--no-store", "--out", tmp_path / "fresh")
    assert (tmp_path / "resumed" / "scores.csv").read_bytes() == (tmp_path / "fresh" / "scores.csv").read_bytes()


@pytest.mark.slow
def test_processes_that_write_at_once_lose_nothing(tmp_path):
    check_that_processes_lose_nothing(str(tmp_path), 3)
    assert {path.name for path in tmp_path.iterdir()} == {"0.lance", "1.lance", "2.lance"}


def test_a_table_that_another_process_makes_while_one_looks_is_found(tmp_path, monkeypatch):
    folder = Folder(str(tmp_path / "0.lance"))
    look, looks = lance.dataset, []

    def one_that_comes_between(place):
        looks.append(place)
        try:
            return look(place)
        finally:
            if len(looks) == 1:
                Table(folder, {}).append(text_keys(["a"], ""), np.ones((1, 4), dtype=np.float32))

    monkeypatch.setattr(table_module.lance, "dataset", one_that_comes_between)
    assert len(Table(folder, {})) == 1


def test_a_table_killed_while_it_was_made_is_no_table(store):
    """It is one when it has a version, which is written last."""
    task = retrieval_task({"1": "cat"}, {"q1": "meow"})
    begun = Path(f"{store.root}/v1/vectors/{fingerprint(Counting().raw_identity)}.lance")
    (begun / "_versions").mkdir(parents=True)
    (begun / "_transactions").mkdir()
    (begun / "_transactions" / "0-5f0c.txn").write_bytes(b"half")
    assert list(store.ls()) == []
    assert not failures(run([task], {"m": Counting()}, store=store))
    assert [info.rows for info in store.ls()] == [2]


PETS = retrieval_task({"1": "a long text", "2": "bad", "3": "x"}, {"q1": "longest query of all"})
NAN = "model 'm' gave vectors that are not finite for 1 of 3 texts: '2'."


def spoiled(value):
    def spoil(vectors, texts):
        vectors[[text == "bad" for text in texts]] = value
        return vectors

    return spoil


@pytest.mark.usefixtures("one_text_a_commit")
@pytest.mark.parametrize(
    ("value", "reason"),
    [(np.nan, NAN), (np.inf, NAN), (0, "model 'm' gave vectors that are all zero for 1 of 3 texts: '2'.")],
)
def test_bad_vectors_are_never_committed_and_good_ones_before_them_stay(store, value, reason):
    bad = Counting(spoil=spoiled(value))
    assert failures(run([PETS], {"m": bad}, store=store)) == {("pets", "m", "none"): reason}
    assert bad.read == ["a long text", "bad"]
    table = store.table("vectors", "m", bad.raw_identity)
    assert table.find(text_keys(["a long text", "bad", "x"], "")).tolist() == [0, -1, -1]
    good = Counting()
    assert not failures(run([PETS], {"m": good}, store=store))
    assert good.read == ["bad", "x", "longest query of all"]


def test_a_batch_with_a_bad_vector_is_not_committed_at_all(store):
    bad = Counting(spoil=spoiled(np.nan))
    run([PETS], {"m": bad}, store=store)
    assert len(store.table("vectors", "m", bad.raw_identity)) == 0
    assert list(store.ls()) == []


@pytest.mark.usefixtures("one_text_a_commit")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_scores_are_never_committed(store, value):
    reranker = FakeReranker(lambda query, document: value if document == "bad" else -np.inf)
    models = {"m": Counting()}
    outcome = run([PETS], models, {"r": reranker}, candidates=3, store=store)
    assert failures(outcome) == {
        ("pets", "m", "r"): "reranker 'r' gave scores that are not finite for 1 of 3 pairs: 'q1 × 2'."
    }
    mended = FakeReranker()
    mended.identity = reranker.identity
    assert not failures(run([PETS], models, {"r": mended}, candidates=3, store=store))
    assert mended.pairs == [("longest query of all", "bad"), ("longest query of all", "x")]


@pytest.mark.usefixtures("one_text_a_commit")
def test_many_commits_are_merged(store, monkeypatch):
    monkeypatch.setattr(table_module, "FRAGMENTS_BEFORE_COMPACTION", 5)
    task = retrieval_task({str(row): f"text {row}" for row in range(12)}, {"q1": "why?"})
    model = Counting()
    first = run([task], {"m": model}, store=store)
    table = store.table("vectors", "m", model.raw_identity)
    assert len(table) == 13
    assert len(table._dataset.get_fragments()) == 2, "the corpus's twelve, merged, and the query's"
    assert table.altered().size == 0
    again = Counting()
    second = run([task], {"m": again}, store=store)
    assert again.read == []
    for cell, ranking in first.rankings.items():
        np.testing.assert_array_equal(ranking.scores, second.rankings[cell].scores)


def test_units_are_cut_by_characters_and_what_is_together_is_not_parted():
    lengths = np.array([9, 9, 9, 29, 3, 3])
    order = np.array([3, 0, 1, 2, 4, 5])
    assert [unit.tolist() for unit in reuse.cut(order, lengths, 20)] == [[3], [0, 1], [2, 4, 5]]
    together = np.array([0, 1, 1, 0, 1, 1])
    assert [unit.tolist() for unit in reuse.cut(order, lengths, 20, together)] == [[3, 0], [1, 2, 4, 5]]


class BatchBound(Counting):
    """A model whose values differ with what else it reads at once, as a network's do in the last bits."""

    def raw(self, texts, prompt, advance):
        return super().raw(texts, prompt, advance) + len(texts) + len(texts[0]) / 64


def test_an_interrupted_run_computes_the_same_values_as_an_undisturbed_one(tmp_path, monkeypatch):
    monkeypatch.setattr(reuse, "UNIT_CHARACTERS", {"cpu": 40})
    monkeypatch.setattr(reuse, "BLOCK_TEXTS", 16)
    corpus = {str(row): "x" * (row % 7) + str(row % 31) for row in range(40)}
    task = retrieval_task(corpus, {"q1": "why?"})
    undisturbed = run([task], {"m": BatchBound()}, store=Store(tmp_path / "whole"), depth=40)
    store = Store(tmp_path / "parts")
    for stop in (2, 3, 5):
        model, calls = BatchBound(), []

        def stopping(vectors, texts, calls=calls, stop=stop):
            calls.append(texts)
            if len(calls) == stop:
                raise RuntimeError("stopped")
            return vectors

        model._spoil = stopping
        assert failures(run([task], {"m": model}, store=store, depth=40))
    resumed = run([task], {"m": BatchBound()}, store=store, depth=40)
    for cell, ranking in undisturbed.rankings.items():
        np.testing.assert_array_equal(ranking.documents, resumed.rankings[cell].documents)
        np.testing.assert_array_equal(ranking.scores, resumed.rankings[cell].scores)
