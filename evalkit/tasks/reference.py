"""Find and load tasks: references, `NAME_OR_PATH[?split=SPLIT]`, and the folders that names are looked up in."""

import os
import warnings
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

from evalkit.errors import ConfigError, UnknownNameError, did_you_mean
from evalkit.tasks.checks import DataWarning, OnBadData
from evalkit.tasks.declaration import DECLARATION
from evalkit.tasks.kinds import Loading, kind_named
from evalkit.tasks.layouts import TaskInfo, describe

_PACKAGE = Path(__file__).resolve().parents[1]
_DEFAULT_SPLITS = ("test", "dev", "validation")


def bundled_tasks() -> Path:
    """Return the folder of tasks and suites that come with evalkit: inside the wheel, or in the checkout."""
    in_wheel = _PACKAGE / "bundled_tasks"
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parent / "tasks"


def task_folders() -> list[Path]:
    """Return folders that task names are looked up in, first match first: the bundled tasks, then $EVALKIT_DATA."""
    folders = [bundled_tasks()]
    if own := os.environ.get("EVALKIT_DATA"):
        folders.append(Path(own))
    return folders


def list_tasks() -> list[TaskInfo]:
    """Return tasks that can be named, in the order of the search path; of two with one name, the one that is loaded.

    Reads no more than the first line of data files. A task.yaml that cannot be used is a DataWarning.
    """
    tasks: dict[str, TaskInfo] = {}
    for folder in filter(Path.is_dir, task_folders()):
        for candidate in sorted(filter(Path.is_dir, folder.iterdir())):
            try:
                task = describe(candidate)
            except ConfigError as error:
                # Folders of models and of other data are no tasks; one that says it is a task is a mistake.
                if (candidate / DECLARATION).exists():
                    warnings.warn(f"Left out of the list of tasks: {error}", DataWarning, stacklevel=2)
                continue
            tasks.setdefault(task.name, task)
    return list(tasks.values())


def find_task(reference: str) -> tuple[TaskInfo, str]:
    """Return the task and the split that a reference names; without a split: the only one, test, dev or validation.

    In a path, `%2C` is a comma, as in a spec.

    Raises UnknownNameError if the task, option or split does not exist, ConfigError if the reference cannot
    be read, what it names is not a task, or no split can be chosen.
    """
    name, mark, option = reference.partition("?")
    key, equals, split = option.partition("=")
    if mark and key != "split":
        raise UnknownNameError(
            f"Unknown option {key!r} in the task reference {reference!r}. {did_you_mean(key, ['split'])}"
        )
    if not name or (mark and not split):
        raise ConfigError(f"Cannot read the task reference {reference!r}. Write NAME_OR_PATH[?split=SPLIT].")
    name = name if Path(name).exists() else unquote(name)
    task = describe(Path(name)) if Path(name).exists() else _look_up(name)
    return task, _choose_split(task, split if equals else None)


def _look_up(name: str) -> TaskInfo:
    known = {task.name: task for task in list_tasks()}
    if name in known:
        return known[name]
    # Reaches single files, and folders that list_tasks leaves out: describing those says what is wrong.
    for folder in task_folders():
        if (folder / name).exists():
            return describe(folder / name)
    near = did_you_mean(name, known) if known else "No task is known."
    looked_in = ", ".join(map(str, task_folders()))
    raise UnknownNameError(f"Unknown task {name!r} (looked in {looked_in}). {near} Or give a path to a folder.")


def _choose_split(task: TaskInfo, split: str | None) -> str:
    if split is None:
        return _default_split(task)
    if split not in task.splits:
        near = did_you_mean(split, task.splits)
        raise UnknownNameError(f"Task {task.name!r} has no split {split!r}; it has {', '.join(task.splits)}. {near}")
    return split


def _default_split(task: TaskInfo) -> str:
    if len(task.splits) == 1:
        return next(iter(task.splits))
    for split in _DEFAULT_SPLITS:
        if split in task.splits:
            return split
    first = next(iter(task.splits))
    stem = first.rstrip("0123456789")
    parts = (
        f". If they are parts of one split, put them into a folder {stem.rstrip('-_.')}/"
        if stem != first and all(split.startswith(stem) for split in task.splits)
        else ""
    )
    raise ConfigError(
        f"Task {task.name!r} has several splits and none is called test, dev or validation: "
        f"{', '.join(task.splits)}. Name one: {task.name}?split={first}{parts}"
    )


def load_task(
    reference: str,
    *,
    on_bad_data: OnBadData = "error",
    max_queries: int | None = None,
    seed: int = 0,
) -> Any:
    """Load the task that `NAME_OR_PATH[?split=SPLIT]` names, and check all of its data.

    `max_queries` keeps a random sample (by `seed`) of that many judged queries, or sentence pairs, in the
    order of the data. With `on_bad_data="warn"` problems are one DataWarning, and the data is used in a
    defined way: the first of repeated ids and the higher of two grades count, empty texts and judgements of
    absent documents stay, judgements of absent queries and scores that are not finite numbers are left out.

    Raises UnknownNameError or ConfigError if the reference or an argument cannot be used, DataError with
    every problem in the data; under "warn" only if a file cannot be read, or fields, documents or all
    judgements are missing.
    """
    if on_bad_data not in get_args(OnBadData):
        raise ConfigError(f"on_bad_data is {on_bad_data!r}. Allowed: {', '.join(get_args(OnBadData))}.")
    if max_queries is not None and max_queries < 1:
        raise ConfigError(f"max_queries is {max_queries}; it must be at least 1, or None for all.")
    info, split = find_task(reference)
    return kind_named(info.type).load(info, split, Loading(on_bad_data, max_queries, seed))
