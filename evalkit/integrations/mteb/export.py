"""Results of a run as the files of mteb's cache of results: results/MODEL/REVISION/TASK.json."""

import json
import math
import re
import warnings
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from evalkit.cell import NO_RERANKER
from evalkit.errors import ConfigError
from evalkit.results import Results
from evalkit.results.records import CELL_KEYS
from evalkit.store.keys import fingerprint
from evalkit.tasks.checks import DataWarning
from evalkit.tasks.mteb.reference import (
    DEFAULT_SUBSET,
    LocalKind,
    Reference,
    from_mteb,
    is_mteb,
    local_metadata,
    require_mteb,
    to_mteb,
)

if TYPE_CHECKING:
    from mteb import TaskMetadata
    from mteb.models import ModelMeta

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
EXPORTED = ("sts", "retrieval")
_Participant = tuple[str, str]
"""Labels of a model and a reranker."""


def export_results(results: Results, folder: Path) -> list[Path]:
    """Write a run's scores so that mteb's loaders read them; returns the files of scores.

    A model that is run as it comes has its own name; one with options or a reranker is named evalkit/…, since it is
    not the published model. Undefined scores are left out, and so is a task whose main score is undefined.

    Raises OptionalDependencyError without mteb, ConfigError for a run on a sample of the queries, or one that lacks
    the main score of a task.
    """
    require_mteb()
    sample = results.provenance["config"].get("max_queries")
    if sample is not None:
        raise ConfigError(f"this run scored a sample of {sample}; mteb's files are about whole tasks. Run it on all.")
    written = []
    for participant, tasks in _by_participant(results).items():
        meta = _model_meta(results, participant)
        place = folder / "results" / meta.model_name_as_path() / str(meta.revision)
        for metadata, scores in tasks:
            content = _task_result(results, participant, metadata, scores)
            written.append(_write(place / f"{metadata.name}.json", content))
        _write(place / "model_meta.json", json.loads(json.dumps(meta.to_dict(), default=str)))
    return written


_Scores = Mapping[str, Mapping[str, Mapping[str, float]]]
"""By split, subset and metric."""


def _by_participant(results: Results) -> dict[_Participant, list[tuple["TaskMetadata", _Scores]]]:
    tasks = {(task["task"], task["split"]): task for task in results.provenance["tasks"]}
    found: dict[_Participant, dict[str, Any]] = defaultdict(dict)
    left_out: dict[str, None] = {}
    for cell, rows in results.scores.groupby(CELL_KEYS, observed=True, sort=False):
        task, split, model, reranker = map(str, cell)
        if tasks[task, split]["type"] not in EXPORTED and not is_mteb(task):
            left_out[f"{task} ({split})"] = None
            continue
        metadata, subset = _metadata(tasks[task, split])
        scores = to_mteb(dict(zip(rows["metric"], rows["score"], strict=True)))
        main = metadata.main_score
        if main not in scores:
            if from_mteb(main, metadata.type) not in set(rows["metric"]) and "_at_" in main:
                raise ConfigError(
                    f"the run has no {main} of {task!r}, its main score in mteb. Run it again with "
                    f"{from_mteb(main, metadata.type)} among its metrics, or --top-k {main.rpartition('_')[2]}."
                )
            continue
        _, by_split = found[model, reranker].setdefault(metadata.name, (metadata, defaultdict(dict)))
        by_split[split][subset] = {**scores, "main_score": scores[main]}
    if left_out:
        names = ", ".join(left_out)
        warnings.warn(f"Left out, since mteb's files have no such tasks: {names}.", DataWarning, stacklevel=3)
    return {participant: list(by_task.values()) for participant, by_task in found.items()}


def _metadata(task: Mapping[str, Any]) -> tuple["TaskMetadata", str]:
    """Return mteb's description of a task of the run, and the subset that it is."""
    import mteb

    if is_mteb(task["task"]):
        reference = Reference.parse(task["task"])
        return mteb.get_task(reference.name).metadata, reference.subset or DEFAULT_SUBSET
    kind: LocalKind = "STS" if task["type"] == "sts" else "Retrieval"
    return local_metadata(task["task"], task["split"], kind, task["content_hash"]), DEFAULT_SUBSET


def _model_meta(results: Results, participant: _Participant) -> "ModelMeta":
    import mteb
    from mteb.models import ModelMeta

    model, reranker = participant
    specs = results.provenance["specs"]
    family, _, name = specs[model].partition(":")
    if reranker == NO_RERANKER and family == "mteb" and "?" not in name:
        return mteb.get_model_meta(name)
    as_it_comes = reranker == NO_RERANKER and _HUB_NAME.fullmatch(name) and not Path(name).exists()
    marks = sorted({cell["fingerprint"] for cell in _cells(results, participant)})
    own = "+".join(_label(specs[label]) for label in participant if label in specs)
    return ModelMeta.create_empty(
        {
            "name": name if as_it_comes else f"evalkit/{own}",
            "revision": marks[0] if len(marks) == 1 else fingerprint({"cells": marks}),
        }
    )


def _label(spec: str) -> str:
    """Return a spec as part of a name, without the folder of a local model."""
    head, _, options = spec.partition("?")
    family, _, name = head.partition(":")
    return re.sub(r"[^\w.-]+", "-", "-".join(filter(None, (family, Path(name).name, options))))


def _cells(results: Results, participant: _Participant) -> list[Mapping[str, Any]]:
    return [cell for cell in results.provenance["cells"] if (cell["model"], cell["reranker"]) == participant]


def _task_result(
    results: Results, participant: _Participant, metadata: "TaskMetadata", scores: _Scores
) -> dict[str, Any]:
    from mteb import TaskResult

    # All that TaskResult reads of a task.
    described: Any = SimpleNamespace(metadata=metadata)
    seconds = math.fsum(cell["seconds"] for cell in _cells(results, participant))
    started = datetime.fromisoformat(results.provenance["started"])
    made = TaskResult.from_task_results(described, scores, evaluation_time=seconds, date=started)
    return {**made.to_dict(), "date": started.timestamp()}


def _write(path: Path, content: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return path
