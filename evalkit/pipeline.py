"""Compose a run: from names to results. The one place, beside the command line, where everything meets."""

import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from evalkit.cell import NO_RERANKER, Cell
from evalkit.compute import Compute, choose_compute
from evalkit.config import GivenModel, RunConfig, over_suite, read_config, read_suite
from evalkit.engine import open_engine
from evalkit.engine import require as require_engine
from evalkit.errors import ConfigError, EvalkitError
from evalkit.grid import Entrant, FusedEntrant, Means, run_grid
from evalkit.grid.cells import Outcome
from evalkit.models.chosen import Chosen, choose, choose_first_stages, same_label
from evalkit.models.facts import look_up
from evalkit.mteb.reference import Reference, find_tasks, is_mteb
from evalkit.mteb.tasks import load_tasks as load_mteb_tasks
from evalkit.plan import Plan, make_plan
from evalkit.progress import Progress
from evalkit.registry import Kind, ModelSpec, expand
from evalkit.registry.fusion import FusionSpec, is_fusion, parse_fusions
from evalkit.registry.paid import check_paid
from evalkit.report.write import Reports, report_error, write_run
from evalkit.results import Results
from evalkit.results.published import published_frame
from evalkit.runner.evidence import make_evidence
from evalkit.runner.provenance import make_provenance
from evalkit.runner.records import make_gold, make_records
from evalkit.spending import Spending
from evalkit.store import Store, default_root
from evalkit.suite import load_task
from evalkit.suite.checks import DataWarning
from evalkit.suite.kinds import kind_of
from evalkit.suite.published import read_published
from evalkit.types import RetrievalTask, Task


def run(suite: str | Path | None = None, **keys: Any) -> Results:
    """Run models on tasks, and rerankers behind them; see `config.RunConfig` for the keys.

    `suite` is a YAML file with the same keys, or the name of a bundled one; keyword arguments win over it.
    Results are written to `out` if it is given. Everything the user wrote is checked before any model is
    loaded: raises EvalkitError. A model that fails during the run does not raise: its cells are in `.failures`.
    Raises ReportError if tables cannot be made of the results, which are written before.
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


@dataclass(frozen=True)
class LineUp:
    """Who takes part in a run, by label, where it is computed, and the account of what it costs."""

    compute: Compute
    models: Mapping[str, Chosen]
    fusions: Mapping[str, FusionSpec]
    rerankers: Mapping[str, Chosen]
    spending: Spending

    @property
    def all(self) -> dict[str, Chosen]:
        """Models and rerankers."""
        return {**self.models, **self.rerankers}

    @property
    def fused(self) -> list[FusedEntrant]:
        """The fusions, as they take part in a grid."""
        return [FusedEntrant(label, spec.parts, spec.fusion) for label, spec in self.fusions.items()]

    @property
    def specs(self) -> dict[str, str]:
        """What each label stands for, in full."""
        specs = {label: str(model) for label, model in self.all.items()}
        # An object has no spec: there the label stays.
        named = {label: spec for label, spec in specs.items() if self.all[label].model is None}
        full = {
            label: str(replace(fusion, parts=tuple(named.get(part, part) for part in fusion.parts)))
            for label, fusion in self.fusions.items()
        }
        return specs | full


def run_config(config: RunConfig, line_up: LineUp | None = None) -> Results:
    """Run a validated configuration, by the line-up that it names, or by one that was made of it.

    Raises Interrupted after Ctrl-C; what was finished is then written too. Raises ReportError if tables could not be
    made of what was written.
    """
    line_up = line_up or choose_line_up(config)
    tasks = load_tasks(config)
    _check_scorable(line_up, tasks)
    _check_grades(config, tasks)
    results = run_tasks(config, line_up, tasks)
    if config.out is not None:
        raise_what_failed(write_run(results, config.out), config.out, results)
    if results.missing:
        raise Interrupted(results)
    return results


def refusal(config: RunConfig) -> EvalkitError | None:
    """What a run of this configuration refuses before it computes anything, so far as that needs no download."""
    here = [name for name in config.tasks if not is_mteb(name)]
    try:
        line_up = choose_line_up(config)
        for name in config.tasks:
            if is_mteb(name):
                find_tasks(Reference.parse(name))
        with warnings.catch_warnings():  # they are the plan's to give
            warnings.simplefilter("ignore", DataWarning)
            tasks = load_tasks(config.model_copy(update={"tasks": tuple(here)}))
        if len(here) == len(config.tasks):
            _check_scorable(line_up, tasks)
        _check_grades(config, tasks)
        if config.published:
            read_published(config.published)
        open_store(config)
    except EvalkitError as error:
        return error
    return None


def raise_what_failed(reports: Reports, folder: Path, made: object) -> None:
    """Raise Interrupted if Ctrl-C ended a run or its reports, ReportError if some could not be made."""
    if reports.results.missing or reports.interrupted:
        raise Interrupted(reports.results, reports.failed)
    if reports.failed:
        raise report_error(reports.failed, folder, made)


def choose_line_up(config: RunConfig) -> LineUp:
    """The models and rerankers of a configuration, checked; none is loaded. Raises EvalkitError."""
    compute = replace(
        choose_compute(config.device, config.dtype),
        trust_remote_code=config.trust_remote_code,
        allow_pickle=config.allow_pickle,
    )
    require_engine(config.engine)
    models, fusions = choose_first_stages(config.models)
    rerankers = choose((name for name in config.rerankers if name != NO_RERANKER), {"embedder", "reranker"})
    _check_labels(models, rerankers)
    _check_rescoring(models, config)
    line_up = LineUp(compute, models, fusions, rerankers, Spending(config.max_cost))
    check_paid([each.source for each in line_up.all.values() if isinstance(each.source, ModelSpec)], config.max_cost)
    return line_up


def open_store(config: RunConfig) -> Store | None:
    """The store that a configuration names; None if it wants none."""
    return None if config.no_store else Store(config.store or default_root())


def run_tasks(
    config: RunConfig, line_up: LineUp, tasks: Sequence[Task], wanted: frozenset[Cell] | None = None
) -> Results:
    """The grid of a line-up on tasks that are loaded, or the cells of it that are wanted. Writes only the store.

    After Ctrl-C the results are those of the finished cells, and `Results.missing` names the others; with none
    finished, KeyboardInterrupt is raised on.
    """
    started = time.time()
    published = read_published(config.published) if config.published else []
    store = open_store(config)
    compute, spending = line_up.compute, line_up.spending
    with Progress() as progress, open_engine(config.engine, compute) as engine:
        outcome = run_grid(
            tasks,
            [Entrant(label, partial(model.load, compute, spending)) for label, model in line_up.models.items()],
            [Entrant(label, partial(model.load, compute, spending)) for label, model in line_up.rerankers.items()],
            line_up.fused,
            candidates=config.rerank_depth,
            depth=config.depth,
            means=Means(compute, store, progress, engine, config.time_limit),
            wanted=wanted,
        )
    if outcome.interrupted and not outcome.facts:
        raise KeyboardInterrupt
    chosen = line_up.all
    facts = {label: look_up(model) for label, model in chosen.items()}
    fusions = {label: spec.parts for label, spec in line_up.fusions.items()}
    given = {label: model.identity for label, model in chosen.items() if model.identity is not None}
    provenance = make_provenance(
        config, compute, line_up.specs, fusions, facts, given, tasks, outcome, store, spending, published, started
    )
    return Results(
        make_records(outcome, tasks, config.ranking_metrics, config.depth),
        {**provenance, "missing": [vars(cell) for cell in _missing(outcome, line_up, tasks, wanted)]},
        published_frame(published),
        make_evidence(outcome, tasks, max(config.top_k)),
        gold=make_gold(tasks),
    )


def _missing(outcome: Outcome, line_up: LineUp, tasks: Sequence[Task], wanted: frozenset[Cell] | None) -> list[Cell]:
    """The cells that an interrupted grid did not come to."""
    if not outcome.interrupted:
        return []
    done = {*outcome.facts, *(failure.cell for failure in outcome.failures)}
    cells = [
        Cell.of(task, label, reranker)
        for task in tasks
        for label in (*line_up.models, *line_up.fusions)
        if kind_of(task).ranks or (label in line_up.models and "embedder" in line_up.models[label].kinds)
        for reranker in (NO_RERANKER, *(line_up.rerankers if kind_of(task).ranks else ()))
    ]
    return [cell for cell in cells if cell not in done and (wanted is None or cell in wanted)]


def _check_scorable(line_up: LineUp, tasks: Sequence[Task]) -> None:
    """Raise ConfigError for models without vectors, fusions and rerankers where no task is retrieval."""
    if any(kind_of(task).ranks for task in tasks):
        return
    rankers = [label for label, model in line_up.models.items() if "embedder" not in model.kinds]
    for what, labels in {
        "has no vectors": rankers,
        "fuses rankings": line_up.fusions,
        "is a reranker": line_up.rerankers,
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


def _check_labels(models: Mapping[str, Chosen], rerankers: Mapping[str, Chosen]) -> None:
    """Raise ConfigError if a label stands for a model and for another reranker, or for the lack of a reranker."""
    for label in [NO_RERANKER] if NO_RERANKER in rerankers else models.keys() & rerankers.keys():
        if label == NO_RERANKER or not models[label].is_same(rerankers[label]):
            raise same_label(label)


def _check_rescoring(models: Mapping[str, Chosen], config: RunConfig) -> None:
    """Raise ConfigError if a model ranks fewer documents anew than are wanted of it."""
    wanted = config.rerank_depth if config.has_rerankers else config.depth
    for label, model in models.items():
        rescore = getattr(model.source.options, "rescore", None) if isinstance(model.source, ModelSpec) else None
        if rescore is not None and rescore < wanted:
            raise ConfigError(
                f"{label!r}: rescore={rescore} is fewer than the {wanted} documents that are ranked of each query; "
                "give at least as many."
            )


def plan_config(config: RunConfig) -> Plan:
    """What running a configuration would download, compute and cost. Loads no model, and no data from elsewhere.

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


def _specs_or_why_not(names: Iterable[str | GivenModel], allowed: set[Kind]) -> dict[str, ModelSpec | EvalkitError]:
    found: dict[str, ModelSpec | EvalkitError] = {}
    for label in (label for name in names if isinstance(name, str) for label in expand(name)):
        try:
            found[label] = choose([label], allowed)[label].source
        except EvalkitError as error:
            found[label] = error
    return found


def load_tasks(config: RunConfig) -> list[Task]:
    """The tasks of a configuration, checked. Raises EvalkitError."""
    how: Any = {"on_bad_data": config.on_bad_data, "max_queries": config.max_queries, "seed": config.seed}
    tasks: list[Task] = []
    for name in dict.fromkeys(config.tasks):
        tasks += load_mteb_tasks(name, **how) if is_mteb(name) else [load_task(name, **how)]
    keys = [f"{task.name} ({task.split})" for task in tasks]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ConfigError(f"two tasks have the same name and split: {', '.join(twice)}. Rename one.")
    return tasks
