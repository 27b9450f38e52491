"""References to mteb's tasks, `mteb:NAME[?split=SPLIT&subset=SUBSET]`, and what mteb's names mean here."""

import math
import re
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

from evalkit.errors import ConfigError, OptionalDependencyError, UnknownNameError, did_you_mean
from evalkit.terms import Role

if TYPE_CHECKING:
    from mteb import AbsTask, TaskMetadata


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


LocalKind = Literal["STS", "Retrieval"]
HASH_DIGITS = 12
LABEL_LENGTH = 100
"""Of a name at most: mteb's names become names of files."""
LANGUAGE = "und-Zyyy"
"""ISO codes for a language and script that nobody stated."""


def local_metadata(name: str, split: str, kind: LocalKind, content_hash: str) -> "TaskMetadata":
    """Return mteb's description of a task of ours."""
    from mteb import TaskMetadata
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.sts import AbsTaskSTS

    label = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-")[:LABEL_LENGTH]
    return TaskMetadata(
        name=f"{label}-{content_hash[:HASH_DIGITS]}",
        description=f"The task {name!r} of an evalkit run.",
        type=kind,
        category="t2t",
        prompt=(AbsTaskSTS if kind == "STS" else AbsTaskRetrieval).abstask_prompt,
        eval_splits=[split],
        eval_langs=[LANGUAGE],
        main_score="cosine_spearman" if kind == "STS" else "ndcg_at_10",
        dataset={"path": f"evalkit/{label}", "revision": content_hash},
    )


@cache
def metadata_for(task: str, role: Role) -> "TaskMetadata":
    """Return the description of a task, for models that choose prompts by it: mteb's own if the name is one of
    mteb's.

    Otherwise one of a retrieval task, or of an STS task for the texts of a symmetric one.
    """
    import mteb

    if is_mteb(task):
        return mteb.get_task(Reference.parse(task).name).metadata
    return local_metadata("evalkit", "test", "STS" if role == "sentence" else "Retrieval", "")


_CORRELATIONS = {
    f"{kind}({similarity})": f"{similarity}_{kind}"
    for kind in ("spearman", "pearson")
    for similarity in ("cosine", "euclidean", "manhattan")
}
"""Ours of STS, and mteb's, which has none for the dot product."""
_OURS = {theirs: ours for ours, theirs in _CORRELATIONS.items()}
_THEIRS = {"hit_rate": "hit_rate", "MRR": "mrr", "nDCG": "ndcg", "R": "recall", "P": "precision", "AP": "map"}
"""Ours of rankings, and mteb's."""
_AT_K = re.compile(r"(\w+)_at_(\d+)")


def numbers(scores: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics in mteb's scores that are one number each. The main score is among them under its own name;
    the curves of abstention (nauc) are left out.
    """
    return {
        name: float(value)
        for name, value in scores.items()
        if isinstance(value, Real) and name != "main_score" and not name.startswith("nauc")
    }


def to_mteb(scores: Mapping[str, float]) -> dict[str, float]:
    """Return scores under mteb's names, without those that are undefined."""
    return {_to_mteb(name): score for name, score in scores.items() if math.isfinite(score)}


def _to_mteb(name: str) -> str:
    base, at, k = name.partition("@")
    return f"{_THEIRS.get(base, base)}_at_{k}" if at else _CORRELATIONS.get(name, name)


def from_mteb(name: str, kind: str) -> str:
    """Our name of mteb's metric, in a task of mteb's type `kind`: those that we score ourselves have our names."""
    if kind == "STS":
        return _OURS.get(name, name)
    ours = {theirs: own for own, theirs in _THEIRS.items()}
    found = _AT_K.fullmatch(name) if kind in ("Retrieval", "Reranking") else None
    return f"{ours[found[1]]}@{found[2]}" if found and found[1] in ours else name
