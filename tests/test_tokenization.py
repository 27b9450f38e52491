"""Words of every script: the old rule where it was right, and what it split or glued together."""

import json
import re
import unicodedata
from pathlib import Path

import pytest

from evalkit.tokenization import _ANY_WITHOUT_BLANKS, words

OLD = re.compile(r"\b\w+\b")
"""What a word was before scripts with marks, and those without blanks, were read: right for English."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't x_1 3.5 naïve Straße, 2nd", ["Don", "t", "x_1", "3", "5", "naïve", "Straße", "2nd"]),
        ("हिन्दी में लिखा है।", ["हिन्दी", "में", "लिखा", "है"]),
        ("مَرحَبًا بالعالم", ["مرحبا", "بالعالم"]),
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("שָׁלוֹם עולם", ["שלום", "עולם"]),
        ("Привет, мир!", ["Привет", "мир"]),
        ("我们", ["我", "我们", "们"]),
        ("东京2024年", ["东", "东京", "京", "2024", "年"]),
        ("iPhone手机", ["iPhone", "手", "手机", "机"]),
        ("ラーメン", ["ラ", "ラー", "ー", "ーメ", "メ", "メン", "ン"]),
        ("時々", ["時", "時々", "々"]),
        ("한국 말", ["한", "한국", "국", "말"]),
        ("น้ำ", ["น้", "น้ำ", "ำ"]),
        ("ภาษา", ["ภ", "ภา", "า", "าษ", "ษ", "ษา", "า"]),
        ("ລາວ", ["ລ", "ລາ", "າ", "າວ", "ວ"]),
        ("ខ្មែរ", ["ខ្", "ខ្មែ", "មែ", "មែរ", "រ"]),
        ("မြန်မာ", ["မြ", "မြန်", "န်", "န်မာ", "မာ"]),
        ("好。坏", ["好", "坏"]),
        ("", []),
        (" ?!。、❤️ ", []),
    ],
)
def test_words_of_a_script(text: str, expected: list[str]):
    assert words(text) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cafe\u0301", "café"),
        ("de\u00adliver", "deliver"),
        ("می\u200cخواهم", "میخواهم"),
        ("क्\u200dष", "क्ष"),
        ("ＡＢＣ１", "ABC1"),
        ("ﾗｰﾒﾝ", "ラーメン"),
        ("ｶﾞｽ", "ガス"),
        ("\ufeffcat\u200e", "cat"),
        ("9\ufe0f", "9"),
        ("الكِتَابُ", "الكتاب"),
        ("العـــربية", "العربية"),
        ("\u0627\u0654حمد", "أحمد"),
        ("İstanbul".lower(), "istanbul"),
    ],
)
def test_what_looks_alike_is_the_same_word(one: str, other: str):
    assert words(one) == words(other)


def test_a_zero_width_space_stands_between_words():
    assert words("a\u200bb") == ["a", "b"]
    assert "ยล" not in words("ไทย\u200bลาว")


def test_letters_and_digits_of_scripts_with_blanks_are_as_they_were():
    """Every character by itself is a word if it was one, but for those that `words` writes otherwise."""
    for number in range(0x20000):
        character = chr(number)
        if 0xD800 <= number <= 0xDFFF or unicodedata.category(character) == "Cn":
            continue
        if OLD.findall(character) and not words(character):
            assert re.search("FILLER$|^HALFWIDTH .* MARK$|^ARABIC TATWEEL$", unicodedata.name(character)), (
                f"U+{number:04X}"
            )
        elif words(character) and not OLD.findall(character):
            assert unicodedata.normalize("NFKC", character) != character, f"U+{number:04X}"


def test_a_run_that_is_known_as_a_whole_stays_one():
    known = {"图书馆", "书"}.__contains__
    assert words("图书馆 很大", known) == ["图书馆", "很", "很大", "大"]
    assert words("cat", known) == ["cat"]


@pytest.mark.parametrize(
    "path",
    [
        "cranfield/corpus.jsonl", "cranfield/queries.jsonl", "llamaindex-10k-val/corpus.jsonl",
        "llamaindex-10k-val/queries.jsonl", "stsb-en/test.jsonl", "stsb-de/test.jsonl", "banking77/test.jsonl",
        "tatoeba/deu-eng.jsonl", "tatoeba/spa-eng.jsonl", "tatoeba/fra-eng.jsonl", "tatoeba/rus-eng.jsonl",
        "tatoeba/swh-eng.jsonl",
    ],
)  # fmt: skip
def test_real_texts_in_scripts_with_blanks_have_the_words_they_had(data_dir: Path, path: str):
    """So every score on them is what it was."""
    with (data_dir / path).open(encoding="utf-8") as lines:
        texts = [value for line in lines for value in json.loads(line).values() if isinstance(value, str)]
    assert len(texts) > 400
    assert [words(text) for text in texts] == [OLD.findall(text) for text in texts]


def test_a_text_without_such_scripts_is_split_as_one_with_them():
    """The quick way, for a text without them, gives what the other gives of the same text before a Chinese one."""
    characters = [chr(number) for number in range(0x80, 0x30000) if not 0xD800 <= number <= 0xDFFF]
    others = _ANY_WITHOUT_BLANKS.sub("", "".join(characters))
    assert 30_000 < len(others) < len(characters) - 90_000
    for start in range(0, len(others), 10_000):
        text = " ".join(f"a{character}b" for character in others[start : start + 10_000])
        assert words(f"{text} 書") == [*words(text), "書"]
