"""Embedders with fewer dimensions and at lower precisions: all of what is derived from vectors that are stored."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from evalkit.models.registry.options import DerivedOptions, Precision
from evalkit.models.registry.reference import ModelRef
from evalkit.models.registry.selection import Participants

LEAST_DIM = 64
"""Dimensions are halved down to this, where none are named."""
BITS: Mapping[Precision, int] = {"float32": 32, "int8": 8, "binary": 1}
"""One dimension has so many bits at each precision."""


@dataclass(frozen=True)
class Variant:
    """A first stage of the surface: its label, the label `of` the model that it is derived from, and its vectors.

    `dim` and `precision` are None where they are not known: of a fusion, of a model without dense vectors, of an
    object that the caller made.
    """

    label: str
    of: str
    dim: int | None = None
    precision: Precision | None = None

    @property
    def vector_bytes(self) -> float:
        """Bytes that a vector needs; NaN where that is not known."""
        if self.dim is None or self.precision is None:
            return math.nan
        return float(math.ceil(self.dim * BITS[self.precision] / 8))


def is_derivable(model: ModelRef) -> bool:
    """Tell whether a model's vectors are derived from full ones that are stored, by options of its spec."""
    return model.spec is not None and isinstance(model.spec.options, DerivedOptions)


def variants_of(
    participants: Participants, full: Mapping[str, int], dims: Sequence[int] | None, precisions: Sequence[Precision]
) -> dict[str, Variant]:
    """Return all first stages of the surface by label, each model before what is derived from it.

    `full` holds the number of dimensions of each model's vectors. `dims` are taken where they are fewer; without any
    they are halved down to `LEAST_DIM`. What a model's own options say of its dimensions, or its precision, stays.
    """
    found: dict[str, Variant] = {}
    for label, model in participants.models.items():
        options = None if model.spec is None else model.spec.options
        if not isinstance(options, DerivedOptions) or label not in full:
            found.setdefault(label, Variant(label, label))
            continue
        found[label] = Variant(label, label, full[label], options.precision)
        fewer = _halves(full[label]) if dims is None else [dim for dim in dims if dim < full[label]]
        own_dims = [None] if "dim" in options.model_fields_set else [None, *fewer]
        own = {"precision", "rescore"} & options.model_fields_set
        for dim, precision in product(own_dims, [options.precision] if own else precisions):
            named = {} if dim is None else {"dim": str(dim)}
            named |= {} if precision == options.precision else {"precision": precision}
            derived = label + "".join(
                f"{'&' if number or '?' in label else '?'}{key}={value}"
                for number, (key, value) in enumerate(named.items())
            )
            found.setdefault(derived, Variant(derived, label, dim or full[label], precision))
    return found | {label: Variant(label, label) for label in participants.fusions}


def with_variants(participants: Participants, variants: Mapping[str, Variant]) -> Participants:
    """Return the participants with all variants among their models."""
    given = participants.models
    labels = [label for label in variants if label not in participants.fusions]
    return replace(participants, models={label: given.get(label) or ModelRef.from_text(label) for label in labels})


def _halves(dim: int) -> list[int]:
    halves = [dim // 2**step for step in range(1, dim.bit_length())]
    return [half for half in halves if half >= LEAST_DIM]
