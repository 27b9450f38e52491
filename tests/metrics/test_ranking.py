"""Ranking metrics against pytrec_eval (trec_eval itself), ranx and LlamaIndex, and on cases done by hand."""

from dataclasses import dataclass

import numpy as np
import pytest
import pytrec_eval
import ranx
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from llama_index.core.evaluation.retrieval.metrics import MRR, HitRate

from evalkit.metrics.ranking import RANKING_METRICS, Judged, Judgements, judge, mrr, ndcg
from evalkit.types import Run

CUTS = (1, 3, 10, 25)
TREC_EVAL = {
    "hit_rate": "success",
    "P": "P",
    "R": "recall",
    "AP": "map_cut",
    "nDCG": "ndcg_cut",
}
RANX = {
    "hit_rate": "hit_rate",
    "MRR": "mrr",
    "P": "precision",
    "R": "recall",
    "AP": "map",
    "nDCG": "ndcg",
}


@dataclass(frozen=True)
class Case:
    """The same random retrieval result as dicts, for the peers, and as evalkit's own run."""

    document_ids: list[str]
    query_ids: list[str]
    qrels: dict[str, dict[str, int]]
    scores: dict[str, dict[str, float]]
    run: Run

    def ranking(self, query_id: str) -> list[str]:
        scored = self.scores[query_id].items()
        return [document for document, _ in sorted(scored, key=lambda item: item[::-1], reverse=True)]


def make_case(seed: int, *, ties: bool, grades: tuple[int, ...] = (-1, 0, 1, 2, 3)) -> Case:
    rng = np.random.default_rng(seed)
    document_ids = [f"d{number}" for number in rng.permutation(80)]
    query_ids = [f"q{number}" for number in rng.permutation(60)]
    row_of = {document: row for row, document in enumerate(document_ids)}
    judgeable = [*document_ids, "absent1", "absent2", "absent3"]
    depth = 25
    qrels, scores = {}, {}
    documents = np.full((len(query_ids), depth), -1)
    values = np.full((len(query_ids), depth), np.nan)
    case = Case(document_ids, query_ids, qrels, scores, Run(documents, values))
    for row, query in enumerate(query_ids):
        judged = rng.choice(judgeable, size=rng.integers(1, 40), replace=False)
        qrels[query] = {str(document): int(rng.choice(grades)) for document in judged}
        qrels[query][str(judged[0])] = 1 + row % 3
        # Every fourth query has a short result, some of them an empty one.
        n_results = depth if row % 4 else int(rng.integers(0, 4))
        found = rng.choice(document_ids, size=n_results, replace=False)
        drawn = rng.random(n_results)
        scores[query] = {str(d): float(s) for d, s in zip(found, drawn.round(1) if ties else drawn, strict=True)}
        for rank, document in enumerate(case.ranking(query)):
            documents[row, rank] = row_of[document]
            values[row, rank] = scores[query][document]
    return case


def judged_of(case: Case) -> Judged:
    return judge(case.run, Judgements.of(case.qrels, case.document_ids, case.query_ids))


def trec_eval(case: Case, k: int) -> dict[str, dict[str, float]]:
    measures = {f"{name}.{k}" for name in TREC_EVAL.values()} | {"recip_rank"}
    return pytrec_eval.RelevanceEvaluator(case.qrels, measures).evaluate(case.scores)


@pytest.mark.parametrize("k", CUTS)
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_trec_eval_on_ties_and_missing_results(seed: int, k: int):
    case = make_case(seed, ties=True)
    assert any(not found for found in case.scores.values())
    peer, judged = trec_eval(case, k), judged_of(case)
    for name, peer_name in TREC_EVAL.items():
        # trec_eval says nothing of a query with no results; to evalkit it is a query that scores 0.
        expected = [peer.get(query, {}).get(f"{peer_name}_{k}", 0.0) for query in case.query_ids]
        np.testing.assert_allclose(RANKING_METRICS[name].per_query(judged, k), expected, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("k", CUTS)
def test_mrr_agrees_with_trec_eval_on_a_cut_run(k: int):
    case = make_case(7, ties=True)
    cut = {query: {d: case.scores[query][d] for d in case.ranking(query)[:k]} for query in case.query_ids}
    peer = pytrec_eval.RelevanceEvaluator(case.qrels, {"recip_rank"}).evaluate(cut)
    expected = [peer.get(query, {}).get("recip_rank", 0.0) for query in case.query_ids]
    np.testing.assert_allclose(mrr(judged_of(case), k), expected, atol=1e-12)


@pytest.mark.parametrize("k", CUTS)
def test_agrees_with_ranx(k: int):
    case = make_case(11, ties=False, grades=(0, 1, 2, 3))
    answered = [row for row, query in enumerate(case.query_ids) if case.scores[query]]
    names = [case.query_ids[row] for row in answered]
    qrels = ranx.Qrels({query: case.qrels[query] for query in names})
    run = ranx.Run({query: case.scores[query] for query in names})
    measures = [f"{name}@{k}" for name in RANX.values()]
    ranx.evaluate(qrels, run, measures)
    for name, peer_name in RANX.items():
        expected = [run.scores[f"{peer_name}@{k}"][query] for query in names]
        ours = RANKING_METRICS[name].per_query(judged_of(case), k)[answered]
        np.testing.assert_allclose(ours, expected, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("k", CUTS)
@pytest.mark.parametrize(
    ("name", "peer"),
    [("hit_rate", HitRate()), ("MRR", MRR()), ("R", HitRate(use_granular_hit_rate=True))],
)
def test_agrees_with_llama_index(name: str, peer: HitRate | MRR, k: int):
    case = make_case(13, ties=False)
    ours = RANKING_METRICS[name].per_query(judged_of(case), k)
    for row, query in enumerate(case.query_ids):
        relevant = [document for document, grade in case.qrels[query].items() if grade > 0]
        found = case.ranking(query)[:k]
        # LlamaIndex raises on an empty result.
        expected = peer.compute(expected_ids=relevant, retrieved_ids=found).score if found else 0.0
        assert ours[row] == pytest.approx(expected, abs=1e-12)


def test_judge_by_hand():
    run = Run(np.array([[2, 0, -1], [1, 2, 0], [0, -1, -1]]), np.zeros((3, 3)))
    qrels = {"q0": {"a": 2.0, "c": -1.0, "gone": 3.0}, "q1": {"c": 1.0}, "q2": {"a": 0.0}}
    judged = judge(run, Judgements.of(qrels, ["a", "b", "c"], ["q0", "q1", "q2"]))
    np.testing.assert_array_equal(judged.gains, [[0, 2, 0], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(judged.ideal, [[3, 2], [1, 0], [0, 0]])
    np.testing.assert_array_equal(judged.n_relevant, [2, 1, 0])
    discount = np.log2(3)
    np.testing.assert_allclose(ndcg(judged, 3), [(2 / discount) / (3 + 2 / discount), 1 / discount, np.nan])


@pytest.mark.parametrize("name", RANKING_METRICS)
def test_a_missing_result_is_0_and_no_relevant_document_is_nan(name: str):
    run = Run(np.full((2, 5), -1), np.full((2, 5), np.nan))
    judged = judge(run, Judgements.of({"answerable": {"a": 1.0}}, ["a"], ["answerable", "unjudged"]))
    np.testing.assert_array_equal(RANKING_METRICS[name].per_query(judged, 5), [0.0, np.nan])


@pytest.mark.parametrize("name", RANKING_METRICS)
def test_degenerate_shapes(name: str):
    nothing_found = judge(
        Run(np.empty((1, 0), np.int64), np.empty((1, 0))), Judgements.of({"q": {"a": 1}}, [], ["q"])
    )
    np.testing.assert_array_equal(RANKING_METRICS[name].per_query(nothing_found, 3), [0.0])
    no_query = judge(Run(np.empty((0, 3), np.int64), np.empty((0, 3))), Judgements.of({}, ["a"], []))
    assert RANKING_METRICS[name].per_query(no_query, 3).shape == (0,)


def test_a_run_for_other_queries_is_refused():
    with pytest.raises(ValueError, match="run has 1 rows for 2 queries"):
        judge(Run(np.zeros((1, 1), np.int64), np.zeros((1, 1))), Judgements.of({}, ["a"], ["q0", "q1"]))


gains_of_ten = arrays(np.float64, (4, 10), elements=st.sampled_from([0.0, 0.0, 1.0, 2.0, 3.0]))


@given(gains=gains_of_ten, missed=arrays(np.float64, (4, 3), elements=st.sampled_from([0.0, 1.0, 3.0])))
def test_fractions_that_never_fall_as_k_grows(gains, missed):
    judged = Judged(gains, -np.sort(-np.hstack([gains, missed]), axis=1))
    for name, metric in RANKING_METRICS.items():
        by_cut = np.array([metric.per_query(judged, k) for k in range(1, 15)])
        assert ((by_cut >= 0) & (by_cut <= 1) | (judged.n_relevant == 0)).all()
        assert by_cut.dtype == np.float64
        if name in {"hit_rate", "MRR", "R", "AP"}:
            assert (np.diff(by_cut[:, judged.n_relevant > 0], axis=0) >= 0).all()


@given(gains=gains_of_ten)
def test_the_ideal_ranking_has_an_ndcg_of_exactly_1(gains):
    ideal = -np.sort(-gains, axis=1)
    wider = np.hstack([ideal, np.zeros((4, 90))])
    for k in (1, 5, 10, 100):
        values = ndcg(Judged(ideal, wider), k)
        assert (values[ideal[:, 0] > 0] == 1).all()
