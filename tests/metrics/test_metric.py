"""What a metric's name says, and that a metric which is added reaches every output."""

import json
import math
import sys

import ir_measures
import numpy as np
import pandas as pd
import pytest
from fakes import write_tasks
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import evalkit
from evalkit.errors import ConfigError, OptionalDependencyError
from evalkit.gating._baseline import freeze
from evalkit.gating._margins import margin_checks
from evalkit.gating.policy import Policy
from evalkit.metrics import ir
from evalkit.metrics.metric import Metric
from evalkit.metrics.ranking import RANKING_METRICS, Judged, RankingMetric, precision, recall
from evalkit.picking._requirements import parse_requirements
from evalkit.reporting._tables import make_tables
from evalkit.reporting.html.page import render
from evalkit.results import Results
from evalkit.results.comparisons import against_best
from evalkit.results.diff import compare_runs
from evalkit.runner.config import read_config
from evalkit.tasks import load_task
from evalkit.types import Run


@given(name=st.sampled_from(sorted(RANKING_METRICS)), k=st.integers(1, 10**9 - 1))
def test_what_is_parsed_is_what_results_call_it(name: str, k: int):
    metric = Metric.parse(f"{name}@{k}")
    assert metric == Metric.named(f"{name}@{k}")
    assert (str(metric), metric.k, metric.low, metric.high, metric.compared) == (f"{name}@{k}", k, 0, 1, "means")
    assert metric.title == f"{RANKING_METRICS[name].title}@{k}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ndgc@10", "'ndgc@10'. Did you mean 'nDCG@10'"),
        ("NDCG@10", "Did you mean 'nDCG@10'"),
        ("recall@3", "Did you mean 'R@3'"),
        ("map@3", "Did you mean 'AP@3'"),
        ("spearmann(dot)", r"Did you mean 'spearman\(dot\)'"),
        ("spearman(l1)", "Did you mean 'spearman"),
        ("foo@10", r"Allowed: hit_rate, MRR, nDCG, R, P, AP, spearman\(cosine\)"),
        ("ndcg", "Did you mean 'nDCG@10'"),
        ("hit_rate", "'hit_rate' must be NAME@K.*'hit_rate@10'"),
        ("nDCG@0", "whole number from 1"),
        ("nDCG@-1", "whole number from 1"),
        ("nDCG@010", "whole number from 1"),
        ("nDCG@1.5", "whole number from 1"),
        ("nDCG@10@5", "whole number from 1"),
        ("Success@0", "a rank from 1, such as Success@10"),
        ("AP(rel=2)@0", "a rank from 1"),
        ("", "Allowed"),
    ],
)
def test_what_is_no_metric_says_what_is_allowed(text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        Metric.parse(text)


@pytest.mark.parametrize(
    ("name", "title", "low", "compared"),
    [
        ("spearman(cosine)", "Spearman cosine", -1, "correlations"),
        ("pearson(dot)", "Pearson dot", -1, "none"),
        ("cosine_ap", "cosine ap", -np.inf, "none"),
        ("from_a_plugin@7", "from a plugin@7", -np.inf, "none"),
    ],
)
def test_metrics_of_other_tasks(name, title, low, compared):
    metric = Metric.named(name)
    assert (metric.title, metric.low, metric.compared) == (title, low, compared)


def f1(judged: Judged, k: int) -> np.ndarray:
    p, r = precision(judged, k), recall(judged, k)
    return np.divide(2 * p * r, p + r, out=np.where(np.isnan(r), np.nan, 0.0), where=p + r > 0)


def first_rank(judged: Judged, k: int) -> np.ndarray:
    """The rank of the first relevant document, k + 1 if there is none: the less, the better."""
    hits = judged.gains[:, :k] > 0
    ranks = np.where(hits, np.arange(1, hits.shape[1] + 1), k + 1).min(axis=1, initial=k + 1)
    return np.where(judged.n_relevant > 0, ranks.astype(np.float64), np.nan)


HOW = {"tasks": "rag-mini", "device": "cpu", "rerankers": "tfidf"}


def test_a_metric_that_is_added_is_in_every_output(monkeypatch, tmp_path):
    monkeypatch.setitem(RANKING_METRICS, "f1", RankingMetric("F1", f1))
    before = evalkit.run(models="bm25", **HOW, out=tmp_path / "before")
    after = evalkit.run(models="bm25?k1=0.4", **HOW)
    scores = before.scores.set_index(["metric", "reranker"]).loc[("f1@5", "none")]
    assert scores["ci_low"] < scores["score"] < scores["ci_high"]
    first, *_ = make_tables(before)
    assert "F1@5" in first.columns
    assert "F1@5" in (tmp_path / "before" / "leaderboard.md").read_text()
    assert "f1@5" in (tmp_path / "before" / "leaderboard.csv").read_text()
    changes = compare_runs(before, after, {"bm25": "bm25?k1=0.4"})
    assert "f1@5" in set(changes.cells["metric"])
    assert json.dumps("F1@5") in render({"before": before})
    frozen = freeze(before, {})
    assert "f1@5" in {metric for cell in frozen.tasks[0].cells for metric in cell.values}
    (required,) = parse_requirements("f1@5>=0.4")
    assert required.column == "f1@5"
    # What a run says of its metrics is enough, where the package that added one is gone.
    monkeypatch.delitem(RANKING_METRICS, "f1")
    again = Results.read(tmp_path / "before")
    assert again.metric("f1@5").title == "F1@5"
    pd.testing.assert_frame_equal(again.scores, before.scores)


def test_a_metric_of_which_less_is_better(monkeypatch, tmp_path):
    worst_first = RankingMetric("First rank", first_rank, low=1, high=math.inf, higher_is_better=False)
    monkeypatch.setitem(RANKING_METRICS, "first_rank", worst_first)
    how = {**HOW, "metrics": ["first_rank@9", "MRR@9"]}
    found = evalkit.run(models=["bm25", "tfidf", "bow"], **how, out=tmp_path / "run")
    assert found.main_metric("rag-mini", "test").name == "first_rank@9"
    board = found.leaderboard()
    assert board["first_rank@9"].is_monotonic_increasing
    assert board["rank"].is_monotonic_increasing
    assert board["rank"].iloc[0] == 1
    best = against_best(found, "rag-mini", "test", "first_rank@9")
    assert (best["difference"].dropna() >= 0).all()
    wide = found.records[found.records["metric"] == "first_rank@9"]
    means = wide.groupby(["model", "reranker"], observed=True)["value"].mean()
    assert best.set_index(["model", "reranker"])["score"].to_dict() == pytest.approx(means.to_dict())
    # Student's interval, by scipy.
    one = wide[(wide["model"] == "bm25") & (wide["reranker"] == "none")]["value"].dropna()
    low, high = stats.t.interval(0.95, len(one) - 1, one.mean(), stats.sem(one))
    row = found.scores.set_index(["model", "reranker", "metric"]).loc[("bm25", "none", "first_rank@9")]
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((low, high))
    table = make_tables(found)[0]
    shown = {row[0].text: row for row in table.rows}
    winner = means.xs("none", level="reranker").idxmin()
    assert shown[winner][2].best
    assert sum(row[2].best for row in table.rows) == 1
    # Rankings turned round are worse, and the gate says so: each query's first relevant document is further down.
    worse = found.records.assign(
        value=found.records["value"].where(found.records["metric"] != "first_rank@9", found.records["value"] + 2)
    )
    after = Results(worse, found.provenance, evidence=found.evidence)
    changes = compare_runs(found, after)
    main = changes.cells[changes.cells["main"].astype(bool)]
    assert set(main["verdict"]) == {"worse"}
    assert (main["difference"] > 1.9).all()
    assert (main["ci_low"] <= main["difference"]).all()
    assert (main["difference"] <= main["ci_high"]).all()
    assert (changes.queries["difference"] < 0).all()
    checks = margin_checks(found, after, changes, Policy(margin=0.5))
    assert {check.outcome for check in checks} == {"fail"}
    back = margin_checks(after, found, compare_runs(after, found), Policy(margin=0.5))
    assert {check.outcome for check in back} == {"pass"}
    with pytest.raises(ConfigError, match="less is better"):
        evalkit.pick(tmp_path, metric="first_rank@5")
    html = render({"run": found})
    assert '"sign":-1' in html


def qrels_and_ranking(task, records_of):
    """What ir_measures reads, from the ranks that the run kept."""
    qrels = [ir_measures.Qrel(q, d, int(grade)) for q, of in task.qrels.items() for d, grade in of.items()]
    found = [
        ir_measures.ScoredDoc(row.query, row.document, -float(row.rank))
        for row in records_of[["query", "document", "rank"]].astype({"query": str, "document": str}).itertuples()
    ]
    return qrels, found


@pytest.mark.parametrize("models", ["bm25", pytest.param("tfidf", marks=pytest.mark.slow)])
def test_metrics_of_ir_measures_are_its_own(models):
    names = ["AP", "Bpref", "Rprec", "nDCG", "RR", "Judged@5", "P(rel=2)@3", "infAP", "Success@3", "IPrec@0.2"]
    # All documents are ranked, and kept: the peer sees what the run saw.
    task = load_task("rag-mini")
    deep = evalkit.run(models=models, tasks="rag-mini", device="cpu", top_k=len(task.corpus))
    found = evalkit.run(models=models, tasks="rag-mini", device="cpu", metrics=names)
    qrels, ranking = qrels_and_ranking(task, deep.evidence.rankings)
    measures = [ir_measures.parse_measure(name) for name in names]
    expected = ir_measures.calc_aggregate(measures, qrels, ranking)
    scores = found.scores.set_index("metric")["score"]
    assert list(scores.index) == names
    assert scores.to_dict() == pytest.approx({str(name): value for name, value in expected.items()}, abs=1e-12)
    ours = deep.scores.set_index("metric")["score"]
    assert scores["AP"] == pytest.approx(ours[f"AP@{len(task.corpus)}"], abs=1e-12)


def test_metrics_of_ir_measures_take_part_like_all_others(tmp_path):
    how = {**HOW, "metrics": "nDCG@3,AP,Rprec", "main_metric": "AP", "candidates": 7}
    found = evalkit.run(models=["bm25", "tfidf"], **how, out=tmp_path / "run")
    assert found.main_metric("rag-mini", "test").name == "AP"
    assert list(found.provenance["top_k"]) == [3]
    titles = [table.title for table in make_tables(found)]
    assert any("nDCG@3" in title for title in titles)
    assert any(", AP" in title for title in titles)
    assert found.leaderboard()["AP"].is_monotonic_decreasing
    # Behind a reranker there are the candidates alone, and so in front of it: what it adds is no artefact of depth.
    task = load_task("rag-mini")
    deep = evalkit.run(models=["bm25", "tfidf"], **{**HOW, "candidates": 7, "top_k": 7})
    for cell in [("bm25", "none"), ("bm25", "tfidf")]:
        kept = deep.evidence.rankings
        kept = kept[(kept["model"] == cell[0]) & (kept["reranker"] == cell[1]) & (kept["rank"] <= 7)]
        expected = ir_measures.calc_aggregate([ir_measures.AP], *qrels_and_ranking(task, kept))
        score = found.scores.set_index(["model", "reranker", "metric"]).loc[(*cell, "AP"), "score"]
        assert score == pytest.approx(expected[ir_measures.AP], abs=1e-12)
    assert "Rprec" in (tmp_path / "run" / "leaderboard.md").read_text()
    changes = compare_runs(found, evalkit.run(models=["bm25?k1=0.3", "tfidf"], **how), {"bm25": "bm25?k1=0.3"})
    assert {"AP", "Rprec"} <= set(changes.cells["metric"])
    frozen = freeze(found, {})
    assert set(frozen.tasks[0].cells[0].values) == {"nDCG@3", "AP", "Rprec"}


def test_correlations_are_chosen_by_name():
    how = {"models": "tfidf,bow", "tasks": "sts-mini", "device": "cpu"}
    found = evalkit.run(**how, metrics="spearman(dot),pearson(dot)")
    assert list(found.scores["metric"].unique()) == ["spearman(dot)", "pearson(dot)"]
    assert found.main_metric("sts-mini", "test").name == "spearman(dot)"
    assert make_tables(found)[0].columns == ("Model", "Rank", "Spearman dot", "Pearson dot", "pairs")
    whole = evalkit.run(**how, main_metric="spearman(euclidean)")
    assert whole.leaderboard()["spearman(euclidean)"].is_monotonic_decreasing
    assert make_tables(whole)[0].columns[2] == "Spearman euclidean"
    same = found.scores.merge(whole.scores, on=["task", "split", "model", "reranker", "metric"])
    assert len(same) == 4
    assert (same["ci_low_x"] == same["ci_low_y"]).all()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"metrics": "nDCG@10", "top_k": 5}, "metrics are cut at 10 and top_k is 5; leave out top_k"),
        ({"metrics": "nDCG@10", "main_metric": "MRR@10"}, "main_metric=MRR@10 is not computed; add it to metrics"),
        ({"main_metric": "pearson(cosine)"}, r"no paired test to rank by; choose spearman\(cosine\)"),
        ({"metrics": "ndcg@10"}, "Did you mean 'nDCG@10'"),
        ({"metrics": "AP("}, "unknown metric|ir_measures has no metric"),
        ({"metrics": "P(rel=x)@5"}, "ir_measures"),
        ({"metrics": "NumRet"}, "unknown metric 'NumRet'"),
        ({"metrics": "RBP"}, "ir_measures cannot compute the metric 'RBP' here"),
    ],
)
def test_a_choice_that_cannot_be_is_told_before_anything_runs(keys, message):
    with pytest.raises(ConfigError, match=message):
        read_config({"models": "bm25", "tasks": "rag-mini", **keys})


def test_grades_that_are_no_whole_numbers_are_not_cut(tmp_path):
    pets, _ = write_tasks(tmp_path)
    qrels = tmp_path / "pets" / "qrels" / "test.tsv"
    qrels.write_text(qrels.read_text().replace("q2\ta\t2", "q2\ta\t0.5"))
    how = {"models": "bm25", "tasks": pets, "device": "cpu"}
    with pytest.raises(ConfigError, match=r"whole numbers, and here is 0\.5"):
        evalkit.run(**how, metrics="AP")
    assert list(evalkit.run(**how, metrics="AP@5").scores["metric"]) == ["AP@5"]


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    ir.parse.cache_clear()
    with pytest.raises(OptionalDependencyError, match="pip install 'ir-measures"):
        Metric.parse("Bpref")
    assert Metric.parse("nDCG@10").k == 10


def test_a_measure_that_leaves_out_documents_sees_more_than_its_cut():
    """The first five documents are unjudged, the sixth is relevant: without the unjudged it is the first."""
    documents = np.arange(6, dtype=np.int64)[None, :]
    run = Run(documents, -documents.astype(np.float64))
    ids = [f"d{row}" for row in range(6)]
    found = ir.values("nDCG(judged_only=True)@5", run, {"q": {"d5": 1.0}}, ids, ["q"])
    assert found.tolist() == [1.0]
    config = read_config({"models": "bm25", "tasks": "rag-mini", "metrics": "nDCG(judged_only=True)@5"})
    assert config.depth == 1000


def test_two_spellings_are_one_metric():
    for text in ("MAP@5", "P(rel=1)@5", "P(cutoff=5)", " AP@5 "):
        assert Metric.parse(text) == Metric.named(Metric.parse(text).name)
    found = evalkit.run(models="bm25", tasks="rag-mini", device="cpu", metrics=iter(["AP@5", "MAP@5"]))
    assert list(found.scores["metric"]) == ["AP@5"]


def test_what_has_no_paired_test_ranks_only_where_nothing_else_is_there(tmp_path):
    how = {"models": "tfidf,bow", "tasks": "sts-mini", "device": "cpu", "out": tmp_path / "run"}
    both = evalkit.run(**how, metrics="pearson(dot),spearman(dot)")
    assert both.main_metric("sts-mini", "test").name == "spearman(dot)"
    alone = evalkit.run(**how, metrics="pearson(dot)")
    assert alone.leaderboard()["pearson(dot)"].is_monotonic_decreasing
    assert "Pearson dot" in (tmp_path / "run" / "leaderboard.md").read_text()


def test_what_is_given_wins_over_the_suite(tmp_path):
    suite = tmp_path / "suite.yaml"
    suite.write_text("models: bm25\ntasks: rag-mini\ndevice: cpu\ntop_k: [5]\n")
    assert list(evalkit.run(suite, metrics="nDCG@10").scores["metric"]) == ["nDCG@10"]
    suite.write_text("models: bm25\ntasks: rag-mini\ndevice: cpu\nmetrics: nDCG@10\n")
    assert set(evalkit.run(suite, top_k=3).provenance["top_k"]) == {3}


def test_runs_whose_metrics_look_at_other_depths_say_so():
    how = {"models": "bm25", "tasks": "rag-mini", "device": "cpu", "metrics": "AP"}
    alone, behind = evalkit.run(**how), evalkit.run(**how, rerankers="bow")
    inputs = compare_runs(alone, behind).inputs.set_index("what")
    assert inputs.loc["depth"].tolist() == ["1000", "10"]


def test_names_with_brackets_in_requirements():
    first, second = parse_requirements("P(rel=2,cutoff=5)>=0.1, IPrec@0.1>0.2")
    assert (first.column, second.column) == ("P(rel=2)@5", "IPrec@0.1")
    assert first.is_score
