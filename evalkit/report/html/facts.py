"""What is known of a cell beside its scores: family, licence, dimension, size, price."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.grid.cells import NO_RERANKER
from evalkit.registry import CatalogueEntry, ModelSpec, catalogue, parse_spec
from evalkit.registry.options import ApiOptions
from evalkit.registry.paid import price_of

LEARNED_HERE = {"bow", "tfidf", "lsa", "bm25"}
"""Families that learn from the task's corpus alone: there are no weights to load or to license."""


@dataclass(frozen=True)
class Facts:
    """Of a model, or of all models of a cell; None is unknown, or does not apply.

    `dim` in dimensions, `parameters` in millions (0: no weights), `usd` per million tokens (0: runs here).
    """

    family: str
    licence: str | None = None
    dim: int | None = None
    parameters: float | None = None
    usd: float | None = None


def cell_facts(model: str, reranker: str, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """`Facts` of a cell as plain data. Family and dimension are the embedder's; weights used twice count once."""
    first = model_facts(model, provenance)
    if reranker == NO_RERANKER:
        return asdict(first)
    second = model_facts(reranker, provenance)
    return asdict(
        Facts(
            first.family,
            _licences((first, second)),
            first.dim,
            _size(first, second, _weights(model, provenance) == _weights(reranker, provenance)),
            _sum((first.usd, second.usd)),
        )
    )


def _licences(parts: Sequence[Facts]) -> str | None:
    """All licences; None if one is not known."""
    found = [part.licence for part in parts if part.licence and part.licence != "no weights"]
    return (" + ".join(dict.fromkeys(found)) or "no weights") if all(part.licence for part in parts) else None


def _size(first: Facts, second: Facts, same_weights: bool) -> float | None:
    return first.parameters if same_weights else _sum((first.parameters, second.parameters))


def _weights(label: str, provenance: Mapping[str, Any]) -> str:
    return str(provenance["specs"].get(label, label)).partition("?")[0].partition(":")[2]


def model_facts(label: str, provenance: Mapping[str, Any]) -> Facts:
    """What the spec, the catalogue and (for models of mteb) the run say of a model."""
    told = provenance.get("model_facts", {}).get(label, {})
    if label in provenance.get("fusions", {}):
        return _fused_facts(label, provenance)
    try:
        spec = parse_spec(provenance["specs"].get(label, ""))
    except EvalkitError:  # an object that the caller made, or a family that is not installed here
        return Facts(str(provenance["specs"].get(label, "your own")).partition(":")[0] or "your own")
    entry = _entry(spec)
    learned = spec.family in LEARNED_HERE or spec.name == "train"
    return Facts(
        spec.family,
        "no weights" if learned else told.get("licence") or (entry.licence if entry else None),
        _dim(spec) or told.get("dim") or (entry.dim if entry and spec.family != "maxsim" else None),
        0.0 if learned else entry.parameters if entry else None,
        _usd(spec),
    )


def _fused_facts(label: str, provenance: Mapping[str, Any]) -> Facts:
    parts = [model_facts(part, provenance) for part in provenance["fusions"][label]]
    dims = [part.dim for part in parts if part.dim is not None]
    return Facts(
        label.partition("(")[0],
        _licences(parts),
        sum(dims) if dims else None,
        _sum(part.parameters for part in parts),
        _sum(part.usd for part in parts),
    )


def _sum(values: Iterable[float | None]) -> float | None:
    """None if one of the values is not known."""
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)


def _dim(spec: ModelSpec) -> int | None:
    options = spec.options.model_dump()
    if spec.family != "lsa" and spec.name != "train":
        return options.get("dim") or options.get("dimensions")
    return options.get("dim") or options.get("components") or options.get("size")


def _usd(spec: ModelSpec) -> float | None:
    if not isinstance(spec.options, ApiOptions):
        return 0.0
    price = price_of(spec.family, spec.name, spec.options)
    return price.usd if price and price.per == "million tokens" else None


def _entry(spec: ModelSpec) -> CatalogueEntry | None:
    """The catalogue's entry for these weights, whatever family reads them; a paid model only by its own family."""
    for entry in catalogue().values():
        if entry.hub_name == spec.name and spec.name:
            family = (entry.spec or "").partition(":")[0]
            if entry.provider is None or family == spec.family:
                return entry
    return None
