"""The languages of documents, which models were made for them, and which others could be tried."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from evalkit.errors import OptionalDependencyError
from evalkit.models.languages import knows, made_for
from evalkit.models.terms import Stemmer, StopWords
from evalkit.results.facts import ModelFacts

PIECE = 500
"""Characters that are looked at together: the detector is seldom wrong about so many."""
PIECES = 400
SHARE = 0.05
"""What is found in less of the text is left out: it is a quotation, a list of names, or a mistake."""
FEW = 3
"""So many languages of a model are named; more are counted."""


def languages_of(texts: Iterable[str]) -> dict[str, float]:
    """Return the languages of texts and the share that is in each, the largest first.

    They are codes of ISO 639, of two letters where there are such. Pieces of the text, from all of it at equal
    distances, are told apart by py3langid (Lui and Baldwin 2012, "langid.py: An off-the-shelf language identification
    tool"). Raises OptionalDependencyError.
    """
    try:
        from langcodes import Language
        from py3langid import classify
    except ImportError as error:
        raise OptionalDependencyError("telling languages", str(error.name), "pick") from None
    places = [(text, start) for text in texts for start in range(0, len(text), PIECE)]
    step = max(1, len(places) // PIECES)
    found: Counter[str] = Counter()
    for text, start in places[::step]:
        piece = text[start : start + PIECE]
        letters = sum(character.isalpha() for character in piece)
        if letters:
            # Cantonese, for one, is told as Chinese: models are said to know that.
            language = Language.get(classify(piece)[0]).prefer_macrolanguage().language
            found[str(language)] += letters
    known = {code: count / found.total() for code, count in found.most_common()}
    return {code: share for code, share in known.items() if share >= SHARE}


def language_reasons(languages: Mapping[str, float], run: Mapping[str, Any]) -> list[str]:
    """Return sentences on the languages of the documents, and on what the models of a run know of them.

    `languages` has the share of the text in each, `run` is the provenance. A model whose languages are not known is
    not spoken of.
    """
    if not languages:
        return []
    told = [f"The documents are in {_and(f'{_named(code)} ({share:.0%})' for code, share in languages.items())}."]
    models = {label: ModelFacts.from_data(facts) for label, facts in run["models"].items()}
    strangers = defaultdict(list)
    for label, facts in models.items():
        foreign = tuple(code for code in languages if facts.languages and not knows(facts.languages, [code]))
        if foreign:
            strangers[facts.languages, foreign].append(label)
    for (own, foreign), labels in strangers.items():
        made = f"for {_and(map(_named, own))} only" if len(own) <= FEW else f"for {len(own)} languages"
        were, them = ("was", "it") if len(labels) == 1 else ("were", "them")
        told.append(
            f"{_and(labels)} {were} made {made}, and not for {_and(map(_named, foreign))}: "
            f"do not expect much of {them} there."
        )
    told += _stop_words(next(iter(languages)), models)
    tried = {facts.weights for facts in models.values()}
    others = [entry.named for entry in made_for(languages) if entry.hub_name not in tried]
    if strangers and others:
        told.append(f"Made for {_and(map(_named, languages))}; name them to try them: {', '.join(others)}.")
    return told


def _stop_words(language: str, models: Mapping[str, ModelFacts]) -> list[str]:
    """Say how BM25 is set for a language, where it takes part as it is for English."""
    name = _named(language).lower()
    known = {"stop_words": StopWords, "stemmer": Stemmer}
    options = [f"{option}={name}" for option, names in known.items() if name in get_args(names)]
    if "bm25" not in models or name == "english" or not options:
        return []
    return [f"bm25 leaves out English words such as “the”; for {name.capitalize()} try bm25?{'&'.join(options)}."]


def _named(code: str) -> str:
    from langcodes import Language

    return Language.get(code).display_name()


def _and(parts: Iterable[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
