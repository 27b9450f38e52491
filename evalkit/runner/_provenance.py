"""What a run was made from, as plain data: enough to repeat it and to tell why two runs differ."""

import math
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from evalkit import __version__
from evalkit.cell import NO_RERANKER, Cell
from evalkit.metrics.metric import Metric
from evalkit.models.registry import families
from evalkit.models.registry.selection import Participants
from evalkit.results.facts import ModelFacts
from evalkit.results.published import PublishedScore
from evalkit.runner.config import RunConfig
from evalkit.runner.context import RunContext
from evalkit.runner.grid import Outcome
from evalkit.runner.grid.plan import CellFacts
from evalkit.secrets import hide
from evalkit.spending import Spent
from evalkit.tasks.kinds import kind_of
from evalkit.types import Task

SCHEMA = 1
PACKAGES = (
    "numpy", "scipy", "pandas", "scikit-learn", "bm25s", "torch", "transformers", "tokenizers",
    "sentence-transformers", "gensim", "model2vec", "mteb", "llama-index-core", "openai", "cohere", "voyageai",
    "google-genai",
)  # fmt: skip


def make_provenance(
    config: RunConfig,
    context: RunContext,
    participants: Participants,
    models: Mapping[str, ModelFacts],
    tasks: Sequence[Task],
    outcome: Outcome,
    published: Sequence[PublishedScore],
    started: float,
) -> dict[str, Any]:
    """Make the content of run.json. `models` has what is known of each beside its scores; `started` is a time.time().

    By label, run.json has under `specs` a model's full spec, under `fusions` the labels of a fusion's models, under
    `given_models` the identity of one that the caller made, and under `settings` how a model was run.
    """
    settings, store = _settings(outcome.facts), context.store
    return {
        "schema": SCHEMA,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(time.time() - started, 3),
        "command": _command(),
        "config": config.model_dump(mode="json", exclude={"out", "store", "published", "description", "sizes"}),
        "seed": config.seed,
        "top_k": list(config.top_k),
        "metrics": [metric.as_data() for metric in _metrics(config, tasks)],
        "main_metrics": list(config.main_metrics),
        "candidates": config.rerank_depth,
        "depth": config.depth,
        "device": context.compute.device,
        "dtype": context.compute.dtype,
        "specs": participants.specs,
        "fusions": {label: list(fusion.parts) for label, fusion in participants.fusions.items()},
        "models": {label: _measured(facts, settings.get(label, {})).as_data for label, facts in models.items()},
        "given_models": {
            label: dict(model.identity) for label, model in participants.all.items() if model.identity is not None
        },
        "settings": settings,
        "tasks": [_task(task) for task in tasks],
        "published": _published(config.published, published),
        "cells": [{**vars(cell), **_facts(facts)} for cell, facts in outcome.facts.items()],
        "reused": None if store is None else store.reused,
        "computed": None if store is None else store.computed,
        "costs": {model: _cost(spent) for model, spent in context.spending.models.items()},
        "failures": [{**vars(failure.cell), "reason": failure.reason} for failure in outcome.failures],
        "packages": package_versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "git_commit": _git_commit(),
    }


def _metrics(config: RunConfig, tasks: Sequence[Task]) -> list[Metric]:
    """Tell what is computed by item, with all that reports ask of it; what a user named is in their tables."""
    named = {Metric.parse(name).name for name in config.metrics}
    computed = [metric for task in tasks for metric in kind_of(task).metrics(task, config.metrics, config.top_k)]
    return [replace(metric, in_tables=metric.in_tables or metric.name in named) for metric in dict.fromkeys(computed)]


def _measured(facts: ModelFacts, settings: Mapping[str, Mapping[str, Any]]) -> ModelFacts:
    """Return the facts of a model, with what it said of itself when it was run in place of what was said of it
    elsewhere.
    """
    told = {fact: settings.get(name, {}).get("value") for fact, name in (("dim", "dimension"), ("max_length",) * 2)}
    if facts.family in families() and families()[facts.family].sparse:
        told.pop("dim")
    measured: dict[str, Any] = {fact: value for fact, value in told.items() if isinstance(value, int)}
    return replace(facts, **measured)


def package_versions() -> dict[str, str]:
    """Return the versions of evalkit and of each of `PACKAGES` that is installed."""
    return {"evalkit": __version__, **{name: found for name in PACKAGES if (found := _version(name))}}


def _published(path: Path | None, scores: Sequence[PublishedScore]) -> dict[str, Any] | None:
    """Return the file of published figures: its content hash, and what its rows name as their sources."""
    if path is None:
        return None
    sources = list(dict.fromkeys(score.source for score in scores))
    return {"file": path.name, "sha256": sha256(path.read_bytes()).hexdigest(), "sources": sources}


def _task(task: Task) -> dict[str, Any]:
    facts = {"task": task.name, "split": task.split, "content_hash": task.content_hash, "type": task.type}
    told = {"notes": list(task.notes), "sampled_from": task.sampled_from}
    return {**facts, **kind_of(task).facts(task), **told}


def _facts(facts: CellFacts) -> dict[str, Any]:
    data: dict[str, Any] = {"fingerprint": facts.fingerprint, "seconds": round(facts.seconds, 3)}
    if facts.coverage is not None:
        rate = facts.coverage.oov_rate
        data["oov_rate"] = None if math.isnan(rate) else round(rate, 6)
        data["texts_without_known_word"] = list(facts.blank)
        data["texts_without_word"] = list(facts.wordless)
    if facts.described.reading is not None:
        data["reading"] = facts.described.reading.as_data
    if facts.weights:
        data["weights"] = dict(facts.weights)
    if facts.notes:
        data["notes"] = list(facts.notes)
    return data


def _settings(facts: Mapping[Cell, CellFacts]) -> dict[str, dict[str, Any]]:
    """By label, each setting of a model with its value and where it is from; by task where tasks differ in it."""
    by_label: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    for cell, known in facts.items():
        of_model = by_label.setdefault(cell.model if cell.reranker == NO_RERANKER else cell.reranker, {})
        settings = {
            name: {"value": each.value, "from": each.source} for name, each in known.described.settings.items()
        }
        if known.dim is not None:
            settings["dimension"] = {"value": known.dim, "from": "its vectors"}
        for name, setting in settings.items():
            of_model.setdefault(name, {})[f"{cell.task} ({cell.split})"] = setting
    return {
        label: {name: _one_or_by_task(by_task) for name, by_task in settings.items()}
        for label, settings in by_label.items()
    }


def _one_or_by_task(by_task: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    first, *others = by_task.values()
    return first if all(other == first for other in others) else {"by_task": dict(by_task)}


def _cost(spent: Spent) -> dict[str, Any]:
    return {**vars(spent), "usd": None if math.isnan(spent.usd) else round(spent.usd, 9)}


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _command() -> str:
    """Tell what was typed, without keys; "evalkit.run" where a program called it."""
    program, *arguments = sys.argv or [""]
    return hide(shlex.join(["evalkit", *arguments])) if Path(program).name == "evalkit" else "evalkit.run"


def _git_commit() -> str | None:
    """Return the commit of the working folder, marked if files differ from it; None outside a repository."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True, text=True, check=False, cwd=Path.cwd(),
        )  # fmt: skip
    except FileNotFoundError:
        return None
    return described.stdout.strip() or None
