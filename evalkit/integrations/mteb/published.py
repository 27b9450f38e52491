"""Published results, read from mteb's files, as rows of reference."""

import json
import math
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from evalkit.errors import ConfigError
from evalkit.tasks.checks import DataWarning
from evalkit.tasks.mteb.reference import from_mteb, numbers, require_mteb, task_name

if TYPE_CHECKING:
    from mteb import TaskResult

COLUMNS = ["task", "split", "model", "reranker", "metric", "score", "n", "source"]
META = "model_meta.json"
SHOWN = 5
REVISION_DIGITS = 7


@dataclass(frozen=True)
class _Published:
    model: str
    revision: str
    result: "TaskResult"


def read_published(path: Path) -> pd.DataFrame:
    """Return the scores in mteb's result files: one row a task, split, model and metric, with the columns `COLUMNS`.

    `path` is one file, or a folder that holds them anywhere, such as mteb's cache of results. Scores are fractions;
    `n` is empty, since mteb does not say it. A model with several revisions has the revision in its name. Files that
    are no results are left out, and a DataWarning says so.

    Raises OptionalDependencyError without mteb, ConfigError if there is no result.
    """
    require_mteb()
    if not path.exists():
        raise ConfigError(f"{path} does not exist. Give a file or folder of mteb's results.")
    found: list[_Published] = []
    unreadable: list[str] = []
    for file in [path] if path.is_file() else sorted(path.rglob("*.json")):
        if file.name == META:
            continue
        try:
            found += _read(file)
        except (ValueError, KeyError, OSError) as error:
            unreadable.append(f"{file}: {_first_line(error)}")
    more = f" and {len(unreadable) - SHOWN} more" if len(unreadable) > SHOWN else ""
    listed = "; ".join(unreadable[:SHOWN]) + more
    if not found:
        raise ConfigError(f"{path} holds no results of mteb." + (f" Could not read {listed}." if listed else ""))
    if unreadable:
        warnings.warn(f"Left out, since they are no results of mteb: {listed}.", DataWarning, stacklevel=2)
    revisions = Counter(model for model, _ in {(each.model, each.revision) for each in found})
    rows = [row for each in found for row in _rows(each, revisions[each.model] > 1)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _read(file: Path) -> Iterator[_Published]:
    from mteb import BenchmarkResults, TaskResult

    content = json.loads(file.read_text(encoding="utf-8"))
    if isinstance(content, dict) and "model_results" in content:
        for model in BenchmarkResults.from_disk(file).model_results:
            for result in model.task_results:
                yield _Published(model.model_name, model.model_revision or "", result)
        return
    yield _Published(*_model_of(file), TaskResult.from_disk(file))


def _model_of(file: Path) -> tuple[str, str]:
    """Name and revision: what the file beside says, or else the names of the folders, MODEL/REVISION."""
    if (file.parent / META).is_file():
        meta = json.loads((file.parent / META).read_text(encoding="utf-8"))
        return meta["name"], meta["revision"] or ""
    organisation, _, name = file.parent.parent.name.partition("__")
    if not name:
        raise ValueError(f"no {META} beside it, and no folders ORG__MODEL/REVISION above")
    return f"{organisation}/{name}", file.parent.name


def _rows(published: _Published, several: bool) -> Iterator[tuple[Any, ...]]:
    result, revision = published.result, published.revision
    model = f"{published.model}@{revision[:REVISION_DIGITS]}" if several else published.model
    source = f"mteb results, revision {revision or 'unknown'}, mteb {result.mteb_version or 'unknown'}"
    kind = _kind(result.task_name)
    for split, subsets in result.scores.items():
        for scores in subsets:
            task = task_name(result.task_name, scores["hf_subset"])
            for metric, score in numbers(scores).items():
                if math.isfinite(score):
                    yield task, split, model, "none", from_mteb(metric, kind), score, None, source


def _kind(task: str) -> str:
    import mteb

    try:
        return str(mteb.get_task(task).metadata.type)
    except KeyError:  # of a task that this version of mteb does not have
        return ""


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
