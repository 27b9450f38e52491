"""Choose the models, fusions and rerankers of a run, by what a user named."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from evalkit.cell import NO_RERANKER
from evalkit.errors import ConfigError
from evalkit.models.registry.families import Kind
from evalkit.models.registry.fusion import OPTIONS, FusionSpec, is_fusion, parse_fusions
from evalkit.models.registry.reference import ModelRef
from evalkit.models.registry.spec import expand


@dataclass(frozen=True)
class Participants:
    """The models of a run, fusions of them, and rerankers, by label. The parts of fusions are among the models."""

    models: Mapping[str, ModelRef]
    rerankers: Mapping[str, ModelRef] = field(default_factory=dict)
    fusions: Mapping[str, FusionSpec] = field(default_factory=dict)

    @property
    def all(self) -> dict[str, ModelRef]:
        """Models and rerankers."""
        return {**self.models, **self.rerankers}

    @property
    def first_stages(self) -> tuple[str, ...]:
        """The labels of what can rank a corpus, or has vectors."""
        return (*self.models, *self.fusions)

    @property
    def specs(self) -> dict[str, str]:
        """Give the full spec that each label stands for."""
        specs = {label: str(model) for label, model in self.all.items()}
        # An object has no spec: there the label stays.
        named = {label: spec for label, spec in specs.items() if self.all[label].spec is not None}
        full = {
            label: str(replace(fusion, parts=tuple(named.get(part, part) for part in fusion.parts)))
            for label, fusion in self.fusions.items()
        }
        return specs | full

    def with_hybrids(self) -> "Participants":
        """Add BM25, and fusions of it with every embedder but those that count words as it does."""
        bm25 = ModelRef.from_text("bm25")
        same = (label for label, model in self.models.items() if model.family == bm25.family)
        lexical = next(same, bm25.label)
        embedders = {label: model for label, model in self.models.items() if "embedder" in model.kinds}
        dense = [label for label, model in embedders.items() if not model.counts_words]
        fusions = [
            FusionSpec(method, (label, lexical), options()) for label in dense for method, options in OPTIONS.items()
        ]
        beside = {} if not dense or lexical in self.models else {lexical: bm25}
        return replace(
            self,
            models={**self.models, **beside},
            fusions={**self.fusions, **{str(fusion): fusion for fusion in fusions}},
        )


def choose_participants(models: Iterable[str | ModelRef], rerankers: Iterable[str | ModelRef]) -> Participants:
    """Resolve what a user named; none is loaded. A fusion's models take part by themselves too.

    Raises what `choose` raises, SpecError for a wrong fusion, and ConfigError for a label that stands for two models,
    or for the lack of a reranker.
    """
    names = list(models)
    fusions = [
        fusion for name in names if isinstance(name, str) and is_fusion(name) for fusion in parse_fusions(name)
    ]
    alone = [name for name in names if isinstance(name, ModelRef) or not is_fusion(name)]
    given = {name.label for name in alone if isinstance(name, ModelRef)}
    parts = [part for fusion in fusions for part in fusion.parts if part not in given]
    ahead = choose([*alone, *parts], {"embedder", "retriever"})
    behind = choose((name for name in rerankers if name != NO_RERANKER), {"embedder", "reranker"})
    if NO_RERANKER in behind:
        raise _same_label(NO_RERANKER)
    for label in ahead.keys() & behind.keys():
        if not ahead[label].is_same(behind[label]):
            raise _same_label(label)
    return Participants(ahead, behind, {str(fusion): fusion for fusion in fusions})


def choose(names: Iterable[str | ModelRef], allowed: set[Kind]) -> dict[str, ModelRef]:
    """Resolve the models by label, each once, sweeps written out.

    Raises ConfigError for a model that is of no allowed kind and for a label that two have, and what
    `registry.resolve` raises.
    """
    chosen: dict[str, ModelRef] = {}
    for name in names:
        for each in [name] if isinstance(name, ModelRef) else map(ModelRef.from_text, expand(name)):
            if not each.kinds & allowed:
                can_be = " and ".join(sorted(each.kinds))
                place = "Rerankers go under --rerankers."
                if "reranker" not in each.kinds:
                    place = "Retrievers go under --models."
                raise ConfigError(
                    f"{each.label!r} is a {can_be}; here only {' or '.join(sorted(allowed))} can stand. {place}"
                )
            if not chosen.setdefault(each.label, each).is_same(each):
                raise _same_label(each.label)
    return chosen


def _same_label(label: str) -> ConfigError:
    """Make the error for a label that two different models have."""
    return ConfigError(f"two models have the label {label!r}. Give pairs (label, model) in place of the models.")
