"""Where in a text the pieces stand that a node parser made of it."""

from collections.abc import Sequence

from evalkit.errors import ConfigError


def places(text: str, pieces: Sequence[str], name: str) -> list[tuple[int, int]]:
    """Return the first character of each piece, and the one after its last. Pieces cover the text, in order.

    Pieces are compared without blanks, for a parser may drop some: a piece need not be in the text as it stands.
    Raises ConfigError, which names the file, if there is another text in the pieces.
    """
    solid = [place for place, character in enumerate(text) if not character.isspace()]
    squeezed = ["".join(piece.split()) for piece in pieces]
    starts = _starts("".join(text.split()), squeezed, name)
    return [(solid[first], solid[first + len(piece) - 1] + 1) for first, piece in zip(starts, squeezed, strict=True)]


def _starts(text: str, pieces: Sequence[str], name: str) -> list[int]:
    """Tell where each piece starts, such that together they cover the text, in order and without a gap.

    LlamaIndex searches each piece on its own, and finds the wrong place where a text repeats itself. Here a place
    counts only if the pieces before lead there, and from it the rest leads to the end.
    """
    # A piece starts after the one before; at the same place only where the splitter repeats one but for blanks.
    path = _path(text, pieces, 1) or _path(text, pieces, 0)
    if len(path) != len(pieces):
        raise ConfigError(f"{name}: the node parser gave text that the file does not have. Chunk it another way.")
    return path


def _path(text: str, pieces: Sequence[str], advance: int) -> list[int]:
    """Starts that are at least `advance` apart; none if there is no such path."""
    came_from: list[dict[int, int]] = []
    ends = {0: -advance}
    for piece in pieces:
        found: dict[int, int] = {}
        for end, start in ends.items():
            place = text.find(piece, start + advance, end + len(piece))
            while place >= 0:
                found.setdefault(place, start)
                place = text.find(piece, place + 1, end + len(piece))
        came_from.append(found)
        ends = {start + len(piece): start for start in found}
    if len(text) not in ends or not pieces:
        return []
    path = [ends[len(text)]]
    for found in reversed(came_from[1:]):
        path.append(found[path[-1]])
    return path[::-1]
