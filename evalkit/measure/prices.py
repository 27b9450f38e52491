"""What a provider asks for a model."""

import numpy as np

from evalkit.models.chosen import Chosen
from evalkit.registry import ModelSpec
from evalkit.registry.options import ApiOptions
from evalkit.registry.paid import price_of

_MAY_BE_PAID = ("mteb", "llamaindex")
"""Families that run any model there is, one behind an API too."""


def price_per_million(model: Chosen) -> tuple[float, str]:
    """USD per million tokens and when it was known; NaN and why where there is no such price."""
    spec = model.source
    if not isinstance(spec, ModelSpec) or spec.family in _MAY_BE_PAID:
        return np.nan, "unknown"
    if not isinstance(spec.options, ApiOptions):
        return np.nan, "local: no price"
    price = price_of(spec.family, spec.name, spec.options)
    if price is None:
        return np.nan, "unknown"
    if price.per != "million tokens":
        return np.nan, f"{price.usd:g} USD per {price.per} ({price.as_of})"
    return price.usd, f"{price.usd:g} USD per {price.per} ({price.as_of})"
