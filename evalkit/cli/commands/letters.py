"""Letters that the terminal's encoding lacks: shown by what is like them, so that no output fails on one."""

import codecs
import io
import sys
import unicodedata

HANDLER = "evalkit.letters"
_LIKE = {
    "–": "-", "—": "-", "−": "-", "≈": "~", "×": "x", "±": "~", "→": ">", "←": "<", "…": ".", "·": ".", "•": "*",
    "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "≤": "<", "≥": ">", "│": "|", "─": "-",
}  # fmt: skip
"""One sign for one, so that the columns of tables stay."""


def show_what_can_be_shown() -> None:
    """Let standard output replace what it cannot encode. Standard error does so already: Python writes escapes."""
    codecs.register_error(HANDLER, _replaced)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=HANDLER)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_like, error.object[error.start : error.end])), error.end


def _like(letter: str) -> str:
    """A sign of ASCII in the place of a letter: what looks like it, the letter without its marks, or "?"."""
    bare = unicodedata.normalize("NFKD", letter)[0]
    return _LIKE.get(letter) or (bare if bare.isascii() and bare.isprintable() else "?")
