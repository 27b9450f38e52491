"""What can be tried on this machine at once and for nothing: no download, no account."""

from collections.abc import Collection
from dataclasses import dataclass

from evalkit.compute import Compute
from evalkit.models.languages import knows
from evalkit.models.registry import catalogue, resolve
from evalkit.models.registry.catalogue import CatalogueEntry
from evalkit.models.registry.families import is_installed
from evalkit.models.weights import at_hand

ENGLISH = ("en",)
LEXICAL = ("bm25", "tfidf")
LARGEST = {"cpu": 40.0, "cuda": 700.0, "mps": 150.0}
"""Millions of parameters, by device: what encodes some thousand passages in minutes there."""
VOCABULARY = 3.0
"""A model of many languages may have so many times as many: most of them are its vocabulary, which takes no time."""


@dataclass(frozen=True)
class FreeModels:
    """Models and rerankers to try, by name, and sentences that say why these and not others."""

    models: tuple[str, ...]
    rerankers: tuple[str, ...]
    reasons: tuple[str, ...]


def free_models(compute: Compute, languages: Collection[str] = ENGLISH) -> FreeModels:
    """Return BM25, TF-IDF, and what the catalogue has of local models that are small enough for the device and at
    hand.

    `languages` are those of the documents, in ISO 639. For others than English, models that know them may be larger.
    """
    largest = LARGEST[compute.device]
    taken: dict[str, list[str]] = {"embedder": [], "reranker": []}
    reasons = [f"{', '.join(LEXICAL)}: need no weights."]
    absent: list[CatalogueEntry] = []
    for entry in catalogue().values():
        if not entry.is_free:
            continue
        many = not set(languages) <= set(ENGLISH) and knows(entry.languages, languages)
        if entry.parameters is not None and entry.parameters > largest * (VOCABULARY if many else 1):
            continue
        spec = resolve(entry.name)
        if not is_installed(spec):
            continue
        if at_hand(spec.name) is None:
            absent.append(entry)
            continue
        taken[entry.kind].append(entry.name)
        reasons.append(f"{entry.name}: its weights are at hand, and it is small enough for {compute.device}.")
    if absent:
        names = ", ".join(entry.named for entry in absent)
        reasons.append(f"Left out, since they would have to be downloaded; name them to try them: {names}.")
    reasons.append(f"Left out: models behind paid APIs, and those above {largest:g} million parameters.")
    return FreeModels((*LEXICAL, *taken["embedder"]), tuple(taken["reranker"]), tuple(reasons))
