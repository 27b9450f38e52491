"""Lists of models in one string, as on the command line: which commas separate, and which belong to a prompt."""

import os
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import combinations
from urllib.parse import quote, unquote

from evalkit.errors import SpecError
from evalkit.models.registry.catalogue import catalogue
from evalkit.models.registry.families import families
from evalkit.models.registry.folder import begins_as_path

_FUSION = re.compile(r"(rrf|weighted)\s*\(")
_SHAPED = re.compile(r"[\w.-]+:\S+|\S+/\S+")
"""One word as FAMILY:NAME, ORG/NAME or a path is written."""


def split_models(text: str) -> list[str]:
    """Split a comma-separated list of models.

    A comma separates, unless it is in brackets, or stands in the options of a model (after its `?`) and no model
    follows it: then it belongs to the option. What follows is a model if it begins with a name of the catalogue, a
    family, `FAMILY:`, a fusion, or as a path does. `%2C` is always a comma of the option. Blanks around a model are
    dropped, but for those that end an option.

    Raises SpecError where one word follows that looks like a model, but is none that is known, where an option
    follows, and where the comma is one of a path.
    """
    parts = list(_parts(text))
    refuse_cut_paths(parts)
    return [tidy(part) for part in parts if part.strip()]


def refuse_cut_paths(parts: Sequence[str]) -> None:
    """Raise SpecError if the parts of a comma-separated list are together a path that exists."""
    for first, last in combinations(range(len(parts)), 2):
        whole = ",".join(parts[first : last + 1]).strip()
        head = whole.partition("?")[0]
        family, _, name = head.partition(":")
        paths = [head, name] if family in families() else [head]
        if any("," in path and os.path.exists(unquote(path)) for path in paths):
            raise SpecError(f"{whole!r} is a path with a comma in it: write the comma as %2C.")


def tidy(text: str) -> str:
    """Drop the blanks around a model; those that end its last option are part of it, and are written `%20`."""
    bare = text.strip()
    trailing = text[len(text.rstrip()) :] if "?" in bare else ""
    return bare + quote(trailing)


def _parts(text: str) -> Iterator[str]:
    start, depth, in_options = 0, 0, False
    for position, character in enumerate(text):
        if not in_options:
            depth += (character in "([") - (character in ")]")
            in_options = character == "?" and depth == 0
        if character == "," and depth == 0 and (not in_options or _begins_model(text[position + 1 :])):
            yield text[start:position]
            start, in_options = position + 1, False
    yield text[start:]


def _begins_model(text: str) -> bool:
    head = re.split(r"[,?]", text, maxsplit=1)[0].strip()
    names = families().keys() | catalogue().keys()
    if head in names or begins_as_path(head) or _FUSION.match(head):
        return True
    family, colon, _ = head.partition(":")
    if colon and family in families():
        return True
    key, equals, _ = head.partition("=")
    if equals and any(key in known.options.model_fields for known in families().values()):
        raise SpecError(
            f"{head!r} stands after a comma in the options of a model, where it is part of the option before it. "
            f"Options are apart by &: write &{head}; if it belongs to the text, write the comma as %2C."
        )
    word = unquote(head).strip()
    looks_like_one = _SHAPED.fullmatch(word) or os.path.isdir(word) or get_close_matches(word, names, 1, 0.8)
    if len(word.split()) == 1 and looks_like_one:
        raise SpecError(
            f"{head!r} stands after a comma in the options of a model, and is no known model. If it belongs to the "
            "option, write the comma as %2C; if it is a model, check its name (`evalkit models` lists them; a model "
            "of the hub or a file needs its family: FAMILY:NAME; a folder here begins with ./)."
        )
    return False
