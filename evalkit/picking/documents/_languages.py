"""The languages that documents are written in."""

from collections import Counter
from collections.abc import Iterable

from evalkit.errors import OptionalDependencyError

PIECE = 500
"""Characters that are looked at together: the detector is seldom wrong about so many."""
PIECES = 400
SHARE = 0.05
"""What is found in less of the text is left out: it is a quotation, a list of names, or a mistake."""


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
