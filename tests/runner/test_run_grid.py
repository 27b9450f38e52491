"""What the grid computes: once each, from shared work, and in the right order."""

import numpy as np
import pytest
from fakes import (
    FakeEmbedder,
    FakeFitted,
    FakeReranker,
    FakeVocabulary,
    failures,
    ranked,
    retrieval_task,
    run,
    sts_task,
)

from evalkit.cell import Cell
from evalkit.compute import Compute
from evalkit.metrics.similarity import paired_similarities
from evalkit.models.bm25 import Bm25, Bm25Options

PETS = retrieval_task({"10": "cat", "9": "hen", "8": "dog", "7": "fox"}, {"q1": "meow?", "q2": "bark?"})
CARS = retrieval_task({"1": "van", "2": "bus", "3": "car"}, {"q1": "seats?"}, name="cars")
PAIRS = sts_task([("cat", "dog", 1.0), ("cat", "cat", 5.0), ("dog", "fox", 3.0)])
BOTH = {
    "cat": (3, 0), "hen": (2, 0), "dog": (0, 3), "fox": (0, 2), "meow?": (1, 0.1), "bark?": (0.1, 1),
    "van": (1, 1), "bus": (2, 1), "car": (3, 1), "seats?": (1, 0),
}  # fmt: skip


def swapped():
    """Finds the dogs for the cats' query and the reverse."""
    return FakeEmbedder({text: vector[::-1] if text.endswith("?") else vector for text, vector in BOTH.items()})


def test_each_model_is_loaded_once_and_when_its_turn_comes():
    loads = []
    models = {"a": FakeEmbedder(BOTH), "b": FakeEmbedder(BOTH)}
    run([PETS, PAIRS, CARS], models, {"r": FakeReranker(), "s": FakeReranker()}, loads=loads)
    assert loads == ["a", "b", "r", "s"]


def test_each_text_is_encoded_once_with_its_role():
    model = FakeEmbedder(BOTH)
    run([PETS, PAIRS], {"m": model}, {"r": FakeReranker()})
    assert model.calls == [
        ("document", ["cat", "hen", "dog", "fox"]),
        ("query", ["meow?", "bark?"]),
        ("sentence", ["cat", "dog", "fox"]),
    ]


def test_each_distinct_pair_of_all_embedders_is_scored_once():
    reranker = FakeReranker()
    models = {"a": FakeEmbedder(BOTH), "same": FakeEmbedder(BOTH), "swapped": swapped()}
    outcome = run([PETS, CARS], models, {"r": reranker}, candidates=2)
    union = {
        (query.text, document)
        for task in (PETS, CARS)
        for label in models
        for query in task.queries
        for document in [
            found.text for found in task.corpus if found.id in ranked(outcome, task, label)[query.id][:2]
        ]
    }
    assert len(union) == 2 * 4 + 2  # both of the pets' queries with all four documents; the cars' with two
    assert sorted(reranker.pairs) == sorted(union)


def test_reranked_by_score_and_ties_in_the_order_of_the_first_stage():
    better = {"dog": 2.0, "fox": 1.0, "cat": 1.0, "hen": 1.0}
    outcome = run([PETS], {"m": FakeEmbedder(BOTH)}, {"r": FakeReranker(lambda _, d: better[d])}, candidates=4)
    assert ranked(outcome, PETS, "m") == {"q1": ["10", "9", "8", "7"], "q2": ["8", "7", "10", "9"]}
    assert ranked(outcome, PETS, "m", "r") == {"q1": ["8", "10", "9", "7"], "q2": ["8", "7", "10", "9"]}
    assert outcome.rankings[Cell("pets", "test", "m", "r")].scores.tolist() == [[2, 1, 1, 1]] * 2


@pytest.mark.parametrize(("candidates", "kept"), [(1, ["10"]), (2, ["9", "10"]), (3, ["7", "9", "10"])])
def test_only_candidates_are_reranked(candidates, kept):
    """The reranker likes the embedder's last best, but sees its first `candidates` only."""
    likes = {"cat": 1.0, "hen": 2.0, "dog": 4.0, "fox": 3.0}
    vectors = {**BOTH, "meow?": (1.0, 0.0), "dog": (0.0, 3.0), "fox": (0.1, 3.0)}
    reranker = FakeReranker(lambda _, document: likes[document])
    outcome = run([PETS], {"m": FakeEmbedder(vectors)}, {"r": reranker}, candidates=candidates, depth=4)
    assert ranked(outcome, PETS, "m")["q1"] == ["10", "9", "7", "8"]
    assert ranked(outcome, PETS, "m", "r")["q1"] == kept
    assert outcome.rankings[Cell("pets", "test", "m", "r")].depth == candidates
    assert len(reranker.pairs) == 2 * candidates


def test_the_first_stage_is_as_deep_as_metrics_and_reranker_need():
    for candidates, depth, deep in ((1, 3, 3), (3, 1, 3), (9, 9, 4)):
        outcome = run([PETS], {"m": FakeEmbedder(BOTH)}, candidates=candidates, depth=depth)
        assert outcome.rankings[Cell("pets", "test", "m")].depth == deep


def test_places_without_a_result_stay_last_and_are_not_scored():
    """BM25 finds documents that share a word; a score of -inf ranks below every other, above no result."""
    task = retrieval_task(
        {"1": "red cat", "2": "red dog", "3": "blue fox"}, {"q1": "red", "q2": "zebra", "q3": "blue"}
    )
    reranker = FakeReranker(lambda _, document: -np.inf if "dog" in document else 1.0)
    outcome = run([task], {"bm25": Bm25("", Bm25Options(), Compute())}, {"r": reranker}, candidates=3)
    assert ranked(outcome, task, "bm25", "r") == {"q1": ["1", "2"], "q2": [], "q3": ["3"]}
    reranked = outcome.rankings[Cell("pets", "test", "bm25", "r")]
    assert reranked.documents.tolist() == [[0, 1, -1], [-1, -1, -1], [2, -1, -1]]
    np.testing.assert_array_equal(reranked.scores, [[1, -np.inf, np.nan], [np.nan] * 3, [1, np.nan, np.nan]])
    assert sorted(reranker.pairs) == [("blue", "blue fox"), ("red", "red cat"), ("red", "red dog")]


def test_a_retriever_has_no_sts_cell():
    outcome = run([PAIRS, PETS], {"bm25": Bm25("", Bm25Options(), Compute()), "m": FakeEmbedder(BOTH)})
    assert set(outcome.values) == {Cell("pairs", "test", "m")}
    assert {cell.model for cell in outcome.rankings} == {"bm25", "m"}
    assert outcome.failures == []


def test_similarities_are_of_the_pairs_in_order():
    outcome = run([PAIRS], {"m": FakeEmbedder(BOTH)})
    sides = [
        np.array([BOTH[text] for text in side], dtype=np.float32) for side in (PAIRS.sentences1, PAIRS.sentences2)
    ]
    found = outcome.values[Cell("pairs", "test", "m")]
    for name, values in paired_similarities(*sides).items():
        np.testing.assert_array_equal(found[name], values)


def test_a_fitted_model_learns_from_each_tasks_own_corpus_only():
    """The copy that is fitted for one task never serves the next, and the model itself stays unfitted."""
    model = FakeFitted(BOTH)
    outcome = run([PETS, PAIRS, CARS], {"m": model})
    assert outcome.failures == []
    assert model.fits == [["cat", "hen", "dog", "fox"], ["cat", "dog", "fox"], ["van", "bus", "car"]]
    assert model.learned == []
    assert len({facts.fingerprint for facts in outcome.facts.values()}) == 3


def test_a_fitted_reranker_learns_from_each_tasks_corpus():
    bm25 = Bm25("", Bm25Options(stop_words="none"), Compute())
    pets = retrieval_task({"1": "cat", "2": "cat cat cat dog", "3": "fish"}, {"q1": "dog"})
    cars = retrieval_task({"1": "car", "2": "van"}, {"q1": "van"}, name="cars")
    vectors = dict.fromkeys(("cat", "cat cat cat dog", "fish", "dog", "car", "van"), (1.0,))
    outcome = run([pets, cars], {"m": FakeEmbedder(vectors)}, {"bm25": bm25}, candidates=3)
    assert outcome.failures == []
    assert ranked(outcome, pets, "m", "bm25") == {"q1": ["2", "3", "1"]}
    assert ranked(outcome, cars, "m", "bm25") == {"q1": ["2", "1"]}


def test_texts_without_a_known_word_are_reported_and_no_results():
    task = retrieval_task({"1": "cat", "2": "???", "3": "dog"}, {"q1": "meow?", "q2": "!!!"})
    outcome = run([task, sts_task([("cat", "???", 1.0), ("cat", "dog", 2.0)])], {"m": FakeVocabulary(BOTH)}, depth=3)
    assert ranked(outcome, task, "m") == {"q1": ["1", "3"], "q2": []}
    facts = outcome.facts[Cell("pets", "test", "m")]
    assert (facts.blank, facts.coverage.unknown, facts.coverage.tokens) == (("2", "q2"), 2, 5)
    assert outcome.facts[Cell("pairs", "test", "m")].blank == ("???",)
    assert np.isnan(outcome.values[Cell("pairs", "test", "m")]["cosine"]).tolist() == [True, False]


def test_no_models_no_cells():
    outcome = run([PETS], {}, {"r": FakeReranker()})
    assert (outcome.rankings, outcome.values, failures(outcome)) == ({}, {}, {})
