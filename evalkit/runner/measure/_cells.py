"""Measure every cell of a grid: each model in a process of its own, and each reranker on its own candidates.

Models take turns, A B C A B C, and time a part of the queries in each: what another process takes from one of them
for a while then shows as a spread. A turn more is a start more, since all models loaded at once would take the memory
of all. One whose start is paid for, or takes longer than what is timed, has all its queries in one turn.
"""

import math
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import compress, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evalkit.cell import NO_RERANKER, Cell
from evalkit.compute import Compute
from evalkit.models.facts import look_up
from evalkit.models.registry import ModelSpec, families
from evalkit.models.registry.options import ApiOptions
from evalkit.models.registry.reference import ModelRef
from evalkit.models.registry.selection import FusionSpec, Participants
from evalkit.progress import Progress
from evalkit.results.records import MEASUREMENT_COLUMNS, TRUNCATED_COLUMNS, Measurements
from evalkit.runner.context import RunContext
from evalkit.runner.grid import GridPlan
from evalkit.runner.measure._child import SERVER, Job, attempt, in_child, kept_or_measured
from evalkit.runner.measure._rounds import TURNS, Limits, Turn
from evalkit.runner.measure._stages import Measured, figures, fused
from evalkit.runner.measure._timing import FirstWork, SecondWork
from evalkit.search.ranking import LIST_DEPTH
from evalkit.types import RetrievalTask

NOT_MEASURED = "not measured: it was interrupted before"


class MeasuringInterrupted(KeyboardInterrupt):
    """Ctrl-C while cells were measured: `measurements` has a row of each, and says which were not measured."""

    def __init__(self, measurements: Measurements) -> None:
        super().__init__()
        self.measurements = measurements


def prepare(participants: Participants) -> None:
    """Start to import what the models need, in the process that measures them, while this one does other things.

    That takes longer than to measure a small model. Nothing is timed yet.
    """
    models = [*participants.models.values(), *participants.rerankers.values()]
    specs = [model.spec for model in models if model.spec is not None and _has_own_process(model.spec)]
    libraries = dict.fromkeys(library for spec in specs for library in families()[spec.family].libraries)
    if libraries:
        SERVER.prepare(list(libraries))


def measure(
    tasks: Sequence[RetrievalTask],
    participants: Participants,
    *,
    candidates: int,
    context: RunContext,
    limits: Limits = Limits(),  # noqa: B008 - it is frozen
    kept: Path | None = None,
    wanted: Container[Cell] | None = None,
    seconds: float = math.inf,
) -> Measurements:
    """Tell what each cell costs: a row a task, first stage (fusions too) and reranker ("none" too); see
    `Measurements`. With `wanted` it is these cells alone, and no model reads the documents of another. Once so many
    `seconds` are over, a model that was measured has no second turn.

    Single queries are answered as `LiveCell` answers them, one at a time, warm, within `limits`, those of all tasks
    side by side; a query that several tasks have is embedded once for all of them. What is timed never comes from the
    store; the corpus's vectors, which are searched, do. A model is loaded in a fresh process in each turn, where
    its memory is read; one that the caller made, or that is behind an API, is measured here, and its memory is NaN.
    An API gets few queries and documents, paid for by the context's account. A model that fails does not raise:
    `note` says why.

    `tasks` are the run's, with all their queries: which relevant documents are cut is told of all of them, however
    few queries are timed. Without a store the corpus is encoded once more in each turn.

    What was measured of each model is kept in the folder `kept`, if there is one, and not measured again. Raises
    MeasuringInterrupted after Ctrl-C.
    """
    models, rerankers, fusions = participants.models, participants.rerankers, participants.fusions
    plan = GridPlan(tasks, participants, candidates, candidates, wanted)
    until = time.perf_counter() + seconds
    work: dict[str, FirstWork | SecondWork] = {}
    asked: dict[str, list[bool]] = {}
    for label in models:
        asked[label] = [plan.runs(label, task) for task in tasks]
        own = tuple(compress(tasks, asked[label]))
        work[label] = FirstWork(own, max(candidates, LIST_DEPTH) if plan.fusions_of(label) else candidates)
    of_model = partial(_measured, context=context, limits=limits, kept=kept)
    first, interrupted = _each({label: model for label, model in models.items() if any(asked[label])}, work,
                               context.progress, of_model, until)  # fmt: skip
    first = {label: _by_row(first.get(label, NOT_MEASURED), asked[label]) for label in models}
    first |= {label: _fused(fusion, first, tasks, candidates, context.compute) for label, fusion in fusions.items()}
    parts = [
        (row, label, measured.stages[row])
        for row, (label, measured) in product(range(len(tasks)), first.items())
        if isinstance(measured, Measured) and measured.stages[row] is not None
    ]
    before = {
        reranker: [part for part in parts if plan.wants(Cell.of(tasks[part[0]], part[1], reranker))]
        for reranker in rerankers
    }
    second: dict[str, Measured | str] = dict.fromkeys(rerankers, NOT_MEASURED)
    if not interrupted:
        behind_all: dict[str, FirstWork | SecondWork] = {
            reranker: SecondWork(
                tuple(tasks),
                tuple(
                    (row, stage.asked, tuple(found[:candidates] for found in stage.found)) for row, _, stage in own
                ),
            )
            for reranker, own in before.items()
        }
        ahead_of = {reranker: model for reranker, model in rerankers.items() if before[reranker]}
        of_rerankers, interrupted = _each(ahead_of, behind_all, context.progress, of_model, until)
        second |= of_rerankers
    made_of = {**{label: (label,) for label in models}, **{label: fusion.parts for label, fusion in fusions.items()}}
    place = {
        (reranker, row, label): number
        for reranker, own in before.items()
        for number, (row, label, _) in enumerate(own)
    }
    rows: list[dict[str, Any]] = []
    truncated: dict[tuple[str, ...], None] = {}
    for (row, task), label, reranker in product(enumerate(tasks), first, (NO_RERANKER, *rerankers)):
        if not plan.wants(Cell.of(task, label, reranker)):
            continue
        ahead_models = [models[part] for part in made_of[label]]
        behind_models = [] if reranker == NO_RERANKER else [rerankers[reranker]]
        cell = {**vars(Cell.of(task, label, reranker)), **_prices(ahead_models, behind_models)}
        ahead, behind = first[label], second.get(reranker)
        if isinstance(ahead, str) or isinstance(behind, str):
            rows.append({**cell, "note": ahead if isinstance(ahead, str) else behind})
            continue
        stages = [ahead.stages[row], *([] if behind is None else [behind.stages[place[reranker, row, label]]])]
        peak = ahead.peak_megabytes + (0 if behind is None else behind.peak_megabytes)
        known = all(model.charges_are_known for model in [*ahead_models, *behind_models])
        charged = 1000 * sum(stage.usd / len(stage.asked) for stage in stages) if known else np.nan
        told = {**figures(*stages), "peak_memory_mb": peak, "usd_per_thousand_queries": charged}
        rows.append({**cell, **told, "note": ""})
        for reader, stage in zip((label, reranker), stages, strict=False):
            cut = stage.reading.cut if stage.reading else ()
            truncated |= dict.fromkeys((task.name, task.split, reader, *pair) for pair in cut)
    cut_off = pd.DataFrame(list(truncated), columns=TRUNCATED_COLUMNS)
    measurements = Measurements(pd.DataFrame(rows, columns=MEASUREMENT_COLUMNS), cut_off)
    if interrupted:
        raise MeasuringInterrupted(measurements)
    return measurements


def _each(
    models: Mapping[str, ModelRef],
    work: Mapping[str, FirstWork | SecondWork],
    progress: Progress,
    of_model: Callable[[ModelRef, FirstWork | SecondWork], Measured | str],
    until: float,
) -> tuple[dict[str, Measured | str], bool]:
    """Tell what was measured of each model, or why it was not; and whether Ctrl-C came.

    One alone has one turn, and there is no second one after `until`.
    """
    found: dict[str, Measured | str] = dict.fromkeys(models, NOT_MEASURED)
    turns = TURNS if len(models) > 1 else 1
    for number, (label, model) in product(range(turns), models.items()):
        earlier = found[label]
        if number > 0 and (isinstance(earlier, str) or earlier.complete or time.perf_counter() > until):
            continue
        try:
            with progress.step(f"measuring {label}", 1, "models"):
                now = of_model(model, replace(work[label], turn=Turn(number, turns)))
        except KeyboardInterrupt:
            return found, True
        if isinstance(earlier, Measured) and isinstance(now, Measured):
            now = earlier.then(now)
        found[label] = now
    return found, False


def _by_row(measured: Measured | str, asked: Sequence[bool]) -> Measured | str:
    """Return what was measured with a stage for each task, None for one that was not asked."""
    if isinstance(measured, str):
        return measured
    stages = iter(measured.stages)
    return replace(measured, stages=tuple(next(stages) if of_task else None for of_task in asked))


def _measured(
    model: ModelRef,
    work: FirstWork | SecondWork,
    context: RunContext,
    limits: Limits,
    kept: Path | None,
) -> Measured | str:
    """Tell what was measured, or the reason why it could not be."""
    spec = model.spec
    if spec is not None and _has_own_process(spec):
        root = None if context.store is None else str(context.store.root)
        return in_child(Job(spec, model.label, work, context.compute, root, limits, kept))
    return attempt(lambda: kept_or_measured(kept, work, context.load(model), model.label, context, limits, None))


def _has_own_process(spec: ModelSpec) -> bool:
    """Tell whether a model is measured in a process of its own: not where it is behind an API."""
    return not isinstance(spec.options, ApiOptions)


def _fused(
    fusion: FusionSpec,
    first: Mapping[str, Measured | str],
    tasks: Sequence[RetrievalTask],
    candidates: int,
    compute: Compute,
) -> Measured | str:
    """Return a fusion from what was measured of its parts, or why one of them could not be."""
    parts = [first[label] for label in fusion.parts]
    measured = [part for part in parts if isinstance(part, Measured)]
    if len(measured) < len(parts):
        return next(part for part in parts if isinstance(part, str))
    stages = tuple(
        None
        if any(part.stages[row] is None for part in measured)
        else fused([part.stages[row] for part in measured], fusion.fusion, task, candidates, compute)
        for row, task in enumerate(tasks)
    )
    return Measured(sum(part.peak_megabytes for part in measured), stages, complete=True)


def _prices(ahead: Sequence[ModelRef], behind: Sequence[ModelRef]) -> dict[str, float | str]:
    """Return the price of the first stage, and what is to be said of it and of the reranker's."""
    facts = list(map(look_up, ahead))
    asked = [each.price for each in facts if each.price is not None and each.price_unit == "million tokens"]
    notes = [each.price_note for each in facts] + [f"reranker: {look_up(model).price_note}" for model in behind]
    return {
        "usd_per_million_tokens": sum(asked) if asked else np.nan,
        "price_note": "; ".join(dict.fromkeys(notes)),
    }
