"""What a provider asks for a model."""

import numpy as np

from evalkit.models.chosen import Chosen
from evalkit.registry import ModelSpec
from evalkit.registry.options import ApiOptions
from evalkit.registry.paid import price_of

_MAY_BE_PAID = ("mteb", "llamaindex")
"""Families that run any model there is, one behind an API too."""


def charges_are_known(model: Chosen) -> bool:
    """Whether all that the model is charged for would be in the account of what was spent."""
    return isinstance(model.source, ModelSpec) and model.family not in _MAY_BE_PAID


def price_per_million(model: Chosen) -> tuple[float, str]:
    """USD per million tokens and when it was known; NaN and why where there is no such price."""
    if not charges_are_known(model):
        return np.nan, "unknown"
    spec = model.source
    if not isinstance(spec.options, ApiOptions):
        return np.nan, "local: no price"
    price = price_of(spec.family, spec.name, spec.options)
    if price is None:
        return np.nan, "unknown"
    if price.per != "million tokens":
        return np.nan, f"{price.usd:g} USD per {price.per} ({price.as_of})"
    return price.usd, f"{price.usd:g} USD per {price.per} ({price.as_of})"
