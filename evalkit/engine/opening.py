"""Opening an engine by name."""

from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec

from evalkit.compute import Compute
from evalkit.contracts import Engine
from evalkit.engine.local import LocalEngine
from evalkit.errors import OptionalDependencyError
from evalkit.terms import EngineName


def require(name: EngineName) -> None:
    """Raise OptionalDependencyError if the engine's package is not installed."""
    if name == "ray" and find_spec("ray") is None:
        raise OptionalDependencyError("the engine 'ray'", "ray", "ray")


def open_engine(name: EngineName, compute: Compute) -> AbstractContextManager[Engine]:
    """The engine of this name, open until the context ends."""
    if name == "local":
        return nullcontext(LocalEngine(compute.device))
    from evalkit.engine.on_ray import ray_engine

    return ray_engine(compute.device)
