"""The models of a run: each a spec that is built when its turn comes, or an object that the caller made."""

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.compute import Compute
from evalkit.config import GivenModel
from evalkit.contracts import Embedder, ListReranker, Reranker, Retriever
from evalkit.errors import ConfigError
from evalkit.registry import Kind, ModelSpec, build, expand, families, kinds, resolve
from evalkit.registry.fusion import OPTIONS, FusionSpec, is_fusion, parse_fusions
from evalkit.spending import Paid, Spending

Model = Embedder | Retriever | Reranker | ListReranker
_KINDS: tuple[tuple[type, Kind], ...] = (
    (Embedder, "embedder"),
    (Retriever, "retriever"),
    (Reranker, "reranker"),
    (ListReranker, "reranker"),
)


@dataclass(frozen=True)
class Chosen:
    """A model that takes part: its label in every table, what it is, and what it can be."""

    label: str
    source: ModelSpec | Any
    model: Model | None
    kinds: frozenset[Kind]

    @property
    def identity(self) -> Mapping[str, object] | None:
        """The identity of a model that the caller made; None for a spec."""
        return None if self.model is None else self.model.identity

    @property
    def family(self) -> str | None:
        """The family of a spec; None for an object."""
        return self.source.family if self.model is None else None

    @property
    def counts_words(self) -> bool:
        """Whether it finds what BM25 finds; see `Family`."""
        return self.family is not None and families()[self.family].counts_words

    @property
    def charges_are_known(self) -> bool:
        """Whether all that the model is charged for would be in the account of what was spent."""
        return self.family is not None and not families()[self.family].may_charge

    def is_same(self, other: "Chosen") -> bool:
        """Whether both are one spec, or one object."""
        return self.source is other.source or (self.model is None and self.source == other.source)

    def __str__(self) -> str:
        return str(self.source) if self.model is None else f"object of {_class(self.source)}"

    def load(self, compute: Compute, spending: Spending) -> Any:
        """The model, built if need be; what it pays for counts as the run's."""
        model = _identified(build(self.source, compute), self.label) if self.model is None else self.model
        if isinstance(model, Paid):
            model.spending = spending
        return model


def choose(names: Iterable[str | GivenModel], allowed: set[Kind]) -> dict[str, Chosen]:
    """The models by label, each once, sweeps written out.

    Raises ConfigError for a model that is of no allowed kind and for a label that two have, and what
    `registry.resolve` raises.
    """
    chosen: dict[str, Chosen] = {}
    for name in names:
        for each in [_given(name)] if isinstance(name, GivenModel) else [_named(label) for label in expand(name)]:
            if not each.kinds & allowed:
                can_be = " and ".join(sorted(each.kinds))
                raise ConfigError(
                    f"{each.label!r} is a {can_be}; here only {' or '.join(sorted(allowed))} can stand. "
                    + (
                        "Rerankers go under --rerankers."
                        if "reranker" in each.kinds
                        else "Retrievers go under --models."
                    )
                )
            if not chosen.setdefault(each.label, each).is_same(each):
                raise same_label(each.label)
    return chosen


def choose_first_stages(names: Iterable[str | GivenModel]) -> tuple[dict[str, Chosen], dict[str, FusionSpec]]:
    """The models that rank a corpus, and the fusions of them, by label.

    A fusion's models take part by themselves too. Raises what `choose` raises, and SpecError for a wrong fusion.
    """
    names = list(names)
    fusions = [
        fusion for name in names if isinstance(name, str) and is_fusion(name) for fusion in parse_fusions(name)
    ]
    alone = [name for name in names if isinstance(name, GivenModel) or not is_fusion(name)]
    given = {name.label for name in alone if isinstance(name, GivenModel)}
    parts = [part for fusion in fusions for part in fusion.parts if part not in given]
    models = choose([*alone, *parts], {"embedder", "retriever"})
    return models, {str(fusion): fusion for fusion in fusions}


def hybrids(models: Mapping[str, Chosen]) -> tuple[dict[str, Chosen], dict[str, FusionSpec]]:
    """The models and BM25, and fusions of BM25 with every embedder but those that count words as it does."""
    lexical = next((label for label, model in models.items() if model.family == "bm25"), "bm25")
    dense = [label for label, model in models.items() if "embedder" in model.kinds and not model.counts_words]
    fusions = [
        FusionSpec(method, (label, lexical), options()) for label in dense for method, options in OPTIONS.items()
    ]
    beside = {} if not dense or lexical in models else {lexical: _named(lexical)}
    return {**models, **beside}, {str(fusion): fusion for fusion in fusions}


def same_label(label: str) -> ConfigError:
    """The error for a label that two different models have."""
    return ConfigError(f"two models have the label {label!r}. Give pairs (label, model) in place of the models.")


def _named(text: str) -> Chosen:
    spec = resolve(text)
    return Chosen(text, spec, None, kinds(spec))


def _given(given: GivenModel) -> Chosen:
    model = _identified(adapt(given.model), given.label)
    can_be = frozenset(kind for protocol, kind in _KINDS if isinstance(model, protocol))
    return Chosen(given.label, given.model, model, can_be)


def _identified(model: Any, label: str) -> Any:
    """The model. Raises ConfigError if its identity cannot be the key under which its vectors or scores are kept."""
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


def adapt(model: Any) -> Model:
    """An object as an evalkit model: as it is if it satisfies a contract, or adapted if LlamaIndex made it.

    Raises ConfigError for anything else.
    """
    if isinstance(model, Embedder | Retriever | Reranker | ListReranker):
        return model
    if "llama_index.core" in sys.modules:
        from llama_index.core.base.embeddings.base import BaseEmbedding
        from llama_index.core.postprocessor.types import BaseNodePostprocessor

        if isinstance(model, BaseEmbedding | BaseNodePostprocessor):
            from evalkit.models.llamaindex import adapt as adapt_component

            return adapt_component(model)
    raise ConfigError(
        f"an object of {_class(model)} is no model. Allowed: a spec, an object "
        "with the methods of evalkit.contracts (Embedder, Retriever, Reranker, ListReranker), a LlamaIndex "
        "BaseEmbedding or BaseNodePostprocessor, or a pair of a label and one of these."
    )
