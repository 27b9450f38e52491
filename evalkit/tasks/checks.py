"""The rules that a task's data must keep, and what becomes of data that breaks them but is accepted."""

import math
import warnings
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from evalkit.errors import DataError
from evalkit.types import Document, Qrels, Query

OnBadData = Literal["error", "warn"]
Judgement = tuple[str, str, float]
"""Query id, document id, grade."""

_Item = TypeVar("_Item", Document, Query)

_SHOWN = 10
_NEXT_STEP = (
    "Fix the data, or accept it as it is: on_bad_data=warn (--on-bad-data warn of `evalkit run`, `pick` and "
    "`export`)."
)
_NEXT_STEP_FATAL = "Fix the data: not all of this could be accepted with on_bad_data=warn."
_NO_CHOICE = "Fix the data."
_ACCEPTED = (
    "Accepted as it is: the first of repeated ids and the higher of two grades count, empty texts and "
    "judgements of absent documents stay, judgements of absent queries and scores that are not finite "
    "numbers are left out."
)


class DataWarning(UserWarning):
    """A task's data breaks the rules and is used all the same, because the user asked for that."""


class Problems:
    """All that is wrong with one task's data, by kind, to be reported at once; and notes on how it was read."""

    def __init__(self, source: Path | str) -> None:
        self.fatal = False
        self._source = source
        # The inner dict is an ordered set: a thing that is wrong twice in the same way is told once.
        self._kinds: dict[str, dict[str, None]] = {}
        self._notes: dict[str, None] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided in reading the data, a sentence each, to be said with what comes of them."""
        return tuple(self._notes)

    def note(self, sentence: str) -> None:
        """Say what was decided in reading the data, where it could have been read in another way."""
        self._notes[sentence] = None

    def warn_of_notes(self) -> None:
        """Warn of what was decided in reading, where there is no task to keep it."""
        if self._notes:
            warnings.warn(f"{self._source}: {' '.join(self._notes)}", DataWarning, stacklevel=4)

    def place_of(self, files: Sequence[Path]) -> str:
        """Name files as problems name them: the file, or their folder."""
        return self.place(files[0] if len(files) == 1 else files[0].parent)

    def place(self, path: Path) -> str:
        """Name a file as problems name it: with its folders from the task's own on."""
        source = Path(self._source)
        return str(path.relative_to(source)) if source != path and path.is_relative_to(source) else path.name

    def add(self, kind: str, item: str | None = None, *, fatal: bool = False) -> None:
        """Note a problem; `item` says where (an id, a line); a fatal one cannot be accepted by a warning."""
        items = self._kinds.setdefault(kind, {})
        if item is not None:
            items[item] = None
        self.fatal |= fatal

    def settle(self, on_bad_data: OnBadData | None) -> None:
        """Do nothing if the data is clean, else warn once, or raise; None: the user has no choice here.

        Raises DataError unless `on_bad_data` is "warn" and no problem is fatal.
        """
        if not self._kinds:
            return
        listed = [told(kind, list(items)) for kind, items in self._kinds.items()]
        if on_bad_data is None:
            raise DataError(str(self._source), listed, _NO_CHOICE)
        if self.fatal:
            raise DataError(str(self._source), listed, _NEXT_STEP_FATAL)
        if on_bad_data == "error":
            raise DataError(str(self._source), listed, _NEXT_STEP)
        # Level 5 is the caller of load_task, or of mteb's load_tasks.
        warnings.warn(str(DataError(str(self._source), listed, _ACCEPTED)), DataWarning, stacklevel=5)


def told(kind: str, items: Sequence[str]) -> str:
    """Return a problem and where it is: "kind (12): a, b, c ... and 2 more"; the kind alone if there are no items."""
    if not items:
        return kind
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return f"{kind} ({len(items)}): {', '.join(items[:_SHOWN])}{more}"


def keep_first(items: Iterable[_Item], where: str, problems: Problems) -> dict[str, _Item]:
    """Return documents or queries by id, in order; notes repeated ids (the first is kept) and empty texts."""
    kept: dict[str, _Item] = {}
    for item in items:
        what, text = ("document", item.content) if isinstance(item, Document) else ("query", item.text)
        if item.id in kept:
            problems.add(f"{where}: repeated {what} id", repr(item.id))
            continue
        if not text.strip():
            problems.add(f"{where}: {what} with no text", repr(item.id))
        kept[item.id] = item
    return kept


def keep_highest(judgements: Iterable[Judgement], where: str, problems: Problems) -> dict[str, dict[str, float]]:
    """Return qrels from judgements with a finite grade; notes pairs that have two different grades."""
    qrels: dict[str, dict[str, float]] = {}
    for query, document, grade in judgements:
        if not math.isfinite(grade):
            continue
        grades = qrels.setdefault(query, {})
        if grades.setdefault(document, grade) != grade:
            problems.add(f"{where}: judged twice with different grades", f"{document!r} (query {query!r})")
            grades[document] = max(grade, grades[document])
    return qrels


def check_judgements(
    documents: Container[str],
    queries: Mapping[str, Query],
    qrels: Qrels,
    where: str,
    problems: Problems,
) -> None:
    """Note judgements of absent documents or queries, and that no query is judged."""
    for query, grades in qrels.items():
        if query not in queries:
            problems.add(f"{where}: judgement of an absent query", repr(query))
        for document in grades:
            if document not in documents:
                whole = document.removesuffix(".0")
                why = f"; {whole!r} is there: write ids without a point" if whole in documents else ""
                problems.add(f"{where}: judgement of an absent document", f"{document!r} (query {query!r}){why}")
    if problems.fatal:
        return  # what could not be read already explains what is missing
    if not any(is_judged(query, qrels) for query in queries):
        problems.add(f"{where}: no query has a judgement above 0", fatal=True)


def check_gold(scores: Sequence[float], sample: Sequence[float], where: str, problems: Problems) -> None:
    """Note that all pairs, or all of the sample, have one score: no correlation with it is defined."""
    if problems.fatal:
        return  # there may be other scores in what could not be read
    if len(scores) > 1 and min(scores) == max(scores):
        problems.add(
            f"{where}: all {len(scores)} pairs have the score {scores[0]:g}, so no correlation is defined; a "
            "similarity task needs pairs of several scores",
            fatal=True,
        )
    elif len(sample) > 1 and min(sample) == max(sample):
        problems.add(
            f"{where}: the {len(sample)} of {len(scores)} pairs that were sampled all have the score {sample[0]:g}, "
            "so no correlation is defined; take more of them, or another seed",
            fatal=True,
        )


def is_judged(query: str, qrels: Qrels) -> bool:
    """Tell whether a query has a grade above 0; without one no ranking of it can be right or wrong."""
    return any(grade > 0 for grade in qrels.get(query, {}).values())
