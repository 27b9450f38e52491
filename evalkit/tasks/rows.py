"""What columns are called in the files that people have, and how the fields of a row are read.

Fields are ids, texts and numbers, whatever type a file gives them.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches

from evalkit.tasks.checks import Problems

_PLAIN = re.compile(r"[\s_\-.]+")
Columns = Mapping[str, tuple[str, ...]]
"""The columns that can be each field: one, or several where it is not clear which."""
COLUMNS_SHOWN = 12
NEAR = 0.75
"""How like a name another must be to be pointed at, from 0 to 1 (difflib's ratio)."""


@dataclass(frozen=True)
class Fields:
    """The fields of a kind of row, each with the names that its column may have beside the field's own.

    Case, blanks, hyphens and underscores in names make no difference. A column that has a field's own name is that
    field, whatever others there are; where `number` is concerned, two columns that could be it are never chosen from.
    Of the optional fields in `one_of` at least one is needed. `hints` are names that may mean a field and may not: an
    error points at them, and nothing is read from them.
    """

    needed: Mapping[str, tuple[str, ...]]
    optional: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    number: str = ""
    one_of: tuple[str, ...] = ()
    hints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def all(self) -> dict[str, tuple[str, ...]]:
        """All fields with their further names, those that are needed first."""
        return {**self.needed, **self.optional}

    def match(self, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the columns that can be each field; fields without one are left out."""
        plain = {column: _plain(column) for column in columns}
        matched: dict[str, tuple[str, ...]] = {}
        for name, others in self.all.items():
            allowed = {_plain(name), *others}
            candidates = tuple(column for column in columns if plain[column] in allowed)
            if name in candidates and name != self.number:
                candidates = (name,)
            if candidates:
                matched[name] = candidates
        return matched

    def missing(self, columns: Sequence[str]) -> list[tuple[str, ...]]:
        """Return the needed fields that no column can be: each alone, or those of which one is needed together."""
        matched = self.match(columns)
        groups = [(name,) for name in self.needed] + ([self.one_of] if self.one_of else [])
        return [group for group in groups if not matched.keys() & set(group)]

    def explain(self, names: Sequence[str], columns: Sequence[str]) -> str:
        """Say that a field, or any of several, is missing, which columns are there and needed, and which is meant."""
        listed = ", ".join(map(repr, columns[:COLUMNS_SHOWN])) + (", …" if len(columns) > COLUMNS_SHOWN else "")
        meant = next((f". Is {column!r} meant? Call it {name!r}" for name, column in self._near(names, columns)), "")
        needed = ", ".join(dict.fromkeys((*self.needed, *(names if len(names) == 1 else ()))))
        one_of = f" and one of {', '.join(self.one_of)}" if self.one_of else ""
        fields = " or ".join(map(repr, names))
        return f"no field {fields}; the columns are {listed or 'none'}; needed: {needed}{one_of}{meant}"

    def _near(self, names: Sequence[str], columns: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield fields with the column that is most like a name that each may have."""
        taken = {column for candidates in self.match(columns).values() for column in candidates}
        plain = {_plain(column): column for column in columns if column not in taken}
        for name in names:
            for other in (_plain(name), *self.all[name], *self.hints.get(name, ())):
                yield from ((name, plain[match]) for match in get_close_matches(other, plain, 1, NEAR))


def _plain(column: str) -> str:
    return _PLAIN.sub("", column).casefold()


_TEXT = ("text", "contents", "content", "body")
_QUERY_ID = ("queryid", "qid", "topicid", "topicno")
_DOCUMENT_ID = ("corpusid", "docid", "documentid", "docno", "did", "pid", "passageid")

PAIRS = Fields(
    {
        "sentence1": ("text1", "sent1", "s1", "sentencea", "texta", "senta", "string1"),
        "sentence2": ("text2", "sent2", "s2", "sentenceb", "textb", "sentb", "string2"),
        "score": (
            "similarity", "similarityscore", "sim", "relatedness", "relatednessscore", "label", "labels", "gold",
            "goldscore", "goldlabel", "rating", "relevance",
        ),
    },
    number="score",
)  # fmt: skip
CORPUS = Fields(
    {"_id": ("id", *_DOCUMENT_ID), "text": (*_TEXT, "passage", "passagetext", "document", "documenttext", "doctext")},
    {"title": ()},
)
QUERIES = Fields(
    {"_id": ("id", *_QUERY_ID, "questionid"), "text": (*_TEXT, "query", "question", "querytext", "questiontext")},
    {"metadata": ()},
)
QRELS = Fields(
    {
        "query-id": (*_QUERY_ID, "query", "topic", "questionid"),
        "corpus-id": (*_DOCUMENT_ID, "doc", "document", "passage"),
    },
    {
        "score": ("relevance", "rel", "grade", "label", "judgment", "judgement", "relevancelabel", "relevancescore"),
        "iteration": ("iter", "q0"),
        "index": ("indexlevel0", "unnamed:0"),  # pandas'
    },
    number="score",
)
_GOLD_PASSAGE = tuple(
    f"{which}{what}{many}"
    for which in ("reference", "relevant", "expected", "gold", "positive", "answer")
    for what in ("context", "passage", "chunk")
    for many in ("", "s")
)
QUESTIONS = Fields(
    {"question": ("userinput", "query", "input", "querytext", "questiontext")},
    {
        "id": ("questionid", "queryid", "qid"),
        "passage": ("context", "passages", *_GOLD_PASSAGE),  # SQuAD's; Ragas' reference_contexts
        "quote": (),
        "file": ("filename",),
        "taken_out": (),  # a question that was made from the documents
        "generated": (),  # one that a language model wrote
        "unanswerable": (),  # one that the documents do not answer
        "reference": ("groundtruth", "groundtruths", "referenceanswer"),  # Ragas' answers, which are in no document
        "retrieved": ("retrievedcontexts",),  # what a system found, which need not be the answer: not read
    },
    one_of=("passage", "quote", "file"),
    hints={
        "passage": ("contexts", "text", "chunk", "evidence", "excerpt", "snippet"),
        "file": ("source", "document", "doc", "path", "filepath", "sourcefile", "docid", "documentid"),
    },
)
PUBLISHED = Fields(dict.fromkeys(("task", "split", "model", "reranker", "metric", "score", "n", "source"), ()))


WHOLE = 2**53
"""Above this, a float does not hold every whole number."""
GRADES = {"true": 1.0, "false": 0.0}
CHARACTERS_SHOWN = 40
"""Of a value, in an error."""


def as_identifier(value: object) -> str | None:
    """Return an id as a string: whole numbers without a point, even where a column of numbers has become one of
    floats.

    None if it is no id.
    """
    if isinstance(value, float | Decimal) and abs(float(value)) < WHOLE and value == int(value):
        return str(int(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return as_text(value)


def as_text(value: object) -> str | None:
    """Return a text, also one that a parquet file has as bytes; None if it is none."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str) else None


def as_number(value: object, decimal: str = ".") -> float | None:
    """Return a number, also one in digits, with `decimal` as its point or with a point; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    if isinstance(value, str) and (decimal != "." or "_" in value):
        if "_" in value or (decimal in value and "." in value):
            return None
        value = value.replace(decimal, ".")
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def as_grade(value: object, decimal: str = ".") -> float | None:
    """Read a grade: a number, or true (1) or false (0), as a value or in words; None if it is none."""
    number = as_number(value, decimal)
    return GRADES.get(str(value).casefold()) if number is None else number


def as_shown(value: object) -> str:
    """Return a value as an error shows it: no longer than a line."""
    shown = repr(value)
    return shown if len(shown) <= CHARACTERS_SHOWN else f"{shown[:CHARACTERS_SHOWN]}…"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file. Reading a field that is not as it should be notes a problem, with where the row is.

    `columns` are those that can be each field; `unit` is what `line` counts; `decimal` is the point in numbers.
    """

    values: Mapping[str, object]
    columns: Columns
    where: str
    line: int
    problems: Problems
    unit: str = "line"
    decimal: str = "."

    def report(self, what: str, *, value: object = None, fatal: bool = False) -> None:
        """Note a problem with this row, and the value that is wrong."""
        shown = "" if value is None else f" has {as_shown(value)}"
        self.problems.add(f"{self.where}: {what}", f"{self.unit} {self.line}{shown}", fatal=fatal)

    def has(self, field: str) -> bool:
        """Tell whether the row has a column for the field."""
        return any(column in self.values for column in self.columns.get(field, ()))

    def get(self, field: str) -> object:
        """Return the field's value; None if there is none. Notes two columns that could be it and differ."""
        columns = self.columns.get(field, ())
        if len(columns) < 2:
            return self.values.get(columns[0]) if columns else None
        there = [column for column in columns if self.values.get(column) not in (None, "")]
        if len({str(self.values[column]) for column in there}) > 1:
            listed = " and ".join(map(repr, there))
            self.report(f"{listed} could each be {field!r}, and differ: rename or remove one", fatal=True)
        return self.values[there[0]] if there else None

    def text(self, field: str) -> str | None:
        """Return the field as a string; None after noting that there is none."""
        text = as_text(self.get(field))
        if text is None:
            self._report_no_string(field)
        return text

    def written(self, field: str) -> str:
        """Return the field as a string, after noting that there is none, or that nothing is written in it."""
        text = self.text(field)
        if text is not None and not text.strip():
            self.report(f"{field} with no text")
        return text or ""

    def identifier(self, field: str) -> str | None:
        """Return the id in the field as a string (whole numbers too); None after noting that there is none."""
        identifier = as_identifier(self.get(field))
        if identifier is None:
            self._report_no_string(field)
        return identifier

    def number(self, field: str) -> float:
        """Return the number in the field (digits in a string too); NaN or infinite after noting that."""
        return self._finite(field, as_number)

    def grade(self, field: str) -> float:
        """Return the grade in the field: a number, or true (1) or false (0); NaN or infinite as `number`."""
        return self._finite(field, as_grade)

    def _finite(self, field: str, read: Callable[[object, str], float | None]) -> float:
        if not self.has(field):
            self.report(f"no field {field!r}", fatal=True)
            return math.nan
        value = self.get(field)
        number = read(value, self.decimal)
        if number is None:
            self.report(f"{field} is not a number", value=value)
            return math.nan
        if not math.isfinite(number):
            self.report(f"{field} is not finite")
        return number

    def rest(self) -> dict[str, object]:
        """Return the values that no field has, by column."""
        fields = {column for columns in self.columns.values() for column in columns}
        return {column: value for column, value in self.values.items() if column not in fields}

    def _report_no_string(self, field: str) -> None:
        self.report(f"field {field!r} is not a string" if self.has(field) else f"no field {field!r}", fatal=True)
