"""Run a grid: each model is loaded once, and a cell that fails does not sink the others."""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from threading import Thread
from typing import Any, TypeVar

from evalkit.cell import Cell
from evalkit.contracts import Embedder
from evalkit.errors import EvalkitError, TimeLimitError, reason_of
from evalkit.models.registry.reference import ModelRef
from evalkit.runner.context import RunContext
from evalkit.runner.grid._reranking import ask_company
from evalkit.runner.grid._stages import first_stage, observe, second_stage
from evalkit.runner.grid.fusing import fused_stage
from evalkit.runner.grid.plan import Failure, GridPlan, Outcome
from evalkit.search.ranking import LIST_DEPTH
from evalkit.types import RetrievalTask, Run, Task

Result = TypeVar("Result")

SECONDS_TO_END = 5.0
"""For work that is told to end, to commit what it has."""


def within(seconds: float | None, work: Callable[[], Result]) -> Result:
    """Tell what `work` gives, or raises. Raises TimeLimitError if it takes longer; None is no limit.

    What the work then says of why it was not done, by an EvalkitError, is part of the error.

    With a limit the work has a thread of its own. When its time is up, or on Ctrl-C, the thread is told to end, which
    it does when it next runs Python. Code that is stuck below Python (a call into C, a request without a timeout)
    cannot be ended: it is left behind and keeps its memory until the process ends. If it also holds Python's lock,
    nothing in the process can go on, and the limit does not help.
    """
    if seconds is None:
        return work()
    came: Future[Result] = Future()

    def do() -> None:
        try:
            came.set_result(work())
        except BaseException as error:  # raised on below, in the thread that waits
            came.set_exception(error)

    thread = Thread(target=do, daemon=True)
    thread.start()
    try:
        thread.join(seconds)
        late = thread.is_alive()
    finally:
        if thread.is_alive():
            _end(thread)
    if late:
        said = came.exception() if came.done() else None
        why = f" When it was told to end: {said}" if isinstance(said, EvalkitError) else ""
        raise TimeLimitError(f"it took longer than the time limit of {seconds:g} seconds.{why}")
    return came.result()


def _end(thread: Thread) -> None:
    """Raise SystemExit in a thread, as soon as it runs Python, and wait a while for it."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))
    thread.join(SECONDS_TO_END)


def run_grid(plan: GridPlan, context: RunContext) -> Outcome:
    """Compute the cells of a plan.

    A model that is a Retriever only (BM25) has no vectors, and so cells of retrieval tasks only. Ctrl-C ends the grid
    with the cells that are finished; `Outcome.interrupted` tells.
    """
    grid = _Grid(plan, context)
    try:
        grid.run()
    except KeyboardInterrupt:
        grid.outcome.interrupted = True
    return grid.outcome


@dataclass
class _Grid:
    """A grid at work. `deep` holds the longer rankings of models that are parts of fusions."""

    plan: GridPlan
    context: RunContext
    outcome: Outcome = field(default_factory=Outcome)
    deep: dict[Cell, Run] = field(default_factory=dict)

    def run(self) -> None:
        for model in self.plan.participants.models.values():
            self._first_stages(model)
        for label in self.plan.participants.fusions:
            self._fused_stages(label)
        for reranker in self.plan.participants.rerankers.values():
            self._second_stages(reranker)

    def _first_stages(self, model: ModelRef) -> None:
        """Run one model on every task."""
        fusions = self.plan.fusions_of(model.label)
        tasks = [task for task in self.plan.tasks if self.plan.runs(model.label, task)]
        depth = max(self.plan.kept, LIST_DEPTH) if fusions else self.plan.kept
        loaded = self._load(model, [cell for task in tasks for cell in self._cells_of(task, model.label)])
        if loaded is None:
            return
        for task in tasks:
            cell, cells = Cell.of(task, model.label), self._cells_of(task, model.label)
            if isinstance(task, RetrievalTask):
                work = partial(first_stage, loaded, model.label, task, depth, self.context)
                ranking = self._attempt(work, cells)
                if ranking is not None:
                    self.outcome.rankings[cell], self.outcome.facts[cell] = ranking
                    if fusions:
                        self.deep[cell], self.outcome.rankings[cell] = ranking[0], ranking[0].cut(self.plan.kept)
            elif isinstance(loaded, Embedder):
                observed = self._attempt(partial(observe, loaded, model.label, task, self.context), cells)
                if observed is not None:
                    self.outcome.values[cell], self.outcome.facts[cell] = observed

    def _cells_of(self, task: Task, label: str) -> list[Cell]:
        """Return the cells that need a first stage: itself, if nothing but a fusion does, which asks whether it
        failed.
        """
        return self.plan.cells_of(task, label) or [Cell.of(task, label)]

    def _fused_stages(self, label: str) -> None:
        """Run one fusion on every retrieval task."""
        fusion = self.plan.participants.fusions[label]
        failed = {failure.cell: failure.reason for failure in self.outcome.failures}
        for task in self.plan.retrieval_tasks:
            cells = self.plan.cells_of(task, label)
            parts = [Cell.of(task, part) for part in fusion.parts]
            lost = next((part for part in parts if part in failed), None)
            if lost is not None:
                reason = f"{lost.model}, which is a part of it, failed: {failed[lost]}"
                self.outcome.failures.extend(Failure(cell, reason) for cell in cells)
            if not cells or lost is not None:
                continue
            found = [(self.deep[part], self.outcome.facts[part]) for part in parts]
            work = partial(fused_stage, fusion.fusion, task, found, self.plan.kept, self.plan.depth)
            ranking = self._attempt(work, cells)
            if ranking is not None:
                cell = Cell.of(task, label)
                self.outcome.rankings[cell], self.outcome.facts[cell] = ranking

    def _second_stages(self, reranker: ModelRef) -> None:
        """Run one reranker behind every first stage of every retrieval task."""
        before = ((task, self._runs_before(task, reranker.label)) for task in self.plan.retrieval_tasks)
        lists = [(task, ranked) for task, ranked in before if ranked]
        everywhere = [Cell.of(task, model, reranker.label) for task, ranked in lists for model in ranked]
        loaded = self._load(reranker, everywhere)
        if loaded is None:
            return
        candidates = self.plan.candidates
        asking = partial(ask_company, loaded, reranker.label, lists, candidates, self.context)
        company = self._attempt(asking, everywhere)
        if company is None:
            return
        for task, ranked in lists:
            work = partial(second_stage, loaded, reranker.label, task, ranked, candidates, self.context, company)
            reranked = self._attempt(work, [Cell.of(task, model, reranker.label) for model in ranked])
            if reranked is not None:
                by_model, facts = reranked
                for model, run in by_model.items():
                    cell = Cell.of(task, model, reranker.label)
                    self.outcome.rankings[cell], self.outcome.facts[cell] = run, facts

    def _runs_before(self, task: RetrievalTask, reranker: str) -> Mapping[str, Run]:
        """Return the first stages that a reranker orders anew, by label."""
        wanted = self.plan.stages_before(task, reranker)
        ranked = {label: self.outcome.rankings.get(Cell.of(task, label)) for label in wanted}
        return {label: run for label, run in ranked.items() if run is not None}

    def _load(self, model: ModelRef, cells: Sequence[Cell]) -> Any:
        """Return a model, if cells need it and it can be loaded; else None, and its cells have failed."""
        if not cells:
            return None
        with self.context.progress.step(f"loading {model.label}", 1, "models"):
            return self._attempt(partial(self.context.load, model), cells)

    def _attempt(self, work: Callable[[], Result], cells: Sequence[Cell]) -> Result | None:
        """Tell what `work` gives; if it raises or takes too long, the cells that needed it have failed for that
        reason.
        """
        try:
            return within(self.context.time_limit, work)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a model raises is its cells' result, a panic or an exit too
            self.outcome.failures.extend(Failure(cell, reason_of(error)) for cell in cells)
            return None
