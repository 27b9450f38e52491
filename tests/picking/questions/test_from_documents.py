"""Questions made from documents: each kind, where its answer is, and what is left out."""

import re

import pytest

from evalkit.errors import ConfigError
from evalkit.picking.documents import read_folder
from evalkit.picking.questions import questions_from_documents, read_questions, write_questions

PETS = """\
# How to look after a cat

A cat wants food twice a day and a quiet place to sleep in.

## Cats

Too short a heading, but its section has enough words in it.

A tortoise is a reptile with a shell that grows as long as it lives.
Veterinarians recommend vaccination against rabies before any travelling abroad begins.
"""
PLANTS = """\
# What to plant in spring

Tomatoes need warmth, and should not be outdoors before the last frost has gone.

# What to plant, in spring

Radishes grow quickly and are ready to eat about four weeks after sowing.
It is a fact that is not worth a question about the word it.
A tortoise is a reptile with a shell that grows as long as it lives.
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "pets.md").write_text(PETS)
    (tmp_path / "docs" / "plants.md").write_text(PLANTS)
    return read_folder(tmp_path / "docs")


def answers(folder, questions):
    texts = {file.name: file.text for file in folder.files}
    return {
        question.text: " ".join(texts[span.file][span.start : span.end].split())
        for question in questions.questions
        for span in question.spans
    }


def test_a_heading_is_answered_by_its_section(folder):
    found = answers(folder, questions_from_documents(folder))
    assert found["How to look after a cat"] == "A cat wants food twice a day and a quiet place to sleep in."


def test_a_definition_is_answered_by_its_sentence(folder):
    pets = folder.path / "pets.md"
    (folder.path / "plants.md").write_text("Nothing here.")
    pets.write_text(
        "A tortoise is a reptile with a shell that grows as long as it lives. It is a very old animal too."
    )
    anew = read_folder(folder.path)
    found = answers(anew, questions_from_documents(anew))
    assert found["What is a tortoise?"].startswith("A tortoise is a reptile")
    assert not [question for question in found if question.startswith("What is it")]


def test_the_rarest_words_are_masked(folder):
    masked = {
        question.text: question for question in questions_from_documents(folder).questions
        if question.tags["kind"] == "masked"
    }  # fmt: skip
    found = answers(folder, questions_from_documents(folder))
    for text in masked:
        assert text.count("…") >= 3
        pattern = ".+?".join(map(re.escape, text.split("…")))
        assert re.fullmatch(pattern, found[text]), "all but the masked words is the sentence"
    everything = " ".join(masked)
    assert "Tomatoes" not in everything or "frost" not in everything


def test_what_cannot_be_asked_is_counted(folder):
    """ "Cats" is too short; both files have the tortoise, as a definition and masked; the two headings are one."""
    questions = questions_from_documents(folder)
    assert questions.drops["too short a question"] == 1
    assert questions.drops["answer in several places"] == 4
    assert questions.drops["near-duplicate"] == 1
    assert questions.origin == "from documents"
    assert "Cats" not in answers(folder, questions)


def test_files_take_turns_and_the_seed_decides(folder):
    sentences = [f"Sentence {number} of the long file names subject{number * 'x'} once more." for number in range(60)]
    (folder.path / "long.md").write_text("\n\n".join(sentences))
    many = read_folder(folder.path)
    few = questions_from_documents(many, count=6)
    assert len(few.questions) == 6
    assert {question.spans[0].file for question in few.questions} == {"long.md", "pets.md", "plants.md"}
    assert few == questions_from_documents(many, count=6)
    assert few != questions_from_documents(many, count=6, seed=1)


def test_nothing_to_ask_is_an_error(tmp_path):
    (tmp_path / "a.txt").write_text("Hello.")
    with pytest.raises(ConfigError, match=r"no question can be made from the documents in .*Give --questions"):
        questions_from_documents(read_folder(tmp_path))


def test_the_file_is_read_as_it_was_written(folder, tmp_path):
    questions = questions_from_documents(folder)
    write_questions(questions, folder, tmp_path / "out" / "questions.jsonl")
    read = read_questions(tmp_path / "out" / "questions.jsonl", folder)
    assert read.questions == questions.questions
    assert read.origin == "given"
