"""Hostile input, a row each: the right result, or one clear error before any model is loaded."""

import gzip
import json
import warnings

import numpy as np
import pandas as pd
import pytest
from hostile_tasks import CORPUS, HEAD, QRELS, QUERIES, beir, dataset, lines, pairs

import evalkit as package
from evalkit.errors import DataError, EvalkitError
from evalkit.reporting._tables import make_tables
from evalkit.reporting.table import to_markdown
from evalkit.results import Results
from evalkit.tasks import load_task

KEYS = {"models": "bm25,tfidf", "rerankers": "bow", "metrics": "hit_rate@1,MRR@2", "device": "cpu", "no_store": True}

IDS = {
    "comma": "a,b", "double quote": 'say "a"', "single quote": "it's", "newline": "a\nb", "carriage return": "a\r\nb",
    "tab": "a\tb", "slash": "a/b", "up and out": "../../a", "absolute": "/etc/passwd", "backslash": "a\\b",
    "nul": "a\0b", "line separator": "a\u2028b", "right to left": "شارع", "override": "a\u202eb", "emoji": "👩‍👩‍👧‍👦",
    "blank before": " a", "blank behind": "a ", "only blanks": "   ", "empty": "", "nan": "NaN", "null": "null",
    "none": "none", "number": "007", "exponent": "1e5", "formula": "=1+1", "tag": "<script>alert(1)</script>",
    "long": "a" * 5_000, "pipe": "a|b", "percent": "%s%d", "braces": "{0}{a}", "bom": "\ufeffa", "composed": "é",
    "backtick": "`a`", "markup": "[bold]a[/bold]",
}  # fmt: skip
"""An id in place of d1, and of q1 too."""

TEXTS = {
    "nul": "cats sleep\0on warm roofs",
    "right to left": "القطط تنام على الأسطح cats sleep",
    "override": "cats \u202e sleep",
    "emoji": "cats sleep 👩‍👩‍👧‍👦 🏳️‍🌈 on roofs",
    "1 MB without a blank": "cats sleep " + "x" * 1_000_000,
    "5 MB": "cats sleep " * 450_000,
    "crlf": "cats sleep\r\non warm\r\nroofs\r\n",
    "bom inside": "cats \ufeff sleep",
    "separators": "cats\u2028sleep\u2029on\x85roofs",
    "control characters": "cats sleep" + "".join(map(chr, range(1, 32))),
    "combining": "cats sleep " + "a" + "\u0301" * 10_000,
    "private use": "cats sleep \ue000\uf8ff\U0010ffff",
    "markup": "cats sleep </script><script>alert(1)</script> [bold]{{ jinja }}",
    "tabs": "\t\tcats\tsleep\t",
    "no case": "ＣＡＴＳ cats sleep ǅ ß İ",
    "chinese": "猫在温暖的屋顶上睡觉 cats sleep",
    "json": '{"cats": ["sleep", NaN]}',
    "noncharacter": "cats sleep \ufffe\uffff",
    "a pair of surrogates": "cats sleep \U0001f600",
    "words of one letter": "cats sleep " + "a b c " * 20_000,
}
"""A text in place of d1's, about cats that sleep like it."""


def ran(task: str, out) -> Results:
    """The results, equal to what can be read back; nothing failed."""
    results = package.run(tasks=task, out=out, **KEYS)
    assert results.failures == []
    read = Results.read(out)
    pd.testing.assert_frame_equal(read.scores, results.scores, check_categorical=False)
    pd.testing.assert_frame_equal(read.records, results.records, check_categorical=False)
    pd.testing.assert_frame_equal(read.evidence.rankings, results.evidence.rankings, check_categorical=False)
    assert len(pd.read_csv(out / "leaderboard.csv", keep_default_na=False)) == 4
    return results


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    task = dataset(folder / "data", CORPUS, QUERIES, {"q1": ["d1"], "q2": ["d2"]})
    return ran(task, folder / "out")


def test_an_id_is_a_name_and_nothing_more(tmp_path):
    """Scores and rankings are those of plain ids; each id comes back as it was."""
    odd = dict(zip((f"n{number}" for number in range(len(IDS))), IDS.values(), strict=True))

    def ran_with(ids, folder):
        corpus = [(each, f"animal{number} sleeps on roof{number}") for number, each in enumerate(ids)]
        queries = [(each, f"where does animal{number} sleep") for number, each in enumerate(ids)]
        return ran(dataset(folder / "data", corpus, queries, {each: [each] for each in ids}), folder / "out")

    results, plain = ran_with(odd.values(), tmp_path / "odd"), ran_with(odd, tmp_path / "plain")
    columns = ["model", "reranker", "metric", "score", "n"]
    pd.testing.assert_frame_equal(results.scores[columns], plain.scores[columns], check_categorical=False)
    found, expected = (run.evidence.rankings.astype({"query": str, "document": str}) for run in (results, plain))
    # The others have no word of the query, and equal scores are in the order of ids.
    first = found["rank"] == 1
    assert first.sum() == 4 * len(IDS), "each question finds something by each of two models, reranked or not"
    assert found.loc[first, "query"].tolist() == expected.loc[first, "query"].map(odd).tolist()
    assert found.loc[first, "document"].tolist() == found.loc[first, "query"].tolist()
    board = (tmp_path / "odd" / "out" / "leaderboard.md").read_text()
    assert len(board.split("\n")) == len(to_markdown(make_tables(plain)).split("\n")), "no row is cut"
    assert {path.name for path in tmp_path.iterdir()} == {"odd", "plain"}, "nothing is written elsewhere"
    assert {path.name for path in (tmp_path / "odd").iterdir()} == {"data", "out"}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_read_as_it_is(name, tmp_path):
    text = TEXTS[name]
    folder = beir(tmp_path / "data", corpus=[("d1", text), *CORPUS[1:]])
    assert load_task(folder).corpus[0].text == text
    results = ran(folder, tmp_path / "out")
    top = results.evidence.rankings.query("query == 'q1' and rank == 1")
    assert set(top["document"]) == {"d1"}, "both retrievers find it, and the reranker leaves it first"
    documents = results.evidence.documents.set_index("document")["text"]
    assert documents["d1"] == text


def test_composed_and_decomposed_are_two_ids(tmp_path):
    corpus = [("é", CORPUS[0][1]), ("e\u0301", CORPUS[1][1]), *CORPUS[2:]]
    task = load_task(dataset(tmp_path / "data", corpus, QUERIES, {"q1": ["é"], "q2": ["e\u0301"]}))
    assert [document.id for document in task.corpus] == ["é", "e\u0301", "d3"]
    assert dict(task.qrels) == {"q1": {"é": 1}, "q2": {"e\u0301": 1}}


HALF = b'{"_id": "d1", "text": "cats \\ud83d sleep"}\n'
REFUSED = {
    "half a pair in a document": ({"corpus": HALF}, "half a surrogate pair.*line 1"),
    "half a pair in an id": ({"corpus": b'{"_id": "d\\uDE00", "text": "cats"}\n'}, "half a surrogate pair"),
    "half a pair in a query": ({"queries": b'{"_id": "q1", "text": "\\ude00\\ud83d"}\n'}, "half a surrogate pair"),
    "half a pair in metadata": (
        {"queries": b'{"_id": "q1", "text": "a", "metadata": {"kind": "\\ud800"}}\n'}, "half a surrogate pair"
    ),
    "empty corpus": ({"corpus": b""}, "the corpus has no documents|judgement of an absent document"),
    "empty queries": ({"queries": b""}, "judgement of an absent query"),
    "empty qrels": ({"qrels": b""}, "no query has a judgement above 0"),
    "qrels of a header alone": ({"qrels": HEAD.encode()}, "no query has a judgement above 0"),
    "empty text": ({"corpus": [("d1", ""), *CORPUS[1:]]}, "document with no text.*'d1'"),
    "blank query": ({"queries": [("q1", " \n\t"), *QUERIES[1:]]}, "query with no text.*'q1'"),
    "repeated document": ({"corpus": [*CORPUS, ("d1", "again")]}, "repeated document id.*'d1'"),
    "repeated query": ({"queries": [*QUERIES, ("q1", "again")]}, "repeated query id.*'q1'"),
    "qrels to no document": ({"qrels": [*QRELS, ("q1", "d9", 1)]}, "absent document.*'d9'"),
    "qrels of no query": ({"qrels": [*QRELS, ("q9", "d1", 1)]}, "absent query.*'q9'"),
    "all grades 0": ({"qrels": [("q1", "d1", 0), ("q2", "d2", 0)]}, "no query has a judgement above 0"),
    "all grades negative": ({"qrels": [("q1", "d1", -1), ("q2", "d2", -2)]}, "no query has a judgement above 0"),
    "nan grade": ({"qrels": [*QRELS, ("q1", "d2", "nan")]}, "score is not finite.*line 4"),
    "infinite grade": ({"qrels": [*QRELS, ("q1", "d2", "-inf")]}, "score is not finite"),
    "grade beyond floats": ({"qrels": [*QRELS, ("q1", "d2", "1e400")]}, "score is not finite"),
    "grade in words": ({"qrels": [*QRELS, ("q1", "d2", "good")]}, "score is not a number"),
    "two grades": ({"qrels": [*QRELS, ("q1", "d1", 2)]}, "judged twice with different grades"),
    "qrels of unknown columns": ({"qrels": b"query-id\tcorpus-id\tx\nq1\td1\t1\n"}, "no field 'score'"),
    "qrels with cells too many": ({"qrels": [*QRELS, ("q1", "d2", 1, 1)]}, "more cells than the header has"),
    "id null": ({"corpus": [{"_id": None, "text": "a"}, *CORPUS]}, "'_id' is not a string"),
    "id a float": ({"corpus": [{"_id": 1.5, "text": "a"}, *CORPUS]}, "'_id' is not a string"),
    "id true": ({"corpus": [{"_id": True, "text": "a"}, *CORPUS]}, "'_id' is not a string"),
    "no id": ({"corpus": [{"text": "a"}, *CORPUS]}, "no field '_id'"),
    "no text": ({"corpus": [{"_id": "d9"}, *CORPUS]}, "no field 'text'"),
    "text a number": ({"corpus": [{"_id": "d9", "text": 9}, *CORPUS]}, "'text' is not a string"),
    "text a list": ({"corpus": [{"_id": "d9", "text": ["a"]}, *CORPUS]}, "'text' is not a string"),
    "title a number": ({"corpus": [{"_id": "d9", "text": "a", "title": 3}, *CORPUS]}, "'title' is not a string"),
    "json array of arrays": ({"corpus": json.dumps([["d1", "a"]]).encode()}, "not a JSON object.*row 1"),
    "broken off": ({"corpus": lines(CORPUS)[:-9]}, "not a JSON object.*line 3"),
    "not utf-8": ({"corpus": lines(CORPUS) + b'{"_id": "d4", "text": "caf\xe9"}\n'}, "not UTF-8.*line 4"),
    "utf-16 without a mark": ({"corpus": lines(CORPUS).decode().encode("utf-16-le")}, "NUL characters"),
    "half of a gzip file": ({"corpus": gzip.compress(lines(CORPUS))[:40]}, "cannot be read"),
    "a key twice": ({"corpus": b'{"_id": "d1", "text": "a", "text": "b"}\n'}, "not a JSON object.*line 1"),
    "a nul file": ({"corpus": b"\0" * 1_000}, "not a JSON object"),
    "binary": ({"queries": bytes(range(256))}, "not UTF-8"),
}  # fmt: skip


class Untouched:
    """A model that must not be reached: the data are wrong."""

    identity = {"family": "test", "name": "untouched"}  # noqa: RUF012

    def search(self, queries, ids, depth):
        raise AssertionError("a model was reached")


@pytest.mark.parametrize("name", REFUSED)
def test_one_clear_error_before_work_begins(name, tmp_path):
    changed, message = REFUSED[name]
    task = beir(tmp_path / "data", **changed)
    with pytest.raises(DataError, match=f"(?s){message}") as caught:
        package.run(models=[("untouched", Untouched())], tasks=task, out=tmp_path / "out", device="cpu")
    assert str(tmp_path / "data") in str(caught.value), "it names the task"
    assert "Fix the data" in str(caught.value), "and the next step"
    assert not (tmp_path / "out").exists()


ACCEPTED = {
    "float and negative grades": {"qrels": [*QRELS, ("q1", "d2", 0.5), ("q1", "d3", -1)]},
    "bom and crlf": {
        "corpus": b"\xef\xbb\xbf" + lines(CORPUS).replace(b"\n", b"\r\n"),
        "qrels": b"\xef\xbb\xbf" + "\r\n".join([HEAD, "q1\td1\t1", "q2\td2\t1"]).encode(),
    },
    "json array": {"corpus": json.dumps([{"_id": name, "text": text} for name, text in CORPUS]).encode()},
    "utf-16": {"corpus": lines(CORPUS).decode().encode("utf-16")},
    "gzip in a plain file": {"corpus": gzip.compress(lines(CORPUS))},
    "old mac's line ends": {"corpus": lines(CORPUS).replace(b"\n", b"\r")},
    "qrels with commas": {"qrels": b"query-id,corpus-id,score\nq1,d1,1\nq2,d2,1\n"},
    "qrels of two columns": {"qrels": b"query-id\tcorpus-id\nq1\td1\nq2\td2\n"},
    "blank lines": {"corpus": lines(CORPUS).replace(b"\n", b"\n\n  \n")},
    "no newline at the end": {"queries": lines(QUERIES).rstrip()},
    "fields that nobody asked for": {"corpus": [{"_id": each, "text": text, "x": {"y": 1}} for each, text in CORPUS]},
    "whole numbers as ids": {
        "corpus": [{"_id": 1, "text": CORPUS[0][1]}, *CORPUS[1:]], "qrels": [("q1", 1, 1), ("q2", "d2", 1)]
    },
    "queries that nobody judged": {"queries": [*QUERIES, ("q3", "and who judges this")]},
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_odd_and_right(name, plain, tmp_path):
    results = ran(beir(tmp_path / "data", **ACCEPTED[name]), tmp_path / "out")
    columns = ["model", "reranker", "metric", "score", "n"]
    found, expected = (run.scores[columns] for run in (results, plain))
    pd.testing.assert_frame_equal(found, expected, check_categorical=False)


def test_one_document_and_top_k_beyond_the_corpus(tmp_path):
    task = beir(tmp_path / "data", corpus=CORPUS[:1], queries=QUERIES[:1], qrels=QRELS[:1])
    results = package.run(**{**KEYS, "metrics": "hit_rate@1000,nDCG@1000"}, tasks=task, out=tmp_path / "out")
    assert results.failures == []
    assert results.scores.query("metric == 'hit_rate@1000'")["score"].tolist() == [1, 1, 1, 1]
    assert results.scores.query("metric == 'nDCG@1000'")["score"].tolist() == [1, 1, 1, 1]


STS_REFUSED = {
    "nan gold": (b"sentence1,sentence2,score\na,b,nan\nc,d,1\n", "score is not finite.*line 2"),
    "infinite gold": (b"sentence1,sentence2,score\na,b,inf\nc,d,1\n", "score is not finite"),
    "gold in words": (b"sentence1,sentence2,score\na,b,high\nc,d,1\n", "score is not a number"),
    "empty sentence": (b"sentence1,sentence2,score\n,b,1\nc,d,1\n", "sentence1 with no text"),
    "cells too many": (b"sentence1,sentence2,score\na,b,1,1\n", "more cells than the header has"),
    "cells too few": (b"sentence1,sentence2,score\na,b\n", "no field 'score'"),
    "stray quote": (b'sentence1,sentence2,score\n"a"x,b,1\n"c,x",d,1\n', "not a table.*line 2"),
    "two rows or one": (b'sentence1,sentence2,score\n"a,b,1\nc",d,2\n', "lines 2 to 3"),
    "no row": (b"sentence1,sentence2,score\n", "no sentence pair with a score"),
    "half a surrogate pair": ([["a \ud83d", "b", 1], ["c", "d", 2]], "half a surrogate pair"),
    "gold all one": ([["a", "b", 3], ["c", "d", 3], ["e", "f", 3]], "all 3 pairs have the score 3"),
    "gold true": ([["a", "b", True], ["c", "d", 2]], "score is not a number"),
    "gold null": ([["a", "b", None], ["c", "d", 2]], "score is not a number"),
}


@pytest.mark.parametrize("name", STS_REFUSED)
def test_sentence_pairs_that_are_refused(name, tmp_path):
    content, message = STS_REFUSED[name]
    task = pairs(tmp_path / "data", content)
    with pytest.raises(DataError, match=f"(?s){message}"):
        package.run(models="tfidf", tasks=task, device="cpu")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([["a cat", "a cat", 3]], "one pair"),
        ([["a cat", "a cat", 3], ["a dog", "a dog", 1]], "constant similarity"),
    ],
)
def test_a_correlation_that_is_undefined_is_told_and_is_no_number(content, what, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        results = package.run(models="tfidf", tasks=pairs(tmp_path / "data", content), device="cpu", no_store=True)
    scores = results.scores.set_index("metric")["score"]
    assert np.isnan(scores["spearman(cosine)"]), what
    (notes,) = [cell["notes"] for cell in results.provenance["cells"]]
    pairs_told = len(content)
    assert f"All its similarities are equal ({pairs_told} pairs): no correlation is defined." in notes


OTHER_FILES = {
    "an empty dataset": b"", "a dataset that is an array": b"[]", "no sections": b"{}",
    "sections that are lists": b'{"corpus": [], "queries": [], "relevant_docs": []}',
    "half a pair": b'{"corpus": {"d\\ud83d": "a"}, "queries": {"q": "a"}, "relevant_docs": {"q": ["d\\ud83d"]}}',
    "nested texts": b'{"corpus": {"d": {"text": "a"}}, "queries": {"q": "a"}, "relevant_docs": {"q": ["d"]}}',
    "nan for a text": b'{"corpus": {"d": NaN}, "queries": {"q": "a"}, "relevant_docs": {"q": ["d"]}}',
    "relevant to nowhere": b'{"corpus": {"d": "a"}, "queries": {"q": "a"}, "relevant_docs": {"q": ["e"]}}',
    "the same id twice": b'{"corpus": {"d": "a", "d": "b"}, "queries": {"q": "a"}, "relevant_docs": {"q": ["d"]}}',
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_FILES)
def test_llamaindex_datasets_that_are_refused(name, tmp_path):
    (tmp_path / "set.json").write_bytes(OTHER_FILES[name])
    with pytest.raises(DataError, match=r"set\.json"):
        load_task(str(tmp_path / "set.json"))


OUTSIDE = ["/etc/passwd", "../secret.jsonl", "a/../../secret.jsonl", "./../secret.jsonl"]


@pytest.mark.parametrize("file", OUTSIDE)
@pytest.mark.parametrize("key", ["corpus", "queries", "split"])
def test_a_task_cannot_name_files_outside_of_its_folder(key, file, tmp_path):
    beir(tmp_path / "task")
    (tmp_path / "secret.jsonl").write_bytes(lines(CORPUS))
    split = file if key == "split" else "qrels/test.tsv"
    declared = {"type": "retrieval", "splits": {"test": split}}
    (tmp_path / "task" / "task.yaml").write_text(json.dumps(declared if key == "split" else {**declared, key: file}))
    with pytest.raises(EvalkitError, match="outside of the task's folder"):
        load_task(str(tmp_path / "task"))
    inside = {"type": "retrieval", "splits": {"test": "./qrels/../qrels/test.tsv"}}
    (tmp_path / "task" / "task.yaml").write_text(json.dumps(inside))
    assert len(load_task(str(tmp_path / "task")).queries) == 2


def test_the_table_is_as_long_as_was_promised():
    assert len(IDS) + len(TEXTS) + len(REFUSED) + len(ACCEPTED) + len(STS_REFUSED) + len(OTHER_FILES) >= 60
