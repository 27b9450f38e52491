"""Which cells a budget leaves, by planted paces."""

import pytest

from evalkit.errors import ConfigError
from evalkit.models.registry.selection import choose_participants
from evalkit.picking import _budget
from evalkit.picking._budget import SPARE, Work, fit
from evalkit.picking.pick import Expected
from evalkit.runner.grid import GridPlan
from evalkit.runner.measure import Limits, _expected
from evalkit.runner.pace import Pace
from evalkit.tasks import load_task

SECONDS = {"bm25": 1.0, "tfidf": 2.0, "bow": 40.0}


NOTHING = Limits(queries=0, seconds=0.0)


@pytest.fixture(autouse=True)
def nothing_else_takes_time(monkeypatch):
    monkeypatch.setattr(_budget, "CHOOSING", 0.0)
    monkeypatch.setattr(_expected, "STARTING", 0.0)


def work(pair=0.0, limits=NOTHING):
    task = load_task("rag-mini")
    participants = choose_participants(list(SECONDS), ["tfidf"] if pair else [])
    found = {
        label: Pace(corpora={task.content_hash: seconds}, pair=pair if label == "tfidf" else 0.0)
        for label, seconds in SECONDS.items()
    }
    return Work(GridPlan([task], participants, 10, 10), found, limits)


def models(cells):
    return {cell.model for cell in cells}


def test_all_are_tried_where_they_fit():
    planned = work()
    assert fit(planned, 60, 43 * (1 + SPARE) + 0.01)[1] is False
    assert models(fit(planned, 60, 43 * (1 + SPARE) + 0.01)[0]) == set(SECONDS)


def test_what_takes_longest_is_not_tried():
    planned = work()
    tried, by_halves = fit(planned, 60, 43)
    assert (models(tried), by_halves) == ({"bm25", "tfidf"}, False)


def test_measuring_counts(monkeypatch):
    monkeypatch.setattr(_expected, "STARTING", 5.0)
    planned = work()  # each of several models is started twice
    assert models(fit(planned, 60, 30)[0]) == {"bm25", "tfidf"}
    assert models(fit(planned, 60, 13)[0]) == {"bm25"}


def test_pairs_are_halved_where_that_lets_more_take_part():
    planned = work(pair=0.01)
    full, halving = planned.in_all(list(planned.by_cost()))
    assert halving < full
    tried, by_halves = fit(planned, 600, (full + halving) / 2)
    assert by_halves
    assert models(tried) == set(SECONDS)


def test_the_least_that_is_possible_is_said():
    planned = work()
    with pytest.raises(
        ConfigError, match=r"a budget of 20 s is too short: .* about 22 s, for bm25 alone\. Give more"
    ):
        fit(planned, 20, 1.0)


def test_what_is_expected_is_told_in_the_singular_too():
    assert str(Expected(1, 1, (("loading bm25", 4.0),), ())) == "1 choice on 1 question: about 4 s."
    assert str(Expected(2, 12, (), ("paid",))) == "2 choices on 12 questions: about 0 s, without paid."
