"""From one string to a model: families, specs, the catalogue, and building."""

from evalkit.models.registry.catalogue import CatalogueEntry, catalogue, resolve
from evalkit.models.registry.families import Family, Kind, build, families, kinds
from evalkit.models.registry.selection import refuse_cut_paths, split_models, tidy
from evalkit.models.registry.spec import ModelSpec, expand, parse_spec

__all__ = [
    "CatalogueEntry",
    "Family",
    "Kind",
    "ModelSpec",
    "build",
    "catalogue",
    "expand",
    "families",
    "kinds",
    "parse_spec",
    "refuse_cut_paths",
    "resolve",
    "split_models",
    "tidy",
]
