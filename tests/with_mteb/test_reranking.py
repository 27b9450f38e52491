"""Reranking on Cranfield: mteb's scores, whatever form the candidates come in; and what cannot be read is told."""

import json
from itertools import chain

import mteb
import numpy as np
import pytest
import pytrec_eval
import torch
from fakes import FakeEmbedder, FakeReranker, failures
from fakes import run as run_models
from test_mteb_tasks import MTEB, TREC, by_mteb

import evalkit
from evalkit.contracts import no_progress
from evalkit.errors import DataError
from evalkit.gating._baseline import freeze
from evalkit.gating.gate import gate
from evalkit.integrations.mteb import as_mteb_task, load_tasks
from evalkit.models.registry import resolve
from evalkit.reporting.html.page import render
from evalkit.results.diff import compare_runs
from evalkit.runner._plan import make_plan
from evalkit.runner.config import RunConfig
from evalkit.tasks import load_task
from evalkit.tasks.kinds import kind_of
from evalkit.types import Run

QUERIES = 60
WITHOUT_CANDIDATES, LACKING = "3", [str(number) for number in range(16, 30)]
"""The query that has no candidates, and those whose candidates lack a relevant document."""


@pytest.fixture(scope="module")
def data(cranfield, tmp_path_factory):
    """Cranfield as mteb's reranking data: the first 20 of BM25 and the judged documents of each query."""
    folder = tmp_path_factory.mktemp("whole")
    split = cranfield()["default"]["test"]
    split["queries"] = split["queries"].select(range(QUERIES))
    split["relevant_docs"] = {query: split["relevant_docs"][query] for query in split["queries"]["id"]}
    write(folder, split)
    (folder / "task.yaml").write_text("type: retrieval\nsplits: {test: test.tsv}\n")
    found = evalkit.run(models="bm25", tasks=str(folder), top_k=20, device="cpu").evidence.rankings.astype(str)
    ranked = found.groupby("query")["document"].apply(list)
    listed = {query: list(dict.fromkeys([*ranked[query], *split["relevant_docs"][query]])) for query in ranked.index}
    for query in LACKING:
        listed[query].remove(next(iter(split["relevant_docs"][query])))
    del listed[WITHOUT_CANDIDATES]
    return {"default": {"test": {**split, "top_ranked": listed}}}


def write(folder, split):
    """The files of a task but task.yaml."""
    rows = {"corpus": split["corpus"], "queries": split["queries"]}
    for name, of in rows.items():
        lines = (json.dumps({"_id": row["id"], **{key: row[key] for key in row if key != "id"}}) for row in of)
        (folder / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    judged = [(query, *each) for query, of in split["relevant_docs"].items() for each in of.items()]
    lines = ("query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in judged))
    (folder / "test.tsv").write_text("".join(f"{line}\n" for line in lines))
    pairs = [(query, document) for query, of in (split["top_ranked"] or {}).items() for document in of]
    lines = ("query-id\tcorpus-id", *("\t".join(pair) for pair in pairs))
    (folder / "candidates.tsv").write_text("".join(f"{line}\n" for line in lines))
    (folder / "task.yaml").write_text("type: reranking\ncandidates: candidates.tsv\nsplits: {test: test.tsv}\n")


@pytest.fixture(scope="module")
def reranking(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reranking") / "cranfield"
    folder.mkdir()
    write(folder, data["default"]["test"])
    return str(folder)


def test_scores_are_mteb_s(reranking, data, feed, potion, plain_potion, unrounded):
    feed("SciDocsRR", lambda: {"default": {"test": dict(data["default"]["test"])}})
    tasks = [reranking, "mteb:SciDocsRR"]
    found = evalkit.run(models=potion, tasks=tasks, top_k=[1, 10, 1000], device="cpu").scores
    expected = by_mteb(plain_potion, mteb.get_task("SciDocsRR"))
    for _, scores in found.groupby("task", observed=True):
        scores = scores.set_index("metric")
        for name, theirs in TREC.items():
            for k in (1, 10, 1000):
                assert scores.loc[f"{name}@{k}", "score"] == pytest.approx(unrounded[f"{theirs}_{k}"], abs=1e-6), name
                assert round(scores.loc[f"{name}@{k}", "score"], 5) == expected[f"{MTEB.get(name, name)}_at_{k}"]
        assert scores.loc["MRR@10", "score"] == pytest.approx(expected["mrr_at_10"], abs=1e-6)
        assert round(scores.loc["AP@1000", "score"], 5) == expected["main_score"]
        assert set(scores["n"]) == {QUERIES}
        assert (scores["ci_low"] < scores["score"]).all()
    ours = by_mteb(plain_potion, as_mteb_task(load_task(reranking)))
    assert {name: ours[name] for name in MTEB_NAMES} == {name: expected[name] for name in MTEB_NAMES}


MTEB_NAMES = ("map_at_1000", "ndcg_at_10", "recall_at_10", "mrr_at_10")


@pytest.mark.slow
def test_a_cross_encoder_scores_as_in_mteb(data, feed, data_dir, unrounded, tmp_path):
    from mteb.models import CrossEncoderWrapper

    split = dict(data["default"]["test"])
    split["queries"] = split["queries"].select(range(4, 6))
    split["relevant_docs"] = {query: split["relevant_docs"][query] for query in split["queries"]["id"]}
    split["top_ranked"] = {query: split["top_ranked"][query][:12] for query in split["queries"]["id"]}
    write(tmp_path, split)
    feed("SciDocsRR", {"default": {"test": split}})
    model = str(data_dir / "ce-minilm")
    found = evalkit.run(
        models=["bm25", "tfidf"], rerankers=f"ce:{model}", tasks=str(tmp_path), top_k=[1, 10], candidates=100,
        device="cpu",
    )  # fmt: skip
    # The weights are stored in float16, in which mteb would compute.
    expected = by_mteb(
        CrossEncoderWrapper(model, device="cpu", model_kwargs={"dtype": torch.float32}), mteb.get_task("SciDocsRR")
    )
    for _, scores in found.scores[found.scores["reranker"] != "none"].groupby("model", observed=True):
        scores = scores.set_index("metric")["score"]
        for name, theirs in TREC.items():
            assert scores[f"{name}@10"] == pytest.approx(unrounded[f"{theirs}_10"], abs=1e-6), name
        assert scores["MRR@10"] == pytest.approx(expected["mrr_at_10"], abs=1e-6)
    fewer = evalkit.run(models="tfidf", rerankers="bm25", tasks=str(tmp_path), top_k=5, candidates=7, device="cpu")
    assert any(
        "It gets the first 7 of up to" in note for cell in fewer.provenance["cells"] for note in cell.get("notes", ())
    )


MODELS = ["bm25", "tfidf", "POTION?precision=int8&rescore=1000", "rrf(bm25, tfidf)"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def results(reranking, data_dir, out):
    potion = f"static:{data_dir / 'potion-base-4m-int8'}"
    models = [potion, *(model.replace("POTION", potion) for model in MODELS)]
    return evalkit.run(models=models, rerankers=["bm25"], tasks=reranking, top_k=[10], device="cpu", out=out)


def test_every_model_ranks_the_candidates_and_trec_eval_scores_it_alike(results, data):
    split = data["default"]["test"]
    assert not results.failures
    evaluator = pytrec_eval.RelevanceEvaluator(split["relevant_docs"], {"map_cut.10", "ndcg_cut.10"})
    rankings = results.evidence.rankings.astype({"model": str, "query": str, "document": str, "reranker": str})
    records = results.records.astype({"model": str, "reranker": str, "id": str, "metric": str})
    cells = rankings.groupby(["model", "reranker"])
    assert len(cells) == 2 * (1 + len(MODELS))
    for cell, rows in cells:
        run = {
            query: dict(zip(of["document"], -of["rank"].astype(float), strict=True))
            for query, of in rows.groupby("query")
        }
        assert all(set(of) <= set(split["top_ranked"][query]) for query, of in run.items())
        expected = evaluator.evaluate({query: run.get(query, {}) for query in split["relevant_docs"]})
        mine = records[(records["model"] == cell[0]) & (records["reranker"] == cell[1])]
        for name, theirs in (("AP@10", "map_cut_10"), ("nDCG@10", "ndcg_cut_10")):
            values = mine[mine["metric"] == name].set_index("id")["value"]
            for query, scores in expected.items():
                assert values[query] == pytest.approx(scores[theirs], abs=1e-9), (cell, name, query)
    scores = results.scores[results.scores["reranker"] == "none"].pivot_table("score", "model", "metric")
    rescored = next(model for model in scores.index if "rescore" in model)
    np.testing.assert_allclose(scores.loc[rescored], scores.loc[rescored.partition("?")[0]], atol=1e-12)


def test_it_takes_part_in_all_that_is_made_of_results(results, reranking, potion, out):
    markdown = (out / "leaderboard.md").read_text()
    assert f"Reranking: cranfield (test), {QUERIES} queries" in markdown
    assert "relevant documents are not among the candidates of their query" in markdown
    page = render({"run": results})
    assert "candidates each" in page
    board = results.leaderboard()
    assert board["nDCG@10"].is_monotonic_decreasing
    after = evalkit.run(models="bow", tasks=reranking, top_k=[10], device="cpu")
    changes = compare_runs(results, after, {"tfidf": "bow"})
    assert {"nDCG@10", "MRR@10"} <= set(changes.cells["metric"])
    assert len(changes.queries)
    verdict = gate(
        freeze(results, {}), run=after, pairs={"tfidf": "bow"}, policy={"drift": "off", "metrics": ["MRR@10"]}
    )
    assert any(": MRR@10" in check.name for check in verdict.checks)
    plan = make_plan(
        RunConfig(models=[potion], tasks=[reranking]), {potion: resolve(potion)}, {"bm25": resolve("bm25")}
    )
    assert plan.tasks[0].size.startswith(f"{QUERIES} queries")
    assert plan.cells == 2


LISTS = [
    {"query": "where do cats sleep", "positive": ["on warm roofs"], "negative": ["trains brake", "the market fell"]},
    {"query": "how do trains stop", "positive": ["trains brake", "with sand"], "negative": ["on warm roofs"]},
    {"query": "what is left out", "positive": [], "negative": ["the market fell"]},
]


@pytest.fixture
def lists(tmp_path):
    def make(rows):
        folder = tmp_path / "lists"
        folder.mkdir(exist_ok=True)
        (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "task.yaml").write_text("type: reranking\nsplits: {test: test.jsonl}\n")
        return str(folder)

    return make


def test_all_forms_are_read_alike(lists, tmp_path):
    task = load_task(lists(LISTS))
    assert len(task.corpus) == 4
    assert [len(task.candidates[query.id]) for query in task.queries] == [3, 3]
    assert "1 of 3 rows have no positive or no negative" in task.notes[0]
    assert kind_of(task).size(kind_of(task).facts(task)) == "2 queries with 3 candidates each"
    split = {
        "corpus": [{"id": each.id, "text": each.text} for each in task.corpus],
        "queries": [{"id": each.id, "text": each.text} for each in task.queries],
        "relevant_docs": task.qrels,
        "top_ranked": task.candidates,
    }
    folder = tmp_path / "files"
    folder.mkdir()
    write(folder, split)
    (folder / "run.txt").write_text(
        "".join(
            f"{query} Q0 {document} {rank} {9 - rank}.5 bm25\n"
            for query, of in task.candidates.items()
            for rank, document in enumerate(of)
        )
    )
    (folder / "hub.jsonl").write_text(
        "".join(
            json.dumps({"query-id": query, "corpus-ids": list(of)}) + "\n" for query, of in task.candidates.items()
        )
    )
    for name in ("candidates.tsv", "run.txt", "hub.jsonl"):
        (folder / "task.yaml").write_text(f"type: reranking\ncandidates: {name}\nsplits: {{test: test.tsv}}\n")
        assert load_task(str(folder)).content_hash == task.content_hash, name
    (folder / "candidates.tsv").write_text((folder / "candidates.tsv").read_text().rpartition("1\t")[0])
    (folder / "task.yaml").write_text("type: reranking\ncandidates: candidates.tsv\nsplits: {test: test.tsv}\n")
    fewer = load_task(str(folder))
    assert fewer.content_hash != task.content_hash
    sample = load_task(lists(LISTS), max_queries=1)
    assert (len(sample.queries), len(sample.candidates), sample.sampled_from) == (1, 1, 2)


def test_nothing_but_candidates_is_ranked(lists):
    task = load_task(lists(LISTS))
    rows = {identifier: row for row, identifier in enumerate(task.document_ids)}
    vectors = {text: (1.0, float(row)) for row, text in enumerate([*task.contents, *(q.text for q in task.queries)])}
    outcome = run_models([task], {"fake": FakeEmbedder(vectors)}, {"again": FakeReranker()}, candidates=2, depth=4)
    allowed = [sorted(map(rows.__getitem__, task.candidates[query.id]), reverse=True) for query in task.queries]
    first, second = outcome.rankings.values()
    assert first.documents.tolist() == allowed
    assert second.documents.tolist() == [of[:2] for of in allowed]
    assert any("with --candidates 3 it gets all" in note for facts in outcome.facts.values() for note in facts.notes)


def test_a_query_without_candidates_scores_0_as_in_mteb(results):
    records = results.records[results.records["id"] == WITHOUT_CANDIDATES]
    assert set(records["value"]) == {0.0}
    (task,) = results.tasks
    assert any(note.startswith(f"1 of {QUERIES} queries have no candidates: they score 0") for note in task["notes"])
    assert (task["fewest_candidates"], task["documents"]) == (0, 300)


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        (
            "query-id\tcorpus-id\nq1\td1\nq1\td9\n",
            r"candidate that the corpus lacks; list .* \(1\): 'd9' \(query 'q1'\)",
        ),
        ("query-id\tcorpus-id\nq1\td1\nq7\td1\n", r"candidates of an absent query; leave them out \(1\): 'q7'"),
        ("query-id\tcorpus-id\nq1\td1\nq1\td1\n", r"candidate listed twice; list it once \(1\): 'd1' \(query 'q1'\)"),
        ("query-id\tcorpus-id\nq1\t\n", r"a query without a candidate; give an id, or a list of ids \(1\): line 2"),
        ("query-id\tnumber\nq1\t1\n", "no field 'corpus-id'; the columns are 'query-id', 'number'"),
        ("q1 Q0 d1 1 3.5 bm25\nq1 Q0 d2\n", r"not query Q0 document rank score tag \(1\): line 2"),
    ],
)
@pytest.mark.parametrize("accepted", ["error", "warn"])
def test_faulty_candidates_are_told(candidates, message, accepted, tmp_path):
    split = {
        "corpus": [{"id": "d1", "text": "one"}, {"id": "d2", "text": "two"}],
        "queries": [{"id": "q1", "text": "which"}],
        "relevant_docs": {"q1": {"d1": 1}},
        "top_ranked": None,
    }
    write(tmp_path, split)
    (tmp_path / "candidates.tsv").write_text(candidates)
    with pytest.raises(DataError, match=message) as caught:
        load_task(str(tmp_path), on_bad_data=accepted)
    assert "Fix the data" in str(caught.value)


def test_faulty_lists_are_told(lists):
    good = LISTS[0]
    twice = {**good, "negative": ["on warm roofs", "trains brake"]}
    with pytest.raises(DataError, match=r"a text is there twice, in positive and negative together.*line 2"):
        load_task(lists([good, twice]))
    with pytest.warns(evalkit.tasks.DataWarning):
        task = load_task(lists([good, twice]), on_bad_data="warn")
    assert sorted(task.qrels["1"].values()) == [0.0, 1.0]
    with pytest.raises(DataError, match=r"positive is no text, and no list of texts \(1\): line 1 has 7"):
        load_task(lists([{**good, "positive": 7}]))
    with pytest.raises(DataError, match="no field 'negative'; the columns are 'query', 'positive'"):
        load_task(lists([{"query": "a", "positive": ["b"]}]))
    assert len(load_task(lists([{**good, "positive": "one text alone"}])).candidates["0"]) == 3


class Whole:
    """A retriever that searches a whole corpus, and scores no pairs."""

    def __init__(self):
        self.identity = {"fake": "whole"}

    def search(self, queries, document_ids, depth, advance=no_progress):
        return Run(np.zeros((len(queries), 1), dtype=np.int64), np.ones((len(queries), 1)))


def test_a_model_that_cannot_rank_candidates_says_so(lists):
    task = load_task(lists(LISTS))
    reason = failures(run_models([task], {"whole": Whole()}))[task.name, "whole", "none"]
    assert reason.startswith("whole searches a whole corpus and scores no pairs")
    assert "Leave it out of this task, or give it a method `score`" in reason


def test_mteb_s_data_is_checked(data, feed):
    split = dict(data["default"]["test"])
    split["top_ranked"] = {**split["top_ranked"], "1": [*split["top_ranked"]["1"], "absent"], "no query": ["1"]}
    feed("SciDocsRR", {"default": {"test": split}})
    with pytest.raises(DataError, match="candidate that the corpus lacks") as caught:
        load_tasks("mteb:SciDocsRR")
    assert "no query" not in str(caught.value)
    split["top_ranked"]["1"] = [*split["top_ranked"]["2"], *split["top_ranked"]["2"]]
    (task,) = load_tasks("mteb:SciDocsRR", max_queries=40)
    assert len(task.candidates) <= len(task.queries) == 40
    assert set(chain.from_iterable(task.candidates.values())) <= set(task.document_ids)
