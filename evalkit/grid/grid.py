"""Run a grid: each model is loaded once, and a cell that fails does not sink the others."""

from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from typing import TypeVar

from evalkit.cell import NO_RERANKER, Cell
from evalkit.contracts import Embedder, ListReranker, Reranker, Retriever
from evalkit.errors import reason_of
from evalkit.grid.cells import Entrant, Failure, FusedEntrant, Outcome
from evalkit.grid.fusing import fused_stage
from evalkit.grid.limit import within
from evalkit.grid.stages import Means, ask_company, first_stage, observe, second_stage
from evalkit.search.fusion import LIST_DEPTH
from evalkit.types import RetrievalTask, Run, Task

Result = TypeVar("Result")


def run_grid(
    tasks: Sequence[Task],
    models: Sequence[Entrant[Embedder | Retriever]],
    rerankers: Sequence[Entrant[Embedder | Reranker | ListReranker]],
    fusions: Sequence[FusedEntrant] = (),
    *,
    candidates: int,
    depth: int,
    means: Means,
    wanted: Container[Cell] | None = None,
) -> Outcome:
    """Every model on every task, fusions of their rankings, then every reranker behind all of these.

    First-stage rankings hold max(depth, candidates) documents, reranked ones `candidates`; fusions and rerankers take
    part in retrieval tasks. The parts of a fusion are among the models. A model that is a Retriever only (BM25) has
    no vectors, and so cells of retrieval tasks only. Ctrl-C ends it with the cells that are finished;
    `Outcome.interrupted` tells. With `wanted`, only these cells are computed, and the first stages that they stand
    on.
    """
    outcome = Outcome()
    retrieval_tasks = [task for task in tasks if isinstance(task, RetrievalTask)]
    behind = [reranker.label for reranker in rerankers]
    kept = max(depth, candidates)
    try:
        deep: dict[Cell, Run] = {}
        for entrant in models:
            fused = [fusion.label for fusion in fusions if entrant.label in fusion.parts]
            found = max(kept, LIST_DEPTH) if fused else kept
            _first_stages(outcome, entrant, tasks, found, means, behind, fused, wanted)
            for task in retrieval_tasks if fused else ():
                cell = Cell.of(task, entrant.label)
                if cell in outcome.rankings:
                    deep[cell] = outcome.rankings[cell]
                    outcome.rankings[cell] = deep[cell].cut(kept)
        for fusion in fusions:
            _fused_stages(outcome, fusion, retrieval_tasks, deep, kept, depth, behind, means, wanted)
        first = [*(model.label for model in models), *(fusion.label for fusion in fusions)]
        for reranker in rerankers:
            _second_stages(outcome, reranker, retrieval_tasks, first, candidates, means, wanted)
    except KeyboardInterrupt:
        outcome.interrupted = True
    return outcome


def _first_stages(
    outcome: Outcome,
    entrant: Entrant[Embedder | Retriever],
    tasks: Sequence[Task],
    depth: int,
    means: Means,
    rerankers: Sequence[str],
    fusions: Sequence[str],
    wanted: Container[Cell] | None,
) -> None:
    def cells(task: Task) -> list[Cell]:
        # Itself, if nothing but a fusion needs it: that asks whether it failed.
        return _wanted(task, entrant.label, rerankers, wanted) or [Cell.of(task, entrant.label)]

    def needed(task: Task) -> bool:
        return any(_wanted(task, label, rerankers, wanted) for label in (entrant.label, *fusions))

    tasks = [task for task in tasks if needed(task)]
    if not tasks:
        return
    with means.progress.step(f"loading {entrant.label}", 1, "models"):
        model = _attempt(entrant.load, outcome, [cell for task in tasks for cell in cells(task)], means)
    if model is None:
        return
    for task in tasks:
        cell = Cell.of(task, entrant.label)
        if isinstance(task, RetrievalTask):
            work = partial(first_stage, model, entrant.label, task, depth, means)
            ranking = _attempt(work, outcome, cells(task), means)
            if ranking is not None:
                outcome.rankings[cell], outcome.facts[cell] = ranking
        elif isinstance(model, Embedder):
            observed = _attempt(partial(observe, model, entrant.label, task, means), outcome, cells(task), means)
            if observed is not None:
                outcome.values[cell], outcome.facts[cell] = observed


def _fused_stages(
    outcome: Outcome,
    fusion: FusedEntrant,
    tasks: Sequence[RetrievalTask],
    rankings: Mapping[Cell, Run],
    kept: int,
    depth: int,
    rerankers: Sequence[str],
    means: Means,
    wanted: Container[Cell] | None,
) -> None:
    for task in tasks:
        cells = _wanted(task, fusion.label, rerankers, wanted)
        parts = [Cell.of(task, label) for label in fusion.parts]
        failed = {failure.cell: failure.reason for failure in outcome.failures}
        lost = [f"{part.model}, which is a part of it, failed: {failed[part]}" for part in parts if part in failed]
        outcome.failures.extend(Failure(cell, lost[0]) for cell in cells if lost)
        if not cells or lost:
            continue
        found = [(rankings[part], outcome.facts[part]) for part in parts]
        ranking = _attempt(partial(fused_stage, fusion, task, found, kept, depth), outcome, cells, means)
        if ranking is not None:
            cell = Cell.of(task, fusion.label)
            outcome.rankings[cell], outcome.facts[cell] = ranking


def _wanted(task: Task, label: str, rerankers: Sequence[str], wanted: Container[Cell] | None) -> list[Cell]:
    """The cells of a first stage on a task."""
    behind = rerankers if isinstance(task, RetrievalTask) else ()
    found = [Cell.of(task, label, reranker) for reranker in (NO_RERANKER, *behind)]
    return found if wanted is None else [cell for cell in found if cell in wanted]


def _second_stages(
    outcome: Outcome,
    entrant: Entrant[Embedder | Reranker | ListReranker],
    tasks: Sequence[RetrievalTask],
    models: Sequence[str],
    candidates: int,
    means: Means,
    wanted: Container[Cell] | None,
) -> None:
    def runs(task: Task) -> dict[str, Run]:
        taking_part = [model for model in models if wanted is None or Cell.of(task, model, entrant.label) in wanted]
        ranked = {model: outcome.rankings.get(Cell.of(task, model)) for model in taking_part}
        return {model: run for model, run in ranked.items() if run is not None}

    def cells(task: Task) -> list[Cell]:
        return [Cell.of(task, model, entrant.label) for model in runs(task)]

    waiting = [task for task in tasks if runs(task)]
    if not waiting:
        return
    with means.progress.step(f"loading {entrant.label}", 1, "models"):
        reranker = _attempt(entrant.load, outcome, [cell for task in waiting for cell in cells(task)], means)
    if reranker is None:
        return
    lists = [(task, runs(task)) for task in waiting]
    everywhere = [cell for task in waiting for cell in cells(task)]
    asking = partial(ask_company, reranker, entrant.label, lists, candidates, means)
    company = _attempt(asking, outcome, everywhere, means)
    if company is None:
        return
    for task in waiting:
        work = partial(second_stage, reranker, entrant.label, task, runs(task), candidates, means, company)
        reranked = _attempt(work, outcome, cells(task), means)
        if reranked is not None:
            by_model, facts = reranked
            for model, run in by_model.items():
                outcome.rankings[Cell.of(task, model, entrant.label)] = run
                outcome.facts[Cell.of(task, model, entrant.label)] = facts


def _attempt(work: Callable[[], Result], outcome: Outcome, cells: Sequence[Cell], means: Means) -> Result | None:
    """What `work` gives; if it raises or takes too long, the cells that needed it are failures with the reason."""
    try:
        return within(means.time_limit, work)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a model raises is its cells' result, a panic or an exit too
        outcome.failures.extend(Failure(cell, reason_of(error)) for cell in cells)
        return None
