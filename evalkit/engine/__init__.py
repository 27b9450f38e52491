"""Where models are called: in this process, or on the workers of a Ray cluster."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from evalkit.compute import Compute
from evalkit.contracts import Advance, Engine
from evalkit.errors import OptionalDependencyError
from evalkit.terms import Device, EngineName


@dataclass(frozen=True)
class LocalEngine:
    """Calls models here, one unit after the other."""

    device: Device = "cpu"
    workers: int = 1

    def calls(
        self, model: object, method: str, units: Iterable[tuple[Any, ...]], advance: Advance
    ) -> Iterator[tuple[int, Any]]:
        """See `contracts.Engine.calls`; in order."""
        call = getattr(model, method)
        for number, arguments in enumerate(units):
            yield number, call(*arguments, advance)


LOCAL = LocalEngine()
"""For a CPU."""


def require(name: EngineName) -> None:
    """Raise OptionalDependencyError if the engine's package is not installed."""
    if name == "ray" and find_spec("ray") is None:
        raise OptionalDependencyError("the engine 'ray'", "ray", "ray")


def open_engine(name: EngineName, compute: Compute) -> AbstractContextManager[Engine]:
    """Return the engine of this name, open until the context ends."""
    if name == "local":
        return nullcontext(LocalEngine(compute.device))
    from evalkit.engine._on_ray import ray_engine

    return ray_engine(compute.device)
