"""The rules for sentence pairs and LlamaIndex datasets: exact messages, and what is used when accepted."""

import numpy as np
import pytest
from suite_data import assert_fatal, assert_told, raised

from evalkit.tasks.opening import WINDOWS


@pytest.fixture
def sts(tmp_path):
    """Writes an STS task with a declared range of 0 to 5."""

    def write(rows, header="sentence1,sentence2,score\n"):
        (tmp_path / "pairs.csv").write_text(header + rows)
        (tmp_path / "task.yaml").write_text("type: sts\nscore_range: [0, 5]\nsplits: {test: pairs.csv}\n")
        return str(tmp_path)

    return write


def test_bytes_that_are_not_utf8_in_csv(sts, tmp_path):
    reference = sts("")
    (tmp_path / "pairs.csv").write_bytes(b"sentence1,sentence2,score\na,b,1\ncaf\xe9,c,1\n")
    assert_fatal(reference, f"pairs.csv: {WINDOWS} (1): line 3")


def test_sts_texts_and_scores(sts):
    task = assert_told(
        sts("a,b,5\n ,c,4\nd,,0\ne,f,5.5\ng,h,-1\ni,j,nan\nk,l,\nm,n,high\n"),
        "pairs.csv: sentence1 with no text (1): line 3",
        "pairs.csv: sentence2 with no text (1): line 4",
        "pairs.csv: score outside 0 to 5 (2): line 5, line 6",
        "pairs.csv: score is not finite (1): line 7",
        "pairs.csv: score is not a number (2): line 8 has '', line 9 has 'high'",
    )
    assert task.sentences1 == ("a", " ", "d", "e", "g")
    np.testing.assert_array_equal(task.gold, [5, 4, 0, 5.5, -1])


def test_sts_rows_of_another_length(sts):
    assert_fatal(
        sts("a,b,5\nc,d\ne, f,g,3\n"),
        "pairs.csv: no field 'score' (1): line 3",
        "pairs.csv: more cells than the header has (1): line 4",
        "pairs.csv: score is not a number (1): line 4 has 'g'",
    )


def test_sts_missing_columns(sts):
    assert_fatal(
        sts("a,5\n", header="sentence1,sentense2,similarity\n"),
        "pairs.csv: no field 'sentence2'; the columns are 'sentence1', 'sentense2', 'similarity'; needed: sentence1, "
        "sentence2, score. Is 'sentense2' meant? Call it 'sentence2'",
    )


@pytest.mark.parametrize("rows", ["", "a,b,nan\n"])
def test_sts_without_a_pair_to_score(sts, rows):
    problems = raised(sts(rows), on_bad_data="warn").problems
    assert problems[-1] == "pairs.csv: no sentence pair with a score"


def test_json_scores_that_are_no_numbers(tmp_path):
    rows = ["true", "null", "[1]", "1" + "0" * 400, "NaN", '"3.5"']
    (tmp_path / "a.jsonl").write_text(
        "".join(f'{{"sentence1": "a", "sentence2": "b", "score": {score}}}\n' for score in rows)
    )
    assert raised(str(tmp_path / "a.jsonl")).problems == (
        "a.jsonl: score is not a number (4): line 1 has True, line 2, line 3 has [1], line 4 has 1" + "0" * 39 + "…",
        "a.jsonl: score is not finite (1): line 5",
    )


def test_llamaindex_ids_that_appear_twice(tmp_path):
    (tmp_path / "a.json").write_text(
        '{"queries": {"q1": "first", "q1": "second"}, "corpus": {"d1": "one", "d1": "two"},'
        ' "relevant_docs": {"q1": ["d1", "d1", "d2"]}}'
    )
    task = assert_told(
        str(tmp_path / "a.json"),
        "a.json: repeated document id (1): 'd1'",
        "a.json: repeated query id (1): 'q1'",
        "a.json: judgement of an absent document (1): 'd2' (query 'q1')",
    )
    assert (task.queries[0].text, task.corpus[0].text) == ("first", "one")


def test_llamaindex_fields(tmp_path):
    (tmp_path / "a.json").write_text('{"queries": {"q1": 1, "q2": "x"}, "relevant_docs": {"q2": "d1", "q1": [1]}}')
    assert_fatal(
        str(tmp_path / "a.json"),
        "a.json: no object 'corpus'",
        "a.json: queries must hold strings (1): 'q1'",
        "a.json: relevant_docs must hold strings (2): 'q2', 'q1'",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"queries": {},\n "corpus": }', "a.json: not JSON: Expecting value (1): line 2"),
        ('{"queries": {}}', "a.json: no object 'corpus'"),
        ("[]", "a.json: no sentence pair with a score"),
    ],
)
def test_json_that_is_no_dataset(tmp_path, text, problem):
    (tmp_path / "a.json").write_text(text)
    assert raised(str(tmp_path / "a.json")).problems[0] == problem
