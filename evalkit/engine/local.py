"""The engine that is this process."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from evalkit.contracts import Advance
from evalkit.terms import Device


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
