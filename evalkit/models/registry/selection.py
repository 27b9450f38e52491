"""Choose the models, fusions and rerankers of a run, by what a user named: objects, specs, or lists in one string.

A list as on the command line has commas that separate models, and commas that belong to a prompt."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import combinations, product
from typing import cast
from urllib.parse import quote, unquote

from pydantic import Field, PositiveInt

from evalkit.cell import NO_RERANKER
from evalkit.errors import ConfigError, SpecError
from evalkit.models.registry.catalogue import catalogue
from evalkit.models.registry.families import Kind, families
from evalkit.models.registry.folder import begins_as_path
from evalkit.models.registry.options import Options
from evalkit.models.registry.reference import ModelRef
from evalkit.models.registry.spec import expand, options_text, parse_options
from evalkit.search.ranking import Fusion, Method

_FUSION_BEGINS = re.compile(r"(rrf|weighted)\s*\(")
_SHAPED = re.compile(r"[\w.-]+:\S+|\S+/\S+")
"""One word as FAMILY:NAME, ORG/NAME or a path is written."""


def split_models(text: str) -> list[str]:
    """Split a comma-separated list of models.

    A comma separates, unless it is in brackets, or stands in the options of a model (after its `?`) and no model
    follows it: then it belongs to the option. What follows is a model if it begins with a name of the catalogue, a
    family, `FAMILY:`, a fusion, or as a path does. `%2C` is always a comma of the option. Blanks around a model are
    dropped, but for those that end an option.

    Raises SpecError where one word follows that looks like a model, but is none that is known, where an option
    follows, and where the comma is one of a path.
    """
    parts = list(_parts(text))
    refuse_cut_paths(parts)
    return [tidy(part) for part in parts if part.strip()]


def refuse_cut_paths(parts: Sequence[str]) -> None:
    """Raise SpecError if the parts of a comma-separated list are together a path that exists."""
    for first, last in combinations(range(len(parts)), 2):
        whole = ",".join(parts[first : last + 1]).strip()
        head = whole.partition("?")[0]
        family, _, name = head.partition(":")
        paths = [head, name] if family in families() else [head]
        if any("," in path and os.path.exists(unquote(path)) for path in paths):
            raise SpecError(f"{whole!r} is a path with a comma in it: write the comma as %2C.")


def tidy(text: str) -> str:
    """Drop the blanks around a model; those that end its last option are part of it, and are written `%20`."""
    bare = text.strip()
    trailing = text[len(text.rstrip()) :] if "?" in bare else ""
    return bare + quote(trailing)


def _parts(text: str) -> Iterator[str]:
    start, depth, in_options = 0, 0, False
    for position, character in enumerate(text):
        if not in_options:
            depth += (character in "([") - (character in ")]")
            in_options = character == "?" and depth == 0
        if character == "," and depth == 0 and (not in_options or _begins_model(text[position + 1 :])):
            yield text[start:position]
            start, in_options = position + 1, False
    yield text[start:]


def _begins_model(text: str) -> bool:
    head = re.split(r"[,?]", text, maxsplit=1)[0].strip()
    names = families().keys() | catalogue().keys()
    if head in names or begins_as_path(head) or _FUSION_BEGINS.match(head):
        return True
    family, colon, _ = head.partition(":")
    if colon and family in families():
        return True
    key, equals, _ = head.partition("=")
    if equals and any(key in known.options.model_fields for known in families().values()):
        raise SpecError(
            f"{head!r} stands after a comma in the options of a model, where it is part of the option before it. "
            f"Options are apart by &: write &{head}; if it belongs to the text, write the comma as %2C."
        )
    word = unquote(head).strip()
    looks_like_one = _SHAPED.fullmatch(word) or os.path.isdir(word) or get_close_matches(word, names, 1, 0.8)
    if len(word.split()) == 1 and looks_like_one:
        raise SpecError(
            f"{head!r} stands after a comma in the options of a model, and is no known model. If it belongs to the "
            "option, write the comma as %2C; if it is a model, check its name (`evalkit models` lists them; a model "
            "of the hub or a file needs its family: FAMILY:NAME; a folder here begins with ./)."
        )
    return False


_FUSION = re.compile(r"\s*(rrf|weighted)\s*\((.*)\)\s*(?:\?(.*))?", re.DOTALL)


class RrfOptions(Options):
    """Options of `rrf`."""

    k: PositiveInt = Field(60, description="added to each rank")


class WeightedOptions(Options):
    """Options of `weighted`."""

    weight: float | None = Field(None, ge=0, le=1, description="of the first list; unset: chosen by the judgements")


OPTIONS: dict[Method, type[Options]] = {"rrf": RrfOptions, "weighted": WeightedOptions}


@dataclass(frozen=True)
class FusionSpec:
    """A fusion: how, of which models (labels or specs), and its options. `str()` prints its canonical form."""

    method: Method
    parts: tuple[str, ...]
    options: Options

    def __str__(self) -> str:
        return f"{self.method}({', '.join(self.parts)}){options_text(self.options)}"

    @property
    def fusion(self) -> Fusion:
        """Tell how the rankings become one."""
        return Fusion(self.method, **self.options.model_dump())


def is_fusion(text: str) -> bool:
    """Tell whether a name is that of a fusion."""
    return _FUSION.fullmatch(text) is not None


def parse_fusions(text: str) -> list[FusionSpec]:
    """Return the fusions that a name stands for: several if a part is a sweep, or several names apart by `|`.

    Raises SpecError for anything but two parts, a part that is a fusion itself, and options that are wrong.
    """
    found = _FUSION.fullmatch(text)
    if found is None:
        raise SpecError(f"{text!r} is no fusion. Write rrf(MODEL, MODEL) or weighted(MODEL, MODEL).")
    method, inner, query = cast(Method, found[1]), found[2], found[3] or ""
    parts = split_models(inner)
    if len(parts) != 2 or any(is_fusion(part) for part in parts) or parts[0] == parts[1]:
        raise SpecError(f"{text!r}: a fusion is of two different models, as in {method}(all-MiniLM-L6-v2, bm25).")
    options = parse_options(text, OPTIONS[method], query)
    # A part with options is a sweep of them; one without may be several names.
    choices = [expand(part) if "?" in part else [each.strip() for each in part.split("|")] for part in parts]
    return [FusionSpec(method, chosen, options) for chosen in product(*choices)]


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
