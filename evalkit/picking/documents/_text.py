"""The text that is made of a file, with its headings; and bytes as text."""

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from evalkit.errors import OptionalDependencyError

EXTRA = "pick"
"""Of pyproject.toml: it has all packages that read documents."""
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, which begins alike
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_MOST_COMMON = "cp1252"
"""Of several encodings that fit, this is taken: Western European texts fit many alike."""
_BETWEEN = "\n\n"


class UnreadableError(Exception):
    """A file that has no text for us; the message is the reason, to be shown to the user."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading: its words, and the characters of the text that it takes, from `start` to `end` (exclusive)."""

    words: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Text:
    """What is read of a file: its characters, their headings in order, and what is doubtful about it ("" mostly).

    Of a table, `fields` are the names of the columns that were read, and `left_out` those of all others.
    """

    content: str
    headings: tuple[Heading, ...] = ()
    note: str = ""
    fields: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @classmethod
    def of_heading(cls, words: str) -> "Text":
        """Return a heading alone, written as Markdown's."""
        line = f"# {' '.join(words.split())}"
        return cls(line, (Heading(line[2:], 0, len(line)),))


def joined(texts: Iterable[Text]) -> Text:
    """Return texts as one, with a blank line between two; those with nothing but blanks are left out.

    Their notes are joined too, each once.
    """
    content: list[str] = []
    headings: list[Heading] = []
    notes: dict[str, None] = {}
    length = 0
    for text in texts:
        if text.note:
            notes[text.note] = None
        if text.content.strip():
            headings += [replace(each, start=each.start + length, end=each.end + length) for each in text.headings]
            content.append(text.content)
            length += len(text.content) + len(_BETWEEN)
    return Text(_BETWEEN.join(content), tuple(headings), "; ".join(notes))


def decode(data: bytes, declared: str | None = None) -> Text:
    """Return bytes as text, in the encoding that a byte order mark names, or that is `declared`, or UTF-8, or
    guessed.

    Raises UnreadableError, and OptionalDependencyError.
    """
    marked = next((encoding for mark, encoding in _BOMS.items() if data.startswith(mark)), None)
    if marked is None and _BINARY.search(data):
        raise UnreadableError("binary data, not text")
    for encoding in filter(None, [marked, declared, "utf-8"]):
        try:
            return Text(data.decode(encoding))
        except (UnicodeDecodeError, LookupError):
            continue
    found = needed("charset_normalizer", "guessing encodings").from_bytes(data)
    # Without a language whose letters fit, any bytes are text in some encoding.
    likely = [match for match in found if match.coherence > 0]
    if not likely:
        raise UnreadableError("not UTF-8, and in no encoding that can be told. Save it as UTF-8")
    common = any(_MOST_COMMON in match.could_be_from_charset for match in likely)
    encoding = _MOST_COMMON if common else likely[0].encoding
    return Text(data.decode(encoding), note=f"not UTF-8; read as {encoding}, which is a guess")


def needed(module: str, what: str) -> Any:
    """Return an imported module; raises OptionalDependencyError, with what it is needed for, if it is missing."""
    try:
        return import_module(module)
    except ImportError:
        raise OptionalDependencyError(what, module, EXTRA) from None
