"""Several runs as one: cells over the same data stand side by side, tasks over other data are kept apart."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import pandas as pd

from evalkit.errors import ConfigError
from evalkit.results.records import CELL_KEYS, TASK_KEYS, Evidence, Measurements
from evalkit.results.results import Results

Label = tuple[str, str]
"""A task and its split."""
ROWS = ("tasks", "cells", "failures", "missing")
"""What run.json lists by task."""


@dataclass(frozen=True)
class Merged:
    """Runs put together, and `notes` on what was renamed or left out for it, a sentence each."""

    results: Results
    notes: tuple[str, ...] = ()


def merge_runs(runs: Mapping[str, Results]) -> Merged:
    """Return one `Results` of several runs, by their names.

    A task is the same if its content hash is; another of that name gets the hash into its own. A model whose records
    on a shared task differ from an earlier run's gets the run's name into its label; if they are equal, they are
    taken once. Seed and number of candidates are the first run's. Raises ConfigError for no runs.
    """
    if not runs:
        raise ConfigError("there is no run to put together; name at least one.")
    if len(runs) == 1:
        return Merged(next(iter(runs.values())))
    notes: list[str] = []
    apart = _same_names_apart(runs, notes)
    merged: list[Results] = []
    for name, run in runs.items():
        renamed = _rename(run, tasks=apart[name])
        again, other = _met_before(merged, renamed)
        if other:
            listed = ", ".join(other)
            notes.append(f"Run {name} has other results for {listed} on the same data: there they carry its name.")
            renamed = _rename(renamed, models={model: f"{model} [{name}]" for model in other})
        merged.append(_without(renamed, again))
    for what, key in (("seed", "seed"), ("number of candidates", "candidates"), ("cut-offs", "top_k")):
        values = {name: run.provenance[key] for name, run in runs.items()}
        if any(value != next(iter(values.values())) for value in values.values()):
            told = ", ".join(f"{value} in {name}" for name, value in values.items())
            notes.append(f"The runs differ in {what}: {told}.")
    return Merged(_concatenated(merged), tuple(notes))


def _same_names_apart(runs: Mapping[str, Results], notes: list[str]) -> dict[str, dict[Label, str]]:
    """By run, a new name for each task that an earlier run has of the same name and other data."""
    hashes: dict[Label, str] = {}
    apart: dict[str, dict[Label, str]] = {name: {} for name in runs}
    for name, run in runs.items():
        for task in run.provenance["tasks"]:
            label, content = (task["task"], task["split"]), task["content_hash"]
            if hashes.setdefault(label, content) != content:
                apart[name][label] = f"{task['task']} @{content[:8]}"
                notes.append(
                    f"{task['task']} ({task['split']}) has other data or judgements in run {name} than in an earlier "
                    "one: its scores cannot be compared cell by cell, and are a section of their own."
                )
    return apart


def _rename(
    run: Results, tasks: Mapping[Label, str] | None = None, models: Mapping[str, str] | None = None
) -> Results:
    """Return the run with other names for tasks and models, wherever they stand."""
    tasks, models = tasks or {}, models or {}
    if not tasks and not models:
        return run

    def frame(found: pd.DataFrame) -> pd.DataFrame:
        changed = found.copy()
        for (task, split), new in tasks.items():
            here = (found["task"] == task) & (found["split"] == split)
            changed["task"] = changed["task"].astype(object).where(~here, new)
        if "model" in found:
            changed["model"] = changed["model"].astype(object).map(lambda label: models.get(label, label))
        return changed

    def row(found: Mapping[str, Any]) -> dict[str, Any]:
        new = {**found, "task": tasks.get((found["task"], found["split"]), found["task"])}
        return {**new, "model": models.get(found["model"], found["model"])} if "model" in found else new

    provenance = {**run.provenance}
    for key in ROWS:
        provenance[key] = [row(each) for each in run.provenance.get(key, [])]
    for key in ("specs", "fusions", "models", "given_models", "settings"):
        known = run.provenance.get(key, {})
        # The old label stays, for the same spec may be a reranker too.
        provenance[key] = {**known, **{new: known[old] for old, new in models.items() if old in known}}
    evidence = Evidence(**{each.name: frame(getattr(run.evidence, each.name)) for each in fields(Evidence)})
    measured = Measurements(frame(run.measurements.cells), frame(run.measurements.truncated))
    return Results(frame(run.records), provenance, frame(run.published), evidence, measured, frame(run.gold))


def _met_before(earlier: Sequence[Results], run: Results) -> tuple[list[tuple[str, ...]], list[str]]:
    """Return the cells that an earlier run has with equal records, and the models that have other ones there."""
    again: list[tuple[str, ...]] = []
    other: dict[str, None] = {}
    before = {key: values for each in earlier for key, values in _by_cell(each.records)}
    for key, values in _by_cell(run.records):
        if key in before:
            if _equal(before[key], values):
                again.append(key)
            else:
                other[key[2]] = None
    return [key for key in again if key[2] not in other], list(other)


def _by_cell(records: pd.DataFrame) -> Iterable[tuple[tuple[str, ...], pd.Series]]:
    for key, cell in records.groupby(CELL_KEYS, observed=True, sort=False):
        yield tuple(map(str, key)), cell.astype({"metric": str, "id": str}).set_index(["metric", "id"])["value"]


def _equal(a: pd.Series, b: pd.Series) -> bool:
    """Tell whether they agree wherever both have a value (another run may have cut at other k)."""
    both = pd.concat([a, b], axis=1, join="inner")
    return bool(len(both)) and bool(both.iloc[:, 0].sub(both.iloc[:, 1]).abs().fillna(0).max() == 0)


def _without(run: Results, cells: Sequence[tuple[str, ...]]) -> Results:
    """Return the run without the rankings of these cells, and without those of their records that an earlier run
    has.
    """
    gone = set(cells)

    def kept(found: pd.DataFrame) -> pd.DataFrame:
        if not gone or found.empty:
            return found
        keys = zip(*(found[key].astype(str) for key in CELL_KEYS), strict=True)
        return found[[key not in gone for key in keys]]

    evidence = Evidence(
        **{
            each.name: kept(frame) if "model" in frame else frame
            for each in fields(Evidence)
            for frame in [getattr(run.evidence, each.name)]
        }
    )
    return replace(run, evidence=evidence)


def _concatenated(runs: Sequence[Results]) -> Results:
    first = runs[0].provenance
    provenance = dict(first)
    for key in ROWS:
        provenance[key] = _each_once(row for run in runs for row in run.provenance.get(key, []))
    for key in ("specs", "fusions", "models", "given_models", "settings"):
        provenance[key] = {
            label: facts for run in reversed(runs) for label, facts in run.provenance.get(key, {}).items()
        }
    provenance["metrics"] = list(
        {data["name"]: data for run in reversed(runs) for data in run.provenance.get("metrics", ())}.values()
    )
    provenance["top_k"] = sorted({k for run in runs for k in run.provenance["top_k"]})
    records = _stack([run.records for run in runs]).drop_duplicates([*CELL_KEYS, "id", "metric"], ignore_index=True)
    categories = {column: pd.CategoricalDtype(list(pd.unique(records[column]))) for column in records.columns[:-1]}
    evidence = {each.name: _stack([getattr(run.evidence, each.name) for run in runs]) for each in fields(Evidence)}
    for name, keys in (("queries", ["query"]), ("documents", ["document"]), ("items", ["id"])):
        evidence[name] = evidence[name].drop_duplicates([*TASK_KEYS, *keys], ignore_index=True)
    evidence["judgements"] = evidence["judgements"].drop_duplicates(ignore_index=True)
    published = _stack([run.published for run in runs]).drop_duplicates(ignore_index=True)
    measured = Measurements(
        _stack([run.measurements.cells for run in runs]).drop_duplicates(CELL_KEYS, ignore_index=True),
        _stack([run.measurements.truncated for run in runs]).drop_duplicates(ignore_index=True),
    )
    gold = _stack([run.gold for run in runs]).drop_duplicates(["task", "split", "id"], ignore_index=True)
    return Results(records.astype(categories), provenance, published, Evidence(**evidence), measured, gold)


def _stack(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return all rows; categories, which differ from run to run, as plain values."""
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        return frames[0]
    plain = [frame.astype(dict.fromkeys(frame.select_dtypes("category").columns, object)) for frame in filled]
    return pd.concat(plain, ignore_index=True)


def _each_once(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row a task or cell: the first."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        found.setdefault(tuple(str(row.get(key)) for key in CELL_KEYS), row)
    return list(found.values())
