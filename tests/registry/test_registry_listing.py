"""Lists of models on one line: commas between models, and commas in prompts."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import SpecError
from evalkit.models.registry import parse_spec, resolve, split_models
from evalkit.models.registry.selection import parse_fusions
from evalkit.runner.config import read_config

PROMPT = "Given a query, retrieve: "
ASKED = f"sbert:x?query_prompt={PROMPT}"
LISTS = {
    "a prompt": (ASKED, [ASKED.strip() + "%20"]),
    "between models": (f"bm25,{ASKED},bow?ngrams=2", ["bm25", ASKED.strip() + "%20", "bow?ngrams=2"]),
    "before a name of the catalogue": (
        "sbert:x?query_prompt=a, b,all-MiniLM-L6-v2",
        ["sbert:x?query_prompt=a, b", "all-MiniLM-L6-v2"],
    ),
    "before a spec": ("sbert:x?query_prompt=a, b, ce:y", ["sbert:x?query_prompt=a, b", "ce:y"]),
    "before a path": ("sbert:x?query_prompt=a, b, ./mine", ["sbert:x?query_prompt=a, b", "./mine"]),
    "before a fusion": ("sbert:x?query_prompt=a, b, rrf(bow, bm25)", ["sbert:x?query_prompt=a, b", "rrf(bow, bm25)"]),
    "two prompts": (
        "sbert:x?query_prompt=one, two: &document_prompt=three, four",
        ["sbert:x?query_prompt=one, two: &document_prompt=three, four"],
    ),
    "brackets in a prompt": ("sbert:x?query_prompt=:), or 1), bm25", ["sbert:x?query_prompt=:), or 1)", "bm25"]),
    "a fusion of it": (f"rrf({ASKED}, bm25)?k=3, bow", [f"rrf({ASKED}, bm25)?k=3", "bow"]),
    "blanks": (" bow ,, ./a b?dim=2 , lsa ", ["bow", "./a b?dim=2%20", "lsa"]),
    "words that begin like a family": (
        "sbert:x?query_prompt=search, static analysis",
        ["sbert:x?query_prompt=search, static analysis"],
    ),
    "one word": ("sbert:x?query_prompt=Find this, please", ["sbert:x?query_prompt=Find this, please"]),
}


@pytest.mark.parametrize(("text", "models"), LISTS.values(), ids=LISTS)
def test_a_comma_separates_where_a_model_follows(text: str, models: list[str]):
    assert split_models(text) == models


@pytest.mark.parametrize("key", ["models", "rerankers"])
@pytest.mark.parametrize("given", [ASKED, [ASKED], (ASKED, "bm25"), f"{ASKED},bm25"], ids=repr)
def test_the_prompt_is_used_however_it_is_given(key: str, given: Any):
    config = read_config({"models": "bow", "tasks": "x", key: given})
    first, *others = getattr(config, key)
    assert resolve(first).options.query_prompt == PROMPT
    assert others in ([], ["bm25"])


def test_in_a_fusion_too():
    (fusion,) = parse_fusions(f"rrf({ASKED}, bm25)?k=3")
    assert [resolve(part).options.model_dump(exclude_defaults=True) for part in fusion.parts] == [
        {"query_prompt": PROMPT},
        {},
    ]
    assert parse_fusions(str(fusion)) == [fusion]


@pytest.mark.parametrize("word", ["tfidff", "bm2", "foo:bar", "BAAI/bge-m3", "all-MiniLM-L6-v3"])
def test_what_may_be_a_model_is_not_taken_for_a_prompt(word: str):
    with pytest.raises(SpecError, match=re.escape(f"{word!r} stands after a comma") + ".*%2C"):
        split_models(f"sbert:x?query_prompt=Find: , {word}")
    assert split_models(f"sbert:x?query_prompt=Find: %2C {word}") == [f"sbert:x?query_prompt=Find: %2C {word}"]


def test_an_option_after_a_comma_says_how_options_are_apart():
    with pytest.raises(SpecError, match=r"'document_prompt=b' stands after a comma.*write &document_prompt=b;.*%2C"):
        split_models("sbert:x?query_prompt=a,document_prompt=b")
    both = "sbert:x?query_prompt=a&document_prompt=b"
    assert split_models(f"{both},tfidf") == [both, "tfidf"]


def test_an_ampersand_says_how_it_is_written():
    with pytest.raises(SpecError, match="& is written %26"):
        parse_spec("sbert:x?query_prompt=Q&A: ")
    assert parse_spec("sbert:x?query_prompt=Q%26A: ").options.query_prompt == "Q&A: "


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_printing_and_splitting_are_inverse(prompts: list[str]):
    """Whatever is in the prompts: a printed spec has no bare comma, and no blank at its end."""
    specs = [parse_spec("sbert:x") for _ in prompts]
    specs = [
        type(spec)(spec.family, spec.name, spec.options.model_copy(update={"query_prompt": prompt}))
        for spec, prompt in zip(specs, prompts, strict=True)
    ]
    printed = [str(spec) for spec in specs]
    assert split_models(",".join(printed)) == printed
    assert [parse_spec(text) for text in split_models(", ".join(printed))] == specs


def test_a_comma_of_a_path_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my mo,d,els" / "dense").mkdir(parents=True)
    for text in ("sbert:my mo,d,els/dense", "bm25, sbert:my mo,d,els/dense?pooling=cls", "./my mo,d,els/dense,tfidf"):
        with pytest.raises(SpecError, match=r"is a path with a comma in it: write the comma as %2C"):
            split_models(text)
    (tmp_path / "plain").mkdir()
    assert split_models("sbert:plain?dim=2,sbert:plain") == ["sbert:plain?dim=2", "sbert:plain"]
    escaped = "sbert:my mo%2Cd%2Cels/dense"
    assert split_models(f"{escaped},tfidf") == [escaped, "tfidf"]
    assert parse_spec(escaped).name == "my mo,d,els/dense"


@pytest.mark.parametrize("after", ["sbert:x? yes", "tfidf? yes"])
def test_a_question_after_a_comma_of_a_prompt_is_told(after):
    (_, *rest) = split_models(f"sbert:x?query_prompt=Is it, {after}")
    with pytest.raises(SpecError, match=r"' yes' is not option=value \(if .* write the comma before it as %2C\)"):
        parse_spec(*rest)
