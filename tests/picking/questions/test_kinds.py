"""Kinds of questions that a language model is asked for: what is read, what is refused, what is kept apart."""

import json
import re
from collections import Counter

import pytest
from chat import Chat, serving

import evalkit as package
from evalkit.picking.documents import read_folder
from evalkit.picking.questions import generate_questions, read_questions, write_questions
from evalkit.results import Results

TEXTS = {
    "en": {
        "sealing.md": "To seal a joint, warm the wax to sixty degrees and press with a cloth.",
        "storing.md": "Wax is stored in a dark room, and resin beside it in tins.",
        "selling.md": "A tin of resin costs nine marks at the yard, and wax is given away.",
    },
    "de": {
        "dichten.md": "Zum Dichten einer Fuge erwärmt man Wachs auf sechzig Grad und drückt es mit einem Tuch ein.",
        "lagern.md": "Wachs lagert in einem dunklen Raum, das Harz daneben in Dosen.",
        "verkauf.md": "Eine Dose Harz kostet neun Mark am Hof, und Wachs wird verschenkt.",
    },
    "zh": {
        "a.md": "密封接缝时，先把蜡加热到六十度，再用布压进去。",
        "b.md": "蜡存放在黑暗的房间里，树脂放在旁边的罐子里。",
        "c.md": "一罐树脂在院子里卖九马克，蜡是免费赠送的。",
    },
}
ASKED = {
    "en": {
        "fact": "How hot must it get before use?",
        "how-to": "How do I close a gap between planks?",
        "user's words": "keep water out of boat",
        "comparison": "Which of the two costs more money?",
        "two passages": "Where does the dearer material lie at home?",
        "no answer": "Who invented this kind of wax?",
    },
    "de": {
        "fact": "Wie heiß muss die Masse werden?",
        "how-to": "Wie schließe ich einen Spalt zwischen Planken?",
        "user's words": "boot undicht was tun",
        "comparison": "Was von beidem ist teurer?",
        "two passages": "Worin liegt der teurere Stoff zu Hause?",
        "no answer": "Wer hat diese Art von Wachs erfunden?",
    },
    "zh": {
        "fact": "使用之前温度应该是多少？",
        "how-to": "怎样才能让木板之间不漏水？",
        "user's words": "船漏水怎么办",
        "comparison": "两种材料哪一个更贵？",
        "two passages": "比较贵的材料平时保存于何处？",
        "no answer": "是谁发明了这种材料？",
    },
}


@pytest.fixture(params=sorted(TEXTS))
def language(request):
    return request.param


@pytest.fixture
def docs(tmp_path, language):
    (tmp_path / "docs").mkdir()
    for name, text in TEXTS[language].items():
        (tmp_path / "docs" / name).write_text(text, encoding="utf-8")
    return tmp_path / "docs"


def shown(prompt):
    return re.findall(r'"""\n(.*?)\n"""', prompt, re.DOTALL)


def asked_for(prompt):
    return re.findall(r"^- ([\w' -]+): ", prompt.partition("Each question")[0], re.MULTILINE)


def obedient(language, *, wrong=lambda kind, quotes: quotes):
    """Writes one question of each kind that it is asked for; quotes the first half of each passage that it needs."""

    def reply(prompt):
        lines = ["<think>Q: a thought?\nA: none</think>"]
        for kind in asked_for(prompt):
            passages = shown(prompt)
            needed = {"two passages": 2, "no answer": 0}.get(kind, 1)
            quotes = [each[: len(each) // 2] for each in passages[:needed]]
            lines += [f"Kind: {kind}", f"Q: {ASKED[language][kind]}", *(f"A: {each}" for each in wrong(kind, quotes))]
        return "\n".join(lines)

    return reply


def generated(docs, reply, **more):
    with serving(reply) as server:
        return generate_questions(read_folder(docs), Chat(api_base=server.url), **more), server


def test_every_kind_is_asked_by_turns_and_tagged(docs, language):
    found, server = generated(docs, obedient(language))
    kinds = Counter(kind for prompt in server.prompts for kind in asked_for(prompt))
    assert kinds == Counter(list(ASKED[language]))
    assert dict(found.drops) == {}
    assert {each.tags["kind"]: each.text for each in (*found.questions, *found.unanswerable)} == ASKED[language]
    (unanswerable,) = found.unanswerable
    assert (unanswerable.tags["kind"], unanswerable.spans) == ("no answer", ())
    (both,) = (each for each in found.questions if each.tags["kind"] == "two passages")
    texts = TEXTS[language]
    assert len({span.file for span in both.spans}) == 2
    assert all(texts[span.file][span.start : span.end] == texts[span.file][: span.end] for span in both.spans)
    assert all(len(shown(prompt)) == 1 + ("two passages" in asked_for(prompt)) for prompt in server.prompts)
    # Those two are shown that share most words: in each language the second and third both speak of resin.
    (pair,) = (shown(prompt) for prompt in server.prompts if len(shown(prompt)) == 2)
    assert set(pair) == set(list(texts.values())[1:])


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_what_was_generated_is_read_as_it_was_written(docs, language, suffix, tmp_path):
    found, _ = generated(docs, obedient(language))
    folder = read_folder(docs)
    write_questions(found, folder, tmp_path / f"questions{suffix}")
    read = read_questions(tmp_path / f"questions{suffix}", folder)
    assert (read.origin, read.questions, read.unanswerable) == (found.origin, found.questions, found.unanswerable)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda kind, quotes: quotes[:1] if kind == "two passages" else quotes, "as many passages as its kind asks"),
        (lambda kind, quotes: quotes[:1] * 2 if kind == "two passages" else quotes, "as many passages as its kind"),
        (lambda kind, quotes: quotes * 2 if kind == "fact" else quotes, "as many passages as its kind asks for"),
        (lambda kind, quotes: [] if kind == "fact" else quotes, "without the words that answer it"),
    ],
    ids=["one of two", "the same twice", "two of one", "none"],
)
def test_answers_that_do_not_fit_the_kind(docs, language, wrong, reason):
    found, _ = generated(docs, obedient(language, wrong=wrong))
    assert [number for told, number in found.drops.items() if reason in told] == [1]
    assert len(found.questions) == 4


def test_kinds_that_nobody_asked_for(docs, language):
    right = obedient(language)
    found, _ = generated(docs, lambda prompt: right(prompt).replace("Kind: how-to", "Kind: poem"))
    assert dict(found.drops) == {"of no kind that was asked for": 1}
    found, _ = generated(docs, lambda prompt: right(prompt).replace("Kind: how-to\n", ""))
    assert dict(found.drops) == {"of no kind that was asked for": 1}
    found, _ = generated(docs, lambda prompt: right(prompt).replace("Kind: how-to", "Kind: fact"))
    assert Counter(each.tags["kind"] for each in found.questions)["fact"] == 2, "a fact may stand for each kind"


def test_an_unanswerable_question_must_have_no_answer_there(docs, language):
    text = "".join(list(TEXTS[language].values())[-1][:6])
    right = obedient(language, wrong=lambda kind, quotes: ["none"] if kind == "no answer" else quotes)
    assert len(generated(docs, right)[0].unanswerable) == 1
    answered = obedient(language, wrong=lambda kind, quotes: [text] if kind == "no answer" else quotes)
    found, _ = generated(docs, answered)
    assert dict(found.drops) == {"answered, and was to have no answer": 1}
    assert not found.unanswerable


def test_thoughts_that_came_to_no_end_are_no_questions(docs, language):
    right = obedient(language)
    found, _ = generated(
        docs, lambda prompt: f"{right(prompt)}\n<think>\nKind: fact\nQ: And what of a thought?\nA: {shown(prompt)[0]}"
    )
    assert dict(found.drops) == {}
    assert len(found.questions) == 5


def test_one_passage_alone_is_not_asked_for_two(tmp_path):
    (tmp_path / "a.md").write_text(TEXTS["en"]["sealing.md"])
    _, server = generated(tmp_path, obedient("en"), per_passage=6)
    (prompt,) = server.prompts
    assert asked_for(prompt) == ["fact", "how-to", "user's words", "comparison", "no answer"]


def test_a_pick_shows_scores_by_kind_and_the_validity_of_the_set(docs, language, tmp_path):
    with serving(obedient(language)) as server:
        package.pick(
            docs, llm=Chat(api_base=server.url), models="bm25,tfidf", hybrid=False, chunk_size=32, chunk_overlap=0,
            top_k=1, device="cpu", out=tmp_path / "out",
        )  # fmt: skip
    text = (tmp_path / "out" / "recommendation.md").read_text(encoding="utf-8")
    made = Results.read(tmp_path / "out").provenance["pick"]["questions"]
    assert (made["count"], made["unanswerable"]) == (5, 1)
    assert f"{made['overlap']:.0%} of a question's words stand in the passages that answer it" in text
    assert "1 more have no answer in the documents: no ranking is right, so none is scored." in text
    (head,) = (line for line in text.splitlines() if line.startswith("| Model | Chunking | comparison"))
    kinds = sorted(set(ASKED[language]) - {"no answer"})
    assert [cell.strip() for cell in head.strip("|").split("|")[2:]] == [f"{kind} (1)" for kind in kinds]
    rows = [json.loads(line) for line in (tmp_path / "out" / "questions.jsonl").read_text("utf-8").splitlines()]
    assert [row["question"] for row in rows if row.get("unanswerable")] == [ASKED[language]["no answer"]]
