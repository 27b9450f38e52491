"""What a choice must keep to: "latency_p95<50ms, dim<=512, licence~apache|mit"."""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeGuard

from evalkit.errors import ConfigError, UnknownNameError, did_you_mean
from evalkit.metrics import ir
from evalkit.metrics.metric import Metric
from evalkit.metrics.ranking import ranking_metrics
from evalkit.results.records import SPREADS
from evalkit.runner.config import split_list

Verdict = Literal["met", "unmet", "not known", "within the spread"]


@dataclass(frozen=True)
class Quantity:
    """What can be required: the column it is in, the factor of each unit to the column's, and the unit it is told in.

    Where a unit is needed to tell what a number means, a number without one is refused.
    """

    column: str
    units: Mapping[str, float]
    told_in: str = ""


_TIME = {"ms": 1.0, "s": 1000.0}
_MEMORY = {"mb": 1.0, "gb": 1000.0}
_BYTES = {"": 1.0, "b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9}
_PLAIN = {"": 1.0}
QUANTITIES: Mapping[str, Quantity] = {
    "latency_p50": Quantity("latency_p50_ms", _TIME, "ms"),
    "latency_p95": Quantity("latency_p95_ms", _TIME, "ms"),
    "dim": Quantity("dim", _PLAIN),
    "memory": Quantity("peak_memory_mb", _MEMORY, "MB"),
    "vector_bytes": Quantity("vector_bytes", _BYTES),
    "corpus_bytes": Quantity("corpus_bytes", _BYTES),
    "index_time": Quantity("index_seconds", {"s": 1.0, "min": 60.0, "h": 3600.0}, "s"),
    "price": Quantity("usd_per_million_tokens", {"": 1.0, "usd": 1.0}, "USD"),
    "cost": Quantity("usd_per_thousand_queries", {"": 1.0, "usd": 1.0}, "USD"),
    "parameters": Quantity("parameters", {"": 1.0, "m": 1.0, "b": 1000.0}, "M"),
}
TEXTS = ("licence", "license")
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "=": operator.eq,
}  # fmt: skip
_FORM = re.compile(r"^\s*([\w@.]+(?:\([^)]*\)(?:@[\d.]+)?)?)\s*(<=|>=|<|>|=|~)\s*(.+?)\s*$")
_NUMBER = re.compile(r"^((?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([a-z]*)$", re.IGNORECASE)


@dataclass(frozen=True)
class Requirement:
    """One condition: as the user wrote it, the column that is compared, the comparison, and with what.

    `value` is a number in the column's units, or for `~` (and texts) the alternatives, in lower case.
    """

    text: str
    column: str
    operator: str
    value: float | tuple[str, ...]

    @property
    def is_score(self) -> bool:
        """Whether it is about a metric, and not about a cost or a fact of a model."""
        return _is_metric(self.column)

    def verdict(self, values: Mapping[str, object]) -> Verdict:
        """Tell whether a choice with these values, by column, keeps to it.

        What was measured in rounds neither keeps to it nor breaks it where some rounds do the one and some the other:
        then the limit is within the spread.
        """
        found = values.get(self.column)
        if isinstance(self.value, tuple):
            if not isinstance(found, tuple) or None in found:
                return "not known"
            # Each model of the choice has a licence; all must fit.
            fits = [any(self._fits(part, wanted) for wanted in self.value) for part in found]
            return "met" if all(fits) else "unmet"
        if not is_known(found):
            return "not known"
        low, high = spread_of(self.column, values)
        at_ends = [_COMPARE[self.operator](end, self.value) for end in (low, high)]
        if at_ends[0] != at_ends[1] or (self.operator == "=" and low < self.value < high):
            return "within the spread"
        return "met" if at_ends[0] else "unmet"

    def _fits(self, found: str, wanted: str) -> bool:
        return wanted in found.lower() if self.operator == "~" else wanted == found.lower()


def is_known(value: object) -> TypeGuard[float]:
    """Tell whether a value is a number."""
    return isinstance(value, int | float) and not math.isnan(value)


def spread_of(column: str, values: Mapping[str, object]) -> tuple[float, float]:
    """Return the lowest and the highest round of a value that is known, by its column.

    Both are the value itself where it was not measured in rounds. Of a single query they are 0 and infinity.
    """
    low, high = (values.get(end) for end in SPREADS.get(column, (column, column)))
    return (float(low), float(high)) if is_known(low) and is_known(high) else (0.0, math.inf)


def parse_requirements(text: str) -> tuple[Requirement, ...]:
    """Return the requirements in a comma-separated string. Raises UnknownNameError for a name, ConfigError for the
    rest.
    """
    return tuple(_parse(part) for part in split_list(text))


def _parse(text: str) -> Requirement:
    matched = _FORM.match(text)
    if matched is None:
        raise ConfigError(
            f"cannot read the requirement {text!r}: NAME, one of < <= > >= = ~, and a value (dim<=512)."
        )
    name, sign, value = matched.groups()
    if name in TEXTS:
        if sign not in ("~", "="):
            raise ConfigError(
                f"the requirement {text!r} compares a text by {sign}; use = or ~, such as {name}~apache|mit."
            )
        wanted = tuple(each.strip().lower() for each in value.split("|"))
        if "" in wanted:
            raise ConfigError(f"the requirement {text!r} names an empty licence; write it as {name}~apache|mit.")
        return Requirement(text, "licence", sign, wanted)
    quantity, metric = QUANTITIES.get(name), None
    if quantity is None and _is_metric(name):
        metric = Metric.parse(name)
        quantity = Quantity(metric.name, _PLAIN)
    if quantity is None:
        raise UnknownNameError(
            f"unknown name {name!r} in the requirement {text!r}. "
            + did_you_mean(name, [*QUANTITIES, "licence", *(f"{base}@5" for base in ranking_metrics())])
        )
    number = _NUMBER.match(value)
    unit = number.group(2).lower() if number else ""
    units = ", ".join(unit for unit in quantity.units if unit) or "none"
    if number and sign != "~" and not unit and "" not in quantity.units:
        first = next(iter(quantity.units))
        raise ConfigError(
            f"the requirement {text!r} has no unit, and {value} of what is not said. Write "
            f"{name}{sign}{value}{first}; units: {units}."
        )
    if sign == "~" or number is None or unit not in quantity.units:
        raise ConfigError(
            f"cannot read the requirement {text!r}: {name} is compared by < <= > >= = with a number; units: {units}."
        )
    bound = float(number.group(1)) * quantity.units[unit]
    if metric is not None and bound > metric.high:
        raise ConfigError(
            f"the requirement {text!r}: {name} is a fraction up to {metric.high:g}; for {value} percent write "
            f"{bound / 100:g}."
        )
    return Requirement(text, quantity.column, sign, bound)


def _is_metric(name: str) -> bool:
    """Tell whether a name can only be meant as a metric's: it has a cut-off or brackets, or ir_measures has it."""
    return "@" in name or "(" in name or name in ir.NAMES
