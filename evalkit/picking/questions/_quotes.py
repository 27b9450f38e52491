"""Where a quote stands in the documents, however its signs are set, and the passage that is nearest to one that does
not.
"""

import re
import unicodedata
from collections.abc import Mapping
from difflib import SequenceMatcher
from itertools import groupby

from rapidfuzz import fuzz

from evalkit.picking.questions._question import Span

Plain = tuple[str, list[int]]
"""A text reduced to what counts, and for each sign of it where in the text it came from."""

_NOT_COUNTED = frozenset(("Zs", "Zl", "Zp", "Cc", "Cf", "Pi", "Pf"))
"""Unicode's categories of blanks, line ends, soft hyphens and the like, and quotation marks."""
_MARKS = frozenset("'\"`´‚„′″「」『』")
"""Signs of other categories that are set as quotation marks and apostrophes."""
_MINUS = "−"
_ALIKE = 70.0
"""Of 100: a passage that is less like a quote is not shown."""
_WORD = 30
"""Characters in which a word ends, in a script that has blanks between them."""
_SHOWN = 160
"""Characters of a passage that are shown."""


class Quotes:
    """Finds quotes in texts, given by file name. Each text is read sign by sign once, and only if it must be."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._plain: dict[str, Plain] = {}

    def find(self, quote: str, file: str = "") -> tuple[Span, ...]:
        """Find every place of a quote, in one file or in all.

        As it is written, but for the blanks between its words; only where it stands nowhere so, as `plain` reads it.
        """
        words = re.compile(r"\s+".join(map(re.escape, quote.split())))
        names = [file] if file else list(self._texts)
        exact = [Span(name, hit.start(), hit.end()) for name in names for hit in words.finditer(self._texts[name])]
        wanted, _ = plain(quote)
        if exact or not wanted:
            return tuple(exact)
        # A mark after the last letter would make another letter of it.
        pattern = re.compile(re.escape(wanted))
        return tuple(
            Span(name, origins[hit.start()], origins[hit.end() - 1] + 1)
            for name in names
            for text, origins in [self._read(name)]
            for hit in pattern.finditer(text)
            if not unicodedata.combining(text[hit.end() : hit.end() + 1] or " ")
        )

    def nearest(self, quote: str, file: str = "") -> str:
        """Say which passage is most like a quote that is not there, and where they differ; "" if none is like it."""
        wanted = small_letters(plain(quote)[0])
        score, place = _ALIKE, None
        for name in [file] if file else self._texts:
            found = fuzz.partial_ratio_alignment(wanted, small_letters(self._read(name)[0]), score_cutoff=score)
            if found is not None and found.dest_end > found.dest_start and (place is None or found.score > score):
                score, place = found.score, (name, found.dest_start, found.dest_end)
        if place is None:
            return ""
        name, first, stop = place
        text, origins = self._texts[name], self._read(name)[1]
        start, end = _whole_words(text, origins[first], origins[stop - 1] + 1)
        line = text.count("\n", 0, start) + 1
        passage, apart = text[start:end], " " if " " in quote.strip() else ""
        difference = _difference(_parts(quote, apart), _parts(passage, apart), apart)
        return f"nearest in {name}, line {line}: {_cut(_parts(passage, ' '), ' ')}; {difference}"

    def _read(self, name: str) -> Plain:
        if name not in self._plain:
            self._plain[name] = plain(self._texts[name])
        return self._plain[name]


def plain(text: str) -> Plain:
    """Reduce a text to what is the same however it is set: letters, digits and most other signs, decomposed (NFKD).

    Without blanks, line ends, soft hyphens, quotation marks, apostrophes and dashes; beside a digit a dash is kept,
    as "-", since it may be a minus or the "to" of a range.
    """
    signs: list[tuple[str, int]] = []
    for place, character in enumerate(text):
        if character in _MARKS:
            continue
        for sign in character if character.isascii() else unicodedata.normalize("NFKD", character):
            category = unicodedata.category(sign)
            if category == "Pd" or sign == _MINUS:
                if not signs or signs[-1][0] != "-":
                    signs.append(("-", place))
            elif category not in _NOT_COUNTED and sign not in _MARKS:
                signs.append((sign, place))
    counted = [
        each
        for number, each in enumerate(signs)
        if each[0] != "-" or any(sign.isdigit() for sign, _ in signs[max(0, number - 1) : number + 2])
    ]
    ordered = [
        each
        for marks, group in groupby(counted, lambda each: unicodedata.combining(each[0]) != 0)
        # Several marks of one letter may be written in any order: Unicode's is taken.
        for each in (sorted(group, key=lambda each: unicodedata.combining(each[0])) if marks else group)
    ]
    return "".join(sign for sign, _ in ordered), [place for _, place in ordered]


def small_letters(text: str) -> str:
    """Return a text in small letters, each where its capital was."""
    if len(text.lower()) == len(text):
        return text.lower()
    return "".join(each.lower() if len(each.lower()) == 1 else each for each in text)


def _whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """Widen a place to whole words, where blanks are near: not all scripts have them."""
    before = (at + 1 for at in range(start - 1, max(start - _WORD, 0) - 1, -1) if text[at].isspace())
    after = (at for at in range(end, min(end + _WORD, len(text))) if text[at].isspace())
    return next(before, 0 if start < _WORD else start), next(after, len(text) if len(text) < end + _WORD else end)


def _parts(text: str, apart: str) -> list[str]:
    """Return the words of a text, or its characters where nothing is between words."""
    return text.split() if apart else list(text)


def _difference(quoted: list[str], there: list[str], apart: str) -> str:
    """Say where two lists of words, or of characters, differ first."""
    differing = (
        each for each in SequenceMatcher(None, quoted, there, autojunk=False).get_opcodes() if each[0] != "equal"
    )
    kind, start, end, start_there, end_there = next(differing)
    said, stands = _cut(quoted[start:end], apart), _cut(there[start_there:end_there], apart)
    return {
        "replace": f"for {said} in the quote there stands {stands}",
        "delete": f"{said} in the quote is not there",
        "insert": f"{stands} there is not in the quote",
    }[kind]


def _cut(parts: list[str], apart: str) -> str:
    text = apart.join(parts)
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
