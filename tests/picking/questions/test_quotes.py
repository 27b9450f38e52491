"""Quotes are found however their signs are set; where they are not, the nearest passage is shown."""

import unicodedata

import pytest

from evalkit.errors import DataError
from evalkit.picking.documents import Folder, SourceFile
from evalkit.picking.questions import read_questions
from evalkit.picking.questions._question import Span
from evalkit.picking.questions._quotes import Quotes

SOFT = "\u00ad"
# What stands in the document, and what the quote has: each must be found both ways round.
PAIRS = {
    "quotation marks": ("Press “Start” to begin.", 'Press "Start" to begin.'),
    "single marks": ("Press ‘Start’ to begin.", "Press 'Start' to begin."),
    "single for double": ("Press ‘Start’ to begin.", 'Press "Start" to begin.'),
    "low marks": ("Den Knopf „Start“ drücken.", 'Den Knopf "Start" drücken.'),
    "guillemets with blanks": ("Appuyez sur « Marche » ici.", 'Appuyez sur "Marche" ici.'),
    "corner brackets": ("「開始」を押す。", '"開始"を押す。'),
    "apostrophe": ("Don’t open it.", "Don't open it."),
    "dash": ("The lamp — if any — blinks.", "The lamp - if any - blinks."),
    "double hyphen": ("The lamp—if any—blinks.", "The lamp -- if any -- blinks."),
    "range": ("Wait 10–20 minutes.", "Wait 10-20 minutes."),
    "minus": ("Below −5 degrees it stops.", "Below -5 degrees it stops."),
    "non-breaking hyphen": ("A well\u2011known fault.", "A well-known fault."),
    "decomposed": (unicodedata.normalize("NFD", "Le café est à côté."), "Le café est à côté."),
    "decomposed Korean": (unicodedata.normalize("NFD", "단추를 누르세요"), "단추를 누르세요"),
    "two marks in another order": ("a\u0323\u0302 letter", "a\u0302\u0323 letter"),
    "soft hyphen": (f"The instru{SOFT}ment is cali{SOFT}brated.", "The instrument is calibrated."),
    "zero width": ("Open\u200b the\ufeff lid.", "Open the lid."),
    "no-break space": ("Weighs 12\u00a0kg at\u202fmost.", "Weighs 12 kg at most."),
    "repeated blanks": ("Weighs   12 \t kg\n\n at most.", "Weighs 12 kg at most."),
    "ligature": ("The ﬁlter and the oﬃce.", "The filter and the office."),
    "ellipsis": ("Wait … then press.", "Wait ... then press."),
    "full width": ("Ｐｒｅｓｓ　１２３", "Press 123"),
    "hyphen at a line's end": ("Solvents make the plas-\ntic brittle.", "Solvents make the plastic brittle."),
    "hyphen of the word at a line's end": ("A well-\nknown fault.", "A well-known fault."),
    "line end in Chinese": ("按住按钮\n十秒钟。", "按住按钮十秒钟。"),
    "decomposed Hindi": (unicodedata.normalize("NFD", "बटन दबाएँ ड़"), unicodedata.normalize("NFC", "बटन दबाएँ ड़")),
}


@pytest.mark.parametrize(("one", "other"), [*PAIRS.values(), *(pair[::-1] for pair in PAIRS.values())])
def test_it_is_found_however_it_is_set(one, other):
    before = "Before it. "
    (span,) = Quotes({"m.md": f"{before}{one} After it.", "n.md": "Nothing."}).find(other)
    there = f"{before}{one} After it."[span.start : span.end]
    # Outer signs that do not count may be left out of the span.
    assert there in one
    assert len(one) - len(there) <= 1
    assert Quotes({"m.md": one}).find(other, "m.md")


def test_what_is_there_as_written_is_found_there_alone():
    quotes = Quotes({"a": "He said “yes”. Then 'he' said \"yes\".", "b": "Don’t. Don't."})
    assert quotes.find('said "yes"') == (Span("a", 25, 35),)
    assert quotes.find("Don't.") == (Span("b", 7, 13),)
    assert len(Quotes({"b": "Don’t. Don`t."}).find("Don't.")) == 2


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("the café is", "cafe"),
        ("ten 1020 times", "10-20"),
        ("a cat", "a Cat"),
        ("resume", "résumé"),
        ("5 degrees", "-5 degrees"),
    ],
)
def test_other_letters_are_not_the_same(text, quote):
    assert Quotes({"a": text}).find(quote) == ()


@pytest.mark.parametrize("quote", ["—", "“”", "...?!x", "\u200b"])
def test_signs_alone_are_no_quote(quote):
    assert Quotes({"a": "One two."}).find(quote) == ()


def test_the_nearest_passage_and_the_difference():
    manual = "# Care\n\nWipe the case with a dry cloth.\nSolvents and alcohol make the plastic brittle and void it."
    quotes = Quotes({"other.md": "Something else entirely.", "manual.md": manual})
    there = "nearest in manual.md, line 4: 'Solvents and alcohol make the plastic brittle and'; "
    quote = "Solvents and alcohol make the plastik brittle and"
    assert quotes.nearest(quote) == there + "for 'plastik' in the quote there stands 'plastic'"
    assert quotes.nearest("Solvents and strong alcohol make the plastic brittle and").endswith(
        "; 'strong' in the quote is not there"
    )
    assert quotes.nearest("Solvents and alcohol make plastic brittle and void it.").endswith(
        "; 'the' there is not in the quote"
    )
    assert quotes.nearest(quote, "other.md") == ""
    assert quotes.nearest("Zebras graze quietly under yellow umbrellas") == ""


def test_the_nearest_passage_where_capitals_differ():
    quotes = Quotes({"a.md": "İstanbul. Hold the Reset Button for ten seconds."})
    assert quotes.nearest("hold the reset button for ten seconds.") == (
        "nearest in a.md, line 1: 'Hold the Reset Button for ten seconds.'; "
        "for 'hold' in the quote there stands 'Hold'"
    )


def test_the_nearest_passage_where_no_blanks_are_between_words():
    before, after = "本条规定合同的成立。" * 20, "双方当事人应当签字。" * 20
    quotes = Quotes({"a.md": f"{before}当事人订立合同采用书面形式。{after}"})
    assert quotes.nearest("当事人订立合同可用书面形式") == (
        "nearest in a.md, line 1: '当事人订立合同采用书面形式'; for '可' in the quote there stands '采'"
    )


def test_the_error_shows_it(tmp_path):
    folder = Folder(None, (SourceFile("m.md", "Hold the button for ten seconds."),), (), "")
    (tmp_path / "q.csv").write_text("question,quote\nhow?,Hold the button for two seconds.\nwhat?,Hold the Knob\n")
    with pytest.raises(DataError) as caught:
        read_questions(tmp_path / "q.csv", folder)
    assert "nearest in m.md, line 1" in caught.value.problems[0]
    assert "for 'two' in the quote there stands 'ten'" in caught.value.problems[0]


def test_long_documents_take_no_time():
    text = " ".join(f"Sentence {number} says that part {number * 7} is fine." for number in range(5_000))
    quotes = Quotes({"long.md": text})
    assert quotes.find("Sentence 4999 says that part “34993” is fine.")
    assert "Sentence 4998" in quotes.nearest("Sentence 4998 says that bart 34986 is fine.")
