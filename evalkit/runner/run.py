"""Compose a run: from names to results. The one place, beside the command line, where everything meets."""

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from evalkit.cell import NO_RERANKER, Cell
from evalkit.compute import choose_compute
from evalkit.engine import open_engine
from evalkit.engine import require as require_engine
from evalkit.errors import ConfigError, EvalkitError
from evalkit.models.facts import look_up
from evalkit.models.registry import Kind, ModelSpec, expand
from evalkit.models.registry.catalogue import check_paid
from evalkit.models.registry.reference import ModelRef
from evalkit.models.registry.selection import Participants, choose, choose_participants, is_fusion, parse_fusions
from evalkit.reporting.write import Reports, report_error, write_results, write_run
from evalkit.results import Results
from evalkit.results.published import PublishedScore, published_frame, read_published
from evalkit.runner._plan import Plan, make_plan
from evalkit.runner._provenance import make_provenance
from evalkit.runner.config import RunConfig, over_suite, read_config, read_suite
from evalkit.runner.context import RunContext
from evalkit.runner.grid import GridPlan, Outcome, run_grid
from evalkit.runner.keys import RunKeys
from evalkit.runner.measure import MeasuringInterrupted, measure
from evalkit.runner.records import make_evidence, make_gold, make_records
from evalkit.spending import Spending
from evalkit.store import Store, default_root
from evalkit.tasks import load_task
from evalkit.tasks.checks import DataWarning
from evalkit.tasks.given import GivenTask
from evalkit.tasks.kinds import kind_of
from evalkit.tasks.mteb.reference import Reference, find_tasks, is_mteb
from evalkit.tasks.mteb.tasks import load_tasks as load_mteb_tasks
from evalkit.types import RetrievalTask, Task


def run(suite: str | Path | None = None, **keys: Unpack[RunKeys]) -> Results:
    """Run models on tasks, and rerankers behind them; see `config.RunConfig` for the keys.

    `suite` is a YAML file with the same keys, or the name of a bundled one; keyword arguments win over it.
    Results are written to `out` if it is given. Everything the user wrote is checked before any model is
    loaded: raises EvalkitError. A model that fails during the run does not raise: its cells are in `.failures`.
    Raises ReportError if tables cannot be made of the results, which are written before.

    >>> results = run(models=["bm25", "tfidf"], tasks="rag-mini", max_queries=20, device="cpu", no_store=True)
    >>> results.best("rag-mini").model
    'bm25'
    """
    return run_config(read_config(over_suite(read_suite(suite) if suite is not None else {}, keys)))


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run: `results` holds the cells that were finished, and names those that are missing, if any.

    `failed` holds the reason by name of each table that could not be made of them.
    """

    def __init__(self, results: Results, failed: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{len(results.missing)} cell(s) are missing")
        self.results = results
        self.failed: Mapping[str, str] = failed or {}


def run_config(config: RunConfig, on_loaded: Callable[[ModelRef, Any], None] | None = None) -> Results:
    """Run a validated configuration; `on_loaded` is called with each model that is loaded.

    Raises Interrupted after Ctrl-C; what was finished is then written too. Raises ReportError if tables could not be
    made of what was written.
    """
    started = time.perf_counter()
    participants, context = participants_of(config), replace(open_context(config), on_loaded=on_loaded)
    tasks = load_tasks(config)
    _check_scorable(participants, tasks)
    _check_grades(config, tasks)
    results = run_tasks(config, participants, tasks, context)
    if config.measure and not results.missing:
        results = _measured(config, participants, tasks, context, results)
    if config.out is not None:
        results = Reports(results).with_seconds(lambda: time.perf_counter() - started)
        raise_what_failed(write_run(results, config.out), config.out, results)
    if results.missing:
        raise Interrupted(results)
    return results


def _measured(
    config: RunConfig, participants: Participants, tasks: Sequence[Task], context: RunContext, results: Results
) -> Results:
    """Return the results with what cells of retrieval tasks cost. Raises Interrupted after Ctrl-C; all is written."""
    ranked = [task for task in tasks if isinstance(task, RetrievalTask)]
    if config.out is not None:
        write_results(results, config.out)  # what follows takes a while
    try:
        with context.progress:
            found = measure(ranked, participants, candidates=config.rerank_depth, context=context)
        return replace(results, measurements=found)
    except MeasuringInterrupted as interrupted:
        results = replace(results, measurements=interrupted.measurements)
        raise Interrupted(results, None if config.out is None else write_run(results, config.out).failed) from None


def refusal(config: RunConfig) -> EvalkitError | None:
    """Tell what a run of this configuration refuses before it computes anything, so far as that needs no download."""
    here = [task for task in config.tasks if not is_mteb(task)]
    try:
        participants = participants_of(config)
        for task in config.tasks:
            if is_mteb(task):
                find_tasks(Reference.parse(task))
        with warnings.catch_warnings():  # they are the plan's to give
            warnings.simplefilter("ignore", DataWarning)
            tasks = load_tasks(config.model_copy(update={"tasks": tuple(here)}))
        if len(here) == len(config.tasks):
            _check_scorable(participants, tasks)
        _check_grades(config, tasks)
        if config.published:
            read_published(config.published)
        open_context(config)
    except EvalkitError as error:
        return error
    return None


def raise_what_failed(reports: Reports, folder: Path, made: object) -> None:
    """Raise Interrupted if Ctrl-C ended a run or its reports, ReportError if some could not be made."""
    if reports.results.missing or reports.interrupted:
        raise Interrupted(reports.results, reports.failed)
    if reports.failed:
        raise report_error(reports.failed, folder, made)


def participants_of(config: RunConfig) -> Participants:
    """Choose the models and rerankers of a configuration; none is loaded. Raises EvalkitError."""
    participants = choose_participants(config.models, config.rerankers)
    _check_rescoring(participants, config)
    check_paid([each.spec for each in participants.all.values() if each.spec is not None], config.max_cost)
    return participants


def open_context(config: RunConfig) -> RunContext:
    """Settle where a configuration computes and what it keeps and may spend; its engine is not started yet.

    Raises EvalkitError for a device, an engine or a store that is not there.
    """
    require_engine(config.engine)
    compute = replace(
        choose_compute(config.device, config.dtype),
        trust_remote_code=config.trust_remote_code,
        allow_pickle=config.allow_pickle,
    )
    store = None if config.no_store else Store(config.store or default_root())
    return RunContext(compute, store, time_limit=config.time_limit, spending=Spending(config.max_cost))


def run_tasks(
    config: RunConfig,
    participants: Participants,
    tasks: Sequence[Task],
    context: RunContext,
    wanted: frozenset[Cell] | None = None,
) -> Results:
    """Compute the grid of tasks that are loaded, or the cells of it that are wanted. Writes only the store.

    After Ctrl-C the results are those of the finished cells, and `Results.missing` names the others; with none
    finished, KeyboardInterrupt is raised on.
    """
    started, published = time.time(), published_scores(config)
    plan = GridPlan(tasks, participants, config.rerank_depth, config.depth, wanted)
    return make_results(config, plan, compute(config, plan, context), context, published, started)


def published_scores(config: RunConfig) -> list[PublishedScore]:
    """Read the figures that others report. Raises ConfigError if they cannot be read."""
    return read_published(config.published) if config.published else []


def compute(config: RunConfig, plan: GridPlan, context: RunContext) -> Outcome:
    """Compute the cells of a plan. Raises KeyboardInterrupt if Ctrl-C comes before any of them is finished."""
    with context.progress, open_engine(config.engine, context.compute) as engine:
        outcome = run_grid(plan, replace(context, engine=engine))
    if outcome.interrupted and not outcome.facts:
        raise KeyboardInterrupt
    return outcome


def make_results(
    config: RunConfig,
    plan: GridPlan,
    outcome: Outcome,
    context: RunContext,
    published: Sequence[PublishedScore],
    started: float,
) -> Results:
    """Make the results of what came of a plan; `started` is a time.time()."""
    participants, tasks = plan.participants, plan.tasks
    facts = {label: look_up(model) for label, model in participants.all.items()}
    provenance = make_provenance(config, context, participants, facts, tasks, outcome, published, started)
    done = {*outcome.facts, *(failure.cell for failure in outcome.failures)}
    missing = [cell for cell in plan.cells() if cell not in done] if outcome.interrupted else []
    return Results(
        make_records(outcome, tasks, config.ranking_metrics, config.depth),
        {**provenance, "missing": [vars(cell) for cell in missing]},
        published_frame(published),
        make_evidence(outcome, tasks, max(config.top_k)),
        gold=make_gold(tasks),
    )


def _check_scorable(participants: Participants, tasks: Sequence[Task]) -> None:
    """Raise ConfigError for models without vectors, fusions and rerankers where no task is retrieval."""
    if any(kind_of(task).ranks for task in tasks):
        return
    rankers = [label for label, model in participants.models.items() if "embedder" not in model.kinds]
    for what, labels in {
        "has no vectors": rankers,
        "fuses rankings": participants.fusions,
        "is a reranker": participants.rerankers,
    }.items():
        if labels:
            raise ConfigError(
                f"{', '.join(labels)} {what}, and no task is retrieval: there is nothing it could score. "
                "Leave it out, or add a retrieval task."
            )


def _check_grades(config: RunConfig, tasks: Sequence[Task]) -> None:
    """Raise ConfigError for grades that are no whole numbers where a metric of ir_measures reads them."""
    others = [metric.name for metric in config.ranking_metrics if metric.definition is None]
    for task in tasks if others else ():
        if isinstance(task, RetrievalTask):
            grades = {grade for of_query in task.qrels.values() for grade in of_query.values() if grade % 1}
            if grades:
                raise ConfigError(
                    f"{', '.join(others)} of {task.name} ({task.split}): ir_measures takes grades that are whole "
                    f"numbers, and here is {min(grades):g}. Leave these metrics out, or scale the grades."
                )


def _check_rescoring(participants: Participants, config: RunConfig) -> None:
    """Raise ConfigError if a model ranks fewer documents anew than are wanted of it."""
    wanted = config.rerank_depth if config.has_rerankers else config.depth
    for label, model in participants.models.items():
        rescore = None if model.spec is None else getattr(model.spec.options, "rescore", None)
        if rescore is not None and rescore < wanted:
            raise ConfigError(
                f"{label!r}: rescore={rescore} is fewer than the {wanted} documents that are ranked of each query; "
                "give at least as many."
            )


def plan_config(config: RunConfig) -> Plan:
    """Tell what running a configuration would download, compute and cost. Loads no model, and no data from elsewhere.

    A model that cannot be run is a row of the plan that says why; one that the caller made is left out. Raises
    EvalkitError for local tasks that cannot be used, and for published figures that cannot be read.
    """
    if config.published:
        read_published(config.published)
    named = [name for name in config.models if isinstance(name, str)]
    fusions = [fusion for name in named if is_fusion(name) for fusion in parse_fusions(name)]
    alone = [name for name in named if not is_fusion(name)]
    parts = [part for fusion in fusions for part in fusion.parts]
    return make_plan(
        config,
        _specs_or_why_not([*alone, *parts], {"embedder", "retriever"}),
        _specs_or_why_not((name for name in config.rerankers if name != NO_RERANKER), {"embedder", "reranker"}),
        [str(fusion) for fusion in fusions],
    )


def _specs_or_why_not(names: Iterable[str | ModelRef], allowed: set[Kind]) -> dict[str, ModelSpec | EvalkitError]:
    found: dict[str, ModelSpec | EvalkitError] = {}
    for label in (label for name in names if isinstance(name, str) for label in expand(name)):
        try:
            spec = choose([label], allowed)[label].spec
            found |= {} if spec is None else {label: spec}
        except EvalkitError as error:
            found[label] = error
    return found


def load_tasks(config: RunConfig) -> list[Task]:
    """Return the tasks of a configuration, checked. Raises EvalkitError."""
    how: Any = {"on_bad_data": config.on_bad_data, "max_queries": config.max_queries, "seed": config.seed}
    tasks: list[Task] = []
    for task in dict.fromkeys(config.tasks):
        if isinstance(task, GivenTask):
            tasks.append(task.load(**how))
        else:
            tasks += load_mteb_tasks(task, **how) if is_mteb(task) else [load_task(task, **how)]
    keys = [f"{task.name} ({task.split})" for task in tasks]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ConfigError(f"two tasks have the same name and split: {', '.join(twice)}. Rename one.")
    return tasks
