"""Compose a run: from names to results. The one place, beside the command line, where everything meets."""

import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from evalkit.compute import Compute, choose_compute
from evalkit.config import RunConfig, read_config, read_suite
from evalkit.errors import ConfigError, EvalkitError
from evalkit.grid import Entrant, Means, run_grid
from evalkit.grid.cells import NO_RERANKER
from evalkit.plan import Plan, make_plan
from evalkit.progress import Progress
from evalkit.registry import Kind, ModelSpec, build, expand, families, resolve
from evalkit.report.write import write_run
from evalkit.results import Results
from evalkit.results.provenance import make_provenance
from evalkit.results.published import published_frame
from evalkit.results.records import make_records
from evalkit.store import Store, default_root
from evalkit.suite import load_task
from evalkit.suite.published import read_published
from evalkit.types import StsTask, Task


def run(suite: str | Path | None = None, **keys: Any) -> Results:
    """Run models on tasks, and rerankers behind them; see `config.RunConfig` for the keys.

    `suite` is a YAML file with the same keys, or the name of a bundled one; keyword arguments win over it.
    Results are written to `out` if it is given. Everything the user wrote is checked before any model is
    loaded: raises EvalkitError. A model that fails during the run does not raise: its cells are in `.failures`.
    """
    return run_config(read_config({**(read_suite(suite) if suite is not None else {}), **keys}))


def run_config(config: RunConfig) -> Results:
    """Run a validated configuration."""
    started = time.time()
    compute = choose_compute(config.device, config.dtype)
    models = {label: _resolve(label, {"embedder", "retriever"}) for label in _labels(config.models)}
    rerankers = {
        label: _resolve(label, {"embedder", "reranker"})
        for label in _labels(config.rerankers)
        if label != NO_RERANKER
    }
    tasks = _load_tasks(config)
    if all(isinstance(task, StsTask) for task in tasks):
        rankers = [label for label, spec in models.items() if "embedder" not in families()[spec.family].kinds]
        if rankers:
            raise ConfigError(
                f"{', '.join(rankers)} has no vectors, and all tasks are STS: there is nothing it could score. "
                "Leave it out, or add a retrieval task."
            )
    published = read_published(config.published) if config.published else []
    store = None if config.no_store else Store(config.store or default_root())
    with Progress() as progress:
        outcome = run_grid(
            tasks,
            _entrants(models, compute),
            _entrants(rerankers, compute),
            candidates=config.rerank_depth,
            depth=max(config.top_k),
            means=Means(compute, store, progress),
        )
    specs = {label: str(spec) for label, spec in {**models, **rerankers}.items()}
    results = Results(
        make_records(outcome, tasks, config.top_k),
        make_provenance(config, compute, specs, tasks, outcome, store, published, started),
        published_frame(published),
    )
    if config.out is not None:
        write_run(results, config.out)
    return results


def plan_config(config: RunConfig) -> Plan:
    """What running a configuration would download, compute and cost. Loads no model, and no data from elsewhere.

    A model that cannot be run is a row of the plan that says why. Raises EvalkitError for local tasks that cannot
    be used, and for published figures that cannot be read.
    """
    if config.published:
        read_published(config.published)
    return make_plan(
        config,
        {label: _or_why_not(label, {"embedder", "retriever"}) for label in _labels(config.models)},
        {
            label: _or_why_not(label, {"embedder", "reranker"})
            for label in _labels(config.rerankers)
            if label != NO_RERANKER
        },
    )


def _or_why_not(label: str, allowed: set[Kind]) -> ModelSpec | EvalkitError:
    try:
        return _resolve(label, allowed)
    except EvalkitError as error:
        return error


def _labels(names: Iterable[str]) -> list[str]:
    """Each name once, sweeps written out."""
    return list(dict.fromkeys(label for name in names for label in expand(name)))


def _resolve(label: str, allowed: set[Kind]) -> ModelSpec:
    spec = resolve(label)
    kinds = families()[spec.family].kinds
    if not kinds & allowed:
        raise ConfigError(
            f"{label!r} is a {' and '.join(sorted(kinds))}; here only {' or '.join(sorted(allowed))} can stand. "
            + ("Rerankers go under --rerankers." if "reranker" in kinds else "Retrievers go under --models.")
        )
    return spec


def _entrants(specs: Mapping[str, ModelSpec], compute: Compute) -> list[Entrant[Any]]:
    """The models by label; `_resolve` has held each to be of a kind that can stand where it does."""
    return [Entrant(label, partial(build, spec, compute)) for label, spec in specs.items()]


def _load_tasks(config: RunConfig) -> list[Task]:
    tasks = [
        load_task(name, on_bad_data=config.on_bad_data, max_queries=config.max_queries, seed=config.seed)
        for name in dict.fromkeys(config.tasks)
    ]
    keys = [f"{task.name} ({task.split})" for task in tasks]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ConfigError(f"two tasks have the same name and split: {', '.join(twice)}. Rename one.")
    return tasks
