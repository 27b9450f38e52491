"""What changed between two runs, held to scipy and plain numpy; and what is not to be compared."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr, ttest_rel

import evalkit as package
from evalkit.errors import ConfigError
from evalkit.results import Results
from evalkit.results.diff import compare_runs
from evalkit.results.input_diff import differing_inputs

HOW = {"tasks": "rag-mini", "max_queries": 60, "top_k": 5, "device": "cpu"}


@pytest.fixture(scope="module")
def runs():
    before = package.run(models="tfidf,bm25,bow", rerankers="tfidf", **HOW)
    after = package.run(models="tfidf?stop_words=english,bm25,lsa?components=16", rerankers="tfidf", **HOW)
    return before, after


PAIRS = {"tfidf": "tfidf?stop_words=english", "bow": "lsa?components=16"}


def values(run, model, metric="nDCG@5", reranker="none"):
    records = run.records
    rows = records[(records["model"] == model) & (records["reranker"] == reranker) & (records["metric"] == metric)]
    return rows.astype({"id": str}).set_index("id")["value"]


def test_differences_tests_and_counts(runs):
    # The reranker of the same name is another one's place too, so that it is left out here.
    before, after = (replace(run, records=run.records[run.records["reranker"] == "none"]) for run in runs)
    changes = compare_runs(before, after, PAIRS)
    rows = changes.cells[changes.cells["main"].astype(bool)].set_index("model_a")
    assert list(rows.index) == ["tfidf", "bm25", "bow"]
    ps = []
    for model, other in {**PAIRS, "bm25": "bm25"}.items():
        old, new = values(before, model), values(after, other)
        change = (new - old[new.index]).to_numpy()
        row = rows.loc[model]
        assert row["model_b"] == other
        assert row["metric"] == "nDCG@5"
        assert row["n"] == 60
        assert (row["score_a"], row["score_b"]) == (pytest.approx(old.mean()), pytest.approx(new.mean()))
        assert row["difference"] == pytest.approx(change.mean())
        assert (row["won"], row["lost"], row["even"]) == ((change > 0).sum(), (change < 0).sum(), (change == 0).sum())
        if model == "bm25":
            assert (row["ci_low"], row["ci_high"], row["verdict"]) == (0, 0, "same")
            continue
        # A t-test and a normal interval are near the randomisation test and the bootstrap with 60 queries.
        half = 1.96 * change.std(ddof=1) / np.sqrt(60)
        assert row["ci_low"] == pytest.approx(change.mean() - half, abs=0.02)
        assert row["ci_high"] == pytest.approx(change.mean() + half, abs=0.02)
        assert row["p"] == pytest.approx(ttest_rel(new, old[new.index]).pvalue, abs=0.05)
        ps.append((row["p"], model))
    least = min(ps)
    assert rows.loc[least[1], "p_holm"] == pytest.approx(min(1, 3 * least[0]))
    assert rows.loc["bow", "verdict"] in ("better", "worse", "cannot be told")
    assert (rows["verdict"].isin(["better", "worse"]) == (rows["p_holm"] <= 0.05)).all()
    others = changes.cells[~changes.cells["main"].astype(bool)]
    assert set(others["metric"]) == {"hit_rate@5", "MRR@5", "R@5"}


def test_queries_that_changed_with_the_ranks_of_the_answer(runs):
    before, after = runs
    changes = compare_runs(before, after, {"bow": "lsa?components=16"})
    found = changes.queries[(changes.queries["model_a"] == "bow") & (changes.queries["reranker_a"] == "none")]
    old, new = values(before, "bow"), values(after, "lsa?components=16")
    change = new - old[new.index]
    assert set(found["query"]) == set(change[change != 0].index)
    assert found["difference"].is_monotonic_increasing
    row = found.iloc[0]
    ranked = after.evidence.rankings.query(
        "model == 'lsa?components=16' and reranker == 'none' and query == @row.query"
    )
    relevant = set(after.evidence.judgements.query("query == @row.query")["document"])
    places = [rank for rank, document in zip(ranked["rank"], ranked["document"], strict=True) if document in relevant]
    assert row["rank_b"] == min(places) if places else np.isnan(row["rank_b"])
    assert row["text"] in set(before.evidence.queries["text"])


def test_cells_of_one_run_only_are_named(runs):
    changes = compare_runs(*runs)
    assert set(changes.cells["model_a"]) == {"bm25"}
    assert ("rag-mini", "test", "bow", "none") in changes.only_a
    assert ("rag-mini", "test", "lsa?components=16", "tfidf") in changes.only_b


def test_a_run_and_itself(runs):
    changes = compare_runs(runs[0], runs[0])
    assert set(changes.cells["verdict"]) == {"same"}
    assert (changes.cells[["difference", "ci_low", "ci_high"]] == 0).all(axis=None)
    assert changes.queries.empty
    assert changes.inputs.empty


def test_inputs_that_differ(runs):
    before, after = runs
    what = differing_inputs(before, after, PAIRS).set_index("what")
    assert what.loc["spec of tfidf"].tolist() == ["tfidf", "tfidf?stop_words=english"]
    assert "fingerprint of tfidf" in what.index
    assert "spec of bm25" not in what.index
    upgraded = {**after.provenance, "packages": {**after.provenance["packages"], "numpy": "9.9"}, "dtype": "bfloat16"}
    what = differing_inputs(before, replace(after, provenance=upgraded), {}).set_index("what")
    assert what.loc["package numpy", "b"] == "9.9"
    assert what.loc["dtype"].tolist() == ["float32", "bfloat16"]


def test_a_task_that_was_added_is_no_input_that_differs(runs):
    more = package.run(models="bm25,tfidf", tasks=["rag-mini", "sts-mini"], device="cpu")
    what = differing_inputs(package.run(models="bm25,tfidf", tasks="rag-mini", device="cpu"), more, {})
    assert what["what"].tolist() == []


def test_sts_has_the_difference_of_correlations():
    how = {"tasks": "sts-mini", "device": "cpu"}
    before, after = package.run(models="tfidf", **how), package.run(models="bow", **how)
    row = compare_runs(before, after, {"tfidf": "bow"}).cells.iloc[0]
    sides = []
    for run, model in ((before, "tfidf"), (after, "bow")):
        gold, cosine = run.gold.set_index("id")["value"], values(run, model, "cosine")
        sides.append(spearmanr(cosine, gold[cosine.index], nan_policy="omit").statistic)
    assert row["difference"] == pytest.approx(sides[1] - sides[0])
    assert row["ci_low"] < row["difference"] < row["ci_high"]
    assert 0 < row["p"] <= 1
    assert row[["won", "lost"]].isna().all()


def test_scores_without_queries_are_compared_without_a_test(runs):
    before, after = runs
    whole = before.records.head(2).astype(object).assign(task="Bank", id="all", metric=["accuracy", "f1"])

    def with_whole(run, accuracy):
        records = pd.concat([run.records.astype(object), whole.assign(model="bm25", value=[accuracy, 50.0])])
        task = {"task": "Bank", "split": "test", "content_hash": "x", "type": "evaluator", "samples": 50}
        provenance = {**run.provenance, "tasks": [*run.provenance["tasks"], task]}
        return replace(run, records=records.astype({"value": float}), provenance=provenance)

    changes = compare_runs(with_whole(before, 0.5), with_whole(after, 0.75))
    row = changes.cells[changes.cells["task"] == "Bank"].iloc[0]
    assert (row["difference"], row["verdict"]) == (0.25, "no test")
    assert np.isnan(row["ci_low"])


def altered(folder: Path, tmp_path: Path, change) -> Path:
    """A copy of the bundled task with something else in a file."""
    copy = tmp_path / "rag-mini"
    shutil.copytree(folder, copy)
    change(copy)
    return copy


def edit(copy: Path, name: str, change) -> None:
    file = next(copy.rglob(name))
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join(change(lines)) + "\n", encoding="utf-8")


def first_query(lines):
    row = json.loads(lines[0])
    return [json.dumps({**row, "text": row["text"] + " Really?"}), *lines[1:]]


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("queries.jsonl", first_query, "1 queries changed"),
        ("corpus.jsonl", lambda lines: lines[:-1], "360 and 359 documents"),
        ("test.tsv", lambda lines: [*lines[:-2], lines[-1]], "1 judgements removed"),
    ],
    ids=["a query", "a document", "a judgement"],
)
def test_other_data_is_not_compared_and_it_says_why(name, change, told, tmp_path):
    from evalkit.tasks.reference import bundled_tasks

    how = {"models": "bm25", "device": "cpu", "on_bad_data": "warn"}
    copy = altered(bundled_tasks() / "rag-mini", tmp_path, lambda copy: edit(copy, name, change))
    before, after = package.run(tasks="rag-mini", **how), package.run(tasks=str(copy), **how)
    changes = compare_runs(before, after)
    assert changes.cells.empty
    assert [(each.task, each.split) for each in changes.apart] == [("rag-mini", "test")]
    assert told in changes.apart[0].reason
    assert "data of rag-mini (test)" in set(changes.inputs["what"])


def test_nothing_in_common_is_an_error_with_the_way_out(runs):
    before, after = runs
    only = before.records[before.records["model"] == "bow"]
    with pytest.raises(ConfigError, match=r"no cell is in both runs.*bow.*--pair 'OLD -> NEW'"):
        compare_runs(replace(before, records=only), after)
    with pytest.raises(ConfigError, match=r"the first run has no model 'nobody'\. It has: bm25, bow, none, tfidf"):
        compare_runs(before, after, {"nobody": "bm25"})
    with pytest.raises(ConfigError, match="the second run has no model 'nobody'"):
        compare_runs(before, after, {"bm25": "nobody"})


@pytest.fixture(scope="module")
def folders(runs, tmp_path_factory):
    top = tmp_path_factory.mktemp("runs")
    for name, run in zip(("old", "new"), runs, strict=True):
        run.write(top / name)
    return top


PAIR = [part for old, new in PAIRS.items() if old != "tfidf" for part in ("--pair", f"{old} -> {new}")]


def test_the_command_says_it_all_and_writes_markdown(folders, evalkit):
    out = folders / "sub" / "compare.md"
    status, shown, err = evalkit("compare", folders / "old", folders / "new", *PAIR, "-o", out)
    assert status == 0, err
    assert "Only in the first run: tfidf on rag-mini (test)" in " ".join(shown.split())
    text = out.read_text()
    assert text.startswith("## old → new\n\n- ")
    assert "| bow → lsa?components=16 |" in text
    assert "### Queries that lost most: rag-mini (test)" in text
    assert "### Inputs that differ" in text
    assert evalkit("compare", folders / "old", folders / "old")[1].strip().endswith("No score changed on any query.")
    assert evalkit("compare", folders / "old", folders / "new", "-o", "x.pdf")[0] == 2
    assert evalkit("compare", folders / "old", folders / "new", "--pair", "bow")[0] == 2
    assert evalkit("compare", folders / "old", folders / "nowhere")[0] == 2


def test_the_page_opens_without_network_and_escapes(folders, evalkit, browser):
    hostile = Results.read(folders / "old")
    texts = hostile.evidence.queries.assign(text="<script>window.broken = true</script> why?")
    replace(hostile, evidence=replace(hostile.evidence, queries=texts)).write(folders / "hostile")
    out = folders / "compare.html"
    assert evalkit("compare", folders / "hostile", folders / "new", *PAIR, "-o", out)[0] == 0
    page = browser.new_page(viewport={"width": 390, "height": 800})
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(out.as_uri())
    assert asked == [out.as_uri()]
    assert not complaints
    assert page.evaluate("window.broken") is None
    assert "<script>window.broken" in page.locator("summary").first.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    detail = page.locator("details").first
    detail.locator("summary").click()
    assert detail.locator(".ranking").count() == 2
    assert detail.locator(".mark.relevant").first.is_visible()
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = axe.Axe().run(page).response
        assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == []
    page.close()
