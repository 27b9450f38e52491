"""Requests to a paid API, their answers, and what to ask in place of a request that was refused."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.types import IntArray

TEXT_SHOWN = 60
"""Characters of a text that a server refuses."""
SHORTER = 0.75
"""A text that is too long is cut to this share, where the server does not say how much it takes."""


@dataclass(frozen=True)
class Answer:
    """A provider gives one vector or score for each text, and says what it charged for."""

    values: Any
    tokens: int | None = None
    searches: int | None = None


@dataclass
class Halved:
    """A request that was refused: of how many texts its halves are, and how many of the halves were taken."""

    texts: int
    taken: int = 0


@dataclass(frozen=True)
class Request:
    """A request for some rows of the texts or pairs, and its estimated size.

    `part` makes the request for a part of the same rows, `shorter` that for the same single text, cut to this
    fraction of its characters (None: nothing would be left). `text` is the first of the texts, for messages.
    """

    rows: IntArray
    send: Callable[[], Answer]
    tokens: int
    text: str
    part: Callable[[slice], "Request"]
    shorter: Callable[[float], "Request | None"]
    searches: int = 1
    shortened: bool = False
    half_of: Halved | None = None

    def parts(self, most: int, half_of: Halved | None = None) -> list["Request"]:
        """Return the request as several, of at most so many texts each."""
        starts = range(0, len(self.rows), most)
        return [replace(self.part(slice(start, start + most)), half_of=half_of) for start in starts]


class RefusedError(Exception):
    """A request that the server will not take as it is; `kept` is the fraction of a single text that it may take."""

    def __init__(self, reason: str, kept: float | None) -> None:
        super().__init__(reason)
        self.kept = kept


class WrongAnswerError(Exception):
    """An answer with the wrong count, not finite, or of the wrong dimension."""


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has: a third of its bytes, seldom too few; English has about a quarter."""
    return len(text.encode("utf-8", "replace")) // 3 + 1


def cut(sizes: Iterable[int], most: int, most_tokens: int) -> Iterator[slice]:
    """Yield parts of a list of texts, by their estimated tokens: at most so many texts and, but for one text,
    tokens.
    """
    start = end = total = 0
    for size in sizes:
        if end > start and (end - start == most or total + size > most_tokens):
            yield slice(start, end)
            start, total = end, 0
        end, total = end + 1, total + size
    if end > start:
        yield slice(start, end)


def finite_array(values: Any, shape: tuple[int | None, ...], dtype: type) -> NDArray[Any]:
    """Return the values as an array of this shape (None: any length). Raises WrongAnswerError, also if one is not
    finite.
    """
    try:
        array: NDArray[Any] = np.asarray(values, dtype=dtype)
    except (TypeError, ValueError):
        raise WrongAnswerError("values that are missing, no numbers, or of different lengths") from None
    if len(array.shape) != len(shape) or any(
        wanted not in (None, found) for wanted, found in zip(shape, array.shape, strict=True)
    ):
        raise WrongAnswerError(f"an array of shape {array.shape}, not {tuple(side or 'any' for side in shape)}")
    if not np.isfinite(array).all():
        raise WrongAnswerError("values that are not finite")
    return array


def halves(request: Request, refused: RefusedError) -> list[Request]:
    """Return the requests to send in place of one that was refused; none where there is nothing smaller."""
    if len(request.rows) > 1:
        half = (len(request.rows) + 1) // 2
        return request.parts(half, Halved(half))
    shorter = None if refused.kept is None else request.shorter(refused.kept)
    return [] if shorter is None else [shorter]


def named(request: Request, count: int) -> str:
    """Name the text of a request that was refused, and how many more were, for a message."""
    more = f" and {count - 1} more text(s)" if count > 1 else ""
    dots = "..." if len(request.text) > TEXT_SHOWN else ""
    return f"{request.text[:TEXT_SHOWN]!r}{dots} ({len(request.text):,} characters){more}"
