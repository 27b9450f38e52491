"""What a paid model needs before it is asked anything: its key, and its price where there is a budget."""

import os
from collections.abc import Iterable
from datetime import date

from evalkit.errors import BudgetError, MissingKeyError
from evalkit.models.registry.catalogue import Price, entry_of
from evalkit.models.registry.families import families
from evalkit.models.registry.options import ApiOptions
from evalkit.models.registry.spec import ModelSpec


def find_key(family: str) -> str:
    """The key of a paid family. Raises MissingKeyError, which names the environment variables, if there is none."""
    key = _key(family)
    if key is None:
        raise MissingKeyError(_missing([family]))
    return key


def price_of(family: str, name: str, options: ApiOptions) -> Price | None:
    """What a model costs: the price in its options, else the catalogue's; None if neither knows."""
    if options.price is None:
        entry = entry_of(family, name)
        return entry.price if entry else None
    return Price.model_validate(
        {"usd": options.price, "per": families()[family].unit, "as_of": f"{date.today():%Y-%m}", "source": "spec"}
    )


def check_paid(specs: Iterable[ModelSpec], max_cost: float | None) -> None:
    """Raises MissingKeyError if keys are missing; BudgetError for models of unknown price where there is a budget."""
    paid = [(spec, spec.options) for spec in specs if isinstance(spec.options, ApiOptions)]
    without_key = [spec.family for spec, _ in paid if families()[spec.family].keys and _key(spec.family) is None]
    if without_key:
        raise MissingKeyError(_missing(without_key))
    unpriced = [str(spec) for spec, options in paid if price_of(spec.family, spec.name, options) is None]
    if unpriced and max_cost is not None:
        raise BudgetError(
            f"no price is known for {', '.join(unpriced)}, so it cannot run under max_cost={max_cost:g}. "
            "Give its price in the spec: price=USD, per million tokens (cohere-rerank: per thousand searches)."
        )


def _key(family: str) -> str | None:
    values = (os.environ.get(name, "").strip() for name in families()[family].keys)
    return next((value for value in values if value), None)


def _missing(names: Iterable[str]) -> str:
    wanted = "; ".join(f"{' or '.join(families()[name].keys)} for {name}" for name in dict.fromkeys(names))
    return f"no key for a paid API. Set in the environment: {wanted}."
