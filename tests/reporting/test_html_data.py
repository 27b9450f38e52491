"""What the report says and holds, without a browser: sentences, packing, several runs, runs of every kind."""

import base64
import gzip
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evalkit.reporting.html._drilldown import SHOWN, compressed, pack_queries, plain, to_json
from evalkit.reporting.html.answer import best, fast, small, ties
from evalkit.reporting.html.page import render
from evalkit.reporting.html.units import make_units
from evalkit.results import Results
from evalkit.results.merge import merge_runs
from evalkit.results.records import Evidence, Measurements


def board(*rows):
    """Cells best first: model, reranker, score, tied, parameters, latency."""
    frame = pd.DataFrame(rows, columns=["model", "reranker", "score", "tied", "parameters", "latency_ms"])
    return frame.assign(
        tied=frame["tied"].astype(object), ci_low=frame["score"] - 0.05, ci_high=frame["score"] + 0.05,
        difference=frame["score"].max() - frame["score"], diff_low=0.01, diff_high=0.2,
        latency_low_ms=0.8 * frame["latency_ms"], latency_high_ms=1.5 * frame["latency_ms"],
    )  # fmt: skip


CELLS = board(
    ("large", "ce", 0.80, True, 400.0, 90.0),
    ("large", "none", 0.79, True, 300.0, 20.0),
    ("small", "none", 0.73, False, 20.0, 5.0),
    ("bm25", "none", 0.40, False, 0.0, 1.0),
)


def test_the_best_and_its_ties():
    assert best(CELLS, "nDCG@10") == "large + ce has the best nDCG@10, 0.800 (95 % interval 0.750 to 0.850)."
    assert ties(CELLS) == "large cannot be told from it on this data."
    alone = CELLS.assign(tied=pd.Series([True, False, False, False], dtype=object), p_corrected=0.01)
    assert ties(alone).startswith("It is better than each of the other 3")
    by_another = alone.assign(p_corrected=[1.0, 0.2, 0.01, 0.01])
    assert ties(by_another).startswith("Each of the other 3 is beaten, by it or by another")


def test_fast_and_small_keep_nine_tenths_of_the_best():
    """bm25 is the cheapest, but half as good; of what is left, small is."""
    assert fast(CELLS) == (
        "If it must be fast: small, 5 ms a query (median), 0.730, 0.070 (0.010 to 0.200) worse than the best."
    )
    assert small(CELLS).startswith("If it must be small: small, 20 million parameters, 0.730")
    tie = CELLS.drop(index=2)
    assert "large, 20 ms a query (median), 0.790, which cannot be told from the best" in fast(tie)


def test_of_those_that_may_be_the_fastest_the_best_is_named():
    near = CELLS.assign(latency_low_ms=[7.5, 16.0, 4.0, 0.8])
    assert fast(near) == (
        "If it must be fast: still large + ce, 90 ms a query (median); that 1 of the others are slower was not shown."
    )
    assert "small, 5 ms" in fast(near.assign(latency_low_ms=[7.6, 16.0, 4.0, 0.8]))
    assert "still large + ce" in fast(near.assign(latency_low_ms=np.nan, latency_high_ms=np.nan))


def test_what_is_not_known_is_said():
    unknown = CELLS.assign(latency_ms=np.nan, parameters=np.nan, family="sbert")
    assert fast(unknown).startswith("If it must be fast (latency was not measured")
    assert "large, 0.790" in fast(unknown)
    fused = unknown.assign(family=["rrf" if model == "large" else "sbert" for model in unknown["model"]])
    assert "large" not in fast(fused), "two models are run for each query"
    assert small(unknown) == "The sizes of these models are not known."


def test_json_in_a_page_holds_nothing_that_ends_it():
    value = {"text": "</script><!--&\u2028\u2029", "number": float("nan"), "missing": pd.NA, "whole": np.int64(3)}
    text = to_json(plain(value))
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text) == {"text": value["text"], "number": None, "missing": None, "whole": 3}
    assert json.loads(gzip.decompress(base64.b64decode(compressed([1, "é"])))) == [1, "é"]


def test_packed_queries_are_the_evidence(hostile_run):
    results = Results.read(hostile_run)
    unit = make_units(results)[0]
    cells = list(zip(unit.cells["model"], unit.cells["reranker"], strict=True))
    packed = pack_queries(results, "beasts", "test", cells, unit.metrics)
    rankings = results.evidence.rankings
    for number, (model, reranker) in enumerate(cells):
        here = rankings[(rankings["model"] == model) & (rankings["reranker"] == reranker)]
        if packed["ranked"][number] is None:
            assert here.empty
            continue
        for row in here.itertuples():
            place = packed["queries"]["id"].index(row.query) * packed["depth"] + row.rank - 1
            assert packed["documents"]["id"][packed["ranked"][number][place]] == row.document
    records = results.records[(results.records["metric"] == "MRR@3") & (results.records["model"] == "bm25")]
    known = records[records["reranker"] == "none"].set_index("id")["value"]
    values = packed["values"]["MRR@3"][cells.index(("bm25", "none"))]
    np.testing.assert_allclose(np.array(values) / packed["scale"], known[packed["queries"]["id"]], atol=1e-4)


def test_long_passages_are_cut_and_it_is_said(hostile_run):
    results = Results.read(hostile_run)
    documents = results.evidence.documents.assign(text="x" * (SHOWN + 1))
    evidence = replace(results.evidence, documents=documents)
    packed = pack_queries(replace(results, evidence=evidence), "beasts", "test", [("bm25", "none")], [])
    assert {len(text) for text in packed["documents"]["text"]} == {SHOWN + 2}
    assert packed["trimmed"] == SHOWN


def test_a_run_put_together_with_itself_is_itself(hostile_run):
    run = Results.read(hostile_run)
    together = merge_runs({"a": run, "b": run})
    assert together.notes == ()
    keys = ["task", "split", "model", "reranker", "metric"]
    pd.testing.assert_frame_equal(
        together.results.scores.astype(dict.fromkeys(keys, str)).sort_values(keys, ignore_index=True),
        run.scores.astype(dict.fromkeys(keys, str)).sort_values(keys, ignore_index=True),
    )
    assert len(together.results.evidence.rankings) == len(run.evidence.rankings)


def test_other_results_on_the_same_data_carry_the_runs_name(hostile_run):
    run = Results.read(hostile_run)
    worse = replace(
        run, records=run.records.assign(value=run.records["value"].where(run.records["model"] != "bm25", 0))
    )
    together = merge_runs({"a": run, "b": worse})
    assert {"bm25", "bm25 [b]"} <= set(together.results.records["model"])
    assert "tfidf [b]" not in set(together.results.records["model"])
    assert "other results for bm25" in together.notes[0]


def test_other_data_is_a_section_of_its_own(hostile_run):
    run = Results.read(hostile_run)
    tasks = [{**task, "content_hash": "f" * 64} for task in run.provenance["tasks"]]
    other = replace(run, provenance={**run.provenance, "tasks": tasks})
    together = merge_runs({"a": run, "b": other})
    assert [unit.task for unit in make_units(together.results)] == [
        "beasts", "likeness", "beasts @ffffffff", "likeness @ffffffff",
    ]  # fmt: skip
    assert "cannot be compared cell by cell" in together.notes[0]


@pytest.mark.parametrize("kind", ["no evidence", "one cell", "nothing scored", "not a number"])
def test_runs_of_every_kind_have_a_report(hostile_run, kind):
    run = Results.read(hostile_run)
    if kind == "no evidence":
        run = replace(run, evidence=Evidence.none())
    elif kind == "one cell":
        run = replace(
            run, records=run.records[(run.records["model"] == "bm25") & (run.records["reranker"] == "none")]
        )  # and none of the other task
    elif kind == "nothing scored":
        run = replace(run, records=run.records.iloc[:0])
    else:
        run = replace(run, records=run.records.assign(value=np.nan))
    page = render({"run": run})
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])
    assert data["units"]
    assert ("Nothing could be scored" in page) == (kind != "no evidence")


def test_what_was_measured_is_shown(hostile_run):
    """The latency of each cell, by a made-up clock; the fast one is named, and the chart of costs has latency."""
    results = Results.read(hostile_run)
    scored = results.scores[["task", "split", "model", "reranker"]].astype(str).drop_duplicates()
    cells = scored[scored["task"] == "beasts"].reset_index(drop=True)
    cells = cells.reindex(columns=Measurements.none().cells.columns).assign(price_note="", note="")
    cells["latency_p50_ms"] = np.where(cells["model"] == "bm25", 2.5, 40.0)
    measured = replace(results, measurements=replace(Measurements.none(), cells=cells))
    (unit,) = (unit for unit in make_units(measured) if unit.task == "beasts")
    found = unit.cells.set_index(["model", "reranker"])["latency_ms"]
    assert found["bm25", "none"] == 2.5
    assert found["tfidf", "bm25"] == 40
    page = render({"measured": measured})
    assert "2.5 ms a query (median)" in page
    assert "Latency was not measured; the best" not in page


def test_provenance_is_there_in_full(hostile_run):
    run = Results.read(hostile_run)
    page = render({"run": run})
    for cell in run.provenance["cells"]:
        assert cell["fingerprint"] in page
    for task in run.provenance["tasks"]:
        assert task["content_hash"] in page
    assert run.provenance["command"] == "evalkit.run"
    assert f"numpy&nbsp;{run.provenance['packages']['numpy']}" in page
    assert "http://" not in re.sub(r"<script>.*?</script>", "", page, flags=re.S).replace("http://www.w3.org", "")


def test_the_command_writes_it(evalkit, hostile_run, tmp_path):
    out = tmp_path / "new" / "report.html"
    status, shown, errors = evalkit("report", hostile_run, "-o", out)
    assert (status, errors) == (0, "")
    assert str(out) in shown.replace("\n", "")
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    status, _, errors = evalkit("report", tmp_path, "-o", out)
    assert status == 2
    assert "holds no results of a run" in errors
