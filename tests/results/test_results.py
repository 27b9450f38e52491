"""Results of a small run: every number follows from the records, and files hold what was computed."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fakes import FakeEmbedder, FakeVocabulary, retrieval_task, run, sts_task, write_tasks
from scipy import stats

import evalkit
from evalkit.errors import ConfigError
from evalkit.metrics.metric import of_rankings
from evalkit.results import Results
from evalkit.runner.records import make_gold, make_records

COLUMNS = ["task", "split", "model", "reranker", "metric", "score", "ci_low", "ci_high", "n"]
CELL = COLUMNS[:4]
MISSING = "glove:no-such-file.txt"


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    pets, pairs = write_tasks(tmp_path_factory.mktemp("tasks"))
    return {
        "models": ["bm25", MISSING, "tfidf"],
        "tasks": [pets, pairs],
        "rerankers": "bm25",
        "top_k": [1, 3],
        "device": "cpu",
    }


@pytest.fixture(scope="module")
def folder(suite, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    evalkit.run(**suite, out=folder)
    return folder


@pytest.fixture(scope="module")
def results(folder) -> Results:
    return Results.read(folder)


@pytest.fixture(scope="module")
def on_disk(folder) -> pd.DataFrame:
    return pd.read_csv(folder / "scores.csv")


def test_records_by_hand(results):
    """9 and 10 are alike, so the id decides: "9" is first, and the relevant 10 second. No text has a zebra."""
    pets = results.records[(results.records["task"] == "pets") & (results.records["model"] == "bm25")]
    found = pets[pets["reranker"] == "none"].pivot_table(index="id", columns="metric", values="value", observed=True)
    log3 = 1 / np.log2(3)
    expected = pd.DataFrame(
        {
            "hit_rate@1": (0, 1, 0), "hit_rate@3": (1, 1, 0), "MRR@1": (0, 1, 0), "MRR@3": (0.5, 1, 0),
            "nDCG@1": (0, 1, 0), "nDCG@3": (log3, 1, 0), "P@1": (0, 1, 0), "P@3": (1 / 3, 1 / 3, 0),
            "R@1": (0, 1, 0), "R@3": (1, 1, 0), "AP@1": (0, 1, 0), "AP@3": (0.5, 1, 0),
        },
        index=["q1", "q2", "q3"],
    )  # fmt: skip
    np.testing.assert_allclose(found[expected.columns], expected, rtol=1e-15)
    assert list(found.index) == list(expected.index)


def test_columns_of_scores(folder, on_disk):
    assert (folder / "scores.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    assert list(on_disk) == COLUMNS
    assert not on_disk.duplicated(COLUMNS[:5]).any()


def test_retrieval_scores_are_means_of_records(results, on_disk):
    records = results.records[results.records["task"] == "pets"]
    means = records.groupby([*CELL, "metric"], observed=True)["value"].agg(["mean", "size"])
    scores = on_disk[on_disk["task"] == "pets"].set_index([*CELL, "metric"])
    assert len(scores) == len(means) == 4 * 12
    for key, expected in means.iterrows():
        assert scores.loc[key, "score"] == pytest.approx(expected["mean"], abs=1e-8)
        assert scores.loc[key, "n"] == expected["size"] == 3


def test_sts_scores_are_correlations_of_records(results, on_disk):
    wide = results.records[results.records["task"] == "pairs"].pivot(index="id", columns="metric", values="value")
    gold = results.gold.set_index("id")["value"]
    assert len(gold) == 6, "once, however many models there are"
    scores = on_disk[on_disk["task"] == "pairs"].set_index("metric")
    assert set(scores["model"]) == {"tfidf"}
    for similarity in ("cosine", "dot", "euclidean", "manhattan"):
        for name, method in (("spearman", stats.spearmanr), ("pearson", stats.pearsonr)):
            expected = method(wide[similarity], gold[wide.index]).statistic
            assert scores.loc[f"{name}({similarity})", "score"] == pytest.approx(expected, abs=1e-8)
    assert set(scores["n"]) == {6}


def test_intervals_bracket_scores(on_disk):
    assert (on_disk["ci_low"] <= on_disk["score"]).all()
    assert (on_disk["score"] <= on_disk["ci_high"]).all()
    assert (on_disk["ci_low"] < on_disk["ci_high"]).any()


@pytest.fixture(scope="module")
def again(suite, tmp_path_factory):
    folder = tmp_path_factory.mktemp("again") / "deep" / "down"
    return evalkit.run(**suite, out=folder), folder


def test_read_gives_what_was_written(results, again):
    computed, folder = again
    for read in (results, Results.read(folder)):
        pd.testing.assert_frame_equal(read.records, computed.records)
        pd.testing.assert_frame_equal(read.scores, computed.scores)
        pd.testing.assert_frame_equal(read.leaderboard(), computed.leaderboard())
        assert read.failures == computed.failures
    assert Results.read(folder).provenance == computed.provenance


@pytest.mark.parametrize("file", ["scores.csv", "leaderboard.csv", "leaderboard.md", "results.parquet"])
def test_two_runs_write_the_same_bytes(folder, again, file):
    assert (again[1] / file).read_bytes() == (folder / file).read_bytes()


def test_provenance(folder, suite):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    data = json.loads((folder / "run.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert data["specs"] == {"bm25": "bm25", MISSING: MISSING, "tfidf": "tfidf"}
    assert (data["device"], data["dtype"], data["seed"], data["top_k"], data["candidates"]) == (
        "cpu", "float32", 0, [1, 3], 6,
    )  # fmt: skip
    assert data["config"]["models"] == suite["models"]
    assert [(task["task"], task["type"]) for task in data["tasks"]] == [("pets", "retrieval"), ("pairs", "sts")]
    assert all(re.fullmatch("[0-9a-f]{64}", task["content_hash"]) for task in data["tasks"])
    assert {key: data["tasks"][0][key] for key in ("documents", "queries", "excluded_queries")} == {
        "documents": 4, "queries": 3, "excluded_queries": 1,
    }  # fmt: skip
    assert data["tasks"][1]["pairs"] == 6
    assert len(data["cells"]) == 5
    for cell in data["cells"]:
        assert re.fullmatch("[0-9a-f]{64}", cell["fingerprint"])
        assert cell["seconds"] >= 0
    assert {"evalkit", "numpy", "scipy", "scikit-learn", "bm25s"} <= data["packages"].keys()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", data["started"])
    assert data["seconds"] > 0
    assert data["python"]
    assert data["platform"]


def test_leaderboard_is_best_first_with_failed_cells_last(results):
    board = results.leaderboard()
    pets = board[board["task"] == "pets"]
    done = pets.dropna(subset="nDCG@3")
    assert len(done) == 4
    assert done["nDCG@3"].is_monotonic_decreasing
    assert pets[["model", "reranker"]].to_numpy().tolist()[-2:] == [[MISSING, "none"], [MISSING, "bm25"]]
    assert pets.iloc[-2:, 4:].isna().all(axis=None)
    assert board["task"].tolist() == ["pets"] * 6 + ["pairs"] * 2, "a task's rows stand together"
    assert board[board["task"] == "pairs"]["model"].tolist() == ["tfidf", MISSING]


def test_leaderboard_ranks_by_ndcg_at_the_largest_k():
    """At 1 "sharp" is better, at 3 "broad" is."""
    task = retrieval_task({"d1": "1", "d2": "2", "d3": "3"}, {"a": "a", "b": "b"}, {"a": {"d1": 1}, "b": {"d1": 1}})
    documents = {"1": (1, 0), "2": (0, 1), "3": (-1, -1)}
    models = {
        "sharp": FakeEmbedder({**documents, "a": (1, 0), "b": (-1, 0.5)}),  # ranks 1 and 3
        "broad": FakeEmbedder({**documents, "a": (0.5, 1), "b": (0.5, 1)}),  # ranks 2 and 2
    }
    board = of_grid([task], models, (1, 3)).leaderboard()
    assert board["model"].tolist() == ["sharp", "broad"]
    worse = FakeEmbedder({**documents, "a": (1, 0), "b": (0.1, 1)})
    board = of_grid([task], {"sharp": models["sharp"], "best": worse}, (1, 3)).leaderboard()
    assert board["nDCG@1"].nunique() == 1
    assert board["model"].tolist() == ["best", "sharp"]


def of_grid(tasks, models, top_k=(1,)) -> Results:
    outcome = run(tasks, models, depth=max(top_k))
    records = make_records(outcome, tasks, of_rankings((), top_k), max(top_k))
    return Results(records, {"seed": 0, "failures": []}, gold=make_gold(tasks))


def test_undefined_scores_are_on_the_leaderboard():
    """Every correlation with a constant is NaN; the model is shown all the same."""
    task = sts_task([("a", "b", 1.0), ("b", "c", 1.0), ("a", "c", 1.0)])
    results = of_grid([task], {"m": FakeEmbedder({"a": (1, 2), "b": (2, 1), "c": (1, 0)})})
    assert results.scores["score"].isna().all()
    assert set(results.scores["n"]) == {3}
    board = results.leaderboard()
    assert board["model"].tolist() == ["m"]
    assert board["spearman(cosine)"].isna().all()


def test_without_gold_scores_there_is_no_correlation(results):
    with pytest.raises(ConfigError, match=r"no gold scores of pairs \(pairs\).*gold.parquet"):
        _ = replace(results, gold=results.gold.iloc[:0]).scores


def test_n_is_the_pairs_with_a_defined_similarity():
    vectors = {"a": (1, 2), "b": (2, 1), "c": (1, 0), "d": (3, 1)}
    task = sts_task([("a", "b", 4.0), ("b", "c", 3.0), ("a", "?", 2.0), ("a", "c", 1.0), ("c", "d", 0.0)])
    scores = of_grid([task], {"m": FakeVocabulary(vectors)}).scores.set_index("metric")
    unit = {text: np.array(vector) / np.linalg.norm(vector) for text, vector in vectors.items()}
    cosines = [unit["a"] @ unit["b"], unit["b"] @ unit["c"], unit["a"] @ unit["c"], unit["c"] @ unit["d"]]
    assert scores.loc["spearman(cosine)", "n"] == 4
    assert scores.loc["pearson(cosine)", "score"] == pytest.approx(stats.pearsonr(cosines, [4, 3, 1, 0]).statistic)


def test_cells_that_are_not_in_the_records_have_no_scores():
    """Behind "a" the reranker "r" was run, behind "b" it was not."""
    rows = [
        ("t", "test", model, reranker, query, "nDCG@1", 0.5)
        for model, reranker in (("a", "none"), ("a", "r"), ("b", "none"))
        for query in ("q1", "q2")
    ]
    records = pd.DataFrame(rows, columns=[*CELL, "id", "metric", "value"])
    categories = {column: pd.CategoricalDtype(list(pd.unique(records[column]))) for column in records.columns[:-1]}
    results = Results(records.astype(categories), {"seed": 0, "failures": []})
    cells = [["a", "none"], ["a", "r"], ["b", "none"]]
    assert results.scores[["model", "reranker"]].to_numpy().tolist() == cells
    assert sorted(results.leaderboard()[["model", "reranker"]].to_numpy().tolist()) == cells


@pytest.mark.parametrize("missing", ["run.json", "results.parquet"])
def test_reading_a_folder_without_results(folder, tmp_path, missing):
    for file in ("run.json", "results.parquet"):
        if file != missing:
            (tmp_path / file).write_bytes((folder / file).read_bytes())
    with pytest.raises(ConfigError) as caught:
        Results.read(tmp_path)
    assert str(caught.value) == f"{tmp_path} holds no results of a run: {missing} is missing."
