"""Compose a gate: a run, the canaries of its models, costs side by side, and the checks of a policy."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evalkit.compute import Compute, choose_compute
from evalkit.config import RunConfig, read_config, read_suite
from evalkit.contracts import Embedder
from evalkit.errors import ConfigError, EvalkitError
from evalkit.gate.baseline import Baseline, freeze
from evalkit.gate.canaries import Canaries, Drift, drift, sing
from evalkit.gate.checks import Check, checks, common
from evalkit.gate.policy import Policy, read_policy
from evalkit.gate.verdict import Verdict
from evalkit.grid import Means
from evalkit.measure import measure
from evalkit.models.chosen import Chosen, adapt, choose
from evalkit.pipeline import choose_line_up, load_tasks, open_store, run_config
from evalkit.progress import Progress
from evalkit.results import Results
from evalkit.results.changes import Changes, compare_runs
from evalkit.spending import Spending
from evalkit.types import RetrievalTask

ROUNDS = 2
"""Times that the old and the new model are measured, in turn."""


def make_baseline(results: Results, models: Mapping[str, object] | None = None) -> Baseline:
    """The baseline of a run: its scores by query, and the canaries of its embedders, which are loaded for it.

    `models` gives, by label, the objects that the run was given in place of specs. Raises ConfigError for a run that
    has no scores, was interrupted, or was given objects that are not here.
    """
    compute = choose_compute(results.provenance["device"], results.provenance["dtype"])
    sung: dict[str, Canaries] = {}
    for label, chosen in _embedders(results, models or {}).items():
        sung[label] = sing(chosen.load(compute, Spending()))
    return freeze(results, sung)


def gate(
    baseline: Baseline | str | Path,
    *,
    suite: str | Path | Mapping[str, Any] | None = None,
    run: Results | str | Path | None = None,
    policy: Policy | str | Path | Mapping[str, Any] | None = None,
    pairs: Mapping[str, str] | None = None,
    on_common: bool = False,
    strict: bool = False,
    models: Mapping[str, object] | None = None,
) -> Verdict:
    """Whether a run is good enough beside a baseline: `suite` is run now, or `run` was before.

    `policy` says what it is held to (see `gate.policy.Policy`). `pairs` names, by its label in the baseline, a model
    that took the place of another. Tasks whose data differ are refused, unless `on_common` restricts them to the
    queries whose text and judgements are the same. `models` gives, by label, objects in place of specs.

    The same inputs give the same verdict. Raises EvalkitError for input that cannot be used.
    """
    frozen = baseline if isinstance(baseline, Baseline) else Baseline.read(Path(baseline))
    held_to = policy if isinstance(policy, Policy) else read_policy(policy)
    if (suite is None) == (run is None):
        raise ConfigError("a gate needs a suite to run, or a run: give one of the two.")
    before = frozen.results()
    config = None
    if suite is not None:
        config = read_config(dict(suite) if isinstance(suite, Mapping) else read_suite(suite))
        after = run_config(config)
    else:
        after = run if isinstance(run, Results) else Results.read(Path(str(run)))
    if on_common:
        known = {
            (task.task, task.split): dict(zip(task.ids, task.marks, strict=True))
            for task in frozen.tasks
            if task.marks
        }
        before, after = common(before, after, known)
    changes = compare_runs(before, after, pairs)
    drifts = _drifts(frozen, after, pairs or {}, models or {}) if held_to.drift != "off" else {}
    renamed = replace_drift(held_to, bool(pairs))
    found = checks(before, after, changes, drifts, renamed)
    if held_to.latency_ratio is not None or held_to.memory_ratio is not None:
        found += _ratios(before, after, changes, held_to, config)
    return Verdict(tuple(found), changes, strict)


def replace_drift(policy: Policy, paired: bool) -> Policy:
    """Where one model took the place of another on purpose, other vectors are told and do not fail."""
    return policy.model_copy(update={"drift": "warn"}) if paired and policy.drift == "fail" else policy


def _embedders(results: Results, objects: Mapping[str, object]) -> dict[str, Chosen]:
    """The embedders among the first stages of a run, by label."""
    found: dict[str, Chosen] = {}
    fusions = results.provenance.get("fusions", {})
    for label in dict.fromkeys(cell["model"] for cell in results.provenance["cells"]):
        if label in fusions:
            continue
        if label in objects:
            model = adapt(objects[label])
            if isinstance(model, Embedder):
                found[label] = Chosen(label, objects[label], model, frozenset({"embedder"}))
            continue
        if label in results.provenance["given_models"]:
            raise ConfigError(f"{label!r} was an object when it was run: give it in models={{{label!r}: ...}}.")
        chosen = choose([results.provenance["specs"][label]], {"embedder", "retriever"})
        one = next(iter(chosen.values()))
        if "embedder" in one.kinds:
            found[label] = replace(one, label=label)
    return found


def _drifts(
    frozen: Baseline, after: Results, pairs: Mapping[str, str], objects: Mapping[str, object]
) -> dict[str, Drift | str]:
    """By model of the baseline that the run has, how its canaries sing now, or why that is not known."""
    compute: Compute = choose_compute(after.provenance["device"], after.provenance["dtype"])
    there = {cell["model"] for cell in after.provenance["cells"]}
    found: dict[str, Drift | str] = {}
    for label, then in frozen.canaries.items():
        now = pairs.get(label, label)
        if now not in there:
            continue
        try:
            cut = replace(after, provenance={**after.provenance, "cells": [{"model": now}]})
            embedder = _embedders(cut, objects)[now].load(compute, Spending())
            found[now] = drift(then, sing(embedder))
        except EvalkitError as error:
            found[now] = f"the model cannot be loaded to compare its vectors: {error}"
    return found


def _ratios(
    before: Results, after: Results, changes: Changes, policy: Policy, config: RunConfig | None
) -> list[Check]:
    """Latency and memory of the new cells over the old, measured in turn on this machine, in this run."""
    if config is None:
        reason = "costs are measured side by side in one run: give the suite in place of a run."
        return [Check("costs", "undecided", reason)]
    pairs = changes.cells[changes.cells["main"].astype(bool)]
    old_specs, new_specs = before.provenance["specs"], after.provenance["specs"]
    line_up = choose_line_up(config)
    tasks = [task for task in load_tasks(config) if isinstance(task, RetrievalTask)]
    found = []
    for old, new in dict.fromkeys(zip(pairs["model_a"], pairs["model_b"], strict=True)):
        name = f"{new}: costs"
        if old_specs.get(old) == new_specs.get(new):
            reason = "old and new are one spec, so that the old cannot be measured beside the new."
            found.append(Check(name, "undecided", reason))
            continue
        chosen = {"old": _one(old_specs[old], "old"), "new": _one(new_specs[new], "new")}
        with Progress() as progress:
            means = Means(line_up.compute, open_store(config), progress)
            again = partial(measure, tasks, chosen, {}, candidates=config.rerank_depth, means=means)
            rounds = [again(spending=line_up.spending, seed=config.seed).cells for _ in range(ROUNDS)]
        cells = pd.concat(rounds, ignore_index=True)
        for limit, column, what in (
            (policy.latency_ratio, "latency_p50_ms", "latency"),
            (policy.memory_ratio, "peak_memory_mb", "memory"),
        ):
            if limit is not None:
                found.append(_ratio(f"{new}: {what}", cells, column, limit))
    return found


def _one(spec: str, label: str) -> Chosen:
    return replace(next(iter(choose([spec], {"embedder", "retriever"}).values())), label=label)


def _ratio(name: str, cells: pd.DataFrame, column: str, limit: float) -> Check:
    medians = cells.groupby("model")[column].median()
    ratio = medians["new"] / medians["old"]
    if not np.isfinite(ratio):
        notes = "; ".join(sorted({note for note in cells["note"] if note})) or "it is not known"
        return Check(name, "undecided", f"it could not be measured: {notes}.")
    told = f"{ratio:.2f} times the old one's ({medians['old']:.3g} and {medians['new']:.3g}), at most {limit:g} allowed."
    return Check(name, "pass" if ratio <= limit else "fail", told)
