"""`evalkit questions`: a set is made, shown and checked without a run, and a pick takes the table that was edited."""

import csv
import json

import pytest
from chat import serving
from test_kinds import ASKED, TEXTS, obedient

from evalkit.models import served_llm
from evalkit.picking.documents import read_folder
from evalkit.picking.questions import check_questions
from evalkit.results import Results

HERON = "The heron stands in the reeds at dawn. It waits for frogs, and seldom for a fish. Nothing more is known."
BADGER = "The badger digs a sett under old oaks. Nothing more is known."


@pytest.fixture
def docs(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "heron.md").write_text(HERON)
    (tmp_path / "docs" / "badger.md").write_text(BADGER)
    return tmp_path / "docs"


@pytest.mark.parametrize(
    ("row", "wrong", "doubtful"),
    [
        ({"question": "What does a wading bird eat?", "quote": "waits for frogs"}, "", ""),
        (
            {"question": "What does a wading bird eat?", "quote": "waits for toads, and seldom"},
            "is not in the documents; nearest in heron.md, line 1: 'waits for frogs, and seldom'; "
            "for 'toads,' in the quote there stands 'frogs,'",
            "",
        ),
        (
            {"question": "Where does it live?", "quote": "sett under old oaks", "file": "heron.md"},
            "not in 'heron.md'; it is in 'badger.md'",
            "",
        ),
        ({"question": "What is unknown here?", "quote": "Nothing more is known"}, "is in several places", ""),
        ({"question": "What does it eat?", "file": "herons.md"}, "not in the folder. Is 'heron.md' meant?", ""),
        ({"question": "What does it eat?"}, "needs one of passage, quote and file", ""),
        ({"question": "", "quote": "waits for frogs"}, "a question with no text", ""),
        (
            {"question": "Who asks this?", "unanswerable": "perhaps", "file": "heron.md"},
            "unanswerable is 'perhaps'; write yes or no",
            "",
        ),
        ({"question": "Frogs?", "quote": "waits for frogs"}, "", "has fewer than 3 words"),
        ({"question": "What does the text say of frogs?", "quote": "waits for frogs"}, "", "speaks of a text"),
        (
            {"question": "Who stands in the reeds at dawn?", "quote": "stands in the reeds"},
            "",
            "is copied from the passage that answers it",
        ),
        ({"question": "how tall is a GIRAFFE", "quote": "at dawn"}, "", "asks the same as line 2"),
        ({"question": "How very tall is a giraffe?", "quote": "at dawn"}, "", "asks nearly the same as line 2"),
    ],
)
def test_each_row_with_all_that_is_wrong_and_doubtful(row, wrong, doubtful, docs, tmp_path):
    table = tmp_path / "q.csv"
    columns = ("id", "question", "quote", "file", "unanswerable")
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows([{"id": "first", "question": "How tall is a giraffe?", "unanswerable": "yes"}, row])
    first, checked = check_questions(table, read_folder(docs))
    assert (first.place, first.wrong, first.doubtful) == ("line 2", [], [])
    assert (checked.place, checked.question) == ("line 3", row["question"])
    for told, part in ((checked.wrong, wrong), (checked.doubtful, doubtful)):
        assert len(told) == bool(part), told
        assert part in "".join(told)


def test_a_question_with_two_answers_is_no_duplicate(docs, tmp_path):
    rows = [{"id": "x", "question": "Who is up early?", "quote": quote} for quote in ("at dawn", "digs a sett")]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, [*rows, {**rows[0]}])))
    first, second, again = check_questions(tmp_path / "q.jsonl", read_folder(docs))
    assert not [*first.wrong, *first.doubtful, *second.wrong, *second.doubtful]
    assert again.wrong == ["repeated question id 'x', which line 1 has"]


def test_the_command_checks_and_rewrites(docs, tmp_path, evalkit):
    given, out = tmp_path / "mine.jsonl", tmp_path / "mine.csv"
    rows = [
        {"question": "What does a wading bird eat?", "quote": "waits for frogs", "who": "Ann"},
        {"question": "Where do diggers live?", "quote": "under new oaks"},
    ]
    given.write_text("\n".join(map(json.dumps, rows)))
    status, shown, _ = evalkit("questions", docs, "--questions", given, "--out", out)
    assert status == 1
    assert (
        "mine.jsonl, line 2: Where do diggers live?\n  wrong: the passage or quote is not in the documents" in shown
    )
    assert "2 row(s): 1 wrong" in shown
    assert not out.exists()
    given.write_text("\n".join(map(json.dumps, [rows[0], {**rows[1], "quote": "under old oaks"}])))
    status, shown, err = evalkit("questions", docs, "--questions", given, "--out", out)
    assert status == 0, err
    assert "2 row(s): 0 wrong" in shown
    assert "badger.md: under old oaks" in shown
    with out.open(encoding="utf-8-sig", newline="") as file:
        written = list(csv.DictReader(file))
    assert [(row["file"], row["quote"], row["who"]) for row in written] == [
        ("heron.md", "waits for frogs", "Ann"),
        ("badger.md", "under old oaks", ""),
    ]
    status, _, err = evalkit("questions", docs, "--questions", given, "--out", out)
    assert (status, "is not written over" in err) == (2, True)
    assert evalkit("questions", docs, "--questions", tmp_path / "none.csv")[0] == 2


def test_what_was_made_is_edited_in_a_spreadsheet_and_picked_by(tmp_path, evalkit, monkeypatch):
    docs, table, out = tmp_path / "docs", tmp_path / "questions.csv", tmp_path / "out"
    docs.mkdir()
    for name, text in TEXTS["en"].items():
        (docs / name).write_text(text)
    monkeypatch.setattr(served_llm, "PORTS", {})
    with serving(obedient("en"), {"/v1/models": {"data": [{"id": "tiny"}]}}) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        status, shown, err = evalkit("questions", docs, "--llm", "auto", "--out", table)
        assert status == 0, err
        assert "5 question(s), generated: 1 comparison, 1 fact, 1 how-to, 1 two passages, 1 user's words." in shown
        assert "1 more have no answer in the documents; a pick does not score them." in shown
        assert "of a question's words stand in the passages that answer it" in shown
        asked = len(server.prompts)
    # As a spreadsheet saves it: other delimiters and line ends; one question is put otherwise, one is new.
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0]["question"] = "At what heat is it soft?"
    rows.append({"id": "mine", "question": "Who gives some away?", "quote": "wax is given away", "kind": "fact"})
    with table.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";", restval="", lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
    # Nothing is asked again: the server is gone, and the table is checked as it is.
    status, shown, err = evalkit("questions", docs, "--questions", table)
    assert status == 0, err
    assert "6 question(s), generated: 1 comparison, 2 fact" in shown
    assert len(server.prompts) == asked
    pick = ("--models", "bm25,tfidf", "--chunk-size", "32", "--chunk-overlap", "0", "--device", "cpu", "--top-k", "1",
            "--measure-seconds", "0.05")  # fmt: skip
    status, _, err = evalkit("pick", docs, "--questions", table, *pick, "--no-hybrid", "--out", out)
    assert status == 0, err
    results = Results.read(out)
    made = results.provenance["pick"]["questions"]
    assert (made["origin"], made["count"], made["unanswerable"]) == ("generated", 6, 1)
    assert made["llm"]["model"] == "tiny"
    assert made["edited"] == {"added": 1, "removed": 0, "changed": 1}
    texts = dict(zip(results.evidence.queries["text"], results.evidence.queries["tags"], strict=True))
    assert json.loads(texts["At what heat is it soft?"])["kind"] == "fact"
    assert ASKED["en"]["no answer"] not in texts
    assert "fact (2)" in (out / "recommendation.md").read_text()


def test_a_set_from_the_documents(docs, tmp_path, evalkit):
    (docs / "more.md").write_text(f"# What birds do\n\n{HERON} {BADGER}\n\n# Where they sleep\n\n{BADGER} {HERON}\n")
    status, shown, err = evalkit("questions", docs, "--out", tmp_path / "q.csv")
    assert status == 0, err
    assert "No model is recommended by such questions" in shown
    edited = (tmp_path / "q.csv").read_text(encoding="utf-8-sig").replace("badger", "wombat")
    (tmp_path / "q.csv").write_text(edited, encoding="utf-8")
    status, shown, _ = evalkit("questions", docs, "--out", tmp_path / "q.csv")
    assert (status, "for 'wombat' in the quote there stands 'badger'" in shown) == (1, True)
