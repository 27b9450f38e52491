"""Random tables in every format: the rows that were written, or one clear error; never fewer rows."""

import csv
import io
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evalkit.errors import DataError
from evalkit.tasks.checks import Problems
from evalkit.tasks.reading import read_rows
from evalkit.tasks.rows import CORPUS, PAIRS, QRELS

sys.path.append(str(Path(__file__).parents[1] / "tasks"))
from table_files import COMPRESSIONS, FORMATS, by_csv, by_writer

FUZZ = settings(max_examples=80, deadline=None, derandomize=True)
PIECES = st.sampled_from(
    ["a", "cat", " ", "  ", '"', '""', "'", ",", ";", "|", "\t", "\n", "\r\n", "\\", '\\"', "é", "猫", "\u2028",
     "\x85", "\ufeff", "{", "[", "}", ":", "#", "1", "4,2", "1e5", "NaN", "null", "score", "text", "\u00a0", "\x1c"]
)  # fmt: skip
"""No carriage return alone: Python before 3.13 does not quote it, and so loses it in writing."""
TEXTS = st.lists(PIECES, min_size=1, max_size=6).map("".join).filter(str.strip)
NUMBERS = st.sampled_from([0.0, 0.5, 1.0, 4.2, 5.0, -1.0, 1e-5])
IDS = st.text(alphabet="ab1-_.é", min_size=1, max_size=4)

TABLES = {
    "pairs": (PAIRS, st.tuples(TEXTS, TEXTS, NUMBERS), ["sentence1", "sentence2", "score"]),
    "corpus": (CORPUS, st.tuples(IDS, TEXTS), ["_id", "text"]),
    "titled corpus": (CORPUS, st.tuples(TEXTS, IDS, TEXTS), ["title", "_id", "text"]),
    "qrels": (QRELS, st.tuples(IDS, IDS, NUMBERS), ["query-id", "corpus-id", "score"]),
}
RAW = {
    "raw tsv": ("\t", "\n"), "raw tsv with crlf": ("\t", "\r\n"), "raw bars": ("|", "\n"),
    "tabs behind": ("\t", "\t\n"), "blank lines": ("\t", "\n\n"),
}  # fmt: skip
"""Cells joined as they are, as GLUE and many others write them: only what holds neither delimiter nor line end."""


def raw(frame: pd.DataFrame, delimiter: str, end: str) -> bytes | None:
    rows = [list(frame.columns), *frame.astype(str).values.tolist()]
    if any(delimiter in cell or "\n" in cell or "\r" in cell for row in rows for cell in row):
        return None
    return "".join(delimiter.join(row) + end for row in rows).encode()


def written(frame: pd.DataFrame, form: str) -> tuple[str, bytes | None]:
    if form in RAW:
        return (".tsv", raw(frame, *RAW[form]))
    return (FORMATS[form][0], FORMATS[form][1](frame))


def rows_or_error(path: Path, fields, columns) -> list[tuple[object, ...]] | None:
    """The rows as our own readers take them; None where there is an error, which must name the file."""
    problems = Problems(path)
    rows = [
        tuple(row.number(name) if name == "score" else row.text(name) for name in columns)
        for row in read_rows(path, fields, problems)
    ]
    if problems.fatal:
        with pytest.raises(DataError, match=re.escape(path.name)):
            problems.settle("error")
        return None
    problems.settle("error")
    return rows


def same(found, frame) -> bool:
    return [tuple(map(str, row)) for row in found] == [tuple(map(str, row)) for row in frame.values.tolist()]


TABLE = st.sampled_from(list(TABLES)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.lists(TABLES[kind][1], min_size=1, max_size=5))
)


@pytest.mark.parametrize("form", [*FORMATS, *RAW])
def test_rows_come_back_or_one_error(form, tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    gave = {True: 0, False: 0}

    @FUZZ
    @given(TABLE, st.sampled_from(list(COMPRESSIONS)))
    def check(table, compression):
        kind, values = table
        fields, _, columns = TABLES[kind]
        frame = pd.DataFrame(values, columns=columns)
        suffix, content = written(frame, form)
        if content is None:
            return
        path = folder / f"table{suffix}{compression}"
        path.write_bytes(COMPRESSIONS[compression](content))
        found = rows_or_error(path, fields, columns)
        gave[found is not None] += 1
        assert found is None or same(found, frame) or _is_other_reading(found, frame, content), content

    check()
    assert gave[True] > gave[False], "most of it is read"
    if form in ("jsonl", "jsonl called json", "json of rows", "json of columns", "json of lists", "parquet"):
        assert gave[False] == 0, "what is never in doubt is never refused"


def _is_other_reading(found, frame, content) -> bool:
    """Whether rows differ in quotation marks alone, which a note says: as many rows, with the same words."""
    bare = [[str(cell).replace('"', "") for cell in row] for row in frame.values.tolist()]
    return b'"' in content and [[str(cell).replace('"', "") for cell in row] for row in found] == bare


@FUZZ
@given(st.binary(max_size=300), st.sampled_from([".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet"]))
@example(b"", ".csv")
@example(b"\x28\xb5\x2f\xfd", ".csv")
@example(b"\xfd7zXZ\x00", ".jsonl")
@example(b"BZh9", ".tsv")
@example(b"\xff\xfe\x00", ".csv")
@example(b"\xff\xfe\x00\x00\x01", ".json")
@example(b"PAR1", ".txt")
def test_any_bytes_are_rows_or_one_error(tmp_path_factory, content, suffix):
    path = tmp_path_factory.mktemp("bytes") / f"table{suffix}"
    for fields in (PAIRS, CORPUS, QRELS):
        path.write_bytes(content)
        rows_or_error(path, fields, list(fields.needed))


@pytest.mark.parametrize("cut", range(0, 60, 7))
@pytest.mark.parametrize("compression", [name for name in COMPRESSIONS if name])
def test_a_file_that_is_broken_off_is_never_a_shorter_one(compression, cut, tmp_path):
    content = COMPRESSIONS[compression](b"sentence1\tsentence2\tscore\n" + b"a cat\tthe cat\t4.5\n" * 50)
    path = tmp_path / f"pairs.tsv{compression}"
    path.write_bytes(content[: max(6, len(content) - 1 - cut)])
    assert rows_or_error(path, PAIRS, ["sentence1", "sentence2", "score"]) is None


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("write", [by_csv, by_writer])
def test_every_way_to_quote_is_read_as_it_was_written(write, quoting, delimiter, tmp_path):
    cells = ["plain", "comma, semicolon; bar| tab\t", 'a "mark"', '"enclosed"', "two\nlines", "l'été", "a,b;c|d\te\n"]
    frame = pd.DataFrame({"_id": [f"d{row}" for row in range(len(cells))], "text": cells})
    how = {"sep": delimiter} if write is by_csv else {"delimiter": delimiter}
    path = tmp_path / "corpus.csv"
    path.write_bytes(write(frame, quoting=quoting, **how))
    assert same(rows_or_error(path, CORPUS, ["_id", "text"]), frame)


def test_pandas_and_the_reader_agree_on_glue(tmp_path):
    """The same rows as pandas with quoting off, which is how GLUE's files are to be read."""
    content = 'index\tsentence1\tsentence2\tscore\n0\t"It is over\tThe "end"\t4.0\n1\tA dog runs."\tcats\t0.2\n'
    expected = pd.read_csv(io.StringIO(content), sep="\t", quoting=csv.QUOTE_NONE)
    (tmp_path / "dev.tsv").write_text(content)
    columns = ["sentence1", "sentence2", "score"]
    assert same(rows_or_error(tmp_path / "dev.tsv", PAIRS, columns), expected[columns])
