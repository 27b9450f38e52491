"""Build a model from its spec: the place where a family's heavy imports happen."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

from evalkit.compute import Compute
from evalkit.errors import OptionalDependencyError
from evalkit.registry.families import families
from evalkit.registry.spec import ModelSpec

if TYPE_CHECKING:
    from evalkit.contracts import Embedder, Reranker, Retriever


def build(spec: ModelSpec, compute: Compute) -> "Embedder | Retriever | Reranker":
    """The model that `spec` names, loaded and ready.

    Raises OptionalDependencyError with the install line if a package is missing, and whatever error the
    family gives for weights that cannot be had.
    """
    family = families()[spec.family]
    if family.module and not _installed(family.module):
        raise OptionalDependencyError(f"the family {family.name!r}", family.module, family.extra)
    module, _, name = family.factory.partition(":")
    factory = getattr(import_module(module), name)
    return cast("Embedder | Retriever | Reranker", factory(spec.name, spec.options, compute))


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it is a part of
        return False
