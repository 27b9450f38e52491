"""A grid on a Ray cluster of two worker processes: the same bytes as in one process, whatever happens to a worker."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ray", reason="ray is not installed")
sys.path.insert(0, str(Path(__file__).parents[1] / "store"))

import ray
from fakes import failures, retrieval_task, run
from ray_models import BatchBound, Faulty

import evalkit
from evalkit.engine import LOCAL
from evalkit.engine._on_ray import ray_engine
from evalkit.search import shards
from evalkit.search.exact import search
from evalkit.store import Store
from evalkit.store import _reuse as reuse
from evalkit.store.table import Table
from evalkit.tasks.reference import bundled_tasks

TASK = retrieval_task(
    {str(row): "x" * (row % 11) + f" {row % 170}" for row in range(200)}, {"q1": "why?", "q2": "xx 3"}
)


@pytest.fixture(scope="module")
def cluster():
    """Two workers, with this process's path, so that they find the models of the tests.

    They have it from the environment: for one of their own, Ray starts each worker twice.
    """
    settings = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 1 << 27, "log_to_driver": False}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patched.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        ray.init("local", **settings)
        yield
    ray.shutdown()


@pytest.fixture
def engine(cluster):
    with ray_engine("cpu") as opened:
        yield opened


@pytest.fixture(autouse=True)
def _small_units(monkeypatch):
    monkeypatch.setattr(reuse, "UNIT_CHARACTERS", {"cpu": 100})
    monkeypatch.setattr(shards, "SHARD_DOCUMENTS", 10)


def grid(engine, store, model):
    return run([TASK], {"m": model}, candidates=50, depth=50, store=store, engine=engine)


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_nothing_and_changes_nothing(engine, tmp_path):
    for name in ("marks", "calm"):
        (tmp_path / name).mkdir()
    local = grid(LOCAL, Store(tmp_path / "local"), BatchBound(tmp_path / "calm", fatal=False))
    store = Store(tmp_path / "ray")
    model = BatchBound(tmp_path / "marks")
    spread = grid(engine, store, model)
    assert not failures(spread)
    assert (tmp_path / "marks" / "killed").exists()
    notes = [file.read_text().split("\n") for file in (tmp_path / "marks").iterdir() if file.name != "killed"]
    assert len(notes) >= 2, "both workers took part"
    worked = [text for lines in notes for text in lines if text]
    assert len(worked) - len(set(worked)) <= 10, "again only what the killed worker had not handed over: one unit"
    texts = {document.text for document in TASK.corpus} | {query.text for query in TASK.queries}
    assert set(worked) == texts
    table = store.table("vectors", "m", model.raw_identity)
    assert len(table) == len(texts), "no row is lost, none is there twice"
    assert table.altered().size == 0
    for cell, ranking in local.rankings.items():
        np.testing.assert_array_equal(ranking.documents, spread.rankings[cell].documents)
        np.testing.assert_array_equal(ranking.scores, spread.rankings[cell].scores)


@pytest.mark.slow
def test_work_that_kills_every_worker_is_an_error_and_what_a_model_raises_is_told_as_here(engine, tmp_path):
    (outcome,) = [grid(engine, Store(tmp_path / "a"), BatchBound(tmp_path, always=True))]
    (reason,) = failures(outcome).values()
    assert reason.startswith("3 workers were lost over the same work: ")
    corpus = {str(row): f"text {row}" for row in range(30)} | {"bad": "an unreadable text"}
    task = retrieval_task(corpus, {"q": "?"})
    reasons = set()
    for each in (engine, LOCAL):
        store = Store(tmp_path / str(each.workers))
        outcome = run([task], {"m": Faulty()}, candidates=5, depth=5, store=store, engine=each)
        reasons |= set(failures(outcome).values())
    assert len(reasons) == 1


@pytest.fixture
def some_passages(tmp_path):
    """The first bundled passages and their queries."""
    folder = tmp_path / "passages"
    (folder / "qrels").mkdir(parents=True)
    source = bundled_tasks() / "rag-mini"
    (folder / "queries.jsonl").write_text((source / "queries.jsonl").read_text())
    corpus = [json.loads(line) for line in (source / "corpus.jsonl").read_text().splitlines()[:30]]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in corpus))
    header, *grades = (source / "qrels/test.tsv").read_text().splitlines(keepends=True)
    ids = {row["_id"] for row in corpus}
    (folder / "qrels/test.tsv").write_text(header + "".join(g for g in grades if g.split("\t")[1] in ids))
    return str(folder)


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_scores_are_the_same_bytes_by_both_engines(some_passages, tmp_path, monkeypatch):
    monkeypatch.setattr(reuse, "UNIT_CHARACTERS", {"cpu": 1 << 12})
    given = {
        "models": "bm25,word2vec:train?size=20,all-MiniLM-L6-v2?dim=64&precision=int8&rescore=30",
        "tasks": some_passages, "rerankers": "maxsim:all-MiniLM-L6-v2", "top_k": [1, 3], "candidates": 3,
        "max_queries": 4, "device": "cpu",
    }  # fmt: skip
    for engine in ("local", "ray"):
        results = evalkit.run(**given, engine=engine, store=tmp_path / f"{engine}-store", out=tmp_path / engine)
        assert results.failures == []
    assert (tmp_path / "ray" / "scores.csv").read_bytes() == (tmp_path / "local" / "scores.csv").read_bytes()
    kept = [Store(tmp_path / f"{engine}-store").ls() for engine in ("local", "ray")]
    by_engine = [{info.folder.name: Table(info.folder, {}) for info in infos} for infos in kept]
    assert by_engine[0].keys() == by_engine[1].keys()
    for name, table in by_engine[0].items():
        other = by_engine[1][name]
        keys = table._dataset.to_table(columns=["key"])["key"].combine_chunks()
        np.testing.assert_array_equal(table.take(table.find(keys)), other.take(other.find(keys)))


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_shards_find_what_searching_all_finds(similarity):
    """Few distinct vectors, so that ties cross the shards, at the last place too; and two that stand for nothing."""

    class Workers:
        device, workers = "cpu", 3
        calls = staticmethod(LOCAL.calls)

    rng = np.random.default_rng(0)
    corpus = rng.standard_normal((12, 5)).astype(np.float32)[rng.integers(12, size=300)]
    corpus[[7, 200]] = 0
    ids = [str(row) for row in rng.permutation(300)]
    queries = rng.standard_normal((9, 5)).astype(np.float32)
    whole = search(queries, corpus, ids, similarity, 20)
    parts = shards.search_shards(Workers(), queries, corpus, ids, similarity, 20)
    np.testing.assert_array_equal(whole.documents, parts.documents)
    np.testing.assert_array_equal(whole.scores, parts.scores)
