"""What a word is, in every script: the one place where lexical models and statistics split text.

A word is a run of letters, digits and underscores with the marks that belong to them, as long as it gets. Of scripts
that are written without blanks between words (Chinese, Japanese, Thai, Lao, Khmer, Myanmar and their like), and of
Korean, whose words carry their particles, the words are taken to be the characters and the pairs of neighbours. They
find about what a dictionary's words find, and need no dictionary: Luk and Kwok 2002, "A comparison of Chinese
document indexing strategies and retrieval models".

It imports nothing of evalkit: a pick copies it beside the programs that it writes.
"""

import re
from collections.abc import Callable, Iterator
from unicodedata import normalize

import regex

RULES = 3
"""The version of the rules here is part of the identity of what is made of words.

1 was the matches of `\\w+`; 2 kept the vowel points of Arabic and Hebrew.
"""

_ASCII_WORD = re.compile(r"\w+", re.ASCII)
# Letters whose line breaks take a dictionary (UAX #14, class SA: Thai, Lao, Khmer, Myanmar ...), and those of
# Chinese, Japanese and Korean.
_WITHOUT_BLANKS = r"[[\p{lb=SA}\p{scx=Hani}\p{scx=Hira}\p{scx=Kana}\p{scx=Bopo}\p{scx=Hang}]&&[\p{L}\p{Nl}]]"
_RUN = regex.compile(
    rf"(?P<without_blanks>{_WITHOUT_BLANKS}[{_WITHOUT_BLANKS}\p{{M}}]*)"
    rf"|[[\p{{L}}\p{{N}}_]--{_WITHOUT_BLANKS}][[\p{{L}}\p{{N}}\p{{M}}_]--{_WITHOUT_BLANKS}]*",
    regex.V1,
)
# Words where there are no such letters: the same, and twice as quick.
_ANY_WITHOUT_BLANKS = regex.compile(_WITHOUT_BLANKS, regex.V1)
_WORD = regex.compile(r"[\p{L}\p{N}_][\p{L}\p{N}\p{M}_]*", regex.V1)
_CHARACTER = regex.compile(r".\p{M}*", regex.V1)
# Soft hyphens, joiners, direction marks and variation selectors are part of how a word is shown, not of the word; the
# zero-width space alone stands between words.
_NOT_SHOWN = regex.compile(r"[\p{Default_Ignorable_Code_Point}--\u200b]+", regex.V1)
# Vowel points of Arabic and Hebrew, which most texts leave out; the bar that stretches an Arabic word; and the dot
# over an i that a Turkish capital İ leaves where it is made small.
_POINTS = regex.compile(r"[\u064b-\u065f\u0670\u0640\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7]+|(?<=i)\u0307")
# Full-width Latin, half-width katakana.
_WIDTHS = re.compile("[\uff01-\uffee]+")


def words(text: str, whole: Callable[[str], bool] | None = None) -> list[str]:
    """Split a text into its words, in order and in their case.

    Letters are composed, of plain width, and without vowel points.
    A run of a script without blanks that `whole` holds for stays one word.
    """
    if text.isascii():
        return _ASCII_WORD.findall(text)
    text = _plain(text)
    if _ANY_WITHOUT_BLANKS.search(text) is None:
        found: list[str] = _WORD.findall(text)
        return found
    return list(_words(text, whole or (lambda run: False)))


def _plain(text: str) -> str:
    text = _WIDTHS.sub(lambda found: normalize("NFKC", found[0]), text)
    # Decomposed letters are composed first, so that Arabic's hamza, a mark too, stays with its letter.
    return normalize("NFC", _POINTS.sub("", normalize("NFC", _NOT_SHOWN.sub("", text))))


def _words(text: str, whole: Callable[[str], bool]) -> Iterator[str]:
    for run in _RUN.finditer(text):
        if run["without_blanks"] is None or whole(run[0]):
            yield run[0]
        else:
            yield from _pieces(_CHARACTER.findall(run[0]))


def _pieces(characters: list[str]) -> Iterator[str]:
    """Yield each character, followed by its pair with the next."""
    for place, character in enumerate(characters):
        yield character
        if place + 1 < len(characters):
            yield character + characters[place + 1]
