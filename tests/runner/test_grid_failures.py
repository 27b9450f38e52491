"""A model or cell that fails is a row that says why, and leaves the others as they are."""

import numpy as np
import pytest
from fakes import FakeEmbedder, FakeReranker, failures, retrieval_task, run, sts_task
from scipy.sparse import csr_matrix

from evalkit.errors import ModelNotFoundError

PETS = retrieval_task({"d1": "cat", "d2": "dog"}, {"q1": "meow", "q2": "bark"})
CARS = retrieval_task({"d1": "van", "d2": "bus"}, {"q1": "seats"}, name="cars")
PAIRS = sts_task([("cat", "dog", 1.0), ("cat", "van", 2.0)])
VECTORS = {
    "cat": (3, 0), "dog": (0, 3), "meow": (1, 0.1), "bark": (0.1, 1), "van": (1, 1), "bus": (2, 1), "seats": (1, 0)
}  # fmt: skip


def of_rows(value, *bad):
    """Spoils the vectors of some texts."""

    def spoil(vectors, texts):
        vectors[[text in bad for text in texts]] = value
        return vectors

    return spoil


def raising(error, text=None):
    """Raises when `text` is encoded, or always."""

    def spoil(vectors, texts=(None,)):
        if text is None or text in texts:
            raise error
        return vectors

    return spoil


def assert_others_unaffected(tasks, models, rerankers, bad):
    """Every cell without `bad` holds what it holds in a grid without `bad`."""
    outcome = run(tasks, models, rerankers)
    without = run(
        tasks,
        {label: model for label, model in models.items() if label != bad},
        {label: model for label, model in rerankers.items() if label != bad},
    )
    assert not failures(without)
    assert without.rankings
    for cell, ranking in without.rankings.items():
        np.testing.assert_array_equal(outcome.rankings[cell].documents, ranking.documents)
        np.testing.assert_array_equal(outcome.rankings[cell].scores, ranking.scores)
    for cell, found in without.values.items():
        np.testing.assert_array_equal(outcome.values[cell]["cosine"], found["cosine"])
    return outcome


def told(reason, *tasks):
    """The reason, in all cells of the model "bad" on these tasks."""
    cells = [("pets", "none"), ("pets", "r"), ("cars", "none"), ("cars", "r"), ("pairs", "none")]
    return {(task, "bad", reranker): reason for task, reranker in cells if task in tasks}


def spoiled(spoil):
    return FakeEmbedder(VECTORS, spoil=spoil)


NOT_FINITE = "model 'bad' gave vectors that are not finite for"
ALL_ZERO = "model 'bad' gave vectors that are all zero for"

EMBEDDERS = {
    "loading, with an error of evalkit's": (
        ModelNotFoundError("no such weights"),
        told("no such weights", "pets", "cars", "pairs"),
    ),
    "loading, with any error": (MemoryError("too big"), told("MemoryError: too big", "pets", "cars", "pairs")),
    "one task": (spoiled(raising(ValueError("too long"), "bus")), told("ValueError: too long", "cars")),
    "NaN in a query": (spoiled(of_rows(np.nan, "bark")), told(f"{NOT_FINITE} 1 of 2 texts: 'q2'.", "pets")),
    "infinity in a task's documents": (
        spoiled(of_rows(np.inf, "van", "bus")),
        told(f"{NOT_FINITE} 2 of 2 texts: 'd1', 'd2'.", "cars") | told(f"{NOT_FINITE} 1 of 3 texts: 'van'.", "pairs"),
    ),
    "a zero vector": (
        spoiled(of_rows(0, "dog")),
        told(f"{ALL_ZERO} 1 of 2 texts: 'd2'.", "pets") | told(f"{ALL_ZERO} 1 of 3 texts: 'dog'.", "pairs"),
    ),
    "a vector too few": (
        spoiled(lambda vectors, texts: vectors[1:] if "seats" in texts else vectors),
        told("model 'bad' gave an array of shape (0, 2) for 1 query texts; it must be (1, dim).", "cars"),
    ),
    "a flat array": (
        spoiled(lambda vectors, texts: vectors.ravel() if "bus" in texts else vectors),
        told("model 'bad' gave an array of shape (4,) for 2 document texts; it must be (2, dim).", "cars"),
    ),
    "NaN in a sparse vector": (
        spoiled(lambda vectors, texts: csr_matrix(of_rows(np.nan, "bus")(vectors, texts))),
        told(f"{NOT_FINITE} 1 of 2 texts: 'd2'.", "cars"),
    ),
    "a zero sparse vector": (
        spoiled(lambda vectors, texts: csr_matrix(of_rows(0, "bus")(vectors, texts))),
        told(f"{ALL_ZERO} 1 of 2 texts: 'd2'.", "cars"),
    ),
}


@pytest.mark.parametrize(("bad", "reasons"), EMBEDDERS.values(), ids=EMBEDDERS)
def test_failing_embedder(bad, reasons):
    models = {"good": FakeEmbedder(VECTORS), "bad": bad, "last": FakeEmbedder(VECTORS)}
    outcome = assert_others_unaffected([PETS, PAIRS, CARS], models, {"r": FakeReranker()}, "bad")
    assert failures(outcome) == reasons
    done = {(cell.task, cell.model, cell.reranker) for cell in {**outcome.rankings, **outcome.values}}
    assert done == {
        (task, model, reranker)
        for task, reranker in (("pets", "none"), ("pets", "r"), ("cars", "none"), ("cars", "r"), ("pairs", "none"))
        for model in models
    } - set(reasons)


def spoiled_first(change):
    """Spoils the scores of the first task only."""
    calls = iter([change])
    return FakeReranker(spoil=lambda scores: next(calls, lambda same: same)(scores))


def set_last(value):
    return lambda scores: np.append(scores[:-1], value)


RERANKERS = {
    "NaN": (set_last(np.nan), "reranker 'bad' gave scores that are not finite for 1 of 4 pairs: 'q2 × d2'."),
    "all NaN": (
        lambda scores: scores * np.nan,
        "reranker 'bad' gave scores that are not finite for 4 of 4 pairs: "
        "'q1 × d1', 'q1 × d2', 'q2 × d1', 'q2 × d2'.",
    ),
    "infinity": (set_last(np.inf), "reranker 'bad' gave scores that are not finite for 1 of 4 pairs: 'q2 × d2'."),
    "a score too few": (
        lambda scores: scores[1:],
        "reranker 'bad' gave scores of shape (3,) for 4 pairs; it must be (4,).",
    ),
    "raising": (raising(RuntimeError("out of memory")), "RuntimeError: out of memory"),
}


@pytest.mark.parametrize(("change", "reason"), RERANKERS.values(), ids=RERANKERS)
def test_failing_reranker(change, reason):
    models = {"a": FakeEmbedder(VECTORS), "b": FakeEmbedder(VECTORS)}
    rerankers = {"bad": spoiled_first(change), "good": FakeReranker()}
    outcome = assert_others_unaffected([PETS, CARS, PAIRS], models, rerankers, "bad")
    assert failures(outcome) == {("pets", model, "bad"): reason for model in models}
    assert {cell.task for cell in outcome.rankings if cell.reranker == "bad"} == {"cars"}


def test_reranker_that_does_not_load_fails_behind_the_models_that_work():
    """A cell fails once: where the embedder failed already, that is the reason."""
    models = {"a": FakeEmbedder(VECTORS), "bad": FakeEmbedder(VECTORS, spoil=raising(ValueError("no"), "bus"))}
    outcome = run([PETS, CARS, PAIRS], models, {"r": ModelNotFoundError("no such weights")})
    assert failures(outcome) == {
        ("cars", "bad", "none"): "ValueError: no",
        ("cars", "bad", "r"): "ValueError: no",
        ("pets", "a", "r"): "no such weights",
        ("pets", "bad", "r"): "no such weights",
        ("cars", "a", "r"): "no such weights",
    }
    assert len(outcome.failures) == 5


def test_long_lists_of_texts_are_counted():
    corpus = {f"d{row}": f"text {row}" for row in range(8)}
    task = retrieval_task(corpus, {"q": "meow"})
    model = FakeEmbedder({**VECTORS, **dict.fromkeys(corpus.values(), (0.0, 0.0))})
    assert failures(run([task], {"m": model})) == {
        ("pets", "m", "none"): "model 'm' gave vectors that are all zero for 8 of 8 texts: "
        "'d0', 'd1', 'd2', 'd3', 'd4' and 3 more."
    }


def test_stopping_by_hand_is_no_failure():
    models = {"a": FakeEmbedder(VECTORS), "m": FakeEmbedder(VECTORS, spoil=raising(KeyboardInterrupt()))}
    outcome = run([PETS], models)
    assert outcome.interrupted
    assert [cell.model for cell in outcome.facts] == ["a"]
    assert not outcome.failures
