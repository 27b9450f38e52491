"""The languages of documents, and what is said of models that were not made for them."""

import json

import pytest

import evalkit as package
from evalkit.compute import Compute
from evalkit.models import free_models as free
from evalkit.models.languages import knows, made_for
from evalkit.picking._languages import language_reasons, languages_of
from evalkit.picking.documents import read_folder
from evalkit.results.facts import ModelFacts

ENGLISH = ModelFacts("sbert", "one", languages=("en",))
WORDS = ModelFacts("bm25")


def sentences(data_dir, pair, key, count):
    lines = (data_dir / "tatoeba" / f"{pair}.jsonl").read_text(encoding="utf-8").splitlines()
    return " ".join(json.loads(line)[key] for line in lines[:count])


@pytest.fixture
def texts(data_dir):
    """People's sentences, by the code of their language."""
    return {
        "de": sentences(data_dir, "deu-eng", "sentence1", 200),
        "zh": sentences(data_dir, "cmn-eng", "sentence1", 700),
        "en": sentences(data_dir, "deu-eng", "sentence2", 200),
        "ja": sentences(data_dir, "jpn-eng", "sentence1", 200),
    }


def folder_of(top, files):
    for name, text in files.items():
        (top / name).write_text(text, encoding="utf-8")
    return read_folder(top)


def of_files(folder):
    return languages_of(file.text for file in folder.files)


@pytest.mark.parametrize("code", ["de", "zh", "en", "ja"])
def test_a_folder_in_one_language(code, texts, tmp_path):
    assert of_files(folder_of(tmp_path, {"a.txt": texts[code]})) == {code: 1.0}


def test_mixed_folders_and_mixed_files(texts, tmp_path):
    length = min(map(len, texts.values())) // 500 * 500
    parts = {code: text[:length] for code, text in texts.items()}
    found = of_files(folder_of(tmp_path, {"a.txt": parts["de"] * 2 + parts["zh"], "b.txt": parts["en"]}))
    assert next(iter(found)) == "de"
    assert found == pytest.approx({"de": 0.5, "zh": 0.25, "en": 0.25}, abs=0.06)


def test_what_has_no_letters_has_no_language(tmp_path):
    assert of_files(folder_of(tmp_path, {"a.txt": "12 345 -- 67 % 8\n" * 200})) == {}


def told(languages, **models):
    return language_reasons(languages, {"models": {label: facts.as_data for label, facts in models.items()}})


def test_english_models_on_german_documents_are_named():
    e5 = ModelFacts("sbert", "two", languages=("de", "en"))
    reasons = told({"de": 0.8, "en": 0.2}, small=ENGLISH, large=ENGLISH, bm25=WORDS, e5=e5)
    assert reasons[:3] == [
        "The documents are in German (80%) and English (20%).",
        "small and large were made for English only, and not for German: do not expect much of them there.",
        "bm25 leaves out English words such as “the”; for German try bm25?stop_words=german&stemmer=german.",
    ]
    assert reasons[3].startswith("Made for German and English; name them to try them: paraphrase-multilingual-MiniLM")
    assert "multilingual-e5-small (472 MB)" in reasons[3]


def test_english_documents_need_no_other_models():
    assert told({"en": 1.0}, small=ENGLISH, bm25=WORDS) == ["The documents are in English (100%)."]
    assert told({}, small=ENGLISH) == []


def test_chinese_documents():
    (_, stranger, stop_words, others) = told({"zh": 1.0}, small=ENGLISH, bm25=WORDS)
    assert stranger.startswith("small was made for English only, and not for Chinese")
    assert stop_words.endswith("try bm25?stop_words=chinese.")
    assert "bge-m3 (2272 MB)" in others


def test_near_codes_are_one_language_for_a_model():
    assert knows(("nb",), ["no"])
    assert knows(("multilingual",), ["de", "zh"])
    assert not knows(("de",), ["nl"])
    assert not knows(("de",), ["de", "zh"])
    assert {entry.name for entry in made_for(["zh"])} >= {"bge-m3", "potion-multilingual-128M"}
    assert not [entry for entry in made_for(["zh"]) if entry.languages == ("en",)]


def test_a_multilingual_model_at_hand_is_tried_on_german_documents(monkeypatch, tmp_path):
    monkeypatch.setattr(free, "at_hand", lambda name: tmp_path)
    assert "multilingual-e5-small" not in free.free_models(Compute()).models
    german = free.free_models(Compute(), ["de"]).models
    assert "multilingual-e5-small" in german
    assert "bge-base" not in german, "too large for a CPU, and of one language"


def test_a_pick_tells_it(texts, tmp_path):
    (tmp_path / "docs").mkdir()
    lines = texts["de"].split(". ")
    for number in range(6):
        (tmp_path / "docs" / f"{number}.txt").write_text(". ".join(lines[number * 12 : number * 12 + 12]))
    rows = [{"question": lines[number * 12 + 3], "file": f"{number}.txt"} for number in range(6)]
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    picked = package.pick(
        tmp_path / "docs", questions=tmp_path / "questions.jsonl", models="bm25", hybrid=False, device="cpu",
        chunk_size=None, measure_seconds=0.01, out=tmp_path / "out",
    )  # fmt: skip
    told = picked.results.provenance["pick"]
    assert told["languages"] == {"de": 1.0}
    written = (tmp_path / "out" / "recommendation.md").read_text(encoding="utf-8")
    reasons = "- The documents are in German (100%).\n- bm25 leaves out English words"
    assert f"## Why these models\n\n{reasons}" in written
