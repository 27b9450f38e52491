"""The user's questions: what is found, and every fault told at once."""

import json

import pytest

from evalkit.documents import Folder, Skipped, SourceFile
from evalkit.errors import ConfigError, DataError
from evalkit.questions import Question, Span, read_questions

FILES = (SourceFile("a.txt", "One two.\n Three  four. Again."), SourceFile("b.txt", "Five six. Again."))
FOLDER = Folder(None, FILES, (Skipped("c.png", "a picture"),), "")


def written(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_each_kind_of_answer(tmp_path):
    (tmp_path / "q.csv").write_text(
        "id,question,quote,file,kind\nx,What?,two. Three four,,fact\n,Which?,Again.,b.txt,\n,Where?,,a.txt,place\n"
    )
    found = read_questions(tmp_path / "q.csv", FOLDER)
    assert found.origin == "given"
    assert found.questions == (
        Question("x", "What?", (Span("a.txt", 4, 21),), {"kind": "fact"}),
        Question("3", "Which?", (Span("b.txt", 10, 16),), {}),
        Question("4", "Where?", (Span("a.txt", 0, len(FILES[0].text)),), {"kind": "place"}),
    )
    assert FILES[0].text[4:21] == "two.\n Three  four"


def test_all_faults_at_once(tmp_path):
    file = written(
        tmp_path / "q.jsonl",
        {"id": "x", "question": "?", "file": "a.txt"},
        {"id": "x", "question": "?", "file": "nowhere.txt"},
        {"question": "?", "file": "c.png"},
        {"question": " ", "quote": "Five"},
        {"question": "?", "quote": "not there"},
        {"question": "?", "passage": "Again."},
        {"question": "?"},
        {"question": "?", "quote": "Five", "passage": "Five six."},
    )
    with pytest.raises(DataError) as caught:
        read_questions(file, FOLDER)
    assert caught.value.problems == (
        "q.jsonl: the file 'nowhere.txt' is not in the folder (1): line 2",
        "repeated question id (1): 'x'",
        "q.jsonl: the file 'c.png' was skipped: a picture (1): line 3",
        "q.jsonl: a question with no text (1): line 4",
        "q.jsonl: the passage or quote is not in the documents (1): line 5",
        "q.jsonl: the passage or quote is in several places; quote more, or name its file (1): line 6",
        "q.jsonl: needs one of passage, quote and file (2): line 7, line 8",
    )


def test_no_file_and_no_questions(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        read_questions(tmp_path / "q.csv", FOLDER)
    with pytest.raises(DataError, match="no questions in it"):
        read_questions(written(tmp_path / "q.jsonl"), FOLDER)
