"""Each rule for retrieval data: its exact message, and what is used when bad data is accepted."""

import gzip
import json
import warnings

import pytest
from suite_data import assert_fatal, assert_told, raised

from evalkit.errors import DataError
from evalkit.tasks import load_task
from evalkit.tasks.opening import WINDOWS

D1, D2 = {"_id": "d1", "text": "Cats sleep."}, {"_id": "d2", "text": "Dogs bark."}
Q1, Q2 = {"_id": "q1", "text": "what sleeps?"}, {"_id": "q2", "text": "what barks?"}
HEADER = "query-id\tcorpus-id\tscore\n"
GOOD = "q1\td1\t1\n"


@pytest.fixture
def beir(tmp_path):
    """Writes a BEIR folder; rows may be dicts or raw lines."""

    def write(corpus=(D1, D2), queries=(Q1, Q2), qrels=GOOD, header=HEADER):
        (tmp_path / "qrels").mkdir()
        for name, rows in (("corpus", corpus), ("queries", queries)):
            lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
            (tmp_path / f"{name}.jsonl").write_text("".join(line + "\n" for line in lines))
        (tmp_path / "qrels" / "test.tsv").write_text(header + qrels)
        return str(tmp_path)

    return write


def test_clean_data_warns_of_nothing(beir):
    reference = beir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_task(reference, on_bad_data="warn") == load_task(reference)


def test_repeated_document_id(beir):
    task = assert_told(
        beir(corpus=[D1, D2, {"_id": "d1", "text": "other"}]), "corpus.jsonl: repeated document id (1): 'd1'"
    )
    assert [document.text for document in task.corpus] == ["Cats sleep.", "Dogs bark."]


def test_repeated_query_id(beir):
    task = assert_told(
        beir(queries=[Q1, {"_id": "q1", "text": "other"}]), "queries.jsonl: repeated query id (1): 'q1'"
    )
    assert [query.text for query in task.queries] == ["what sleeps?"]


def test_empty_document(beir):
    corpus = [D1, {"_id": "d3", "text": " \n"}, {"_id": "d4", "title": "only a title", "text": ""}]
    task = assert_told(beir(corpus=corpus), "corpus.jsonl: document with no text (1): 'd3'")
    assert task.corpus[1].text == " \n"


def test_empty_query(beir):
    task = assert_told(beir(queries=[{"_id": "q1", "text": "\t"}]), "queries.jsonl: query with no text (1): 'q1'")
    assert task.queries[0].text == "\t"


def test_judgement_of_an_absent_document(beir):
    task = assert_told(
        beir(qrels="q1\td1\t1\nq1\td9\t1\n"),
        "qrels/test.tsv: judgement of an absent document (1): 'd9' (query 'q1')",
    )
    assert task.qrels == {"q1": {"d1": 1, "d9": 1}}


def test_judgement_of_an_absent_query(beir):
    task = assert_told(
        beir(qrels=GOOD + "q9\td1\t1\nq9\td2\t1\n"), "qrels/test.tsv: judgement of an absent query (1): 'q9'"
    )
    assert task.qrels == {"q1": {"d1": 1}}
    assert task.excluded == 1


def test_pair_judged_twice(beir):
    rows = "q1\td1\t1\nq1\td1\t1\nq1\td2\t3\nq1\td2\t1\nq1\td2\t2\n"
    task = assert_told(beir(qrels=rows), "qrels/test.tsv: judged twice with different grades (1): 'd2' (query 'q1')")
    assert task.qrels == {"q1": {"d1": 1, "d2": 3}}


def test_grades_that_are_no_finite_numbers(beir):
    rows = GOOD + "q1\td2\thigh\nq2\td1\tinf\nq2\td2\tnan\n"
    task = assert_told(
        beir(qrels=rows),
        "qrels/test.tsv: score is not a number (1): line 3 has 'high'",
        "qrels/test.tsv: score is not finite (2): line 4, line 5",
    )
    assert task.qrels == {"q1": {"d1": 1}}


def test_trec_grade_that_is_no_number_and_line_of_another_length(beir):
    reference = beir(header="", qrels="q1 0 d1 1\nq1 0 d2 x\nq1 0 d2\n")
    assert_fatal(
        reference,
        "qrels/test.tsv: score is not a number (1): line 2 has 'x'",
        "qrels/test.tsv: not query-id iteration corpus-id score (1): line 3",
    )


def test_all_problems_at_once(beir):
    reference = beir(
        corpus=[D1, D1, {"_id": "d3", "text": ""}],
        queries=[Q1, Q1, {"_id": "q2", "text": ""}],
        qrels="q1\td1\t1\nq1\td1\t2\nq1\td8\t1\nq8\td1\t1\nq2\td3\t?\n",
    )
    task = assert_told(
        reference,
        "corpus.jsonl: repeated document id (1): 'd1'",
        "corpus.jsonl: document with no text (1): 'd3'",
        "queries.jsonl: repeated query id (1): 'q1'",
        "queries.jsonl: query with no text (1): 'q2'",
        "qrels/test.tsv: judged twice with different grades (1): 'd1' (query 'q1')",
        "qrels/test.tsv: score is not a number (1): line 6 has '?'",
        "qrels/test.tsv: judgement of an absent document (1): 'd8' (query 'q1')",
        "qrels/test.tsv: judgement of an absent query (1): 'q8'",
    )
    assert task.qrels == {"q1": {"d1": 2, "d8": 1}}


def test_more_than_ten_of_a_kind(beir):
    corpus = [D1] + [{"_id": f"e{n}", "text": ""} for n in range(12)]
    assert_told(
        beir(corpus=corpus),
        "corpus.jsonl: document with no text (12): "
        "'e0', 'e1', 'e2', 'e3', 'e4', 'e5', 'e6', 'e7', 'e8', 'e9' and 2 more",
    )


def test_missing_fields_name_their_lines(beir):
    reference = beir(corpus=[D1, {"text": "no id"}, {"_id": "d2"}, {"_id": "d3", "text": None}, "[1]", "{"])
    assert_fatal(
        reference,
        "corpus.jsonl: no field '_id' (1): line 2",
        "corpus.jsonl: no field 'text' (1): line 3",
        "corpus.jsonl: document with no text (2): 'd2', 'd3'",
        "corpus.jsonl: field 'text' is not a string (1): line 4",
        "corpus.jsonl: not a JSON object (2): line 5, line 6",
    )


def test_missing_column_in_qrels(beir):
    assert_fatal(
        beir(header="query-id\tcorpus-id\tscroe\n"),
        "qrels/test.tsv: no field 'score'; the columns are 'query-id', 'corpus-id', 'scroe'; needed: query-id, "
        "corpus-id, score. Is 'scroe' meant? Call it 'score' (1): line 2",
    )


def test_bytes_that_are_not_utf8(beir, tmp_path):
    reference = beir()
    (tmp_path / "corpus.jsonl").write_bytes(json.dumps(D1).encode() + b'\n{"_id": "d2", "text": "caf\xe9"}\n')
    assert_fatal(reference, f"corpus.jsonl: {WINDOWS} (1): line 2")


def test_truncated_gzip(beir, tmp_path):
    reference = beir()
    (tmp_path / "corpus.jsonl").unlink()
    (tmp_path / "corpus.jsonl.gz").write_bytes(gzip.compress(json.dumps(D1).encode())[:-9])
    assert "corpus.jsonl.gz: cannot be read: " in str(raised(reference))


def test_file_that_is_declared_but_not_there(beir, tmp_path):
    reference = beir()
    (tmp_path / "task.yaml").write_text("type: retrieval\nsplits: {test: qrels/tset.tsv}\n")
    assert_fatal(reference, "qrels/tset.tsv: cannot be read: no such file. Is 'test.tsv' meant?")


def test_empty_corpus(beir):
    assert_fatal(
        beir(corpus=[]),
        "qrels/test.tsv: judgement of an absent document (1): 'd1' (query 'q1')",
        "the corpus has no documents",
    )


def test_no_judged_query(beir):
    assert_fatal(beir(qrels="q1\td1\t0\n"), "qrels/test.tsv: no query has a judgement above 0")


CONSTANT = {
    "a.csv": "sentence1,sentence2,score\na,b,1\nc,d,1\ne,f,1\n",
    "a.tsv": "sentence1\tsentence2\tscore\na\tb\t1\nc\td\t1\ne\tf\t1\n",
    "a.jsonl": "".join(f'{{"sentence1": "{each}", "sentence2": "b", "score": 1.0}}\n' for each in "ace"),
    "folder/test.csv": "sentence1,sentence2,score\na,b,1\nc,d,1\ne,f,1\n",
}


@pytest.mark.parametrize("name", CONSTANT)
@pytest.mark.parametrize("on_bad_data", ["error", "warn"])
def test_equal_scores_of_all_pairs_are_a_fault_in_every_layout(tmp_path, name, on_bad_data):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(CONSTANT[name])
    reference = path.parent if "/" in name else path
    with pytest.raises(DataError, match=r"all 3 pairs have the score 1, so no correlation is defined"):
        load_task(str(reference), on_bad_data=on_bad_data)


def test_equal_scores_of_a_sample_are_a_fault(tmp_path):
    rows = "".join(f"a{row},b{row},{int(row == 0)}\n" for row in range(60))
    (tmp_path / "a.csv").write_text("sentence1,sentence2,score\n" + rows)
    assert set(load_task(str(tmp_path / "a.csv")).gold) == {0, 1}
    with pytest.raises(DataError, match=r"the 5 of 60 pairs that were sampled all have the score 0"):
        load_task(str(tmp_path / "a.csv"), max_queries=5)
