"""What a grid is expected to take: by planted times of models, on a clock that only they move."""

import numpy as np
import pytest

from evalkit.models.registry.reference import ModelRef
from evalkit.models.registry.selection import choose_participants
from evalkit.runner import pace
from evalkit.runner.context import RunContext
from evalkit.runner.grid import GridPlan
from evalkit.tasks import load_task


class Clock:
    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


class Slow:
    """An embedder and a reranker that takes so many seconds for its first text, and then for each."""

    similarity = "cosine"

    def __init__(self, clock, start, each):
        self.identity = {"slow": each}
        self._clock, self._start, self._each = clock, start, each

    def _work(self, number):
        self._clock.now += self._start + number * self._each
        self._start = 0.0


class SlowEmbedder(Slow):
    def encode(self, texts, role, advance=lambda finished: None):
        self._work(len(texts))
        return np.ones((len(texts), 2), dtype=np.float32)


class SlowReranker(Slow):
    def score(self, queries, documents, advance=lambda finished: None):
        self._work(len(queries))
        return np.zeros(len(queries))


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    return clock


def plan_of(clock, wanted=None):
    models = [ModelRef.from_object("slow", SlowEmbedder(clock, 30.0, 0.01)), "bm25", "rrf(slow, bm25)"]
    rerankers = [ModelRef.from_object("behind", SlowReranker(clock, 5.0, 0.05))]
    return GridPlan([load_task("rag-mini")], choose_participants(models, rerankers), 10, 10, wanted)


def test_the_steps_of_a_grid_and_their_seconds(clock):
    plan = plan_of(clock)
    (task,) = plan.tasks
    found = pace.paces(plan, RunContext(), seed=0)
    told = dict(pace.steps(plan, found))
    assert told["loading slow"] == pytest.approx(30.01)
    assert told["rag-mini: slow"] == pytest.approx(0.01 * (len(task.corpus) + len(task.queries)))
    assert told["loading behind"] == pytest.approx(5.05)
    # Three lists of ten candidates, of which the second and third bring five new ones each.
    assert told["rag-mini: behind"] == pytest.approx(0.05 * len(task.queries) * 10 * 2)
    half = dict(pace.steps(plan, found, questions=7))
    assert half["rag-mini: slow"] == pytest.approx(0.01 * (len(task.corpus) + 7))


def test_only_what_is_wanted_is_counted(clock):
    plan = plan_of(clock)
    found = pace.paces(plan, RunContext(), seed=0)
    wanted = [cell for cell in plan.cells() if cell.model == "bm25" and cell.reranker == "none"]
    assert {name for name, _ in pace.steps(plan_of(clock, wanted), found)} == {"loading bm25", "rag-mini: bm25"}


def test_a_model_that_fails_has_no_pace(clock):
    class Broken(SlowEmbedder):
        def encode(self, texts, role, advance=lambda finished: None):
            raise RuntimeError("no weights")

    plan = GridPlan(
        [load_task("rag-mini")],
        choose_participants([ModelRef.from_object("broken", Broken(clock, 1.0, 1.0))], []),
        10,
        10,
    )
    found = pace.paces(plan, RunContext(), seed=0)
    assert not found["broken"].known
    assert sum(seconds for _, seconds in pace.steps(plan, found)) == 0
