"""Models and rerankers that find nothing, for some queries or for all, through everything that reads a run."""

import io
import json

import numpy as np
import pytest
from fakes import write_retrieval_task
from rich.console import Console

import evalkit
from evalkit.contracts import no_progress
from evalkit.gating.gate import gate, make_baseline
from evalkit.integrations.mteb.export import export_results
from evalkit.picking._budget import halve
from evalkit.picking._recommend import recommend
from evalkit.reporting._tables import make_tables
from evalkit.reporting.changes import changes_to_markdown
from evalkit.reporting.html.changes import write_changes
from evalkit.reporting.html.page import render
from evalkit.reporting.table import to_latex, to_markdown
from evalkit.reporting.terminal import print_tables
from evalkit.results import Results
from evalkit.results.diff import compare_runs
from evalkit.results.misses import attribute
from evalkit.types import Run

CORPUS = {"a": "cats sleep all day", "b": "dogs bark at night", "c": "fish swim in the sea"}
QUERIES = {"q1": "cats sleep", "q2": "dogs bark", "q3": "fish swim"}
QRELS = {"q1": {"a": 1}, "q2": {"b": 1}, "q3": {"c": 1}}


class Finds:
    """Finds the first document for some queries, and nothing for any other; less than nothing at no depth."""

    def __init__(self, *queries: str, width: int | None = None):
        self.queries, self.width = queries, width
        self.identity = {"fake": "finds", "queries": queries, "width": width}

    def search(self, queries, document_ids, depth, advance=no_progress):
        run = Run(np.full((len(queries), depth), -1), np.full((len(queries), depth), np.nan))
        for row, query in enumerate(queries):
            if query in self.queries:
                run.documents[row, 0], run.scores[row, 0] = 0, 1.0
        return run.cut(depth if self.width is None else self.width)


class Drops:
    """Orders lists, and leaves everything out but for some queries."""

    def __init__(self, *queries: str):
        self.queries = queries
        self.identity = {"fake": "drops", "queries": queries}

    def rerank(self, query, documents, scores):
        return np.arange(len(documents) if query in self.queries else 0)


NOTHING, NEVER, SOME = ("nothing", Finds()), ("never", Finds()), ("some", Finds("cats sleep"))
FUSED = ["rrf(nothing, never)", "weighted(nothing, never)"]
HALF_FUSED = ["rrf(nothing, bm25)", "weighted(bm25, nothing)"]
SCENARIOS = {
    "nothing": ([NOTHING], []),
    "no places": ([("nothing", Finds(width=0))], ["tfidf"]),
    "fusions and rerankers of nothing": (
        [NOTHING, NEVER, *FUSED],
        ["bm25", "tfidf", ("list", Drops(*QUERIES.values()))],
    ),
    "beside what finds": ([NOTHING, SOME, "tfidf", *HALF_FUSED], [("drops", Drops()), ("keeps", Drops("dogs bark"))]),
    "behind what finds": (["tfidf", NOTHING], []),
}
HOW = {"top_k": [2, 10], "device": "cpu", "no_store": True}


def objects(models):
    return dict(model for model in models if isinstance(model, tuple))


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return write_retrieval_task(tmp_path_factory.mktemp("tasks") / "pets", CORPUS, QUERIES, QRELS)


@pytest.fixture(scope="module")
def full(task):
    """A run of a model that finds something."""
    return evalkit.run(models=["tfidf"], tasks=task, **HOW)


@pytest.fixture(scope="module", params=SCENARIOS)
def case(request, task, tmp_path_factory):
    """The scenario's models and rerankers, its results as they were read back, and their folder."""
    models, rerankers = SCENARIOS[request.param]
    folder = tmp_path_factory.mktemp("run")
    made = evalkit.run(models=models, tasks=task, rerankers=rerankers or "none", out=folder, **HOW)
    assert made.failures == []
    read = Results.read(folder)
    for name, frame in vars(made.evidence).items():
        assert len(getattr(read.evidence, name)) == len(frame), name
    return models, rerankers, read, folder


def test_every_cell_has_its_row_and_what_is_not_found_scores_0(case):
    _, _, results, folder = case
    found = results.evidence.rankings.astype({"query": str, "model": str, "reranker": str})
    records = results.records[results.records["metric"] == "hit_rate@2"]
    for (model, reranker), rows in records.groupby(["model", "reranker"], observed=True):
        answered = set(found[(found["model"] == model) & (found["reranker"] == reranker)]["query"])
        assert len(rows) == len(QUERIES)
        assert (rows[~rows["id"].isin(answered)]["value"] == 0).all()
    assert results.leaderboard()["nDCG@2"].notna().all()
    assert {path.name for path in folder.iterdir()} >= {"scores.csv", "leaderboard.md", "run.json", "results.parquet"}


def test_what_finds_nothing_is_said(case):
    """Below the tables and in run.json, once a model."""
    _, rerankers, results, folder = case
    lists = results.evidence.first_relevant.astype({"model": str, "reranker": str}).groupby(["model", "reranker"])
    ranked = results.evidence.rankings.astype({"model": str, "reranker": str})
    empty = {
        model: len(queries) - ranked[(ranked["model"] == model) & (ranked["reranker"] == "none")]["query"].nunique()
        for (model, reranker), queries in lists
        if reranker == "none"
    }
    told = {
        (cell["model"], note)
        for cell in json.loads((folder / "run.json").read_text())["cells"]
        for note in cell.get("notes", [])
        if cell["reranker"] == "none" and note.startswith("Finds")
    }
    assert told == {
        (model, f"Finds nothing for {count} of 3 queries: they score 0.") for model, count in empty.items() if count
    }
    markdown = to_markdown(make_tables(results))
    assert all(note in markdown for _, note in told)
    assert ("Leaves nothing of " in markdown) == any(name == "drops" for name, *_ in rerankers)


def test_tables_in_every_form(case):
    tables = make_tables(case[2])
    print_tables(tables, Console(file=io.StringIO(), width=100))
    assert to_markdown(tables)
    assert to_latex(tables)


def test_the_report(case, full):
    page = render({"run": case[2]})
    assert "evidence-0" in page, "the queries can be looked at, whatever was found for them"
    assert render({"full": full, "run": case[2]})


def test_comparing_with_a_run_that_found_something(case, full, tmp_path):
    model = next(name if isinstance(name, str) else name[0] for name in case[0])
    for before, after, pair in ((full, case[2], ("tfidf", model)), (case[2], full, (model, "tfidf"))):
        changes = compare_runs(before, after, dict([pair]))
        assert len(changes.cells)
        assert changes_to_markdown(changes, "a", "b")
        write_changes(changes, (before, after), ("a", "b"), tmp_path / "changes.html")
    assert compare_runs(case[2], case[2]).queries.empty


def test_baseline_and_gate(case, tmp_path):
    models, _, results, _ = case
    baseline = make_baseline(results, objects(models))
    baseline.write(tmp_path / "baseline.json")
    verdict = gate(tmp_path / "baseline.json", run=results, models=objects(models), policy={"drift": "off"})
    assert not [check for check in verdict.checks if check.outcome == "fail"]


def test_misses(case):
    for k in (1, 2):
        lost = attribute(case[2], k)
        assert (lost["missed"] == lost[["not_in_corpus", "not_found", "not_lifted", "demoted"]].sum(axis=1)).all()
        nothing = lost[(lost["model"] == "nothing") & (lost["reranker"] == "none")]
        assert (nothing["not_found"] == len(QUERIES)).all()


def test_a_recommendation(case):
    found = recommend(case[2], metric="hit_rate@2")
    best = max(each.score for each in found.choices)
    assert (found.best is None) == (best == 0)
    assert found.shown is None or found.shown.score > 0
    assert len(found.choices) == case[2].records.groupby(["model", "reranker"], observed=True).ngroups


def test_export_to_mteb(case, tmp_path):
    files = export_results(case[2], tmp_path)
    assert files
    assert all(json.loads(path.read_text()) for path in files)


def test_halving_cuts_what_finds_nothing_first():
    values = np.column_stack([np.zeros(40), np.ones(40), np.zeros(40), np.full(40, 0.5)])
    rounds = halve(range(4), lambda items, rows: values[rows][:, list(items)], 40, last=2)
    assert set(rounds[-1].scores) == {1, 3}


def test_pick(tmp_path):
    (tmp_path / "docs").mkdir()
    for name, text in CORPUS.items():
        (tmp_path / "docs" / f"{name}.md").write_text(text)
    rows = [f"{question},{CORPUS[document]}" for question, document in zip(QUERIES.values(), CORPUS, strict=True)]
    (tmp_path / "questions.csv").write_text("\n".join(["question,quote", *rows]))
    picked = evalkit.pick(
        tmp_path / "docs", questions=tmp_path / "questions.csv", models=["tfidf", NOTHING],
        rerankers=[("drops", Drops())], chunk_size=None, top_k=1, device="cpu", store=tmp_path / "store",
        out=tmp_path / "out",
    )  # fmt: skip
    assert (picked.results.measurements.cells["note"] == "").all()
    assert picked.recommendation.choice is not None
    assert picked.recommendation.choice.model in ("tfidf", "bm25")
    assert picked.recommendation.choice.score == 1
    assert (tmp_path / "out" / "recommendation.md").is_file()


def test_pick_where_nothing_is_found(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("cats sleep all day")
    (tmp_path / "questions.csv").write_text("question,quote\nzzyzx,cats sleep\nqwrt,all day\n")
    picked = evalkit.pick(
        tmp_path / "docs", questions=tmp_path / "questions.csv", models="bm25,tfidf", hybrid=False, chunk_size=None,
        top_k=1, device="cpu", store=tmp_path / "store", out=tmp_path / "out",
    )  # fmt: skip
    assert picked.recommendation.choice is None
    assert (picked.chunkings["tokens_at_k"] == 0).all()
    told = (tmp_path / "out" / "recommendation.md").read_text()
    assert told.startswith("# No choice finds the answer to any question")


def test_dense_vectors_in_the_store_where_no_query_has_a_known_word(tmp_path):
    write_retrieval_task(tmp_path / "task", CORPUS, {"q1": "zzyzx", "q2": "qwrt"}, {"q1": {"a": 1}, "q2": {"b": 1}})
    run = evalkit.run(models="word2vec:train", tasks=tmp_path / "task", device="cpu", store=tmp_path / "store")
    assert run.failures == []
    assert (run.scores["score"] == 0).all()
    (cell,) = run.provenance["cells"]
    assert "Finds nothing for 2 of 2 queries: they score 0." in cell["notes"]
