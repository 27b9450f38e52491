"""References to mteb's tasks and benchmarks: `mteb:NAME[?split=SPLIT&subset=SUBSET]`."""

from copy import copy
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeGuard

from evalkit.errors import ConfigError, OptionalDependencyError, UnknownNameError, did_you_mean

if TYPE_CHECKING:
    from mteb import AbsTask

PREFIX = "mteb:"
DEFAULT_SUBSET = "default"
_OPTIONS = ("split", "subset")


@dataclass(frozen=True)
class Reference:
    """A task or benchmark by name, one split and one subset of it if they are given."""

    name: str
    split: str | None = None
    subset: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Read a reference. Raises ConfigError if `text` cannot be read, UnknownNameError for an unknown option."""
        name, _, query = text.removeprefix(PREFIX).partition("?")
        given: dict[str, str] = {}
        for part in query.split("&") if query else []:
            key, _, value = part.partition("=")
            if key not in _OPTIONS:
                raise UnknownNameError(
                    f"Unknown option {key!r} in the task reference {text!r}. {did_you_mean(key, _OPTIONS)}"
                )
            if key in given or not value:
                raise ConfigError(f"Cannot read {part!r} in {text!r}. Write {PREFIX}NAME?split=SPLIT&subset=SUBSET.")
            given[key] = value
        if not name:
            raise ConfigError(f"Cannot read the task reference {text!r}. Write {PREFIX}NAME, of a task or benchmark.")
        return cls(name, given.get("split"), given.get("subset"))


def is_mteb(reference: object) -> TypeGuard[str]:
    """Tell whether what names a task, or a task's own name, is one of mteb's."""
    return isinstance(reference, str) and reference.startswith(PREFIX)


def task_name(name: str, subset: str) -> str:
    """Return the name that a subset of mteb's task has in results; itself a reference."""
    return f"{PREFIX}{name}" if subset == DEFAULT_SUBSET else f"{PREFIX}{name}?subset={subset}"


def require_mteb() -> None:
    """Raise OptionalDependencyError, with the install line, where mteb is not installed."""
    if find_spec("mteb") is None:
        raise OptionalDependencyError("what begins with 'mteb:'", "mteb", "mteb")


def find_tasks(reference: Reference) -> list["AbsTask"]:
    """Return mteb's task objects, with no data yet; an aggregate stands for the tasks it is made of.

    Raises UnknownNameError for a name, split or subset that there is not, ConfigError for a task that is not
    about texts alone, OptionalDependencyError without mteb.
    """
    require_mteb()
    import mteb
    from mteb.get_tasks import TASK_LIST

    known = {cls.metadata.name for cls in TASK_LIST}
    if reference.name in known:
        named = [mteb.get_task(reference.name)]
    else:  # benchmarks are looked at here alone: mteb makes all their tasks first, which takes seconds
        benchmarks = {benchmark.name: benchmark for benchmark in mteb.get_benchmarks()}
        if reference.name not in benchmarks:
            near = did_you_mean(reference.name, known | set(benchmarks))
            raise UnknownNameError(f"mteb has no task or benchmark {reference.name!r}. {near}")
        named = list(benchmarks[reference.name].tasks)
    tasks = [part for task in named for part in (task.metadata.tasks if task.is_aggregate else [task])]
    for task in tasks:
        if task.metadata.modalities != ["text"]:
            raise ConfigError(
                f"mteb's task {task.metadata.name!r} is about {' and '.join(task.metadata.modalities)}; "
                "only tasks about texts alone can be run."
            )
    return [_narrowed(task, reference) for task in tasks]


def _narrowed(task: "AbsTask", reference: Reference) -> "AbsTask":
    # A copy, since the tasks of a benchmark are shared by all who ask for it.
    narrowed = copy(task)
    for chosen, there, what in (
        (reference.split, list(task.eval_splits), "split"),
        (reference.subset, list(task.hf_subsets), "subset"),
    ):
        if chosen is not None and chosen not in there:
            raise UnknownNameError(
                f"mteb's task {task.metadata.name!r} has no {what} {chosen!r}. {did_you_mean(chosen, there)}"
            )
    if reference.split is not None:
        narrowed.filter_eval_splits([reference.split])
    if reference.subset is not None:
        narrowed.hf_subsets = [reference.subset]
    return narrowed
