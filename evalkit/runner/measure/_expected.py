"""How long measuring will take, by the paces of the models: at most what `Limits` allow."""

from collections.abc import Mapping
from dataclasses import replace

from evalkit.runner.grid.plan import GridPlan
from evalkit.runner.measure._rounds import MOST_DOCUMENTS, TURNS, WARM_UP, Limits
from evalkit.runner.pace import Pace

STARTING = 1.0
"""Seconds for a process, beside what its model takes to be ready; its libraries are imported before."""
ALONE = 3
"""A query by itself takes about so many times as long as one of many."""
LEAST_SECONDS = 0.5
"""That each stage is timed for, however short the time."""


def expected(plan: GridPlan, paces: Mapping[str, Pace], limits: Limits) -> list[tuple[str, float]]:
    """Return the steps of measuring the cells that a plan wants, as `Progress` names them, with their seconds."""
    tasks = plan.retrieval_tasks
    asked = min(limits.queries, max(len(task.queries) for task in tasks)) + WARM_UP
    told: list[tuple[str, float]] = []
    models, rerankers = plan.participants.models, plan.participants.rerankers
    for label in models:
        of_model = [task for task in tasks if plan.runs(label, task)]
        pace = paces[label]
        each = sum(pace.of_corpus(task) * min(1.0, MOST_DOCUMENTS / len(task.corpus)) for task in of_model)
        queries = asked * ALONE * pace.query * len(of_model)
        seconds = min(limits.seconds, each) + min(limits.seconds * len(of_model), queries)
        told += _in_turns(f"measuring {label}", STARTING + pace.ready, seconds, models) if of_model else []
    for label in rerankers:
        before = [(task, len(plan.stages_before(task, label))) for task in tasks]
        lists = sum(number for _, number in before)
        pairs = sum(asked * min(plan.candidates, len(task.corpus)) * number for task, number in before)
        seconds = min(limits.seconds * lists, pairs * paces[label].pair)
        told += _in_turns(f"measuring {label}", STARTING + paces[label].ready, seconds, rerankers) if lists else []
    return told


def within(plan: GridPlan, paces: Mapping[str, Pace], limits: Limits, seconds: float) -> Limits:
    """Return the limits, with as many seconds a stage as let all of it be measured in so many seconds."""
    fitting = replace(limits, seconds=min(LEAST_SECONDS, limits.seconds))
    longest = limits.seconds
    while longest > fitting.seconds:
        tried = replace(limits, seconds=longest)
        if sum(each for _, each in expected(plan, paces, tried)) <= seconds:
            return tried
        longest *= 0.8
    return fitting


def _in_turns(name: str, starting: float, seconds: float, models: Mapping[str, object]) -> list[tuple[str, float]]:
    turns = TURNS if len(models) > 1 else 1
    return [(name, starting + seconds / turns)] * turns
