"""Build a model from its spec, once the packages that its family needs are there."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

from evalkit.compute import Compute
from evalkit.errors import OptionalDependencyError
from evalkit.models.registry.families import Family, Kind, families
from evalkit.models.registry.spec import ModelSpec

if TYPE_CHECKING:
    from evalkit.contracts import Embedder, ListReranker, Reranker, Retriever


def build(spec: ModelSpec, compute: Compute) -> "Embedder | Retriever | Reranker | ListReranker":
    """The model that `spec` names, loaded and ready.

    Raises OptionalDependencyError with the install line if a package is missing, and whatever error the
    family gives for weights that cannot be had.
    """
    family = families()[spec.family]
    _require_package(family)
    return cast("Embedder | Retriever | Reranker | ListReranker", family.load(spec.name, spec.options, compute))


def kinds(spec: ModelSpec) -> frozenset[Kind]:
    """What the model is, without loading it. Raises what the family's check raises."""
    family = families()[spec.family]
    if family.check is None:
        return family.kinds
    _require_package(family)
    return family.check(spec.name, spec.options)


def is_installed(spec: ModelSpec) -> bool:
    """Whether the packages that the spec's family needs are there."""
    return not any(_missing(families()[spec.family]))


def _require_package(family: Family) -> None:
    for module in _missing(family):
        raise OptionalDependencyError(f"the family {family.name!r}", module, family.extra)


def _missing(family: Family) -> Iterator[str]:
    return (module for module in (family.module or "").split() if not _installed(module))


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is missing
        return False
