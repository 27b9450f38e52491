"""The kinds of tasks there are, each a class in a file of its own.

Another package adds a kind by an entry point in the group `evalkit.tasks` that gives a `TaskKind`.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from evalkit.errors import ConfigError
from evalkit.plugins import plugins
from evalkit.tasks.kinds._bitext import Bitext
from evalkit.tasks.kinds._classification import Classification
from evalkit.tasks.kinds._clustering import Clustering
from evalkit.tasks.kinds._evaluator import Evaluator
from evalkit.tasks.kinds._kind import Encode, Loading, TaskKind
from evalkit.tasks.kinds._pair_classification import PairClassification
from evalkit.tasks.kinds.reranking import Reranking
from evalkit.tasks.kinds.retrieval import Retrieval
from evalkit.tasks.kinds.sts import Sts
from evalkit.types import Task

BUILT_IN: tuple[TaskKind[Any], ...] = (
    Sts(),
    Retrieval(),
    Reranking(),
    Classification(),
    Clustering(),
    Bitext(),
    PairClassification(),
    Evaluator(),
)
ENTRY_POINT_GROUP = "evalkit.tasks"

__all__ = ["Encode", "Loading", "TaskKind", "kind_named", "kind_of", "kinds"]


@cache
def kinds() -> Mapping[str, TaskKind[Any]]:
    """List all kinds by name: the built-in ones, then those of installed packages.

    Raises ConfigError for an entry point that cannot be used, or that takes a name that is taken.
    """
    found = {kind.name: kind for kind in BUILT_IN}
    for entry, kind in plugins(ENTRY_POINT_GROUP, TaskKind):  # type: ignore[type-abstract]
        if kind.name in found:
            raise ConfigError(
                f"entry point {entry!r} adds a kind of task {kind.name!r}, which exists already; rename it or "
                "uninstall that package."
            )
        found[kind.name] = kind
    return found


def kind_named(name: str) -> TaskKind[Any]:
    """Look up the kind that run.json names. Raises ConfigError for one that is not installed."""
    try:
        return kinds()[name]
    except KeyError:
        raise ConfigError(
            f"a task is of the kind {name!r}, which is not known here; there are {', '.join(kinds())}. Install the "
            "package that adds it."
        ) from None


def kind_of(task: Task) -> TaskKind[Any]:
    """Look up the kind of a task."""
    return kind_named(task.type)
