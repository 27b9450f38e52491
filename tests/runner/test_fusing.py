"""Hybrid first stages in the grid: their parts' rankings fused, weights chosen on one half and used on the other."""

import numpy as np
import pytest
from fakes import FakeEmbedder, FakeReranker, failures, ranked, retrieval_task, run

import evalkit as package
from evalkit.cell import Cell
from evalkit.compute import Compute
from evalkit.errors import ConfigError, SpecError, UnknownNameError
from evalkit.integrations.llamaindex import EvalkitRetriever, best_retriever, task_nodes
from evalkit.metrics.ranking import Judgements, judge, ndcg
from evalkit.models.registry import build, parse_spec
from evalkit.models.registry.selection import parse_fusions
from evalkit.search.ranking import WEIGHTS, Fusion, fuse, halves, id_ranks, pool
from evalkit.tasks import load_task


def grid(tasks, models, fusions, rerankers=None, **how):
    return run(tasks, models, rerankers, fusions, **how)


CORPUS = {"cat": "a cat", "dog": "a dog", "eel": "an eel"}
VECTORS = {"a cat": (3.0, 1.0), "a dog": (2.0, 2.0), "an eel": (1.0, 3.0), "pet?": (1.0, 0.0), "fish?": (0.0, 1.0)}
TURNED = {**VECTORS, "a cat": VECTORS["an eel"], "an eel": VECTORS["a cat"]}
"""Every ranking the other way round."""


def pets(**more):
    return retrieval_task(CORPUS, {"p": "pet?", "f": "fish?"}, **more)


def test_a_fusion_uses_its_parts_work_and_no_more():
    first, second = FakeEmbedder(VECTORS), FakeEmbedder(TURNED)
    plain = run([pets()], {"a": FakeEmbedder(VECTORS)}, candidates=1)
    outcome = grid([pets()], {"a": first, "b": second}, {"both": (("a", "b"), Fusion("rrf"))}, candidates=1)
    assert [role for role, _ in first.calls] == ["document", "query"]
    task = pets()
    # The lists are the reverse of each other: each end has 1/61 + 1/63, the middle 2/62, which is less.
    assert ranked(outcome, task, "both") == {"p": ["eel"], "f": ["eel"]}
    assert ranked(outcome, task, "a") == ranked(plain, task, "a"), "its parts are searched deeper, and cut again"
    assert outcome.rankings[Cell.of(task, "a")].depth == 1


def test_rerankers_come_behind_a_fusion():
    reranker = FakeReranker(lambda query, document: -len(document))
    outcome = grid(
        [pets()], {"a": FakeEmbedder(VECTORS), "b": FakeEmbedder(TURNED)}, {"both": (("a", "b"), Fusion("rrf"))},
        {"short": reranker}, candidates=3,
    )  # fmt: skip
    assert ranked(outcome, pets(), "both", "short")["p"] == ["cat", "dog", "eel"], "two alike: as the fusion has them"
    assert len(reranker.pairs) == len(set(reranker.pairs)) == 6, "pairs are pooled with those of the parts"


def test_a_part_that_fails_is_named_and_nothing_else_is_lost():
    outcome = grid(
        [pets()], {"a": ValueError("no weights"), "b": FakeEmbedder(VECTORS)},
        {"both": (("a", "b"), Fusion("rrf"))}, {"r": FakeReranker()},
    )  # fmt: skip
    reasons = failures(outcome)
    told = "a, which is a part of it, failed: ValueError: no weights"
    assert reasons["pets", "both", "none"] == reasons["pets", "both", "r"] == told
    assert Cell.of(pets(), "b", "r") in outcome.rankings


@pytest.mark.parametrize("failing", [False, True])
def test_only_what_a_wanted_cell_stands_on_is_computed(failing):
    other = FakeEmbedder(VECTORS)
    task = pets()
    part = ValueError("gone") if failing else FakeEmbedder(TURNED)
    outcome = grid(
        [task], {"a": FakeEmbedder(VECTORS), "b": part, "c": other},
        {"both": (("a", "b"), Fusion("rrf")), "other": (("a", "c"), Fusion("rrf"))},
        wanted={Cell.of(task, "both")},
    )  # fmt: skip
    assert not other.calls
    assert (Cell.of(task, "both") in outcome.rankings) is not failing
    assert ("pets", "both", "none") in failures(outcome) if failing else not outcome.failures


def test_a_weight_cannot_be_chosen_from_one_query():
    task = retrieval_task(CORPUS, {"p": "pet?"})
    models = {"a": FakeEmbedder(VECTORS), "b": FakeEmbedder(TURNED)}
    outcome = grid([task], models, {"w": (("a", "b"), Fusion("weighted"))})
    assert "has 1 query" in failures(outcome)["pets", "w", "none"]
    fixed = grid([task], models, {"w": (("a", "b"), Fusion("weighted", weight=0.9))})
    assert ranked(fixed, task, "w") == {"p": ["cat", "dog"]}


@pytest.fixture(scope="module")
def ten_k(data_dir):
    """Real lists, to a depth of 100, of 60 questions."""
    task = load_task("llamaindex-10k-val", max_queries=60)
    models = {
        "bm25": build(parse_spec("bm25"), Compute()),
        "static": build(parse_spec(f"static:{data_dir / 'potion-base-4m-int8'}"), Compute()),
    }
    deep = run([task], models, depth=100, candidates=100)
    lists = [deep.rankings[Cell.of(task, label)] for label in ("static", "bm25")]
    parts = {"static bm25": (("static", "bm25"), Fusion("weighted"))}
    return task, lists, grid([task], models, parts, candidates=10, depth=5)


def test_a_chosen_weight_never_saw_the_queries_that_it_scores(ten_k):
    task, lists, outcome = ten_k
    ids, query_ids = [each.id for each in task.corpus], [each.id for each in task.queries]
    judgements = Judgements.of(task.qrels, ids, query_ids)
    half = halves(query_ids)
    cell = Cell.of(task, "static bm25")
    weights = outcome.facts[cell].weights
    assert set(weights) == {"all", "first half", "second half"}

    def at(weight):
        return fuse(pool(lists, Fusion("weighted")), (weight, 1 - weight), id_ranks(ids), 10)

    quality = np.array([ndcg(judge(at(weight), judgements), 5) for weight in WEIGHTS])
    for number, name in enumerate(("first half", "second half")):
        of_others = quality[:, half != number].mean(axis=1)
        assert of_others[WEIGHTS.index(weights[name])] == pytest.approx(of_others.max())
        mine = half == number
        np.testing.assert_array_equal(outcome.rankings[cell].documents[mine], at(weights[name]).documents[mine])
    everything = quality.mean(axis=1)
    assert everything[WEIGHTS.index(weights["all"])] == pytest.approx(everything.max())
    # Judgements of one half must not touch the rankings of that half.
    swapped = {query: {ids[0]: 1.0} if half[row] == 0 else task.qrels[query] for row, query in enumerate(query_ids)}
    other = type(task)(**{**vars(task), "qrels": swapped})
    again = package.runner.grid.fusing.fused_stage(
        Fusion("weighted"), other, [(run, outcome.facts[cell]) for run in lists], 10, 5
    )[0]
    np.testing.assert_array_equal(again.documents[half == 0], outcome.rankings[cell].documents[half == 0])


def test_a_run_names_fusions_and_writes_how_they_came_about(data_dir, tmp_path):
    static = f"static:{data_dir / 'potion-base-4m-int8'}"
    results = package.run(
        models=f"rrf({static}|tfidf, bm25)?k=10,weighted({static}, bm25)", tasks="rag-mini", rerankers="tfidf",
        max_queries=20, top_k=3, device="cpu", out=tmp_path,
    )  # fmt: skip
    hybrids = [f"rrf({static}, bm25)?k=10", "rrf(tfidf, bm25)?k=10", f"weighted({static}, bm25)"]
    assert set(results.scores["model"]) == {static, "tfidf", "bm25", *hybrids}
    assert not results.failures
    assert results.provenance["fusions"][hybrids[0]] == [static, "bm25"]
    # And the way back: as it was run, over the task's documents.
    task = load_task("rag-mini", max_queries=20)
    ranking = results.evidence.rankings
    for label in hybrids[:2]:
        live = EvalkitRetriever(task_nodes("rag-mini"), label, "tfidf", similarity_top_k=3, device="cpu")
        expected = ranking[(ranking["model"] == label) & (ranking["reranker"] == "tfidf") & (ranking["rank"] <= 3)]
        for query in task.queries[:5]:
            found = [each.node.node_id for each in live.retrieve(query.text)]
            assert found == expected[expected["query"] == query.id].sort_values("rank")["document"].tolist()
    weight = next(each["weights"]["all"] for each in results.provenance["cells"] if "weights" in each)
    assert results.spec_to_use("rag-mini", "test", hybrids[2]) == f"weighted({static}, bm25)?weight={weight:g}"
    with pytest.raises(ConfigError, match=r"new queries have no judgements to choose a weight by: give one"):
        EvalkitRetriever(task_nodes("rag-mini"), hybrids[2], device="cpu")


def test_the_best_cell_may_be_a_fusion_of_objects():
    task = load_task("rag-mini", max_queries=10)
    own = build(parse_spec("tfidf"), Compute())
    results = package.run(models=[("mine", own), "rrf(mine, bm25)"], tasks="rag-mini", max_queries=10, device="cpu")
    assert results.provenance["specs"]["rrf(mine, bm25)"] == "rrf(mine, bm25)"
    only = results.records[results.records["model"] == "rrf(mine, bm25)"]
    best = best_retriever(
        package.Results(only.copy(), results.provenance, results.published, results.evidence),
        task_nodes("rag-mini"), models={"mine": own},
    )  # fmt: skip
    ranking = results.evidence.rankings.query("model == 'rrf(mine, bm25)' and rank <= 5")
    for query in task.queries[:4]:
        expected = ranking[ranking["query"] == query.id].sort_values("rank")["document"].tolist()
        assert [each.node.node_id for each in best.retrieve(query.text)] == expected


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ("rrf(bm25)", SpecError, "a fusion is of two different models"),
        ("rrf(bm25, bm25)", SpecError, "a fusion is of two different models"),
        ("rrf(bm25, tfidf, bow)", SpecError, "a fusion is of two different models"),
        ("rrf(bm25, )", SpecError, "a fusion is of two different models"),
        ("rrf(rrf(bm25, tfidf), bow)", SpecError, "a fusion is of two different models"),
        ("rrf(bm25, tfidf)?k=0", SpecError, "option 'k'"),
        ("rrf(bm25, tfidf)?weight=1", SpecError, "unknown option 'weight'"),
        ("weighted(bm25, tfidf)?weight=2", SpecError, "option 'weight'"),
        ("rrf(bm25, nonesuch)", UnknownNameError, "nonesuch"),
        ("weighted(bm25, ce:x)", ConfigError, "is a reranker"),
    ],
)
def test_faulty_names_are_told_before_the_run(text, error, told):
    with pytest.raises(error) as caught:
        package.run(models=text, tasks="rag-mini")
    assert told in str(caught.value)


def test_sweeps_of_parts():
    swept = parse_fusions("rrf( a|b , static:x?dim=2|3)?k=5")
    assert [str(each) for each in swept] == [
        f"rrf({part}, static:x?dim={dim})?k=5" for part in "ab" for dim in (2, 3)
    ]  # fmt: skip
    assert parse_fusions(str(swept[0])) == swept[:1]


def test_a_plan_counts_fusions(evalkit):
    status, out, err = evalkit(
        "run", "--models", "rrf(tfidf, bm25)", "--tasks", "rag-mini", "--rerankers", "tfidf", "--dry-run"
    )  # fmt: skip
    assert status == 0, err
    assert "rrf(tfidf, bm25)" in out
    assert "Cells: 6." in out
