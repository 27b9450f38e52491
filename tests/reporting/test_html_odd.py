"""Reports on runs that are not like most: each opens without a complaint, and says what is the matter."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import evalkit as package
from evalkit.reporting.html import write_report
from evalkit.results import Results
from evalkit.results.records import Evidence

HOW = {"device": "cpu", "top_k": 3}
MISSING = [{"task": "rag-mini", "split": "test", "model": "lsa", "reranker": "none"}]


@pytest.fixture(scope="module")
def base() -> Results:
    return package.run(models="tfidf,bm25", tasks="rag-mini,sts-mini", rerankers="tfidf", max_queries=25, **HOW)


def with_evaluator(base: Results) -> Results:
    """A task that only has scores of the whole, as mteb's evaluators give them."""
    whole = base.records.head(2).astype(object).assign(task="Bank", id="all", metric=["accuracy", "samples"])
    rows = [whole.assign(model=model, reranker="none", value=[score, 50.0]) for model, score in
            (("tfidf", 0.5), ("bm25", 0.7))]  # fmt: skip
    task = {"task": "Bank", "split": "test", "content_hash": "x", "type": "evaluator", "kind": "Classification",
            "samples": 50}  # fmt: skip
    records = pd.concat([base.records.astype(object), *rows]).astype({"value": float})
    return replace(base, records=records, provenance={**base.provenance, "tasks": [*base.provenance["tasks"], task]})


def few(models: str, queries: int) -> Results:
    return package.run(models=models, tasks="rag-mini", max_queries=queries, **HOW)


CASES = {
    "an evaluator": (with_evaluator, "bm25 has the best accuracy, 0.700. There is no paired test"),
    "interrupted": (
        lambda base: replace(base, provenance={**base.provenance, "missing": MISSING}),
        "PARTIAL: run r was interrupted, and 1 cell(s) are missing.",
    ),
    "nothing finished": (
        lambda base: replace(base, records=base.records[:0], provenance={**base.provenance, "missing": MISSING}),
        "Nothing could be scored: lsa.",
    ),
    "all undefined": (
        lambda base: replace(base, records=base.records.assign(value=np.nan)),
        "Nothing could be scored: every score is undefined.",
    ),
    "all the same": (lambda base: replace(base, records=base.records.assign(value=1.0)), "can be told from it"),
    "without evidence": (lambda base: replace(base, evidence=Evidence.none()), "has the best nDCG@3"),
    "a task missing": (
        lambda base: replace(
            base, records=base.records[(base.records["task"] != "sts-mini") | (base.records["model"] == "none")]
        ),
        "has the best nDCG@3",
    ),
    "one cell": (lambda base: few("bm25", 10), "It is the only one that was scored."),
    "one query": (lambda base: few("bm25,tfidf", 1), "None of the other 1 can be told from it"),
    "all failed": (lambda base: few("glove:no-such-file.txt", 2), "Nothing could be scored: glove:no-such-file.txt"),
}


@pytest.mark.parametrize("case", CASES)
def test_odd_runs(case, base, browser, tmp_path):
    make, told = CASES[case]
    write_report({"r": make(base)}, tmp_path / "report.html")
    page = browser.new_page(viewport={"width": 900, "height": 700})
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_function("document.querySelectorAll('#board tr').length > 0")
    text = " ".join(page.locator("main").inner_text().split())
    assert told in text
    assert "NaN" not in text
    assert "undefined undefined" not in text
    assert not complaints
    page.close()


def test_means_over_tasks_and_published_figures(base, browser, tmp_path):
    (tmp_path / "published.csv").write_text(
        "task,split,model,reranker,metric,score,n,source\nrag-mini,test,bm25,none,hit_rate@3,0.5,252,Somebody 2020\n"
    )
    other = package.run(
        models="tfidf,bm25", tasks="rag-mini", max_queries=20, published=tmp_path / "published.csv", **HOW
    )
    write_report({"a": base, "b": other}, tmp_path / "report.html")
    page = browser.new_page(viewport={"width": 900, "height": 700})
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_function("document.querySelectorAll('#board tr').length > 0")
    text = " ".join(page.locator("main").inner_text().split())
    assert "rag-mini (test) has other data or judgements in run b than in an earlier one" in text
    assert "Published, not measured here" in text
    assert "Somebody 2020" in text
    # The mean over the two retrieval tasks, by hand.
    scores = [run.scores[(run.scores["task"] == "rag-mini") & (run.scores["metric"] == "nDCG@3")
              & (run.scores["model"] == "bm25") & (run.scores["reranker"] == "none")]["score"].iloc[0]
              for run in (base, other)]  # fmt: skip
    assert f"{np.mean(scores):.3f}" in text
    page.close()


def test_print_shows_every_table_in_ink_and_nothing_wider_than_the_page(base, browser, tmp_path):
    write_report({"r": base}, tmp_path / "report.html")
    page = browser.new_page(viewport={"width": 794, "height": 1123}, color_scheme="dark")  # A4 at 96 dots an inch
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_selector("#forest svg")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
    wide = page.evaluate(
        "[...document.querySelectorAll('table')].filter(t => t.offsetParent && t.getBoundingClientRect().right > 796)"
        ".map(t => t.id || t.innerText.slice(0, 40))"
    )
    assert not wide
    assert page.locator("#filters").is_hidden()
    assert page.pdf(format="A4")[:4] == b"%PDF"
    page.close()
