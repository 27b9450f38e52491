"""One reference to a model, from what a user gave to the model that is run."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from evalkit.compute import Compute
from evalkit.contracts import Embedder, ListReranker, Reranker, Retriever
from evalkit.errors import ConfigError
from evalkit.models.registry.catalogue import resolve
from evalkit.models.registry.families import Family, Kind, build, families, kinds
from evalkit.models.registry.spec import ModelSpec
from evalkit.spending import Paid, Spending

Model = Embedder | Retriever | Reranker | ListReranker
_KINDS: tuple[tuple[type, Kind], ...] = (
    (Embedder, "embedder"),
    (Retriever, "retriever"),
    (Reranker, "reranker"),
    (ListReranker, "reranker"),
)


@dataclass(frozen=True)
class ModelRef:
    """A model that takes part: its label in every table, and its spec, or the object that the caller made.

    The repr of an object, which may hold keys, is never shown.
    """

    label: str
    spec: ModelSpec | None = None
    given: Any = field(default=None, repr=False)

    @classmethod
    def from_text(cls, text: str) -> "ModelRef":
        """Resolve a name of the catalogue, a folder or a spec. Raises what `registry.resolve` raises."""
        return cls(text, resolve(text))

    @classmethod
    def from_object(cls, label: str, model: Any) -> "ModelRef":
        """Take a model that the caller made."""
        return cls(label, given=model)

    @cached_property
    def model(self) -> Model | None:
        """The caller's object as an evalkit model; None for a spec. Raises ConfigError if it is none."""
        return None if self.spec is not None else _identified(adapt(self.given), self.label)

    @cached_property
    def kinds(self) -> frozenset[Kind]:
        """Tell what the model can be, without loading it. Raises what the family's check raises."""
        if self.spec is not None:
            return kinds(self.spec)
        return frozenset(kind for protocol, kind in _KINDS if isinstance(self.model, protocol))

    @property
    def family(self) -> Family | None:
        """The family of a spec; None for an object."""
        return None if self.spec is None else families()[self.spec.family]

    @property
    def counts_words(self) -> bool:
        """Whether it finds what BM25 finds; see `Family`."""
        return self.family is not None and self.family.counts_words

    @property
    def charges_are_known(self) -> bool:
        """Whether all that the model is charged for would be in the account of what was spent."""
        return self.family is not None and not self.family.may_charge

    @property
    def identity(self) -> Mapping[str, object] | None:
        """The identity of a model that the caller made; None for a spec."""
        return None if self.model is None else self.model.identity

    def is_same(self, other: "ModelRef") -> bool:
        """Tell whether both are one spec, or one object."""
        return self.given is other.given and self.spec == other.spec

    def load(self, compute: Compute, spending: Spending) -> Any:
        """Give the model, built if need be; what it pays for is counted in `spending`."""
        model = self.model if self.spec is None else _identified(build(self.spec, compute), self.label)
        if isinstance(model, Paid):
            model.spending = spending
        return model

    def __str__(self) -> str:
        return f"object of {_class(self.given)}" if self.spec is None else str(self.spec)


def adapt(model: Any) -> Model:
    """Take an object as an evalkit model: as it is if it satisfies a contract, or adapted if LlamaIndex made it.

    Raises ConfigError for anything else.
    """
    if isinstance(model, Embedder | Retriever | Reranker | ListReranker):
        return model
    if "llama_index.core" in sys.modules:
        from llama_index.core.base.embeddings.base import BaseEmbedding
        from llama_index.core.postprocessor.types import BaseNodePostprocessor

        if isinstance(model, BaseEmbedding | BaseNodePostprocessor):
            from evalkit.models._llamaindex import adapt as adapt_component

            return adapt_component(model)
    raise ConfigError(
        f"an object of {_class(model)} is no model. Allowed: a spec, an object "
        "with the methods of evalkit.contracts (Embedder, Retriever, Reranker, ListReranker), a LlamaIndex "
        "BaseEmbedding or BaseNodePostprocessor, or a pair of a label and one of these."
    )


def _identified(model: Any, label: str) -> Any:
    """Give the model. Raises ConfigError if its identity cannot be the key of its vectors or scores."""
    try:
        json.dumps(dict(model.identity), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the identity of {label!r} cannot be a key of the store: {error}. It must be plain data: a mapping of "
            "names to texts, numbers, true, false, None, lists and mappings."
        ) from None
    if not model.identity:
        raise ConfigError(
            f"the identity of {label!r} is empty, so that what it gives could not be told from what another model "
            "gives. Name all that changes it, such as {'model': 'mine', 'version': 1}."
        )
    return model


def _class(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"
