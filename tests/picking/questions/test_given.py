"""The user's questions: what is found, and every fault told at once."""

import json

import pytest

from evalkit.errors import ConfigError, DataError
from evalkit.picking.documents import Folder, Skipped, SourceFile
from evalkit.picking.questions import Question, Span, read_questions
from evalkit.tasks.opening import WINDOWS

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
        {"id": "x", "question": "??", "file": "nowhere.txt"},
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
        "q.jsonl: repeated question id 'x', which line 1 has (1): line 2",
        "q.jsonl: the file 'c.png' was skipped: a picture (1): line 3",
        "q.jsonl: a question with no text (1): line 4",
        "q.jsonl: the passage or quote is not in the documents (1): line 5",
        "q.jsonl: the passage or quote is in several places; quote more, or name its file (1): line 6",
        "q.jsonl: needs one of passage, quote and file (1): line 7",
        "q.jsonl: has a passage and a quote; leave one of them out (1): line 8",
    )


def test_a_table_in_the_encoding_of_windows_says_so_and_compares_no_quote_with_stand_ins(tmp_path):
    folder = Folder(None, (SourceFile("a.txt", "Fünf Räder. Das Café öffnet."),), (), "")
    (tmp_path / "q.csv").write_bytes("question;quote\nWie viele?;Fünf Räder.\nWann?;Café öffnet\n".encode("cp1252"))
    with pytest.raises(DataError) as caught:
        read_questions(tmp_path / "q.csv", folder)
    assert caught.value.problems == (
        f"q.csv: {WINDOWS} (2): line 2, line 3",
        "q.csv: the passage or quote has characters that cannot be read (\N{REPLACEMENT CHARACTER}), so that it is "
        "not searched (2): line 2, line 3",
    )
    assert 'save it as "CSV UTF-8"' in WINDOWS


@pytest.mark.parametrize(
    ("columns", "meant"),
    [
        ("question,contexts,ground_truth", "Is 'contexts' meant? Call it 'passage'"),
        ("question,source", "Is 'source' meant? Call it 'file'"),
        ("question,Evidence", "Is 'Evidence' meant? Call it 'passage'"),
        ("question,quotes", "Is 'quotes' meant? Call it 'quote'"),
        ("user_input,retrieved_contexts,response,reference", ""),
        ("question", ""),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_no_column_that_says_where_the_answer_is(columns, meant, suffix, tmp_path):
    file, names = tmp_path / f"q{suffix}", columns.split(",")
    cells = dict.fromkeys(names, "Five six.")
    file.write_text(json.dumps(cells) if suffix == ".jsonl" else f"{columns}\n{','.join(cells.values())}\n")
    with pytest.raises(DataError) as caught:
        read_questions(file, FOLDER)
    listed = ", ".join(map(repr, names))
    told = f"no field 'passage' or 'quote' or 'file'; the columns are {listed}; needed: question and one of passage, "
    assert caught.value.problems[0] == f"q{suffix}: {told}quote, file{'. ' if meant else ''}{meant}"


@pytest.mark.parametrize(
    "column", ["relevant_passage", "expected_context", "gold_chunks", "Reference Contexts", "positive-passages"]
)
def test_what_columns_of_answering_passages_are_called(column, tmp_path):
    (tmp_path / "q.csv").write_text(f"query,{column}\nHow many?,Five six.\n")
    (question,) = read_questions(tmp_path / "q.csv", FOLDER).questions
    assert question.spans == (Span("b.txt", 0, 9),)


def test_a_dataset_of_llamaindex(tmp_path):
    examples = [
        {"query": "How many?", "query_by": None, "reference_contexts": ["Five six."], "reference_answer": "5"}
    ]
    (tmp_path / "rag.json").write_text(json.dumps({"examples": examples}))
    (question,) = (found := read_questions(tmp_path / "rag.json", FOLDER)).questions
    assert question.spans == (Span("b.txt", 0, 9),)
    assert found.notes == ("rag.json: its rows are those under 'examples'.",)
    dataset = {
        "queries": {"q": "How many?"},
        "corpus": {"d": "Five six."},
        "relevant_docs": {"q": ["d"]},
        "mode": "text",
    }
    (tmp_path / "qa.json").write_text(json.dumps(dataset))
    with pytest.raises(ConfigError, match=r"EmbeddingQAFinetuneDataset.*evalkit run --tasks"):
        read_questions(tmp_path / "qa.json", FOLDER)


def test_a_file_by_another_name(tmp_path):
    texts = (SourceFile("Guide.md", "One two."), SourceFile("d2/b.txt", "Five six."))
    folder = Folder(None, texts, (), "")
    found = read_questions(written(tmp_path / "q.jsonl", {"question": "?", "file": "./d2\\b.txt"}), folder)
    assert found.questions[0].spans == (Span("d2/b.txt", 0, 9),)
    file = written(
        tmp_path / "q.jsonl",
        {"question": "?", "file": "guide.md"},
        {"question": "?", "file": "docs/b.txt"},
        {"question": "?", "file": "zebra"},
    )
    with pytest.raises(DataError) as caught:
        read_questions(file, folder)
    assert caught.value.problems == (
        "q.jsonl: the file 'guide.md' is not in the folder. Is 'Guide.md' meant? (1): line 1",
        "q.jsonl: the file 'docs/b.txt' is not in the folder. Is 'd2/b.txt' meant? (1): line 2",
        "q.jsonl: the file 'zebra' is not in the folder (1): line 3",
    )


def test_a_quote_of_another_file(tmp_path):
    file = written(
        tmp_path / "q.jsonl",
        {"question": "?", "quote": "Five six.", "file": "a.txt"},
        {"question": "?", "quote": "five sixx. Again", "file": "a.txt"},
    )
    with pytest.raises(DataError) as caught:
        read_questions(file, FOLDER)
    first, second = caught.value.problems
    assert first == "q.jsonl: the passage or quote is not in 'a.txt'; it is in 'b.txt' (1): line 1"
    assert second.startswith("q.jsonl: the passage or quote is not in 'a.txt'; nearest in b.txt, line 1: 'Five six.")


def test_no_file_and_no_questions(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        read_questions(tmp_path / "q.csv", FOLDER)
    with pytest.raises(DataError, match="no questions in it"):
        read_questions(written(tmp_path / "q.jsonl"), FOLDER)


def test_a_question_that_is_a_list_of_messages(tmp_path):
    file = written(tmp_path / "q.jsonl", {"user_input": [{"content": "?", "type": "human"}], "file": "a.txt"})
    with pytest.raises(DataError, match="a question that is no text but a list"):
        read_questions(file, FOLDER)
