"""Questions that a language model writes, by way of a server that speaks OpenAI's API."""

import json
import re
import sys
from pathlib import Path

import pytest
from chat import Chat, serving

import evalkit as package
from evalkit.errors import ApiError, ConfigError, ModelNotFoundError, SpecError
from evalkit.models.language_models import load_llm
from evalkit.picking.documents import read_folder
from evalkit.picking.questions import generate_questions
from evalkit.results import Results

BEASTS = [("badger", "roots"), ("otter", "fish"), ("heron", "frogs")]
FACTS = [
    f"The {beast} of valley {n} sleeps {n + 7} hours and eats {n + 2} kilos of {food} a day."
    for n, (beast, food) in enumerate(BEASTS, start=1)
]


@pytest.fixture
def docs(tmp_path):
    (tmp_path / "docs").mkdir()
    for name, fact in zip(("badgers", "otters", "herons"), FACTS, strict=True):
        (tmp_path / "docs" / f"{name}.txt").write_text(f"{fact}\n\nNothing else is known of it.")
    return tmp_path / "docs"


def passage(prompt: str) -> str:
    """The first passage that a prompt shows."""
    return prompt.partition('"""\n')[2].partition('\n"""')[0]


def good(prompt: str) -> str:
    """Two fit questions, as a model would write them."""
    beast, place = re.search(r"The (\w+) of (valley \d)", passage(prompt)).groups()
    quote = re.search(r"sleeps \d+ hours", passage(prompt))[0]
    food = re.search(r"eats [^.]*\.", passage(prompt))[0]
    rest = f"For how long does a {beast} in {place} rest?"
    return f"Kind: fact\nQ: {rest}\nA: {quote}\n\nKind: fact\nQ: Which diet keeps {beast}s alive?\nA: {food}"


def generated(docs, reply, **more):
    with serving(reply) as server:
        found = generate_questions(read_folder(docs), Chat(api_base=server.url), **more)
        return found, server


def test_questions_with_the_words_that_answer_them(docs):
    found, server = generated(docs, good)
    assert found.origin == "generated"
    assert len(found.questions) == 6
    assert found.drops == {}
    texts = {file.name: file.text for file in read_folder(docs).files}
    answers = {
        question.text: texts[span.file][span.start : span.end]
        for question in found.questions
        for span in question.spans
    }
    assert answers["For how long does a otter in valley 2 rest?"] == "sleeps 9 hours"
    assert answers["Which diet keeps herons alive?"] == "eats 5 kilos of frogs a day."
    assert len(server.prompts) == 3
    assert sorted(map(passage, server.prompts)) == sorted(texts.values())
    made = found.provenance
    assert made["llm"]["model"] == "tiny"
    assert (made["seed"], made["passages"], made["per_passage"], made["version"]) == (0, 50, 2, 2)
    assert "Q: the question" in made["prompt"]
    assert "sk-recognisable" not in json.dumps(made)


def test_passages_are_drawn_by_the_seed_and_evenly(docs):
    names = [{span.file for question in generated(docs, good, passages=2, seed=seed)[0].questions
              for span in question.spans} for seed in range(8)]  # fmt: skip
    assert {len(each) for each in names} == {2}
    assert len(set(map(frozenset, names))) > 1
    again = [generated(docs, good, passages=2, seed=3)[0].questions for _ in range(2)]
    assert again[0] == again[1]


FIT = "Kind: fact\nQ: What fills the stomach of the first animal?\nA: roots a day"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("Here are the questions you asked for:", "preamble, or other text"),
        ("I cannot help with that.", "preamble, or other text"),
        ("Q: Tell me about badgers\nA: roots a day", "not a question"),
        ("Q: What does the passage say about sleep?\nA: sleeps 8 hours", "names the context"),
        ("Q: According to the given text, how long is the night?\nA: sleeps 8 hours", "names the context"),
        ("Q: How many hours are mentioned above?\nA: sleeps 8 hours", "names the context"),
        ("Q: The badger of valley 1 sleeps 8 hours and eats what?\nA: roots a day", "copies the passage"),
        ("Q: Why?\nA: roots a day", "too short a question"),
        ("Q: How long is a night of rest there?\nA: ten hours", "its answer is not in the passage"),
        ("Q: How long is a night of rest there?", "without the words that answer it"),
        ("Q: How long is a night of rest there?\nA:", "its answer is not in the passage"),
        ("A: sleeps 8 hours", "preamble, or other text"),
        ("Q: What more do we learn about such animals?\nA: Nothing else is known of it.", "answer in several places"),
        (f"{FIT}\nKind: fact\nQ: What fills the stomach of that first animal?\nA: roots a day", "near-duplicate"),
        ("```json\n", "preamble, or other text"),
    ],
)
def test_what_is_left_out_is_counted_with_its_reason(bad, reason, docs):
    def reply(prompt):
        return f"Kind: fact\n{bad}\n{FIT}" if "badger" in passage(prompt) else ""

    found, _ = generated(docs, reply)
    assert [question.text for question in found.questions] == ["What fills the stomach of the first animal?"]
    expected = {reason: 2 if reason == "near-duplicate" else 1}
    assert dict(found.drops) == expected


@pytest.mark.parametrize(
    "line",
    ["Q: {}", "1. Q: {}", "**Q:** {}", "- **Question 2:** {}", "> Q1: {} ", "## Question: {}"],
)
def test_decorated_lines_are_read(line, docs):
    asked = "What fills the stomach of the first animal?"
    answer = line.replace("Question", "Answer").replace("Q", "A").format('"roots   a\tday."')

    def reply(prompt):
        kind = line.replace("Question", "Kind").replace("Q", "Kind").format("fact")
        return f"{kind}\n{line.format(asked)}\n{answer}" if "badger" in passage(prompt) else ""

    found, _ = generated(docs, reply)
    assert [(each.text, each.spans[0].file) for each in found.questions] == [(asked, "badgers.txt")]
    assert not found.drops


@pytest.mark.parametrize(
    "rubbish",
    ["", "   \n\n", "I am sorry, but as a language model I cannot do that.", "<html><body>502</body></html>",
     '[{"question": "What is it?", "answer": "a thing"}]', "Q: Q: Q:\nA: A:", "\0\ud7ff🙂 " * 50, "x" * 1_000_000,
     "*" * 500_000, "Q: " + "?" * 300_000 + "\nA: " + "a" * 300_000],
    ids=["empty", "blank", "refusal", "html", "json", "letters", "odd", "a megabyte", "stars", "long"],
)  # fmt: skip
def test_rubbish_alone_is_one_clear_error(rubbish, docs):
    with pytest.raises(ConfigError, match="nothing that the language model wrote on 3 passage") as caught:
        generated(docs, lambda prompt: rubbish)
    assert "Try another model, or give --questions." in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_failure_loses_nothing_and_names_no_key(docs, tmp_path):
    """The second passage fails; the next run asks for what is missing only, and so does one with a torn line."""
    answers = tmp_path / "answers.jsonl"

    def failing(prompt):
        return 500 if "heron" in passage(prompt) else good(prompt)

    with serving(failing) as server:
        llm = Chat(api_base=server.url)
        with pytest.raises(
            ApiError, match=r"'tiny' failed on the passage herons\.txt#0-\d+: InternalServerError"
        ) as caught:
            generate_questions(read_folder(docs), llm, answers=answers)
        assert "sk-recognisable" not in str(caught.value)
        assert "the next run asks for the rest only" in str(caught.value)
        before = len(server.prompts)
        server.reply = good
        found = generate_questions(read_folder(docs), llm, answers=answers)
        assert len(server.prompts) == 3 + 1, "herons twice, the others once"
        assert before == 2, "herons failed, and nothing was asked after that"
        assert len(found.questions) == 6
        whole = answers.read_text()
        answers.write_text(whole[:-30])
        again = generate_questions(read_folder(docs), llm, answers=answers)
        assert len(server.prompts) == 5
        assert again == found
        generate_questions(read_folder(docs), Chat(api_base=server.url, model="other"), answers=answers)
        assert len(server.prompts) == 8, "another model is asked anew"


PICK = ["--models", "tfidf,bm25", "--no-hybrid", "--chunk-size", "32", "--chunk-overlap", "0", "--top-k", "1",
        "--device", "cpu"]  # fmt: skip


def test_the_command_generates_reuses_and_respects_edits(docs, tmp_path, evalkit, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    out = tmp_path / "out"
    with serving(good) as server:
        spec = f"llamaindex:chat.Chat?api_base={server.url}&model=tiny"
        command = ["pick", docs, "--llm", spec, *PICK, "--out", out, "--verbose"]
        status, shown, err = evalkit(*command)
        assert status == 0, err
        assert "6 questions, generated; left out: 0." in shown
        assert "generated by a language model" in (out / "recommendation.md").read_text()
        questions = out / "questions.jsonl"
        first = questions.read_text()
        assert len(server.prompts) == 3
        # Again: the saved set, and no further request.
        assert evalkit(*command)[0] == 0
        assert questions.read_text() == first
        assert len(server.prompts) == 3
        # Edited: one changed, one removed, one added.
        rows = [json.loads(line) for line in first.splitlines()]
        rows[0]["question"] = "Where does the badger spend its nights?"
        rows[-1] = {"id": "mine", "question": "Who eats frogs?", "file": "herons.txt"}
        questions.write_text("\n".join(map(json.dumps, rows)))
        status, shown, err = evalkit(*command)
        assert status == 0, err
        assert "They are used as they were edited: 1 added, 1 removed, 1 changed." in shown
        run = Results.read(out).provenance["pick"]["questions"]
        assert run["origin"] == "generated"
        assert run["edited"] == {"added": 1, "removed": 1, "changed": 1}
        texts = set(Results.read(out).evidence.queries["text"])
        assert {"Where does the badger spend its nights?", "Who eats frogs?"} <= texts
        # What they were made from changed: the edited file is not written over.
        status, _, err = evalkit(*command, "--passages", "2")
        assert status == 2
        assert "was edited, and what it was made from is not what it would be made from now: passages differ" in err
        assert "Who eats frogs?" in questions.read_text()
        # Not edited: made anew.
        questions.unlink()
        assert evalkit(*command, "--passages", "2")[0] == 0
        assert len(questions.read_text().splitlines()) == 4
        assert len(server.prompts) == 4, "what it said is kept; of one passage other kinds are asked now"
        run = (out / "run.json").read_text()
        assert "sk-recognisable" not in run + questions.read_text() + (out / "questions.answers.jsonl").read_text()
        assert evalkit("pick", docs, "--llm", spec, "--questions", questions, *PICK)[0] == 2


def test_an_object_writes_questions_too(docs):
    with serving(good) as server:
        picked = package.pick(
            docs, llm=Chat(api_base=server.url), passages=2, models="bm25", chunk_size=None, top_k=1, device="cpu"
        )
    assert picked.results.provenance["pick"]["questions"]["count"] == 4


def test_questions_of_unknown_making_are_not_written_over(docs, tmp_path, evalkit):
    out = tmp_path / "out"
    out.mkdir()
    (out / "questions.jsonl").write_text('{"question": "mine?", "file": "herons.txt"}\n')
    status, _, err = evalkit("pick", docs, *PICK, "--out", out)
    assert status == 2
    assert "nothing says how it was made. Give it with --questions, or choose another --out." in err
    (out / "questions.made.json").write_text("{")
    status, _, err = evalkit("pick", docs, *PICK, "--out", out)
    assert status == 2
    assert "questions.made.json cannot be read" in err


@pytest.mark.parametrize(
    ("spec", "error", "told"),
    [
        (
            "gpt-4",
            SpecError,
            "names no language model. Write auto, for one of a server on this machine; seq2seq:PATH; or llamaindex:",
        ),
        ("llamaindex:chat.Nobody", SpecError, "no class chat.Nobody"),
        ("llamaindex:chat.ChatServer", SpecError, "chat.ChatServer is no language model"),
        ("llamaindex:chat.Chat?colour=red", SpecError, "unknown option 'colour'"),
        ("llamaindex:chat.Chat?temperature=warm", SpecError, "option 'temperature'"),
        ("llamaindex:chat.Chat?api_key=x", SpecError, "is a key"),
        ("llamaindex:llama_index.llms.nonesuch.X", ModelNotFoundError, "pip install llama-index-llms-nonesuch"),
    ],
)
def test_names_of_language_models(spec, error, told, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    with pytest.raises(error) as caught:
        load_llm(spec)
    assert told in str(caught.value)
    assert "chat" in sys.modules
