"""What lexical models count: stop words as bm25s has them, stems as PyStemmer, tokens as `tokenizers`."""

import json
from pathlib import Path
from typing import get_args

import bm25s
import numpy as np
import pytest
import Stemmer as PyStemmer
from fakes import retrieval_task, run
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from evalkit.cell import Cell
from evalkit.compute import Compute
from evalkit.errors import ModelNotFoundError, SpecError
from evalkit.models.registry import build, parse_spec
from evalkit.models.terms import Stemmer, StopWords, TermOptions, make_terms, stop_words

GERMAN = ["Die Häuser stehen am Fluß.", "Ein Haus steht nicht in den Bäumen", "Alle Wege führen nach Rom", "und oder"]
LEXICAL = ["bow", "tfidf", "lsa?components=2", "bm25"]


def with_option(spec: str, option: str) -> str:
    return f"{spec}{'&' if '?' in spec else '?'}{option}"


def terms(language: StopWords = "none", **options: object) -> list[list[str]]:
    return make_terms(TermOptions(**options), Compute(), stop_words(language)).of(GERMAN)


@pytest.mark.parametrize("language", [each for each in get_args(StopWords) if each != "none"])
def test_stop_words_are_those_of_bm25s(language: StopWords):
    peer = bm25s.tokenize(GERMAN, token_pattern=r"\b\w+\b", stopwords=language, return_ids=False, show_progress=False)
    assert terms(language) == peer


@pytest.mark.parametrize("language", get_args(Stemmer))
def test_stems_are_those_of_bm25s(language: Stemmer):
    peer = bm25s.tokenize(
        GERMAN, token_pattern=r"\b\w+\b", stopwords="german", stemmer=PyStemmer.Stemmer(language),
        return_ids=False, show_progress=False,
    )  # fmt: skip
    assert terms("german", stemmer=language) == peer


@pytest.mark.parametrize("spec", LEXICAL)
def test_inflected_words_meet_by_their_stems(spec: str):
    """By the stemmer alone: none of these words is in the document as it stands."""
    task = retrieval_task({"1": "Häuser am Wasser", "2": "alte Wege"}, {"q1": "Haus", "q2": "Weg"})
    plain, stemmed = (build(parse_spec(each), Compute()) for each in (spec, with_option(spec, "stemmer=german")))
    outcome = run([task], {"plain": plain, "stemmed": stemmed}, depth=1)
    documents = {cell.model: found.documents[:, 0].tolist() for cell, found in outcome.rankings.items()}
    assert documents == {"plain": [-1, -1], "stemmed": [0, 1]}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Path:
    """A tokenizer.json that knows pieces of words, and truncates and pads, as those of models do."""
    pieces = ["[UNK]", "[PAD]", "haus", "##tier", "##e", "weg"]
    made = Tokenizer(models.WordPiece({piece: row for row, piece in enumerate(pieces)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=False)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.enable_truncation(2)
    made.enable_padding(length=8, pad_id=1, pad_token="[PAD]")
    folder = tmp_path_factory.mktemp("model")
    made.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize("spec", LEXICAL)
def test_a_tokenizers_tokens_are_counted_in_place_of_words(spec: str, tokenizer: Path):
    for place in (tokenizer, tokenizer / "tokenizer.json"):
        model = build(parse_spec(with_option(spec, f"tokenizer={place}")), Compute())
        assert model.tokens(["Haustiere Haustier weg", "Baum", ""], "document").tolist() == [6, 0, 0]
        fitted = model.fit(["Haustiere", "weg weg weg", "haus weg e"])
        assert fitted.coverage(["Haustier", "Baum"]).tokens == 2
        assert fitted.identity["tokenizer"] not in (None, str(place))


@pytest.mark.parametrize("spec", ["bow", "tfidf", "bm25"])
def test_pieces_of_words_find_each_other(spec: str, tokenizer: Path):
    task = retrieval_task({"1": "weg weg", "2": "haustiere"}, {"q1": "Haustier", "q2": "Weg"})
    outcome = run([task], {"m": build(parse_spec(f"{spec}?tokenizer={tokenizer}"), Compute())}, depth=1)
    assert outcome.rankings[Cell(task.name, task.split, "m")].documents[:, 0].tolist() == [1, 0]


def test_what_changes_the_terms_changes_the_identity(tokenizer: Path, tmp_path: Path):
    changed = json.loads((tokenizer / "tokenizer.json").read_text())
    changed["model"]["vocab"]["wege"] = 6
    (tmp_path / "tokenizer.json").write_text(json.dumps(changed))
    for spec in LEXICAL:
        options = ("", "stemmer=german", "stop_words=german", f"tokenizer={tokenizer}", f"tokenizer={tmp_path}")
        identities = [
            dict(build(parse_spec(with_option(spec, option) if option else spec), Compute()).identity)
            for option in options
        ]
        assert all(each not in identities[:row] for row, each in enumerate(identities))
        assert "words" in identities[0], "the rules for words have a number, which changes when they do"


def test_an_option_has_one_meaning_and_two_spellings():
    assert str(parse_spec("bm25?stemmer=german&stopwords=german")) == "bm25?stemmer=german&stop_words=german"
    assert parse_spec("tfidf?stopwords=french") == parse_spec("tfidf?stop_words=french")


@pytest.mark.parametrize("option", ["stemmer=german", "stop_words=english"])
def test_a_tokenizer_goes_with_no_option_for_words(option: str):
    with pytest.raises(SpecError, match="stop_words and stemmer are for words, and a tokenizer gives tokens"):
        parse_spec(f"bm25?tokenizer=x&{option}")


def test_a_tokenizer_that_is_not_there_or_none(tmp_path: Path):
    (tmp_path / "broken.json").write_text("{}")
    for name, message in (
        (str(tmp_path), "has no tokenizer.json"),
        (str(tmp_path / "broken.json"), "is no tokenizer that `tokenizers` can read"),
        ("no/such-model", "no model 'no/such-model'"),
    ):
        with pytest.raises(ModelNotFoundError, match=message):
            build(parse_spec(f"bm25?tokenizer={name}"), Compute())


LANGUAGES = ("cmn", "jpn", "deu", "spa", "fra", "rus", "swh")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("spec", ["bm25", "tfidf"])
def test_a_part_of_a_sentence_finds_it_in_every_language_without_an_option(data_dir: Path, language: str, spec: str):
    """The middle half of each of 390 sentences, in the words or characters of the language."""
    with (data_dir / "tatoeba" / f"{language}-eng.jsonl").open(encoding="utf-8") as lines:
        sentences = list(dict.fromkeys(json.loads(line)["sentence1"] for line in lines))[:390]
    parts = {str(row): middle(sentence, language in ("cmn", "jpn")) for row, sentence in enumerate(sentences)}
    task = retrieval_task(dict(zip(parts, sentences, strict=True)), parts)
    outcome = run([task], {"m": build(parse_spec(spec), Compute())}, depth=1)
    first = outcome.rankings[Cell(task.name, task.split, "m")].documents[:, 0]
    assert np.mean(first == np.arange(len(sentences))) > 0.85


def middle(sentence: str, without_blanks: bool) -> str:
    """The middle half, cut between words where the script has blanks."""
    parts = list(sentence) if without_blanks else sentence.split()
    return ("" if without_blanks else " ").join(parts[len(parts) // 4 :][: max(3, len(parts) // 2)])
