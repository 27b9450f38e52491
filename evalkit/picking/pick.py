"""Compose a pick: from documents and questions, or a task, to a run, what its cells cost, and a recommendation."""

import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack, cast

import pandas as pd

from evalkit.picking._answer import in_short
from evalkit.picking._budget import CHOOSING, Fitted, Work, fitted
from evalkit.picking._languages import language_reasons
from evalkit.picking._prepared import PickKeys, Prepared, prepared
from evalkit.picking._recommend import Recommendation, recommend
from evalkit.picking._recommendation import to_text, why_these_models
from evalkit.picking.chunkings import chunking_table
from evalkit.picking.programs import Programs, programs_of
from evalkit.progress import in_words
from evalkit.reporting.table import to_markdown
from evalkit.reporting.write import CHUNKINGS, CODE, RECOMMENDATION, Reports, write_results, write_run
from evalkit.results import Results
from evalkit.results.records import Measurements
from evalkit.runner.grid import GridPlan
from evalkit.runner.keys import AnyTask
from evalkit.runner.measure import MeasuringInterrupted, expected, measure, prepare, within
from evalkit.runner.pace import Pace, paces, steps
from evalkit.runner.run import Interrupted, raise_what_failed, run_tasks

MEASURED = "measured"
"""In the output folder while models are measured: what was, so that an interrupted pick goes on from there."""


@dataclass(frozen=True)
class Pick:
    """What a pick gives: the run's results, what chunkings cost (see `chunkings.with_costs`), the recommendation.

    The chunkings of a task have no rows.
    """

    results: Results
    chunkings: pd.DataFrame
    recommendation: Recommendation

    @property
    def answer(self) -> list[str]:
        """The answer in a few sentences: what, how sure, what it costs, what would change it."""
        return list(self.results.provenance["pick"]["recommendation"])

    def __repr__(self) -> str:
        return f"Pick({' '.join(self.answer)})"

    def _repr_html_(self) -> str:
        """Show the answer and one picture in a notebook."""
        from evalkit.picking._notebook import to_html

        return to_html(self.answer, self.recommendation)


@dataclass
class Laps:
    """The seconds of each part of a pick, all of the wall clock."""

    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def end(self, part: str) -> None:
        """Count the time since the part before to this one."""
        now = time.perf_counter()
        self.seconds[part] = round(self.seconds.get(part, 0.0) + now - self._since, 3)
        self._since = now

    @property
    def total(self) -> float:
        """All seconds so far."""
        return sum(self.seconds.values())


def pick(documents: AnyTask, **keys: Unpack[PickKeys]) -> Pick:
    """Choose a model, a reranker and a chunking for one's own documents, by one's own questions.

    `documents` is a folder (see `documents.read_folder`, also for `include` and `fields`), or in its place a
    retrieval task, by name or path or as `run` takes it: then a model and a reranker are chosen by its judgements.

    `questions` is a file (see `questions.read_questions`). Without one, a language model writes them, `llm` (an
    object of LlamaIndex, or its name, see `language_models.load_llm`), on so many `passages` (50; see
    `questions.generate_questions`); without either they are made from the documents (see
    `questions.questions_from_documents`), and nothing is recommended by them. What was made is in `out`, and is used
    again, as it was edited.

    Each `chunker` ("sentence"; see `documents.Chunking`) is taken with each `chunk_size` (512) and `chunk_overlap`
    (64), in tokens; a size of None is for whole files. `require` and `margin` (0.02) are those of `_recommend`;
    `metric` decides, and tables rank by it. If there is none, that is hit rate at the largest k; but where chunkers
    or sizes are compared, or `context_tokens` is given, it is hit rate in so many tokens (2,000): of each ranking, as
    many chunks are looked at as have so many tokens together, for a chunk of twice the length costs whoever reads it
    twice as much.

    With a `budget`, in seconds, what does not fit is left out or cut on part of the questions (see `_budget`). With
    `hybrid` (True), BM25 takes part, and its fusions with each embedder: by ranks, and by scores whose weight the
    questions choose (see `search.ranking`). What each choice costs is measured on at most `measure_queries` (50), for
    about `measure_seconds` (5) a stage. The other keys are those of `run`; without models, those that can be tried
    here for nothing take part (see `models.free_models`), and their reasons are in the provenance.

    Everything is checked before a model is loaded: raises EvalkitError. Raises Interrupted after Ctrl-C, when the
    cells that were finished are written, and what was measured, but nothing is recommended; the same pick into the
    same `out` goes on from there. Raises ReportError if tables or the recommendation cannot be made of the results,
    which are written before.

    >>> from pathlib import Path
    >>> Path("docs").mkdir()
    >>> for word in ("cats", "dogs", "fish"):
    ...     _ = Path("docs", f"{word}.md").write_text(f"All about {word}: what {word} eat, and where {word} live.")
    >>> lines = "question,file\\nwhere do cats live,cats.md\\nwhat do fish eat,fish.md\\n"
    >>> _ = Path("questions.csv").write_text(lines)
    >>> picked = pick("docs", questions="questions.csv", models="bm25,tfidf", chunk_size=None, device="cpu")
    >>> picked.recommendation.best.score
    1.0
    """
    laps = Laps()
    todo = prepared(documents, **keys)
    laps.end("reading")
    prepare(todo.participants)
    out = todo.config.out
    with todo.context.progress as progress:
        found = paces(todo.plan, todo.context, todo.config.seed, _left(todo, laps))
        laps.end("timing the models")
        fit, results = _computed(todo, found, laps)
        if results.missing:
            raise _interrupted(results, out)
        if out is not None:
            # What is measured next takes a while; it may fail, or be interrupted too.
            write_results(results, out)
        results = _measured(todo, fit, found, results, laps)
        if out is not None:
            write_results(results, out)
        with progress.step("comparing", 1, "pick"):
            if out is None:
                return _chosen(todo, results, laps)
            reports = Reports(results)
            picked = reports.make(RECOMMENDATION, lambda: _chosen(todo, results, laps))
    if picked is None:
        reports.write_tables(out)
    else:
        reports = _write(picked, todo, out)
    raise_what_failed(reports, out, picked or results)
    shutil.rmtree(out / MEASURED, ignore_errors=True)
    return cast(Pick, picked)


@dataclass(frozen=True)
class Expected:
    """What a pick would do: the seconds of each step. Of the models in `unknown` nothing is counted."""

    choices: int
    questions: int
    steps: tuple[tuple[str, float], ...]
    unknown: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """All that is known."""
        return sum(seconds for _, seconds in self.steps)

    def __str__(self) -> str:
        things = ((self.choices, "choice"), (self.questions, "question"))
        counted = [f"{count} {thing}{'' if count == 1 else 's'}" for count, thing in things]
        told = f"{' on '.join(counted)}: about {in_words(self.seconds)}"
        return f"{told}, without {', '.join(self.unknown)}." if self.unknown else f"{told}."


def expect(documents: AnyTask, **keys: Unpack[PickKeys]) -> Expected:
    """Tell how long a pick would take: documents are read, models loaded, and timed on a few of the texts.

    Nothing is written. A language model is not asked: in place of its questions others are made from the documents.
    Raises EvalkitError.
    """
    todo = prepared(documents, **cast(PickKeys, {**keys, "llm": None, "out": None}))
    with todo.context.progress:
        found = paces(todo.plan, todo.context, todo.config.seed)
    return _expected(todo, todo.plan, found)


def _expected(todo: Prepared, plan: GridPlan, found: Mapping[str, Pace]) -> Expected:
    return Expected(
        len(list(plan.cells())),
        len(todo.subject.tasks[0].queries),
        (*steps(plan, found), *expected(plan, found, todo.limits), ("comparing", CHOOSING)),
        tuple(label for label in plan.needed.all if not found[label].known),
    )


def _computed(todo: Prepared, found: Mapping[str, Pace], laps: Laps) -> tuple[Fitted | None, Results]:
    """Return what a budget led to, if there is one, and the results of all cells that are wanted."""
    progress, fit = todo.context.progress, None
    try:
        if todo.budget is not None:
            work = Work(todo.plan, found, todo.limits)
            fit = fitted(todo.config, work, todo.context, todo.metric, todo.budget, _left(todo, laps))
        will_take = _expected(todo, _plan(todo, fit), found)
        progress.say(str(will_take))
        progress.expect(will_take.steps)
        wanted = None if fit is None else fit.wanted
        results = run_tasks(todo.config, todo.participants, todo.subject.tasks, todo.context, wanted)
    except Interrupted as interrupted:  # while samples were taken
        results = interrupted.results
    laps.end("computing")
    told = {
        "budget": None if fit is None else {"told": fit.told, "cut": _cut(fit), "untried": _untried(fit)},
        "why_these_models": [*todo.reasons, *language_reasons(todo.subject.facts["languages"], results.provenance)],
        **todo.subject.facts,
    }
    return fit, replace(results, provenance={**results.provenance, "pick": told})


def _left(todo: Prepared, laps: Laps) -> float:
    """Return the seconds that are left of the budget, without end if there is none."""
    return math.inf if todo.budget is None else todo.budget - laps.total


def _plan(todo: Prepared, fit: Fitted | None) -> GridPlan:
    return todo.plan if fit is None else replace(todo.plan, wanted=fit.wanted)


def _measured(todo: Prepared, fit: Fitted | None, found: Mapping[str, Pace], results: Results, laps: Laps) -> Results:
    """Return the results with what their cells cost, in the time that is left. Raises Interrupted after Ctrl-C."""
    plan, out = _plan(todo, fit), todo.config.out
    left = _left(todo, laps) - CHOOSING
    limits = within(plan, found, todo.limits, left)

    def of_cells(measurements: Measurements) -> Results:
        laps.end("measuring")
        return replace(results, measurements=measurements)

    try:
        return of_cells(
            measure(
                todo.subject.tasks,
                plan.needed,
                candidates=todo.config.rerank_depth,
                context=todo.context,
                limits=limits,
                kept=None if out is None else out / MEASURED,
                wanted=frozenset(plan.cells()),
                seconds=left,
            )
        )
    except MeasuringInterrupted as interrupted:
        raise _interrupted(of_cells(interrupted.measurements), out) from None


def _chosen(todo: Prepared, results: Results, laps: Laps) -> Pick:
    """Return the pick: its recommendation, and in run.json the answer and the time that all of it took."""
    subject = todo.subject
    found = recommend(
        results,
        todo.requirements,
        metric=todo.metric,
        margin=todo.margin,
        decide=subject.decides,
        document_of=subject.document_of,
    )
    costs = pd.DataFrame() if subject.pieces is None else subject.pieces.costs(results)
    told = {**results.provenance["pick"], "recommendation": in_short(found, results)}
    results = replace(results, provenance={**results.provenance, "pick": told})

    def in_all() -> float:
        laps.end("comparing")
        return laps.total

    whole = {**told, "seconds": laps.seconds}
    if todo.config.out is None:
        return Pick(results.with_seconds(in_all(), pick=whole), costs, found)
    return Pick(Reports(results).with_seconds(in_all, pick=whole), costs, found)


def _interrupted(results: Results, out: Path | None) -> Interrupted:
    """Return the error after Ctrl-C; what was finished is written."""
    return Interrupted(results, None if out is None else write_run(results, out).failed)


def _cut(fit: Fitted) -> list[dict[str, Any]]:
    """Return the choices that were cut, each with its mean and the number of questions that it was seen on."""
    return [
        {**vars(cell), "score": None if math.isnan(each.scores[cell]) else each.scores[cell], "n": each.questions}
        for each in fit.rounds
        for cell in each.cut
    ]


def _untried(fit: Fitted) -> list[dict[str, Any]]:
    """Return the choices that were not tried, each with the seconds that it would have taken by itself."""
    return [{**vars(cell), "seconds": round(seconds, 1)} for cell, seconds in fit.untried.items()]


def _write(picked: Pick, todo: Prepared, out: Path) -> Reports:
    reports = write_run(picked.results, out)
    choice, metric, pieces = picked.recommendation.choice, picked.recommendation.metric, todo.subject.pieces
    programs = None
    if pieces is not None:
        reports.write(out, CHUNKINGS, lambda: picked.chunkings.to_csv(index=False, lineterminator="\n"))
        if choice is not None:
            programs = reports.make(
                CODE, lambda: programs_of(choice, picked.results, pieces.folder, pieces.chunks, out, metric)
            )
    if programs is not None:
        programs.write(reports, out)
    reports.write(out, RECOMMENDATION, lambda: _recommendation(picked, programs))
    return reports


def _recommendation(picked: Pick, programs: Programs | None) -> str:
    """Return the recommendation with its reasons, and the programs that search as it does: Markdown."""
    text = to_text(picked.recommendation, picked.results) + why_these_models(picked.results)
    shown = picked.recommendation.shown
    if shown is not None and not picked.chunkings.empty:
        table = chunking_table(picked.chunkings, shown, max(picked.results.provenance["top_k"]))
        text += "\n" + to_markdown([table]).replace("###", "##", 1)
    return text if programs is None else f"{text}\n{programs.to_markdown()}"
