"""How a text file is a table: what its cells are apart by, whether it has a header, and what quotation marks mean.

Decided by what is in the file; its name decides only where that leaves two ways.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from evalkit.tasks.rows import PAIRS, QRELS, Fields

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
BLANKS = ""
"""In the place of a delimiter: cells are apart by any blanks, as in TREC's files."""
CELL_CHARACTERS = 2**31 - 1
"""The longest cell that can be read; csv's own limit is 131,072 characters."""
SAMPLE = 100
"""Lines that are looked at to tell what the columns are."""
STS_BENCHMARK = ("", "", "", "", "score", "sentence1", "sentence2")
"""The official STSbenchmark files: genre, file, year, index, then these; further cells name sources."""
TREC = ("query-id", "iteration", "corpus-id", "score")
TRIPLES = ("query-id", "corpus-id", "score")
_QUOTED_BY_CUSTOM = (",", ";")
_BACKSLASH = re.compile(r'(?<!\\)\\"')
_DECIMAL_COMMA, _THOUSANDS = re.compile(r"[-+]?\d+(,\d+)?"), re.compile(r"[-+]?\d{1,3},\d{3}")
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?\s*')
"""What Excel writes above a header."""

Lines = Callable[[], Iterator[str]]
"""Gives a file's lines anew, with their ends."""


class TableError(ValueError):
    """A table's rows cannot be told, from a line on (None: the message says where)."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        self.line = line
        super().__init__(reason)


@dataclass(frozen=True)
class Dialect:
    """A reading of a table. `columns` are the header's names, or fields by position ("": none) without a header.

    Rows begin after line `skipped`, which is the header if there is one. With `quoted`, cells may be enclosed in
    quotation marks, which are doubled inside (in an `escaped` table they may have a backslash before them) and may
    hold delimiters and line ends; otherwise quotation marks are text. In a `spaced` table the blanks behind a
    delimiter are no part of a cell. Rows of a `ragged` table may have more cells than there are columns. `decimal` is
    the point of its numbers. `notes` say what was decided.
    """

    columns: tuple[str, ...]
    delimiter: str
    skipped: int = 0
    header: bool = True
    quoted: bool = True
    escaped: bool = False
    spaced: bool = False
    ragged: bool = False
    decimal: str = "."
    notes: tuple[str, ...] = ()

    def is_whole(self, cells: Sequence[str]) -> bool:
        """Tell whether a row has as many cells as there are columns; empty ones beyond them do no harm."""
        width = len(self.columns)
        return len(cells) >= width and (self.ragged or not any(cells[width:]))

    def rows(self, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        """Yield rows as cells, with the number of the line that each ends on; none without any text.

        Raises TableError for quotation marks that are to enclose cells, and do not.
        """
        rows = self.quoted_rows(lines) if self.quoted else self._plain_rows(lines)
        return ((line, cells) for line, cells in rows if line > self.skipped and has_text(cells))

    def quoted_rows(self, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        """Yield rows of all lines where quotation marks enclose cells; raises TableError where they do not."""
        csv.field_size_limit(CELL_CHARACTERS)
        if self.escaped:  # other backslashes are text: csv would take them all out
            lines = (_BACKSLASH.sub('""', line) for line in lines)
        # strict: a stray quotation mark is an error; otherwise it would swallow the rows up to the next mark.
        reader = csv.reader(lines, delimiter=self.delimiter, skipinitialspace=self.spaced, strict=True)
        try:
            for cells in reader:
                yield reader.line_num, cells
        except csv.Error as error:
            raise TableError(
                f"not a table: {error}. Inside a cell that marks enclose, write a quotation mark twice; or write the "
                "file as JSONL",
                reader.line_num,
            ) from error

    def split(self, line: str) -> list[str]:
        """Return the cells of a line in which quotation marks are text."""
        cells = split(line, self.delimiter)
        return [cells[0], *(cell.lstrip(" ") for cell in cells[1:])] if self.spaced else cells

    def _plain_rows(self, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        for number, line in enumerate(lines, start=1):
            yield number, self.split(line)

    def saying(self, note: str) -> "Dialect":
        """Return the same with a further note."""
        return replace(self, notes=(*self.notes, note))


def split(line: str, delimiter: str) -> list[str]:
    """Return cells of a line in which quotation marks are text."""
    return line.rstrip("\r\n").split(delimiter or None)


def _is_enclosed(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def has_text(cells: Iterable[str]) -> bool:
    """Tell whether any of a row's cells has text."""
    return any(cell and not cell.isspace() for cell in cells)


def is_number(cell: str) -> bool:
    """Tell whether a cell is a number, with a point or a comma."""
    try:
        float(cell.strip('" ').replace(",", ".", 1))
    except ValueError:
        return False
    return True


def read_dialect(lines: Lines, fields: Fields, usual: str) -> Dialect | None:
    """Decide how to read a table of these fields; None if there is no line with text.

    `usual` is the delimiter that goes with the file's name. Raises TableError where quotation marks can be
    read in two ways that give other rows.
    """
    head = read_head(lines, fields, usual)
    return _with_quoting(head, lines, fields) if head and head.delimiter != BLANKS else head


def read_head(lines: Lines, fields: Fields, usual: str) -> Dialect | None:
    """Return the delimiter and the columns, by the first lines; what quotation marks mean is still open."""
    sample = list(islice(((n, line) for n, line in enumerate(lines(), 1) if line.strip("\r\n\t ;,|")), SAMPLE))
    above = _SEPARATOR_LINE.fullmatch(sample[0][1]) if sample else None
    if above:
        usual = above[1]
        del sample[0]
    if not sample:
        return None
    number, first = sample[0]
    delimiters = sorted(DELIMITERS, key=lambda delimiter: delimiter != usual)
    headers = [Dialect(names, delimiter, number) for delimiter in delimiters for names in _names(first, delimiter)]
    best = max(headers, key=lambda header: len(fields.match(header.columns)))
    if fields.missing(best.columns):
        by_blanks = Dialect(tuple(first.split()), BLANKS, number, quoted=False)
        if fields is QRELS and not fields.missing(by_blanks.columns):
            return by_blanks
        best = _without_header([line for _, line in sample], fields, delimiters, number - 1) or best
    if best.delimiter == BLANKS:
        return best
    if best.delimiter != usual:
        best = best.saying(f"its cells are apart by {DELIMITERS[best.delimiter]}")
    rows = [line for at, line in sample if at > best.skipped]
    if _is_spaced(rows, best.delimiter):
        best = replace(best, spaced=True).saying("the blanks behind its delimiters are no part of a cell")
    if best.delimiter == ";":  # as spreadsheets write it where the comma is the decimal point
        return replace(best, decimal=",")
    if _has_decimal_commas(rows, best, fields):
        return replace(best, decimal=",").saying("its numbers have a comma as decimal point")
    return best


def _has_decimal_commas(lines: Sequence[str], head: Dialect, fields: Fields) -> bool:
    """Say whether numbers have commas that can only be decimal points: none has a point, nor are all thousands."""
    columns = fields.match(head.columns).get(fields.number, ())
    if not columns:
        return False
    column = head.columns.index(columns[0])
    rows = (cells_of(line, head.delimiter) for line in lines)
    numbers = [row[column].strip() for row in rows if len(row) > column]
    with_comma = [number for number in numbers if "," in number]
    are_numbers = all(map(_DECIMAL_COMMA.fullmatch, numbers))
    return bool(with_comma) and are_numbers and not all(map(_THOUSANDS.fullmatch, with_comma))


def _is_spaced(lines: Sequence[str], delimiter: str) -> bool:
    """Say whether there is a blank behind every delimiter."""
    behind = [cell for line in lines for cell in split(line, delimiter)[1:] if cell]
    return bool(behind) and all(cell.startswith(" ") for cell in behind)


def _names(line: str, delimiter: str) -> list[tuple[str, ...]]:
    """Return a header's names, where quotation marks enclose them and where they are text."""
    readings = dict.fromkeys((tuple(cells_of(line, delimiter)), tuple(split(line, delimiter))))
    return [tuple(name.strip() for name in names) for names in readings]


def cells_of(line: str, delimiter: str) -> list[str]:
    """Return cells of a line that may be enclosed in quotation marks, or have them as text; a blank may be before
    them.
    """
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error:
        return split(line, delimiter)


def _without_header(sample: Sequence[str], fields: Fields, delimiters: Sequence[str], skipped: int) -> Dialect | None:
    """Return a table whose first row has numbers where a header would have names; None if there is no telling."""
    for delimiter in delimiters:
        columns = _by_position([cells_of(line, delimiter) for line in sample], fields)
        if columns:
            named = ", ".join(f"{number} is {name}" for number, name in enumerate(columns, start=1) if name)
            ragged = columns == STS_BENCHMARK
            said = f"it has no header; column {named}"
            return Dialect(columns, delimiter, skipped, header=False, ragged=ragged).saying(said)
    first = sample[0].split()
    if fields is QRELS and is_number(first[-1]) and len(first) in (len(TREC), len(TRIPLES)):
        columns = TREC if len(first) == len(TREC) else TRIPLES
        return Dialect(columns, BLANKS, skipped, header=False, quoted=False)
    return None


def _by_position(rows: Sequence[Sequence[str]], fields: Fields) -> tuple[str, ...]:
    """Return the fields by position; empty if there is no telling."""
    width = len(rows[0])
    if fields is PAIRS and width >= len(STS_BENCHMARK):
        is_score = (len(row) >= len(STS_BENCHMARK) and is_number(row[STS_BENCHMARK.index("score")]) for row in rows)
        return STS_BENCHMARK if all(is_score) else ()
    if any(len(row) < width for row in rows):
        return ()
    numbers = [all(is_number(row[column]) for row in rows) for column in range(width)]
    if fields is PAIRS and width == 3 and sum(numbers) == 1:
        sentences = iter(("sentence1", "sentence2"))
        return tuple("score" if is_score else next(sentences) for is_score in numbers)
    if fields is QRELS and width in (3, 4) and numbers[-1]:
        return TREC if width == 4 else TRIPLES
    if "text" in fields.needed and width == 2 and all(re.search(r"\d", row[0]) for row in rows):
        return "_id", "text"
    return ()


@dataclass
class _Survey:
    """What a whole table looks like where quotation marks enclose cells, and where they are text.

    `rows_differ` and `merged` have the lines of the first row that ends on a later line than it begins, and of the
    first such row all of whose lines are whole rows, number and all. `doubled` is whether marks in enclosed cells are
    doubled; `open` whether there are cells of words that nothing encloses.
    """

    error: str = ""
    quoted_broken: bool = False
    plain_broken: bool = False
    rows_differ: str = ""
    merged: str = ""
    doubled: bool = False
    open: bool = False


def _survey(head: Dialect, plain: Dialect, lines: Lines, fields: Fields) -> _Survey:
    survey = _Survey()
    scores = fields.match(head.columns).get(fields.number, ())
    score = head.columns.index(scores[0]) if scores else None
    of_row: list[list[str]] = []  # the lines of a row, as cells in which marks are text

    def watched() -> Iterator[str]:
        for number, line in enumerate(lines(), start=1):
            cells = head.split(line)
            of_row.append(cells)
            if number > head.skipped and has_text(cells):
                survey.plain_broken |= not plain.is_whole(cells)
                survey.doubled |= any(_is_enclosed(cell) and '""' in cell[1:-1] for cell in cells)
                survey.open |= any(not _is_enclosed(cell) and not is_number(cell) for cell in cells if cell)
            yield line

    reading = watched()
    try:
        for line, cells in head.quoted_rows(reading):
            if line > head.skipped and has_text(cells):
                survey.quoted_broken |= not head.is_whole(cells)
                if len(of_row) > 1:
                    where = f"lines {line - len(of_row) + 1} to {line}"
                    survey.rows_differ = survey.rows_differ or where
                    if score is not None and all(plain.is_whole(row) and is_number(row[score]) for row in of_row):
                        survey.merged = survey.merged or where
            of_row.clear()
    except TableError as error:
        survey.error = str(error)
        for _ in reading:
            of_row.clear()
    return survey


def _with_quoting(head: Dialect, lines: Lines, fields: Fields) -> Dialect:
    """Decide what quotation marks mean: the reading in which all rows are whole.

    Where both are, commas and semicolons go with enclosed cells (RFC 4180); with others, marks enclose if they are
    doubled inside, or all words are enclosed. Where the two have other rows, a line that is a whole row with its
    number is one, but not against the custom of commas: then, and where there is no number, raises TableError.
    """
    if not any('"' in line for line in lines()):
        return head
    plain = replace(head, quoted=False)
    if head.header:
        names = [name.strip() for name in head.split(next(islice(lines(), head.skipped - 1, None)))]
        if all(map(_is_enclosed, names)):
            return head
        plain = replace(plain, columns=tuple(names))
    survey = _survey(head, plain, lines, fields)
    if survey.error and _is_escaped(head, plain, lines, fields):
        return replace(head, escaped=True).saying("its quotation marks inside cells have a backslash before them")
    as_text, enclosing = "its quotation marks are read as text", "its quotation marks are read as enclosing cells"
    by_custom = head.delimiter in _QUOTED_BY_CUSTOM
    if survey.error:
        return head if by_custom and survey.plain_broken else plain.saying(as_text)
    if survey.merged and not by_custom:
        return plain.saying(f"{as_text}, since {survey.merged} are whole rows then")
    if survey.merged or (survey.rows_differ and survey.quoted_broken == survey.plain_broken):
        raise TableError(
            f"{survey.merged or survey.rows_differ} are one row if quotation marks enclose cells, and several if "
            "they are text, and nothing tells which. Write the file as JSONL or parquet, or take the marks out"
        )
    if survey.quoted_broken != survey.plain_broken:
        if survey.quoted_broken:
            return plain.saying(as_text)
        spans = f"; {survey.rows_differ} are one row" if survey.rows_differ else ""
        return head if by_custom else head.saying(f"{enclosing}{spans}")
    if by_custom:
        return head
    if survey.doubled or not survey.open:
        return head.saying(enclosing)
    return plain.saying(as_text)


def _is_escaped(head: Dialect, plain: Dialect, lines: Lines, fields: Fields) -> bool:
    """Say whether all rows are whole if a mark after a backslash is part of a cell that others enclose."""
    marked = [line for line in lines() if _BACKSLASH.search(line)]
    survey = _survey(replace(head, escaped=True), plain, lines, fields) if marked else None
    if survey is None or survey.error or survey.quoted_broken or survey.merged:
        return False
    cells = [cell for line in marked for cell in plain.split(line) if _BACKSLASH.search(cell)]
    return survey.plain_broken or all(map(_is_enclosed, cells))
