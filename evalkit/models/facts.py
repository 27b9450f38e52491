"""Look up what is known of a model beside its scores: in its spec, the catalogue, registries and its files."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from evalkit.errors import UnknownNameError
from evalkit.models.registry import CatalogueEntry, Family, ModelSpec, families
from evalkit.models.registry.catalogue import entry_of, price_of
from evalkit.models.registry.options import ApiOptions
from evalkit.models.registry.reference import ModelRef
from evalkit.models.weights import at_hand, count_numbers, model_files
from evalkit.results.facts import NO_WEIGHTS, ModelFacts

MEGABYTE = 1e6
ASKED = ("licence", "languages", "parameters")
"""mteb's registry is asked for these where nothing else says them."""


def look_up(model: ModelRef) -> ModelFacts:
    """Look up the facts of a model. Nothing is loaded or downloaded.

    What the options say goes before what a registry of the family says, that before the catalogue, that before what
    the files of the checkpoint say, and that before mteb's registry, which is asked for what is still missing.
    """
    spec = model.spec
    if spec is None:
        return ModelFacts(str(model))
    family, entry = families()[spec.family], entry_of(spec.family, spec.name)
    options = spec.options.model_dump()
    registered = _registered(family, spec.name)
    if spec.learns:
        own = ModelFacts(spec.family, "", licence=NO_WEIGHTS, parameters=0.0, size=0.0)
    else:
        own = _of_files(family, spec, options.get("revision"))
        own = replace(own, family=spec.family, **{**_known(_of_entry(entry, family)), **_known(registered)})
        own = replace(
            own, **_of_mteb(family, spec.name, [name for name in ASKED if getattr(own, name) in (None, ())])
        )
    chosen = {"dim": options.get("dim") or options.get("dimensions"), "max_length": options.get("max_length")}
    return replace(own, **_known(chosen), **_price(family, spec))


def _known(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value not in (None, (), [])}


def _registered(family: Family, name: str) -> dict[str, Any]:
    """Tell what the registry of a family says of a model; nothing if it has none."""
    if family.facts is None:
        return {}
    return {key: value for key, value in family.facts(name).items() if key in ModelFacts.__dataclass_fields__}


def _of_entry(entry: CatalogueEntry | None, family: Family) -> dict[str, Any]:
    if entry is None:
        return {}
    return {
        "licence": None if entry.licence == "unstated" else entry.licence,
        # A reader of single tokens has other vectors of the same weights.
        "dim": entry.dim if "embedder" in family.kinds else None,
        "max_length": entry.max_length,
        "parameters": entry.parameters,
        "languages": entry.languages,
    }


def _of_mteb(family: Family, name: str, missing: Sequence[str]) -> dict[str, Any]:
    """Look up what is missing of a model of the hub, if mteb is installed and has it in its registry."""
    # It takes seconds to import, so it is asked last.
    if not missing or family.weights != "hub" or Path(name).expanduser().is_dir() or find_spec("mteb") is None:
        return {}
    from evalkit.models.mteb_registry import model_facts

    try:
        known = _known(model_facts(name))
    except UnknownNameError:
        return {}
    return {key: known[key] for key in missing if key in known}


def _price(family: Family, spec: ModelSpec) -> dict[str, Any]:
    if not isinstance(spec.options, ApiOptions):
        return {} if family.may_charge else {"price": 0.0}
    price = price_of(spec.family, spec.name, spec.options)
    return {} if price is None else {"price": price.usd, "price_unit": price.per, "price_as_of": price.as_of}


def _of_files(family: Family, spec: ModelSpec, revision: str | None) -> ModelFacts:
    """Tell what the files of a model say, if they are on this disk."""
    if family.weights == "disk":
        path = Path(spec.name).expanduser()
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        return ModelFacts("", spec.name, size=_megabytes(files) if files else None)
    folder = at_hand(spec.name, revision) if family.weights == "hub" else None
    if folder is None:
        return ModelFacts("", spec.name, revision)
    files = list(model_files(folder).values())
    counts = [count_numbers(file) for file in files if file.suffix == ".safetensors"]
    known = [count for count in counts if count is not None]
    parameters = sum(known) / 1e6 if known and len(known) == len(counts) else None
    card = _card(folder)
    return ModelFacts(
        "", spec.name, revision, _text(card.get("license")), parameters=parameters, size=_megabytes(files),
        languages=_texts(card.get("language")),
    )  # fmt: skip


def _megabytes(files: list[Path]) -> float:
    return round(sum(file.stat().st_size for file in files) / MEGABYTE, 3)


def _card(folder: Path) -> dict[str, Any]:
    """Return the data of a model card, in front of the text of README.md; empty where there is none that can be
    read.
    """
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
    if not text.startswith("---\n"):
        return {}
    try:
        data = yaml.safe_load(text.split("\n---", 1)[0])
    except yaml.YAMLError:  # a card is written by hand, and says nothing that the model needs
        return {}
    return data if isinstance(data, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    return tuple(each for each in listed if isinstance(each, str))
