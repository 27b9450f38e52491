"""mteb's tasks run as ours: the scores are mteb's, data stays paired, and nothing is encoded twice."""

from itertools import pairwise

import mteb
import pytest
from datasets import Dataset, DatasetDict

import evalkit as package
from evalkit.errors import ConfigError, UnknownNameError
from evalkit.integrations.mteb import load_tasks
from evalkit.runner.config import split_list
from evalkit.tasks.mteb.reference import Reference, find_tasks
from evalkit.types import EvaluatorTask, RetrievalTask, StsTask


def by_mteb(model, task):
    """mteb's own scores of its own task, by its own search, with no cache."""
    return mteb.evaluate(model, task, cache=None, co2_tracker=False).task_results[0].scores["test"][0]


def ours(results, task):
    found = results.scores[results.scores["task"] == task]
    return dict(zip(found["metric"], found["score"], strict=True))


def test_sts_is_ours_with_the_scores_of_mteb(feed, sts_data, potion, plain_potion):
    task = feed("STSBenchmark", sts_data)
    results = package.run(models=potion, tasks="mteb:STSBenchmark", device="cpu")
    assert isinstance(load_tasks("mteb:STSBenchmark")[0], StsTask)
    found, expected = ours(results, "mteb:STSBenchmark"), by_mteb(plain_potion, task)
    for similarity in ("cosine", "euclidean", "manhattan"):
        for kind in ("spearman", "pearson"):
            assert found[f"{kind}({similarity})"] == pytest.approx(expected[f"{similarity}_{kind}"], abs=1e-6)
    assert set(results.scores["n"]) == {1379}
    assert results.scores["ci_low"].notna().all()


MTEB = {"nDCG": "ndcg", "AP": "map", "R": "recall", "P": "precision"}
TREC = {"nDCG": "ndcg_cut", "AP": "map_cut", "R": "recall", "P": "P", "hit_rate": "success"}


def test_retrieval_is_ours_with_the_scores_of_mteb(feed, cranfield, potion, plain_potion, unrounded):
    feed("SciFact", cranfield)
    results = package.run(models=potion, tasks="mteb:SciFact", rerankers="tfidf", top_k=[1, 10, 100], device="cpu")
    first = results.scores[results.scores["reranker"] == "none"].set_index("metric")
    expected = by_mteb(plain_potion, mteb.get_task("SciFact"))
    for name, theirs in TREC.items():
        for k in (1, 10, 100):
            assert first.loc[f"{name}@{k}", "score"] == pytest.approx(unrounded[f"{theirs}_{k}"], abs=1e-6), name
            assert round(first.loc[f"{name}@{k}", "score"], 5) == expected[f"{MTEB.get(name, name)}_at_{k}"]
    assert first.loc["MRR@10", "score"] == pytest.approx(expected["mrr_at_10"], abs=1e-6)
    assert set(results.scores["reranker"]) == {"none", "tfidf"}
    assert not results.failures


def test_documents_with_the_id_of_the_query_are_no_results_where_mteb_says_so(
    feed, cranfield, potion, plain_potion, unrounded
):
    data = cranfield()
    split = data["default"]["test"]
    split["corpus"] = split["corpus"].select(range(200))
    # Each document asks for the one after it: its best result is itself.
    ids = split["corpus"]["id"]
    split["queries"] = Dataset.from_dict({"id": ids[:60], "text": split["corpus"]["text"][:60]})
    split["relevant_docs"] = {query: {following: 1} for query, following in pairwise(ids[:61])}
    task = feed("ArguAna", data)
    assert task.ignore_identical_ids
    results = package.run(models=potion, tasks="mteb:ArguAna", top_k=10, device="cpu")
    by_mteb(plain_potion, mteb.get_task("ArguAna"))
    found = ours(results, "mteb:ArguAna")
    assert found["nDCG@10"] == pytest.approx(unrounded["ndcg_cut_10"], abs=1e-6)
    assert found["hit_rate@10"] == pytest.approx(unrounded["success_10"], abs=1e-6)
    feed("SciFact", data)
    kept = ours(package.run(models=potion, tasks="mteb:SciFact", top_k=10, device="cpu"), "mteb:SciFact")
    assert kept["nDCG@10"] < found["nDCG@10"]
    assert load_tasks("mteb:SciFact")[0].content_hash != load_tasks("mteb:ArguAna")[0].content_hash


def test_a_query_with_grades_of_zero_only_counts_as_mteb_counts_it(feed, cranfield, potion, plain_potion):
    """We leave such a query out; mteb scores it 0. So its own evaluator scores such a task."""
    data = cranfield()
    split = data["default"]["test"]
    split["relevant_docs"]["1"] = dict.fromkeys(split["relevant_docs"]["1"], 0)
    feed("SciFact", data)
    results = package.run(models=potion, tasks="mteb:SciFact", device="cpu")
    assert isinstance(load_tasks("mteb:SciFact")[0], EvaluatorTask)
    expected = by_mteb(plain_potion, mteb.get_task("SciFact"))
    assert ours(results, "mteb:SciFact")["ndcg_at_10"] == expected["ndcg_at_10"]
    assert set(results.scores["n"]) == {114}


KINDS = {
    "Banking77Classification": "Classification",
    "TwentyNewsgroupsClustering.v2": "Clustering",
    "Tatoeba?subset=deu-eng": "BitextMining",
    "SprintDuplicateQuestions": "PairClassification",
    "SummEvalSummarization.v2": "Summarization",
}


@pytest.mark.parametrize("name", KINDS)
def test_other_types_are_scored_by_mteb_with_our_vectors(name, fed_kinds, potion, plain_potion):
    task_name = name.partition("?")[0]
    results = package.run(models=potion, tasks=f"mteb:{name}", device="cpu")
    assert not results.failures
    task = load_tasks(f"mteb:{name}")[0]
    assert isinstance(task, EvaluatorTask)
    assert task.kind == KINDS[name]
    theirs = mteb.get_task(task_name, hf_subsets=["deu-eng"] if "?" in name else None)
    expected = by_mteb(plain_potion, theirs)
    found = ours(results, f"mteb:{name}")
    assert next(iter(found)) == theirs.metadata.main_score
    assert found[theirs.metadata.main_score] == pytest.approx(expected["main_score"], abs=1e-6)
    for metric, score in found.items():
        assert score == pytest.approx(expected[metric], abs=1e-6, nan_ok=True), metric
    assert set(results.scores["n"]) == {task.samples}
    assert results.scores["ci_low"].isna().all()
    assert results.leaderboard().loc[0, theirs.metadata.main_score] == found[theirs.metadata.main_score]


def test_each_model_gets_the_same_draws_and_has_its_place_in_the_leaderboard(fed_kinds, potion, tmp_path):
    """mteb's clustering draws from a generator that goes on from one model to the next."""
    name = "mteb:TwentyNewsgroupsClustering.v2"
    out = tmp_path / "out"
    results = package.run(models=[potion, f"{potion}?normalize=false"], tasks=name, device="cpu", out=out)
    scores = results.scores[results.scores["metric"] == "v_measure"].set_index("model")["score"]
    alone = package.run(models=f"{potion}?normalize=false", tasks=name, device="cpu")
    assert scores[f"{potion}?normalize=false"] == ours(alone, name)["v_measure"]
    markdown = (out / "leaderboard.md").read_text(encoding="utf-8")
    assert "Clustering: mteb:TwentyNewsgroupsClustering.v2 (test)" in markdown
    assert "Ranked by v measure" in markdown
    board = results.leaderboard()
    assert board["v_measure"].is_monotonic_decreasing
    assert package.Results.read(out).scores.equals(results.scores)


def test_nothing_is_encoded_twice_between_tasks_of_mteb_and_ours(
    feed, fed_kinds, sts_data, potion, data_dir, tmp_path
):
    feed("STSBenchmark", sts_data)
    feed("SprintDuplicateQuestions", pairs(sts_data))
    how = {"models": potion, "device": "cpu", "store": tmp_path / "store"}
    first = package.run(tasks="mteb:STSBenchmark", **how)
    assert first.provenance["computed"] > 2000
    for tasks in (f"{data_dir / 'stsb-en'}?split=test", "mteb:SprintDuplicateQuestions"):
        again = package.run(tasks=tasks, **how)
        assert again.provenance["computed"] == 0
        assert again.provenance["reused"] > 0


def pairs(sts_data):
    """Sentence pairs with a high score, and those with a low one, as mteb's pair classification."""
    split = sts_data["test"]
    labels = [int(score > 2.5) for score in split["score"]]
    columns = {"sentence1": split["sentence1"], "sentence2": split["sentence2"], "labels": labels}
    return DatasetDict(test=Dataset.from_dict(columns))


def test_a_model_without_vectors_has_cells_of_retrieval_only(feed, fed_kinds, cranfield):
    feed("SciFact", cranfield)
    results = package.run(
        models="bm25", tasks="mteb:SciFact,mteb:Banking77Classification", device="cpu", max_queries=20
    )
    assert set(results.scores["task"]) == {"mteb:SciFact"}
    with pytest.raises(ConfigError, match="no task is retrieval"):
        package.run(models="bm25", tasks="mteb:Banking77Classification", device="cpu")


def test_a_benchmark_is_its_tasks_and_its_comma_does_not_split():
    assert split_list("mteb:MTEB(eng, v2),mteb:SciFact") == ["mteb:MTEB(eng, v2)", "mteb:SciFact"]
    tasks = find_tasks(Reference.parse("mteb:MTEB(eng, v2)"))
    names = {task.metadata.name for task in tasks}
    assert len(tasks) == 41
    assert names >= {"STSBenchmark", "ArguAna", "Banking77Classification", "SummEvalSummarization.v2"}
    assert {task.metadata.name for task in find_tasks(Reference("CQADupstackRetrieval"))} >= {
        "CQADupstackGamingRetrieval"
    }


@pytest.mark.slow
def test_a_benchmark_runs_as_a_whole(feed, sts_data, cranfield, potion, monkeypatch):
    feed("STSBenchmark", sts_data)
    feed("SciFact", cranfield)
    tasks = mteb.get_tasks(["STSBenchmark", "SciFact"])
    benchmark = mteb.Benchmark(name="Small(eng, v1)", tasks=tasks)
    monkeypatch.setattr(mteb, "get_benchmarks", lambda: [benchmark])
    results = package.run(models=potion, tasks="mteb:Small(eng, v1)", device="cpu", max_queries=50)
    assert list(dict.fromkeys(results.scores["task"])) == ["mteb:STSBenchmark", "mteb:SciFact"]
    assert set(results.scores["n"]) == {50}
    assert isinstance(load_tasks("mteb:Small(eng, v1)")[1], RetrievalTask)
    assert not any(task.data_loaded for task in tasks), "the benchmark's own objects stay as they are"


@pytest.mark.parametrize(
    ("reference", "error", "message"),
    [
        ("mteb:STSBenchmrk", UnknownNameError, "Did you mean 'STSBenchmark'"),
        ("mteb:STSBenchmark?split=tset", UnknownNameError, "no split 'tset'. Did you mean 'test'"),
        ("mteb:Tatoeba?subset=deu", UnknownNameError, "no subset 'deu'. Did you mean 'deu-eng'"),
        ("mteb:Tatoeba?lang=deu", UnknownNameError, "Unknown option 'lang'"),
        ("mteb:?split=test", ConfigError, "Write mteb:NAME"),
        ("mteb:CIFAR10", ConfigError, "about image; only tasks about texts alone can be run"),
    ],
)
def test_references_that_cannot_be_used(reference, error, message):
    with pytest.raises(error) as caught:
        load_tasks(reference)
    assert message in str(caught.value)


def test_data_that_cannot_be_loaded_is_one_clear_error(monkeypatch):
    def fail(self, *args, **kwargs):
        raise ConnectionError("cannot reach the hub")

    monkeypatch.setattr("mteb.abstasks.abstask.AbsTask.load_data", fail)
    with pytest.raises(ConfigError, match="cannot load the data of 'STSBenchmark': ConnectionError: cannot reach"):
        load_tasks("mteb:STSBenchmark")
