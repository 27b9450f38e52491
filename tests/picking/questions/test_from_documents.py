"""Questions made from documents: each kind, its answer, what is left out, and that none stands in a chunk."""

import json

import pytest

from evalkit.errors import ConfigError, DataError
from evalkit.picking.documents import Chunking, read_folder, split
from evalkit.picking.questions import (
    Origin,
    make_task,
    questions_from_documents,
    read_questions,
    searched,
    with_overlap,
    write_questions,
)
from evalkit.picking.questions.overlap import overlap

ENGLISH = """\
# Looking after a cat

Looking after a cat takes an hour a day. A cat wants food twice a day and a quiet place to sleep in, and somebody who
cleans its tray every morning. Kittens need more of everything.

## Cats

`for cat in cats: feed(cat, grams=80)` is not prose. Veterinarians recommend vaccination before any travel abroad
begins. Most other animals of the house will do well on what is left over from the table of the family.
"""
GERMAN = """\
# Wie man eine Katze füttert

Eine Katze frisst z. B. zweimal am Tag, und zwar am liebsten immer zur selben Zeit und am selben Ort. Junge Tiere
bekommen öfter etwas. Frisches Wasser steht den ganzen Tag über bereit, am besten nicht neben dem Napf.

# Was beim Tierarzt geschieht

Der Tierarzt sieht sich zuerst die Zähne an und hört danach das Herz ab. Geimpft wird nur, wer gesund ist. Am Ende
bekommt der Halter einen Zettel mit, auf dem der nächste Termin steht.
"""
CHINESE = """\
# 怎样照顾一只猫

猫每天要吃两次饭，还要有一个安静的地方睡觉。小猫吃得更多，也睡得更久。主人应当每天早上清理猫砂盆，换上干净的水。

# 去看兽医的时候

兽医先检查牙齿，然后听一听心脏。只有健康的猫才能打疫苗！最后主人会拿到一张纸，上面写着下一次的时间。
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "docs").mkdir()
    for name, text in {"cats": ENGLISH, "katzen": GERMAN, "mao": CHINESE}.items():
        (tmp_path / "docs" / f"{name}.md").write_text(text, encoding="utf-8")
    return read_folder(tmp_path / "docs")


def plain(text):
    return " ".join(text.split()).casefold()


def answers(folder, questions):
    texts = {file.name: file.text for file in folder.files}
    return {
        question.text: " ".join(texts[span.file][span.start : span.end].split())
        for question in questions.questions
        for span in question.spans
    }


@pytest.mark.parametrize("chunking", [Chunking(32, 8), Chunking(128, 16), Chunking.whole])
def test_nothing_that_is_asked_stands_in_what_is_searched(folder, chunking):
    questions = questions_from_documents(folder)
    assert {question.spans[0].file for question in questions.questions} == {"cats.md", "katzen.md", "mao.md"}
    documents, moved = searched(folder, questions)
    chunks = split(documents, chunking)
    for question in moved.questions:
        for chunk in chunks:
            assert plain(question.text) not in plain(chunk.text)
    task = make_task("pets", documents, chunking, chunks, moved)
    assert len(task.queries) == len(questions.questions), "each has its answer left"


def test_a_heading_is_answered_by_its_section(folder):
    questions = questions_from_documents(folder)
    documents, moved = searched(folder, questions)
    found = answers(documents, moved)
    assert found["Was beim Tierarzt geschieht"].startswith("Der Tierarzt sieht sich zuerst die Zähne an")
    assert found["怎样照顾一只猫"].startswith("猫每天要吃两次饭")
    assert "Cats" not in found, "too short"
    # The heading stands in its section too, and is gone from there.
    assert found["Looking after a cat"].startswith("takes an hour a day.")


def test_sentences_end_as_they_do_in_their_language(folder):
    """Not at "z. B.", and at the full stops of Chinese; and those that share the fewest words are asked."""
    by_kind = {
        (question.tags["kind"], question.spans[0].file): question.text
        for question in questions_from_documents(folder).questions
    }
    for file in ("cats.md", "katzen.md", "mao.md"):
        asked = by_kind["sentence", file]
        text = next(plain(each.text) for each in folder.files if each.name == file)
        assert plain(asked) in text
        assert not asked.startswith(("B.", "#", "`"))
        assert asked[-1] in ".。！"


def test_texts_in_small_letters_have_sentences_too(tmp_path):
    text = (
        "the wing was tested in a tunnel at low speed . the flow separated near the tip . no lift was left there . "
    )
    (tmp_path / "a.txt").write_text(text * 2 + "at last a model of another wing was put in its place .")
    (question,) = questions_from_documents(read_folder(tmp_path)).questions
    assert question.text == "at last a model of another wing was put in its place ."


def test_what_is_around_a_sentence_is_its_answer_and_moves(folder):
    questions = questions_from_documents(folder)
    documents, moved = searched(folder, questions)
    before, after = answers(folder, questions), answers(documents, moved)
    for question in questions.questions:
        if question.tags["kind"] == "sentence":
            assert question.text in before[question.text]
            assert question.text not in after[question.text]
            words = before[question.text].replace(question.text, "").split()
            assert {*after[question.text].split()} <= {*words} | {*before[question.text].split()}


def test_files_that_have_nothing_else_are_left_out(folder):
    (folder.path / "alone.md").write_text("was beim\ntierarzt geschieht")
    anew = read_folder(folder.path)
    documents, _ = searched(anew, questions_from_documents(anew))
    assert "alone.md" not in {file.name for file in documents.files}


def test_what_cannot_be_asked_is_counted(folder):
    (folder.path / "again.md").write_text(ENGLISH)
    with pytest.warns(match="the same text as"):
        again = read_folder(folder.path)
    questions = questions_from_documents(again)
    assert questions.drops["too short a question"] == 2
    assert questions.drops["in several places"] + questions.drops["answer in several places"] >= 2
    assert not questions.origin.decides


def test_files_take_turns_and_the_seed_decides(folder):
    sections = [
        f"## The subject of the chapter {'x' * number}\n\n" + f"It is about {'y' * number} and more of it. " * 9
        for number in range(1, 60)
    ]
    (folder.path / "long.md").write_text("\n\n".join(sections))
    many = read_folder(folder.path)
    few = questions_from_documents(many, count=8)
    assert len(few.questions) == 8
    assert {question.spans[0].file for question in few.questions} == {"cats.md", "katzen.md", "long.md", "mao.md"}
    assert few == questions_from_documents(many, count=8)
    assert few != questions_from_documents(many, count=8, seed=1)


def test_nothing_to_ask_is_an_error(tmp_path):
    (tmp_path / "a.txt").write_text("Hello.")
    with pytest.raises(ConfigError, match=r"no question can be made from the documents in .*Give --questions"):
        questions_from_documents(read_folder(tmp_path))


def test_the_file_is_read_as_it_was_written(folder, tmp_path):
    questions = questions_from_documents(folder)
    write_questions(questions, folder, tmp_path / "out" / "questions.jsonl")
    read = read_questions(tmp_path / "out" / "questions.jsonl", folder)
    assert read.questions == questions.questions
    assert read.origin is Origin.FROM_DOCUMENTS
    assert searched(folder, read)[0] == searched(folder, questions)[0]


def test_taken_out_is_true_or_false(folder, tmp_path):
    row = {"question": "what does a cat want", "file": "cats.md", "taken_out": "perhaps"}
    (tmp_path / "questions.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match="taken_out is 'perhaps'; write yes or no"):
        read_questions(tmp_path / "questions.jsonl", folder)


def test_overlap_is_the_share_of_words_and_splits_in_halves(folder):
    assert overlap("Eine Katze schläft", "die Katze frisst, eine andere nicht") == pytest.approx(2 / 3)
    assert overlap("猫睡", "猫吃") == pytest.approx(1 / 3), "猫, 睡 and the pair"
    documents, moved = searched(folder, questions_from_documents(folder))
    tagged = with_overlap(moved, split(documents, Chunking(64, 8)))
    assert {question.tags["overlap"] for question in tagged.questions} == {"low", "high"}
    assert 0 < tagged.provenance["overlap"] < 1
