"""A question, the places in the documents that answer it, and where a set of questions came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Origin = Literal["given", "generated", "from documents"]


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` (exclusive) of a file's text. A whole file is a span too."""

    file: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Question:
    """A question; each of `spans` answers it. `tags` name slices it belongs to."""

    id: str
    text: str
    spans: tuple[Span, ...]
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class QuestionSet:
    """Questions, how they were got, and what was left out on the way.

    `provenance` is plain data (JSON): all that made the questions what they are. `drops` counts the questions that
    filters left out, by reason. `notes` say what was decided in reading their file, a sentence each.
    """

    questions: tuple[Question, ...]
    origin: Origin
    provenance: Mapping[str, object] = field(default_factory=dict)
    drops: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
