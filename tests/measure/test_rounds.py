"""Rounds and turns: what they say of noise, by planted times. No test looks at a real clock."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import FakeEmbedder, retrieval_task

from evalkit.compute import Compute
from evalkit.contracts import no_progress
from evalkit.models.registry.reference import ModelRef
from evalkit.models.registry.selection import Participants, choose
from evalkit.runner.context import RunContext
from evalkit.runner.measure import Limits, measure
from evalkit.runner.measure import _stages as stages
from evalkit.runner.measure import _timing as work
from evalkit.runner.measure._rounds import ROUNDS, percentile, spread

QUERIES = {f"q{number}": f"query {number}" for number in range(24)}
CORPUS = {"a": "ant", "b": "bear", "c": "cat", "d": "dog"}


def test_the_spread_is_that_of_the_rounds():
    times = np.array([3, 1, 2, 9, 5, 4, 7, 8, 6, 30, 20, 10], dtype=float)
    in_pairs = [sorted(times[start : start + 2]) for start in range(0, 12, 2)]
    assert spread(times, 50) == (min(low for low, _ in in_pairs), max(low for low, _ in in_pairs)) == (1, 10)
    assert spread(times, 95) == (min(high for _, high in in_pairs), max(high for _, high in in_pairs)) == (3, 30)
    assert spread(times[:3], 95) == (1, 3), "of few queries each is a round"
    assert np.isnan(spread(times[:1], 95)).all()


@pytest.mark.parametrize("percent", [50, 95])
def test_what_all_times_say_is_never_outside_of_the_spread(percent):
    rng = np.random.default_rng(1)
    for _ in range(300):
        times = rng.lognormal(size=rng.integers(2, 60))
        low, high = spread(times, percent)
        assert low <= percentile(times, percent) <= high


def test_the_spread_holds_the_median_of_rounds_as_often_as_it_says():
    """Of 8 queries a round the p95 is the longest, whose median is known."""
    median = 0.5 ** (1 / 8)
    times = np.random.default_rng(2).random((4000, 8 * ROUNDS))
    inside = np.mean([low <= median <= high for low, high in (spread(row, 95) for row in times)])
    assert inside == pytest.approx(1 - 2 / 2**ROUNDS, abs=0.01)


class Clock:
    now = 0.0
    order: list[str] = []  # noqa: RUF012


@pytest.fixture
def clock(monkeypatch) -> Clock:
    ticking = Clock()
    ticking.order = []
    for module in (work, stages):
        monkeypatch.setattr(module, "clock", lambda compute: ticking.now)
    return ticking


class Noisy(FakeEmbedder):
    """A query takes 5 to 15 ms, at random, and `factor()` times as much."""

    def __init__(self, clock, name, factor=lambda: 1.0):
        self.clock, self.name, self.factor, self.rng = clock, name, factor, np.random.default_rng(3)
        super().__init__({})

    def encode(self, texts, role, advance=no_progress):
        if role == "query":
            self.calls.append((role, list(texts)))
            self.clock.order.append(self.name)
        self.clock.now += self.factor() * self.rng.uniform(5, 15) / 1000
        return np.array([[1, len(text)] for text in texts], dtype=np.float32)


def measured(tasks, **models):
    chosen = choose([ModelRef.from_object(label, model) for label, model in models.items()], {"embedder"})
    limits = Limits(queries=24, seconds=60)
    return measure(
        tasks, Participants(chosen, {}, {}), candidates=2, context=RunContext(Compute(), None), limits=limits
    )


def test_an_embedder_is_as_fast_in_all_chunkings_whatever_the_noise(clock):
    """Each query is embedded once for all; nothing else takes time here."""
    task = retrieval_task(CORPUS, QUERIES)
    longer = retrieval_task({name: f"{text} {text}" for name, text in CORPUS.items()}, QUERIES)
    tasks = [replace(task, split="128/0"), replace(longer, split="256/0"), replace(task, split="512/0")]
    model = Noisy(clock, "m")
    cells = measured(tasks, m=model).cells
    columns = ["embed_p50_ms", "latency_p50_ms", "latency_p95_ms", "latency_p95_low_ms", "latency_p95_high_ms"]
    assert len(cells) == 3
    assert (cells[columns].nunique() == 1).all()
    assert (cells["latency_p95_low_ms"] < cells["latency_p95_high_ms"]).all(), "there is noise"
    asked = [texts[0] for _, texts in model.calls if texts[0] in QUERIES.values()]
    assert sorted(asked) == sorted(QUERIES.values()), "each once"


def test_each_chunking_is_searched_first_as_often_as_the_others(clock, monkeypatch):
    """A search takes a millisecond, and nine right after the model has run."""
    task = retrieval_task(CORPUS, QUERIES)
    search = work.LiveModel.search

    def timed(live, *asked):
        clock.now += 0.009 if clock.order[-1] == "m" else 0.001
        clock.order.append("search")
        return search(live, *asked)

    monkeypatch.setattr(work.LiveModel, "search", timed)
    cells = measured([replace(task, split=split) for split in ("128", "256", "512")], m=Noisy(clock, "m")).cells
    assert list(cells["search_p50_ms"]) == [pytest.approx(1)] * 3


def test_other_queries_are_embedded_by_themselves(clock):
    task = retrieval_task(CORPUS, QUERIES)
    other = retrieval_task(CORPUS, {name: f"{text} more" for name, text in QUERIES.items()})
    model = Noisy(clock, "m")
    cells = measured([task, replace(other, split="other")], m=model).cells
    assert cells["latency_p95_ms"].nunique() == 2
    assert len([texts for _, texts in model.calls if texts[0].startswith("query") and "?" not in texts[0]]) == 48


def test_models_take_turns_and_a_moment_that_is_slow_is_a_spread_of_both(clock):
    """After the first half of all queries everything takes four times as long, as if another program had started."""

    def slow():
        return 4.0 if len(clock.order) > len(QUERIES) + 10 else 1.0

    disturbed = measured(
        [retrieval_task(CORPUS, QUERIES)], a=Noisy(clock, "a", slow), b=Noisy(clock, "b", slow)
    ).cells
    changes = [
        clock.order[0],
        *(now for before, now in zip(clock.order, clock.order[1:], strict=False) if now != before),
    ]
    assert changes == ["a", "b", "a", "b"]
    assert set(disturbed["queries"]) == {24}
    assert (disturbed["latency_p95_high_ms"] > 2.5 * disturbed["latency_p95_low_ms"]).all()
    low, high = disturbed["latency_p95_low_ms"], disturbed["latency_p95_high_ms"]
    assert low.max() < high.min(), "neither is said to be faster"
