"""The gate's rules, one at a time, on cheap models: what passes, what fails, what cannot be decided."""

import json
import shutil
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from changed_tasks import copied_task

import evalkit as package
from evalkit.errors import ConfigError
from evalkit.gating._baseline import Baseline
from evalkit.gating.gate import gate, make_baseline
from evalkit.gating.policy import read_policy
from evalkit.gating.writing import to_data, to_junit, to_summary
from evalkit.results import Results

SUITE = {
    "models": "bm25,tfidf",
    "tasks": "rag-mini,sts-mini",
    "rerankers": "bm25",
    "max_queries": 120,
    "device": "cpu",
}
WORSE = "tfidf?min_df=6"
MAIN = "tfidf on rag-mini (test): nDCG@5"


@pytest.fixture(scope="module")
def run():
    return package.run(**SUITE)


@pytest.fixture(scope="module")
def baseline(run, tmp_path_factory):
    """As it is read from a file."""
    path = tmp_path_factory.mktemp("baseline") / "baseline.json"
    make_baseline(run).write(path)
    return Baseline.read(path)


@pytest.fixture(scope="module")
def worse():
    return package.run(**{**SUITE, "models": f"bm25,{WORSE}"})


def outcomes(verdict):
    return {check.name: check.outcome for check in verdict.checks}


def reason(verdict, name):
    return next(check.reason for check in verdict.checks if check.name == name)


def spoilt(run, model="tfidf", metric="nDCG@5", by=0.5, rows=slice(None)):
    """The run, with the values of some of a model's queries made smaller."""
    records = run.records.copy()
    there = np.flatnonzero(
        (records["model"] == model) & (records["metric"] == metric) & (records["reranker"] == "none")
    )
    records.iloc[there[rows], records.columns.get_loc("value")] *= by
    return replace(run, records=records)


def test_a_baseline_has_the_run_s_scores_and_is_the_same_when_it_is_read_and_written_again(run, baseline, tmp_path):
    again = baseline.results().scores.astype(str)
    keys = ["task", "split", "model", "reranker", "metric"]
    both = again.merge(run.scores.astype(dict.fromkeys(keys, str)), on=keys)
    assert len(both) == len(again) == 4 * 4 + 2
    assert both["score_x"].astype(float).to_numpy() == pytest.approx(both["score_y"].to_numpy())
    assert both["ci_low_x"].astype(float).to_numpy() == pytest.approx(both["ci_low_y"].to_numpy())
    baseline.write(tmp_path / "again.json")
    assert Baseline.read(tmp_path / "again.json") == baseline
    assert max(map(len, (tmp_path / "again.json").read_text().splitlines())) < 40_000


def test_the_same_run_passes_and_says_so_the_same_way_twice(baseline):
    first, second = (gate(baseline, suite=SUITE, policy={"slices": ["length"]}) for _ in range(2))
    assert first.status == 0
    assert set(outcomes(first).values()) == {"pass"}
    assert to_data(first) == to_data(second)


def test_a_loss_beyond_the_margin_fails_and_names_the_worst_queries(run, baseline):
    verdict = gate(baseline, run=spoilt(run), policy={"drift": "off"})
    assert verdict.status == 1
    assert [name for name, outcome in outcomes(verdict).items() if outcome == "fail"] == [MAIN]
    (check,) = [check for check in verdict.checks if check.outcome == "fail"]
    assert len(check.queries) == 5
    assert {each.query for each in verdict.retrieved} == set(check.queries)
    shown = verdict.retrieved[0]
    ranked = run.evidence.rankings
    rows = ranked[(ranked["model"] == "tfidf") & (ranked["reranker"] == "none") & (ranked["query"] == shown.query)]
    assert list(shown.now) == list(shown.then) == list(rows[rows["rank"] <= 5].sort_values("rank")["document"])
    assert set(shown.relevant) <= {*run.evidence.documents["document"]}
    assert shown.text in set(run.evidence.queries["text"])


def test_what_the_queries_do_not_tell_warns_says_how_many_would_and_is_no_pass_when_strict(run, baseline):
    # Every tenth query loses half: a twentieth of the mean, of which the interval reaches over the margin.
    few = spoilt(run, rows=slice(None, None, 10))
    verdict = gate(baseline, run=few, policy={"drift": "off", "margin": 0.02})
    assert outcomes(verdict)[MAIN] == "warn"
    assert "queries would tell" in reason(verdict, MAIN)
    assert verdict.status == 0
    assert replace(verdict, strict=True).status == 2


def test_two_queries_are_too_few_to_tell(baseline, run):
    """With ten or fewer, a bootstrap is no witness."""
    kept = sorted(set(run.records.loc[run.records["task"] == "rag-mini", "id"].astype(str)))[:5]

    def cut(each):
        keep = (each.records["task"] != "rag-mini") | each.records["id"].astype(str).isin(kept)
        return replace(each, records=each.records[keep])

    frozen = make_baseline(cut(run))
    verdict = gate(frozen, run=spoilt(cut(run), by=0), policy={"drift": "off"})
    assert outcomes(verdict)[MAIN] == "warn"
    assert "too few" in reason(verdict, MAIN)


def test_floors(baseline, run):
    score = run.scores.query("model == 'bm25' and reranker == 'none' and metric == 'hit_rate@5'")["score"].iloc[0]
    verdict = gate(baseline, run=run, policy={"floors": {"hit_rate@5": float(score)}, "drift": "off"})
    found = {name: outcome for name, outcome in outcomes(verdict).items() if "at least" in name}
    assert len(found) == 4
    lower = run.scores.query("metric == 'hit_rate@5' and score < @score")
    assert sum(outcome == "fail" for outcome in found.values()) == len(lower)
    assert found[f"bm25 on rag-mini (test): hit_rate@5 at least {score:g}"] == "pass"
    with pytest.raises(ConfigError, match=r"hit_rate@5"):
        gate(baseline, run=run, policy={"floors": {"hit_rate@50": 0.5}, "drift": "off"})


def test_queries_that_must_pass(baseline, run):
    records = run.records[run.records["metric"] == "hit_rate@5"].astype({"id": str})
    by_query = records.groupby("id")["value"].agg(["min", "max"])
    always, sometimes = by_query[by_query["min"] == 1].index[0], by_query[by_query["max"] > by_query["min"]].index[0]
    assert gate(baseline, run=run, policy={"must_pass": [always], "drift": "off"}).status == 0
    verdict = gate(baseline, run=run, policy={"must_pass": [always, sometimes], "drift": "off"})
    missing = records[(records["id"] == sometimes) & (records["value"] == 0)]
    failed = [check for check in verdict.checks if check.outcome == "fail"]
    assert len(failed) == len(missing)
    assert {check.queries for check in failed} == {(sometimes,)}
    assert {each.query for each in verdict.retrieved} == {sometimes}
    with pytest.raises(ConfigError, match="'nobody'"):
        gate(baseline, run=run, policy={"must_pass": ["nobody"], "drift": "off"})


def test_a_cell_that_is_gone_is_not_decided_unless_another_took_its_place(baseline, worse):
    verdict = gate(baseline, run=worse)
    assert verdict.status == 2
    assert outcomes(verdict)["tfidf on rag-mini (test): there"] == "undecided"
    verdict = gate(baseline, run=worse, pairs={"tfidf": WORSE})
    name = f"{WORSE} on rag-mini (test): nDCG@5"
    assert outcomes(verdict)[name] == "fail"
    # Another model has other vectors, on purpose.
    assert outcomes(verdict)[f"{WORSE}: the vectors of before"] == "note"
    assert "min_df was 1, and is 6" in reason(verdict, f"{WORSE}: the vectors of before")


def test_a_cell_that_failed_is_not_decided(baseline, run):
    keys = ["task", "split", "model", "reranker"]
    failed = {**dict(zip(keys, ("rag-mini", "test", "tfidf", "none"), strict=True)), "reason": "out of luck"}
    records = run.records
    there = (records["task"] != "rag-mini") | (records["model"] != "tfidf") | (records["reranker"] != "none")
    broken = replace(run, records=records[there], provenance={**run.provenance, "failures": [failed]})
    verdict = gate(baseline, run=broken, policy={"drift": "off"})
    assert verdict.status == 2
    assert [each for each in outcomes(verdict).items() if each[1] != "pass"] == [
        ("tfidf on rag-mini (test): a score", "undecided")
    ]
    assert "out of luck" in reason(verdict, "tfidf on rag-mini (test): a score")


def test_other_data_is_refused_and_named_and_the_common_queries_can_be_compared(tmp_path):
    suite = {"models": "bm25", "tasks": str(copied_task(tmp_path / "then")), "device": "cpu"}
    frozen = make_baseline(package.run(**suite))
    shutil.rmtree(tmp_path / "then")
    gone, reworded = copied_task(tmp_path / "then", drop_query=0, reword_query=1)
    verdict = gate(frozen, suite=suite)
    assert verdict.status == 2
    (check,) = verdict.checks
    assert f"1 changed, in text or judgement ({reworded}), 1 removed ({gone})" in check.reason
    common = gate(frozen, suite=suite, common=True)
    assert common.status == 0
    assert [each.n for each in common.changes.cells.itertuples() if each.main] == [250]


def test_other_documents_are_told_apart_from_other_queries(tmp_path):
    suite = {"models": "bm25", "tasks": str(copied_task(tmp_path / "then")), "device": "cpu"}
    frozen = make_baseline(package.run(**suite))
    shutil.rmtree(tmp_path / "then")
    copied_task(tmp_path / "then", add_document=True)
    verdict = gate(frozen, suite=suite)
    assert "its documents differ (360 then, 361 now); queries and judgements are the same" in verdict.checks[0].reason
    assert verdict.status == 2


def test_costs_are_compared_side_by_side_and_never_without_an_old_model(baseline, tmp_path):
    quick = {"models": "bm25", "tasks": "rag-mini", "max_queries": 20, "device": "cpu"}
    frozen = make_baseline(package.run(**quick))
    policy = {"latency_ratio": 1000, "memory_ratio": 1e-6, "drift": "off"}
    verdict = gate(frozen, suite=quick, policy=policy)
    assert outcomes(verdict)["bm25: costs"] == "note"
    swapped = {**quick, "models": "bm25?k1=1.2"}
    verdict = gate(frozen, suite=swapped, policy=policy, pairs={"bm25": "bm25?k1=1.2"})
    assert outcomes(verdict)["bm25?k1=1.2: latency"] == "pass"
    assert outcomes(verdict)["bm25?k1=1.2: memory"] == "fail"
    verdict = gate(frozen, run=package.run(**quick), policy=policy)
    assert outcomes(verdict)["costs"] == "undecided"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("margn: 0.1", "margin"),
        ("margin: -1", "greater than or equal to 0"),
        ("drift: maybe", "'fail', 'warn' or 'off'"),
        ("- margin", "not keys and values"),
        ("margin: [", "cannot read"),
    ],
)
def test_a_policy_that_cannot_be_used(tmp_path, content, told):
    (tmp_path / "policy.yaml").write_text(content)
    with pytest.raises(ConfigError, match=told):
        read_policy(tmp_path / "policy.yaml")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text[:100], "cannot read"),
        (lambda text: text.replace('"schema_version": 1', '"schema_version": 99'), "schema 99"),
        (lambda text: text.replace('"tasks": [\n  {', '"tasks": [\n  {"nonsense": 1, '), "damaged"),
        (lambda text: "[]", "schema None"),
    ],
)
def test_a_baseline_that_cannot_be_used(baseline, tmp_path, change, told):
    baseline.write(tmp_path / "baseline.json")
    (tmp_path / "baseline.json").write_text(change((tmp_path / "baseline.json").read_text()))
    with pytest.raises(ConfigError, match=told):
        Baseline.read(tmp_path / "baseline.json")


def test_an_object_must_be_given_again():
    class Constant:
        identity, similarity = {"name": "constant"}, "cosine"

        def encode(self, texts, role, advance=lambda rows: None):
            return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)

    suite = {"models": [("mine", Constant())], "tasks": "sts-mini", "device": "cpu"}
    results = package.run(**suite)
    with pytest.raises(ConfigError, match=r"give it in models=\{'mine'"):
        make_baseline(results)
    frozen = make_baseline(results, {"mine": Constant()})
    assert gate(frozen, run=results, models={"mine": Constant()}).status == 0


def test_an_interrupted_run_is_no_baseline(run):
    with pytest.raises(ConfigError, match="interrupted"):
        make_baseline(replace(run, provenance={**run.provenance, "missing": [{"task": "t"}]}))


def test_for_machines(run, baseline):
    verdict = gate(baseline, run=spoilt(run), policy={"drift": "off", "floors": {"MRR@5": 0.99}})
    suite = ElementTree.fromstring(to_junit(verdict))
    by_tag = {tag: len(suite.findall(f"testcase/{tag}")) for tag in ("failure", "skipped", "error")}
    assert (int(suite.get("tests")), int(suite.get("failures"))) == (len(verdict.checks), by_tag["failure"])
    assert by_tag == {"failure": 1 + 4, "skipped": 0, "error": 0}
    data = json.loads(to_data(verdict))
    assert (data["status"], data["verdict"]) == (1, "regression")
    assert pd.DataFrame(data["cells"])["difference"].min() == pytest.approx(verdict.changes.cells["difference"].min())
    summary = to_summary(verdict)
    assert summary.startswith("## Gate: regression\n")
    assert f"- FAIL: {MAIN}: worse by more than the margin of 0.01" in summary
    assert "What the worst queries retrieved" in summary


def test_from_the_command_line(evalkit, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run.write(tmp_path / "before")
    spoilt(run).write(tmp_path / "after")
    status, out, _ = evalkit("baseline", "before", "-o", "baseline.json")
    assert (status, "canaries of 1 model(s)" in out) == (0, True)
    assert evalkit("gate", "baseline.json", "--run", "before")[0] == 0
    status, out, _ = evalkit("gate", "baseline.json", "--run", "after", "--out", "gate")
    assert status == 1
    assert "FAIL: tfidf on rag-mini (test): nDCG@5: worse by more than the margin of 0.01" in out.replace("\n", " ")
    assert {path.name for path in (tmp_path / "gate").iterdir()} == {"gate.md", "gate.xml", "gate.json"}
    assert evalkit("gate", "baseline.json", "--run", "after", "--margin", "0.9")[0] == 0
    assert evalkit("gate", "baseline.json", "--run", "before", "--floor", "hit_rate@5=0.99")[0] == 1
    for bad, told in (
        (["--run", "nowhere"], "nowhere holds no results"),
        ([], "give one of the two"),
        (["--run", "before", "--slices", "colour"], "'colour'"),
        (["--run", "before", "--metrics", "nDCG@7"], "nDCG@7"),
        (["--run", "before", "--floor", "hit_rate"], "METRIC=SCORE"),
    ):
        status, _, err = evalkit("gate", "baseline.json", *bad)
        assert (status, told in err) == (2, True), err
    results = Results.read(tmp_path / "before")
    assert gate("baseline.json", run=results).status == 0
