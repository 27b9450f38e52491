"""Every format, compression, encoding and layout gives the same task; what cannot be told is refused."""

import gzip
import json
import os

import numpy as np
import pandas as pd
import pytest
from table_files import COMPRESSIONS, FORMATS

from evalkit.errors import ConfigError, DataError
from evalkit.picking.documents import Folder, SourceFile
from evalkit.picking.questions import read_questions
from evalkit.results.published import read_published
from evalkit.tasks import _blocks as blocks
from evalkit.tasks import load_task
from evalkit.tasks._blocks import BlockCorpus

PAIRS = pd.DataFrame(
    {
        "sentence1": ["A cat, asleep; or |not|", 'He said "no"\tand left', "über\u2028allem 猫"],
        "sentence2": ["A cat", "", "été"],
        "score": [4.5, 0.25, 3.0],
    }
).assign(sentence2=["A cat", "He left", "été"])
CORPUS = pd.DataFrame(
    {"_id": ["d1", "d2", "d3"], "title": ["Cats", "", 'The "dog"'], "text": ["They sleep.\nLong.", "a, b", "x;y\tz"]}
)
QUERIES = pd.DataFrame({"_id": ["q1", "q2"], "text": ["who sleeps?", "what is a, b"]})
QRELS = pd.DataFrame({"query-id": ["q1", "q2", "q2"], "corpus-id": ["d1", "d2", "d3"], "score": [1, 2, 0]})


def beir(folder, write=FORMATS["jsonl"], compression="", corpus=CORPUS, queries=QUERIES, qrels=QRELS):
    suffix, to_bytes = write
    (folder / "qrels").mkdir(parents=True)
    for name, frame in {"corpus": corpus, "queries": queries, "qrels/test": qrels}.items():
        (folder / f"{name}{suffix}{compression}").write_bytes(COMPRESSIONS[compression](to_bytes(frame)))
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return load_task(str(beir(tmp_path_factory.mktemp("plain") / "task")))


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("form", FORMATS)
def test_the_same_tasks_in_every_format(form, compression, plain, tmp_path, monkeypatch):
    suffix, to_bytes = FORMATS[form]
    task = load_task(str(beir(tmp_path / "task", FORMATS[form], compression)))
    assert (tuple(task.corpus), task.queries, task.qrels) == (plain.corpus, plain.queries, plain.qrels)
    assert task.content_hash == plain.content_hash
    monkeypatch.setattr(blocks, "IN_MEMORY_BYTES", 10)
    on_disk = load_task(str(tmp_path / "task"))
    assert isinstance(on_disk.corpus, BlockCorpus)
    assert tuple(on_disk.corpus) == plain.corpus
    pairs = tmp_path / f"pairs{suffix}{compression}"
    pairs.write_bytes(COMPRESSIONS[compression](to_bytes(PAIRS)))
    sts = load_task(str(pairs))
    assert (sts.name, sts.sentences1, sts.sentences2) == ("pairs", tuple(PAIRS.sentence1), tuple(PAIRS.sentence2))
    np.testing.assert_array_equal(sts.gold, PAIRS.score)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("form", [form for form in FORMATS if form != "parquet"])
def test_the_same_pairs_in_every_encoding_that_says_so(form, encoding, tmp_path):
    suffix, to_bytes = FORMATS[form]
    (tmp_path / f"pairs{suffix}").write_bytes(to_bytes(PAIRS).decode().encode(encoding))
    assert load_task(str(tmp_path / f"pairs{suffix}")).sentences1 == tuple(PAIRS.sentence1)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16-le", "utf-16-be"])
def test_an_encoding_that_nothing_says_is_refused_with_its_lines(encoding, tmp_path):
    text = "sentence1,sentence2,score\na,b,1\ncafé,b,2\n"
    (tmp_path / "pairs.csv").write_bytes(text.encode(encoding))
    with pytest.raises(DataError, match=r"pairs\.csv: (not UTF-8.*line 3|NUL characters)"):
        load_task(str(tmp_path / "pairs.csv"))


def read(tmp_path, content, name="pairs.tsv"):
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    return load_task(str(tmp_path / name))


HEAD = "sentence1\tsentence2\tscore\n"
QUOTING = {
    "two rows with stray marks": (HEAD + '"a\tb\t1\nc"\td\t2\n', ['"a', 'c"'], "read as text"),
    "a mark in front": (HEAD + '"a" he said\tb\t1\nc\td\t2\n', ['"a" he said', "c"], "read as text"),
    "a whole sentence in marks": (HEAD + '"a"\tb\t1\nc\td\t2\n', ['"a"', "c"], "read as text"),
    "marks inside": (HEAD + 'a "b" c\tb\t1\nc\td\t2\n', ['a "b" c', "c"], ""),
    "doubled marks, as pandas has them": (HEAD + '"a ""b"" c"\tb\t1\nc\td\t2\n', ['a "b" c', "c"], "enclosing"),
    "a tab in marks": (HEAD + '"a\tb"\tb\t1\nc\td\t2\n', ["a\tb", "c"], "enclosing"),
    "a line end in marks": (HEAD + '"a\nb"\tb\t1\nc\td\t2\n', ["a\nb", "c"], "lines 2 to 3 are one row"),
    "all words in marks": (HEAD + '"a"\t"b"\t1\n"c"\t"d"\t2\n', ["a", "c"], ""),
    "a header in marks too": ('"sentence1"\t"sentence2"\t"score"\n"a"\t"b"\t1\n"c"\t"d"\t2\n', ["a", "c"], ""),
    "blank lines and tabs behind": (HEAD + "a\tb\t1\t\t\n\n\t\t\nc\td\t2\t\n\n", ["a", "c"], ""),
    "crlf": ((HEAD + "a\tb\t1\nc\td\t2\n").replace("\n", "\r\n"), ["a", "c"], ""),
    "old mac": ((HEAD + "a\tb\t1\nc\td\t2\n").replace("\n", "\r"), ["a", "c"], ""),
    "what Excel writes above": ("sep=;\n" + (HEAD + "a\tb\t1,5\nc\td\t2\n").replace("\t", ";"), ["a", "c"], ""),
}  # fmt: skip


@pytest.mark.parametrize("case", QUOTING)
def test_what_quotation_marks_mean_is_told_by_the_rows(case, tmp_path):
    content, expected, note = QUOTING[case]
    task = read(tmp_path, content)
    assert list(task.sentences1) == expected
    assert note in " ".join(task.notes)


AMBIGUOUS = {
    "commas": ("pairs.csv", 'sentence1,sentence2,score\n"a,b,1\nc",d,2\n'),
    "semicolons": ("pairs.csv", 'sentence1;sentence2;score\n"a;b;1,5\nc";d;2,5\n'),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_rows_that_could_be_one_are_refused_with_their_lines(case, tmp_path):
    name, content = AMBIGUOUS[case]
    with pytest.raises(DataError, match="lines 2 to 3 are one row if quotation marks enclose cells"):
        read(tmp_path, content, name)


def test_a_corpus_whose_lines_could_be_rows(tmp_path):
    folder = beir(tmp_path / "task")
    (folder / "corpus.jsonl").unlink()
    (folder / "corpus.tsv").write_text('_id\ttext\nd1\t"one\nd2\ttwo"\nd3\tthree\n')
    with pytest.raises(DataError, match=r"corpus\.tsv: lines 2 to 3"):
        load_task(str(folder))


ESCAPED = {
    "commas inside": ("pairs.csv", r'"he, \"hi\"","c",3' "\n" r'"x","y, \"z\"",1', ['he, "hi"', "x"]),
    "whole rows as text too": ("pairs.csv", r'"he \"hi\"","c",3' "\n" r'"x","y",1', ['he "hi"', "x"]),
    "other backslashes": ("pairs.csv", r'"C:\temp, \"x\"","c",3' "\n" r'"x\n","y",1', [r'C:\temp, "x"', r"x\n"]),
    "line ends inside": ("pairs.csv", '"a \\"b\\"\n,c","d",3\n"x","y",1', ['a "b"\n,c', "x"]),
    "doubled ones too": ("pairs.csv", r'"he, \"hi\"","c",3' "\n" '"x ""y"", z","y",1', ['he, "hi"', 'x "y", z']),
    "semicolons": ("pairs.csv", r'"he; \"hi\"";"c";3' "\n" r'"x";"y";1', ['he; "hi"', "x"]),
    "tabs": ("pairs.tsv", '"he \\"hi\\""\t"c"\t3\n"x"\t"y"\t1', ['he "hi"', "x"]),
}


@pytest.mark.parametrize("case", ESCAPED)
def test_marks_after_a_backslash_are_part_of_their_cell(case, tmp_path):
    name, rows, expected = ESCAPED[case]
    delimiter = next(mark for mark in ";\t," if mark in rows and (mark != "," or name.endswith("csv")))
    task = read(tmp_path, delimiter.join(["sentence1", "sentence2", "score"]) + f"\n{rows}\n", name)
    assert list(task.sentences1) == expected
    assert "have a backslash before them" in " ".join(task.notes)


@pytest.mark.parametrize("row", ['say \\"hi\\" now\t"c\t3', '"a\\" b\tc\t3', '\\"a\\"\t"b\t3'])
def test_backslashes_of_cells_that_nothing_encloses_are_text(row, tmp_path):
    task = read(tmp_path, f"{HEAD}{row}\nx\ty\t1\n")
    assert task.sentences1[0] == row.split("\t")[0]


@pytest.mark.parametrize("row", [r'"he, "hi" there","c",3', '"a, b" ,"c" ,1'])
def test_marks_that_nothing_can_be_made_of_say_how_to_write_them(row, tmp_path):
    with pytest.raises(DataError, match="write a quotation mark twice; or write the file as JSONL"):
        read(tmp_path, f"sentence1,sentence2,score\n{row}\n", "pairs.csv")


def test_a_cell_of_any_length(tmp_path):
    long = "word " * 60_000
    assert read(tmp_path, f"sentence1,sentence2,score\n{long},b,1\nc,d,2\n", "pairs.csv").sentences1[0] == long


WITHOUT_HEADER = {
    "the official STSbenchmark": ('main\tx\t2012\t0\t4.5\ta\tb\nmain\tx\t2012\t1\t0\t"c\td\tx\ty\n', ["a", '"c']),
    "score first": ("4.5\ta\tb\n0\tc\td\n", ["a", "c"]),
    "score between": ("a,4.5,b\nc,0,d\n", ["a", "c"]),
    "score last": ("a|b|4.5\nc|d|0\n", ["a", "c"]),
}  # fmt: skip


@pytest.mark.parametrize("case", WITHOUT_HEADER)
def test_pairs_without_a_header(case, tmp_path):
    content, expected = WITHOUT_HEADER[case]
    task = read(tmp_path, content, "sts-test.csv")
    assert (list(task.sentences1), task.gold.tolist()) == (expected, [4.5, 0])
    assert "it has no header" in task.notes[0]


@pytest.mark.parametrize("content", ["a,b\nc,d\n", "1,2,3\n4,5,6\n", "a,b,c\nd,e,f\n", "one,two,3\nfour,five,six\n"])
def test_columns_that_nothing_names_are_refused(content, tmp_path):
    with pytest.raises(DataError, match=r"pairs\.csv: no field 'sentence1'; the columns are .*; needed: sentence1"):
        read(tmp_path, content, "pairs.csv")


SPACED = {
    "commas": ('sentence1, sentence2, score\n"a, b", c, 4.5\nd, "e, f", 0\n', "pairs.csv"),
    "commas, no header": ('"a, b", c, 4.5\nd, "e, f", 0\n', "pairs.csv"),
    "semicolons": ('sentence1;sentence2;score\n"a, b"; c; 4,5\nd; "e, f"; 0\n', "pairs.csv"),
    "tabs": ("sentence1\tsentence2\tscore\na, b\t c\t 4.5\nd\t e, f\t 0\n", "pairs.tsv"),
}


@pytest.mark.parametrize("case", SPACED)
def test_blanks_behind_delimiters_are_no_part_of_a_cell(case, tmp_path):
    task = read(tmp_path, *SPACED[case])
    assert (task.sentences1, task.sentences2, task.gold.tolist()) == (("a, b", "d"), ("c", "e, f"), [4.5, 0])
    assert "the blanks behind its delimiters are no part of a cell" in " ".join(task.notes)


def test_a_blank_that_begins_some_cells_is_text(tmp_path):
    task = read(tmp_path, "sentence1,sentence2,score\na, b,1\nc,d,2\n", "pairs.csv")
    assert task.sentences2 == (" b", "d")


def test_two_columns_that_could_be_the_score(tmp_path):
    with pytest.raises(DataError, match=r"'score' and 'label' could each be 'score', and differ.*line 3"):
        read(tmp_path, "sentence1,sentence2,score,label\na,b,1,1\nc,d,2,0\n", "pairs.csv")
    assert read(tmp_path, "s1,s2,similarity,label\na,b,1,1\nc,d,2,2\n", "same.csv").gold.tolist() == [1, 2]
    with pytest.raises(DataError, match="two columns are called 'score'"):
        read(tmp_path, "sentence1,sentence2,score,score\na,b,1,1\n", "twice.csv")


@pytest.mark.parametrize(
    ("columns", "meant"), [("sentence1,sentence2,scor", "scor"), ("sentence_one,sentence2,score", "sentence_one")]
)
def test_a_missing_column_names_the_nearest(columns, meant, tmp_path):
    with pytest.raises(DataError, match=f"Is '{meant}' meant"):
        read(tmp_path, f"{columns}\na,b,1\n", "pairs.csv")


@pytest.mark.parametrize("kind", ["int64", "float64", "object"])
@pytest.mark.parametrize("form", ["parquet", "jsonl", "json of lists"])
def test_ids_are_numbers_in_one_file_and_strings_in_another(form, kind, tmp_path):
    corpus, queries = CORPUS.assign(_id=["1", "2", "30"]), QUERIES.assign(_id=["7", "8"])
    ids = {"query-id": [7, 8, 8], "corpus-id": [1, 2, 30]}
    qrels = pd.DataFrame({name: pd.Series(values, dtype=kind) for name, values in ids.items()}).assign(score=1)
    task = load_task(str(beir(tmp_path, FORMATS[form], "", corpus, queries, qrels)))
    assert task.qrels == {"7": {"1": 1}, "8": {"2": 1, "30": 1}}


TREC = {
    "blanks": "q1 0 d1 1\nq2  Q0  d2  2\n\nq2 0 d3 0\n",
    "tabs": "q1\t0\td1\t1\nq2\t0\td2\t2\nq2\t0\td3\t0\n",
    "three columns": "q1\td1\t1\nq2\td2\t2\nq2\td3\t0\n",
    "commas": "q1,0,d1,1\nq2,0,d2,2\nq2,0,d3,0\n",
    "other names": "qid iter docno rel\n".replace(" ", "\t") + "q1\t0\td1\t1\nq2\t0\td2\t2\nq2\t0\td3\t0\n",
}


@pytest.mark.parametrize("name", ["qrels.txt", "robust04.qrels", "qrels", "a.tsv"])
@pytest.mark.parametrize("form", TREC)
def test_judgements_of_trec_by_path(form, name, plain, tmp_path):
    folder = beir(tmp_path)
    (folder / name).write_text(TREC[form]) if name != "qrels" else (folder / "qrels" / "trec").write_text(TREC[form])
    path = "qrels/trec" if name == "qrels" else name
    (folder / "task.yaml").write_text(f"type: retrieval\nsplits: {{dev: {path}}}\n")
    assert load_task(str(folder)).qrels == plain.qrels


JUDGED = {
    "blanks and a header": ("query-id corpus-id score\nq1 d1 1\nq2 d2 2\nq2 d3 0\n", "txt"),
    "blanks and TREC's header": ("qid iter docno rel\nq1 0 d1 1\nq2 0 d2 2\nq2 0 d3 0\n", "txt"),
    "three columns by blanks": ("q1 d1 1\nq2   d2 2\nq2 d3 0\n", "txt"),
    "a blank behind each comma": ("q1, d1, 1\nq2, d2, 2\nq2, d3, 0\n", "csv"),
}


@pytest.mark.parametrize("case", JUDGED)
def test_judgements_as_people_write_them(case, plain, tmp_path):
    content, suffix = JUDGED[case]
    folder = beir(tmp_path / "task")
    (folder / "qrels" / "test.jsonl").unlink()
    (folder / "qrels" / f"test.{suffix}").write_text(content)
    assert load_task(str(folder)).qrels == plain.qrels


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("q1\td1\nq2\td2\n", "the columns are 'q1', 'd1'.*Is its first line no header"),
        ("query-id\tcorpus-id\tscore\nq1\td1\tyes\n", "score is not a number .*line 2 has 'yes'"),
        ("query-id\tcorpus-id\tscore\nq1\td1\trelevant\n", "score is not a number .*line 2 has 'relevant'"),
        ("query-id\tcorpus-id\tscore\nq1\td1\t1,000\n", "score is not a number .*line 2 has '1,000'"),
        ("q1 0 d1 1\nq1 0 d2\n", "not query-id iteration corpus-id score .*line 2"),
    ],
)
def test_judgements_that_are_refused_with_what_is_wrong(rows, told, tmp_path):
    folder = beir(tmp_path / "task")
    (folder / "qrels" / "test.jsonl").unlink()
    (folder / "qrels" / "test.tsv").write_text(rows)
    with pytest.raises(DataError, match=rf"qrels/test\.tsv: (no field .*)?{told}"):
        load_task(str(folder))


def test_a_corpus_without_a_header(tmp_path):
    folder = beir(tmp_path / "task")
    (folder / "corpus.jsonl").unlink()
    (folder / "corpus.csv").write_text("d1,Cats,They sleep.\nd2,Dogs,They bark.\n")
    with pytest.raises(DataError, match=r"corpus\.csv: no field '_id'; .*first line no header\? Add '_id,text'"):
        load_task(str(folder))


def test_ids_that_went_through_floats(tmp_path):
    corpus, qrels = CORPUS.assign(_id=["1", "2", "3"]), QRELS.assign(**{"corpus-id": ["1.0", "2.0", "3.0"]})
    with pytest.raises(DataError, match=r"'1\.0' \(query 'q1'\); '1' is there: write ids without a point"):
        load_task(str(beir(tmp_path / "task", FORMATS["csv"], corpus=corpus, qrels=qrels)))


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ("corpus.jsonl", "Corpus.jsonl", "Is 'Corpus.jsonl' the corpus? Call it corpus.jsonl, or name it in task"),
        ("corpus.jsonl", "corpus_1.jsonl", "Is 'corpus_1.jsonl' the corpus? Call it corpus.jsonl"),
        ("corpus.jsonl", "documents.csv.gz", "Is 'documents.csv.gz' the corpus? Call it corpus.csv.gz"),
        ("queries.jsonl", "query.jsonl", "Is 'query.jsonl' the queries? Call it queries.jsonl"),
        ("queries.jsonl", "topics.tsv", "Is 'topics.tsv' the queries? Call it queries.tsv"),
        ("qrels/test.jsonl", "qrels.test.tsv", "Is 'qrels.test.tsv' the qrels? Call it qrels.tsv"),
        ("qrels/test.jsonl", "qrels-test.tsv", "Is 'qrels-test.tsv' the qrels? Call it qrels.tsv"),
        ("qrels/test.jsonl", "Qrels.tsv", "Is 'Qrels.tsv' the qrels? Call it qrels.tsv"),
    ],
)
def test_a_part_under_another_name_is_pointed_at(was, now, told, tmp_path):
    folder = beir(tmp_path / "task")
    (folder / was).rename(folder / now)
    with pytest.raises(ConfigError) as caught:
        load_task(str(folder))
    assert told in str(caught.value)


def test_parts_of_a_corpus_are_pointed_at(tmp_path):
    folder = beir(tmp_path / "task")
    (folder / "corpus.jsonl").rename(folder / "corpus_1.jsonl")
    (folder / "corpus_2.jsonl").write_text("{}")
    with pytest.raises(ConfigError, match=r"Are 'corpus_1.jsonl' and 'corpus_2.jsonl' the corpus\? Put them"):
        load_task(str(folder))


def test_judgements_without_a_score(tmp_path):
    task = load_task(str(beir(tmp_path / "a", FORMATS["parquet"], qrels=QRELS[["query-id", "corpus-id"]])))
    assert task.qrels == {"q1": {"d1": 1}, "q2": {"d2": 1, "d3": 1}}
    assert task.notes == ("qrels/test.parquet: it has no scores; each of its rows is relevant.",)
    filtered = QRELS[["query-id", "corpus-id"]].iloc[[0, 2]]  # pandas keeps the numbers of rows as a column
    assert len(load_task(str(beir(tmp_path / "b", FORMATS["parquet"], qrels=filtered))).queries) == 2
    with pytest.raises(
        DataError, match=r"qrels/test\.parquet: no field 'score'; the columns are .*'grad'.*Is 'grad'"
    ):
        load_task(str(beir(tmp_path / "c", FORMATS["parquet"], qrels=QRELS.rename(columns={"score": "grad"}))))


def shards(folder, name, frame, parts=2):
    folder.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(np.array_split(np.arange(len(frame)), parts)):
        frame.iloc[rows].to_parquet(folder / f"{name}-{number:05d}-of-{parts:05d}.parquet")


def test_shards_are_one_split(plain, tmp_path):
    for name, frame in {"corpus": CORPUS, "queries": QUERIES, "qrels": QRELS}.items():
        shards(tmp_path / "hub" / name, "test", frame)
    task = load_task(str(tmp_path / "hub"))
    assert (tuple(task.corpus), task.queries, task.qrels) == (plain.corpus, plain.queries, plain.qrels)
    shards(tmp_path / "sts" / "data", "dev", PAIRS, 3)
    assert load_task(str(tmp_path / "sts")).sentences1 == tuple(PAIRS.sentence1)
    for missing in ("hub/corpus/test-00001-of-00002", "sts/data/dev-00002-of-00003"):
        (tmp_path / f"{missing}.parquet").unlink()
        with pytest.raises(ConfigError, match=f"1 of the . parts .* are missing, the first {missing.split('/')[-1]}"):
            load_task(str(tmp_path / missing.split("/")[0]))
    with pytest.raises(ConfigError, match=r"is one of 3 parts of 'dev'\. Give the folder"):
        load_task(str(tmp_path / "sts/data/dev-00000-of-00003.parquet"))


SHARDS = {
    "from 0": ("test-0-of-2", "test-1-of-2"),
    "from 1": ("test-1-of-2", "test-2-of-2"),
    "with the word": ("test-part-1-of-2", "test-part-2-of-2"),
    "of the hub's parquet": ("0000", "0001"),
    "of Spark": ("part-00000-8f2a.snappy", "part-00001-8f2a.snappy"),
    "in a folder": ("test/0000", "test/0001"),
    "in a folder, by name": ("test/a", "test/b"),
}


@pytest.mark.parametrize("names", SHARDS.values(), ids=SHARDS)
def test_shards_however_they_are_called(names, plain, tmp_path):
    folder = beir(tmp_path / "task")
    (folder / "qrels" / "test.jsonl").unlink()
    for name, part in zip(names, (QRELS[:1], QRELS[1:]), strict=True):
        (folder / "qrels" / name).parent.mkdir(exist_ok=True)
        part.to_parquet(folder / "qrels" / f"{name}.parquet")
    assert load_task(str(folder)).qrels == plain.qrels
    for name, part in zip(names, (PAIRS[:1], PAIRS[1:]), strict=True):
        (tmp_path / "pairs" / "default" / name).parent.mkdir(parents=True, exist_ok=True)
        part.to_parquet(tmp_path / "pairs" / "default" / f"{name}.parquet")
    assert load_task(str(tmp_path / "pairs")).sentences1 == tuple(PAIRS.sentence1)


def test_what_may_be_parts_of_one_split_is_told(tmp_path):
    folder = beir(tmp_path / "task")
    (folder / "qrels" / "test.jsonl").unlink()
    for number, part in enumerate((QRELS[:1], QRELS[1:])):
        part.to_csv(folder / "qrels" / f"judged-{number}.csv", index=False)
    with pytest.raises(ConfigError, match=r"If they are parts of one split, put them into a folder judged/"):
        load_task(str(folder))


NO_DATA = {
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "a zip archive or a spreadsheet": b"PK\x03\x04" + bytes(100),
    "a web page": b"\n<!DOCTYPE html>\n<html><body>404</body></html>",
}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet", ".csv.gz"])
@pytest.mark.parametrize("what", NO_DATA)
def test_what_is_no_data_is_called_what_it_is(what, suffix, tmp_path):
    folder = beir(tmp_path / "task")
    for name in ("corpus", "qrels/test"):
        (folder / f"{name}.jsonl").unlink()
        (folder / f"{name}{suffix}").write_bytes(NO_DATA[what])
    (tmp_path / f"pairs{suffix}").write_bytes(NO_DATA[what])
    for path in (folder, tmp_path / f"pairs{suffix}"):
        with pytest.raises(DataError, match=f"cannot be read: {what}"):
            load_task(str(path))
    with pytest.raises(DataError, match=f"cannot be read: {what}"):
        read_questions(tmp_path / f"pairs{suffix}", Folder(None, (SourceFile("a.txt", "One."),), (), ""))


def test_each_split_has_its_own_corpus_where_the_folder_has_one(tmp_path):
    """As in a repository of many data sets, whose names are splits."""
    for split in ("one", "two"):
        for name, frame in {"corpus": CORPUS, "queries": QUERIES, "qrels": QRELS}.items():
            changed = frame if name == "qrels" else frame.assign(text=split + frame["text"])
            shards(tmp_path / name, split, changed, 1)
    for split in ("one", "two"):
        task = load_task(f"{tmp_path}?split={split}")
        assert all(document.text.startswith(split) for document in task.corpus)
        assert all(query.text.startswith(split) for query in task.queries)
    shards(tmp_path / "qrels", "three", QRELS, 1)
    with pytest.raises(ConfigError, match="has files for one, two, and none for three"):
        load_task(f"{tmp_path}?split=one")


TWICE = {
    "corpus.csv": "two files for the split 'corpus': corpus.csv and corpus.jsonl",
    "qrels/test.tsv": "two files for the split 'test': test.jsonl and test.tsv",
    "queries/part.csv": "both queries.jsonl and queries/",
    "qrels.tsv": "judgements in qrels.tsv and in qrels/",
}


@pytest.mark.parametrize("name", TWICE)
def test_two_files_for_one_thing(name, tmp_path):
    folder = beir(tmp_path)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("_id,text\n1,a\n")
    with pytest.raises(ConfigError, match=TWICE[name]):
        load_task(str(folder))


@pytest.mark.parametrize("what", ["a pipe", "a device", "a folder"])
def test_what_is_no_file_is_refused_at_once(what, tmp_path):
    path = tmp_path / "odd.csv"
    if what == "a pipe":
        os.mkfifo(path)
    elif what == "a device":
        path.symlink_to("/dev/null")
    else:
        path.mkdir()
    documents = Folder(None, (SourceFile("a.txt", "One."),), (), "")
    for read_it in (load_task, lambda name: read_questions(tmp_path / name, documents), read_published):
        with pytest.raises(ConfigError, match=what if read_it is not load_task else "not a task"):
            read_it(path if read_it is read_published else str(path))
    beir(tmp_path / "task")
    (tmp_path / "task" / "task.yaml").write_text("type: retrieval\nsplits: {test: odd.csv}\n")
    (tmp_path / "task" / "odd.csv").symlink_to(path)
    with pytest.raises(DataError, match=f"odd.csv: cannot be read: {what}"):
        load_task(str(tmp_path / "task"))


QUOTE = "Wipe it with a dry cloth."
RAGAS = {"user_input": ["how do I dry it"], "reference_contexts": [[QUOTE]], "reference": ["with a cloth"]}


def question_files():
    frame = pd.DataFrame(RAGAS)
    yield "ragas.csv", frame.to_csv(index=False).encode()
    yield "ragas.jsonl", frame.to_json(orient="records", lines=True).encode()
    yield "ragas.parquet", FORMATS["parquet"][1](frame)
    yield (
        "numpy.csv",
        f"user_input,reference_contexts\nhow do I dry it,\"['{QUOTE}'\n '<1-hop>\n\n{QUOTE}']\"\n".encode(),
    )
    yield "semicolons.csv", f"question;quote\nhow do I dry it;{QUOTE}\n".encode()
    yield "plain.tsv.gz", gzip.compress(f"Question\tPassage\nhow do I dry it\t{QUOTE}\n".encode())
    yield "rows.json", json.dumps([{"query": "how do I dry it", "context": QUOTE}]).encode()


@pytest.mark.parametrize(("name", "content"), question_files(), ids=[name for name, _ in question_files()])
@pytest.mark.filterwarnings("ignore::evalkit.tasks.DataWarning")
def test_questions_in_every_format(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    documents = Folder(None, (SourceFile("a.txt", f"# Care\n\n{QUOTE} Again."),), (), "")
    (question,) = read_questions(tmp_path / name, documents).questions
    assert question.text == "how do I dry it"
    assert {documents.files[0].text[span.start : span.end] for span in question.spans} == {QUOTE}
    assert question.tags == {}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.filterwarnings("ignore::evalkit.tasks.DataWarning")
def test_published_figures_in_every_format(form, tmp_path):
    suffix, to_bytes = FORMATS[form]
    figures = pd.DataFrame(
        {"task": ["t"], "split": ["s"], "model": ["m"], "reranker": ["none"], "metric": ["MRR@5"], "score": [0.5],
         "n": [178], "source": ["a post"]}
    )  # fmt: skip
    (tmp_path / f"figures{suffix}").write_bytes(to_bytes(figures))
    (score,) = read_published(tmp_path / f"figures{suffix}")
    assert (score.score, score.n, score.source) == (0.5, 178, "a post")


DECIMALS = {
    "tabs": "sentence1\tsentence2\tscore\na\tb\t4,2\nc\td\t0,25\ne\tf\t3\n",
    "commas": 'sentence1,sentence2,score\na,b,"4,2"\nc,d,"0,25"\ne,f,3\n',
    "semicolons": "sentence1;sentence2;score\na;b;4,2\nc;d;0,25\ne;f;3\n",
}


@pytest.mark.parametrize("case", DECIMALS)
def test_a_comma_is_a_decimal_point_where_it_can_be_nothing_else(case, tmp_path):
    task = read(tmp_path, DECIMALS[case], "pairs.csv")
    assert task.gold.tolist() == [4.2, 0.25, 3]
    assert case == "semicolons" or "its numbers have a comma as decimal point" in " ".join(task.notes)


@pytest.mark.parametrize("second", ["1,250", "0.5"])
def test_a_comma_that_may_stand_between_thousands_is_none(second, tmp_path):
    with pytest.raises(DataError, match="score is not a number"):
        read(tmp_path, f"{HEAD}a\tb\t4,200\nc\td\t{second}\n")


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl"])
def test_judgements_that_are_true_or_false(form, tmp_path):
    folder = beir(tmp_path / "task", FORMATS[form], qrels=QRELS.assign(score=[True, True, False]))
    assert load_task(str(folder)).qrels == {"q1": {"d1": 1}, "q2": {"d2": 1, "d3": 0}}


def test_a_header_of_other_names_is_not_taken_for_a_row(tmp_path):
    with pytest.raises(DataError) as caught:
        read(tmp_path, "question1,question2,is_duplicate\na,b,1\n", "pairs.csv")
    assert "the columns are 'question1', 'question2', 'is_duplicate'" in str(caught.value)
    assert "no header" not in str(caught.value)
