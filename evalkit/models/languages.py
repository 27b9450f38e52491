"""Tell which models were made for a language. Codes are those of ISO 639; `langcodes` says which of them are near."""

from collections.abc import Iterable

from evalkit.models.registry import CatalogueEntry, catalogue

NEAR = 10
"""What langcodes puts no further apart than this is one language for a model: Norwegian and Bokmål, say."""
MULTILINGUAL = "multilingual"
"""Some model cards say this in place of languages."""


def knows(model: Iterable[str], languages: Iterable[str]) -> bool:
    """Tell whether a model that was made for some languages was made for all of `languages`."""
    from langcodes import tag_distance

    own = set(model)
    return MULTILINGUAL in own or all(
        language in own or any(tag_distance(language, code) <= NEAR for code in own) for language in languages
    )


def made_for(languages: Iterable[str]) -> list[CatalogueEntry]:
    """Return the catalogue's embedders that run here and were made for all of `languages`, the smallest first."""
    wanted = list(languages)
    found = [
        entry
        for entry in catalogue().values()
        if entry.is_free and entry.kind == "embedder" and knows(entry.languages, wanted)
    ]
    return sorted(found, key=lambda entry: entry.parameters or 0)
