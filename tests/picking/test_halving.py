"""Successive halving: the schedule, and on real data the winner of the full grid for less work."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from evalkit.cell import Cell
from evalkit.compute import Compute, choose_compute
from evalkit.errors import ConfigError
from evalkit.metrics.ranking import Judgements, judge, ndcg
from evalkit.models.registry.selection import choose_participants
from evalkit.picking._budget import halve
from evalkit.runner.context import RunContext
from evalkit.runner.grid import GridPlan, run_grid
from evalkit.stats.paired import compare_means
from evalkit.store import Store
from evalkit.tasks import load_task

MODELS = ["bm25", "tfidf", "lsa?dim=32", "bow"]
RERANKERS = ["bm25", "tfidf", "maxsim:all-MiniLM-L6-v2?max_length=8"]  # short, for time


def test_the_schedule_doubles_questions_and_halves_choices():
    asked = []

    def score(items, rows):
        asked.append((list(items), set(rows)))
        return np.tile([float(item) for item in items], (len(rows), 1))

    rounds = halve(range(16), score, 160, last=2, seed=1)
    assert [(len(items), len(rows)) for items, rows in asked] == [(16, 20), (8, 40), (4, 80), (2, 160)]
    assert all(earlier <= later for (_, earlier), (_, later) in pairwise(asked))
    assert set(rounds[-1].scores) == {14, 15}
    assert rounds[0].cut == tuple(range(8))
    assert rounds[-1].cut == ()


def test_few_questions_make_fewer_rounds():
    rounds = halve(range(16), lambda items, rows: np.ones((len(rows), len(items))), 20, last=2)
    assert [(each.questions, len(each.scores)) for each in rounds] == [(10, 16), (20, 2)]


def test_nothing_to_halve():
    with pytest.raises(ConfigError):
        halve([], lambda items, rows: np.ones((0, 0)), 5)


@pytest.mark.slow
def test_on_real_data_for_at_most_half_of_the_pair_scores(tmp_path):
    task = load_task("rag-mini")
    compute = choose_compute("cpu", "float32")
    full, halved = Store(tmp_path / "full"), Store(tmp_path / "halved")
    cells = [Cell.of(task, model, reranker) for model in MODELS for reranker in ("none", *RERANKERS)]
    values = ndcgs(task, cells, compute, full)

    def score(items, rows):
        return ndcgs(replace(task, queries=tuple(task.queries[row] for row in rows)), items, compute, halved)

    rounds = halve(cells, score, len(task.queries), last=2)
    winner = max(rounds[-1].scores, key=rounds[-1].scores.get)
    best = int(values.mean(axis=0).argmax())
    test = compare_means(values, np.array([[best, cells.index(winner)]]), seed=0)
    assert test.p[0] > 0.05
    assert rounds[-1].scores[winner] == pytest.approx(values[:, cells.index(winner)].mean(), abs=1e-12)
    assert 0 < pairs(halved) <= pairs(full) / 2


def ndcgs(task, cells, compute: Compute, store: Store):
    plan = GridPlan([task], choose_participants(MODELS, RERANKERS), 10, 10, set(cells))
    outcome = run_grid(plan, RunContext(compute, store))
    assert not outcome.failures
    judgements = Judgements.of(task.qrels, [each.id for each in task.corpus], [each.id for each in task.queries])
    return np.column_stack([ndcg(judge(outcome.rankings[cell], judgements), 10) for cell in cells])


def pairs(store: Store) -> int:
    return sum(info.rows for info in store.ls() if info.kind != "vectors")
