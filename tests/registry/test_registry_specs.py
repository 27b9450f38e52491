"""Specs: one string <-> one value, and what is said about strings that are none."""

import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import SpecError, UnknownNameError
from evalkit.models.registry import ModelSpec, expand, families, parse_spec
from evalkit.models.registry.families import BUILT_IN
from evalkit.runner.config import split_list

URLS = ["http://localhost:8000/v1", "https://example.org/a%20b/"]
ODD = "|?&%,=:+#()[]{}/\\ '\"\t\n~.-é語🙂\u00a0\u2028%20"
odd_text = st.text(st.sampled_from(ODD + string.ascii_letters + string.digits) | st.characters(codec="utf-8"))

FAMILIES = [families()[name] for name in BUILT_IN]
"""Imported before the tests, since that takes longer than hypothesis lets an example take."""


def option_value(name: str, kind: str) -> st.SearchStrategy[object]:
    """Values of a built-in option, by the JSON-schema type that pydantic gives it."""
    if kind == "string":
        return odd_text
    if kind == "boolean":
        return st.booleans()
    return st.floats(0, 1) if kind == "number" else st.integers(0 if name in {"seed", "sg", "layer"} else 1, 1)


@st.composite
def specs(draw: st.DrawFn) -> ModelSpec:
    family = draw(st.sampled_from(FAMILIES))
    values = {}
    for name, schema in family.options.model_json_schema()["properties"].items():
        shape = schema.get("anyOf", [schema])[0]
        if draw(st.booleans()) or family.options.model_fields[name].is_required():
            choices = URLS if shape.get("format") == "uri" else shape.get("enum")
            values[name] = draw(st.sampled_from(choices) if choices else option_value(name, shape["type"]))
    if values.get("precision", "float32") == "float32":
        values.pop("rescore", None)
    if "tokenizer" in values:
        values = {key: value for key, value in values.items() if key not in ("stop_words", "stemmer")}
    if family.options.model_config["extra"] == "allow":
        values = draw(st.dictionaries(st.sampled_from(["model_name", "size"]), odd_text))
    name = draw(odd_text.filter(bool)) if family.name_help else ""
    return ModelSpec(family.name, name, family.options(**values))


@settings(deadline=None)
@given(specs())
def test_parsing_and_printing_are_inverse(spec: ModelSpec):
    assert parse_spec(str(spec)) == spec
    assert str(parse_spec(str(spec))) == str(spec)
    assert expand(str(spec)) == [str(spec)]


@settings(deadline=None)
@given(st.lists(specs(), max_size=4))
def test_printed_specs_can_stand_in_a_comma_separated_list(listed: list[ModelSpec]):
    assert [parse_spec(part) for part in split_list(",".join(map(str, listed)))] == listed


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("bow", ["bow"]),
        ("bow?ngrams=1|2", ["bow?ngrams=1", "bow?ngrams=2"]),
        ("glove:a|b?dim=8", ["glove:a|b?dim=8"]),
        (
            "bert:b?dim=4|8&layer=1&pooling=cls|max",
            [f"bert:b?dim={dim}&layer=1&pooling={pooling}" for dim in (4, 8) for pooling in ("cls", "max")],
        ),
    ],
)
def test_a_sweep_stands_for_every_combination(text: str, expanded: list[str]):
    assert expand(text) == expanded


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_family_parses_without_options(name: str):
    family = families()[name]
    assert family.name == name
    required = {name: URLS[0] for name, field in family.options.model_fields.items() if field.is_required()}
    text = f"{family.name}:org/name" if family.name_help else family.name
    text += "".join(f"?{name}={value}" for name, value in required.items())
    spec = parse_spec(text)
    assert spec == ModelSpec(family.name, "org/name" if family.name_help else "", family.options(**required))
    assert str(spec) == text


def test_families_are_those_documented():
    expected = {
        "bow",
        "tfidf",
        "lsa",
        "bm25",
        "glove",
        "word2vec",
        "fasttext",
        "static",
        "cove",
        "elmo",
        "bert",
        "sbert",
        "ce",
        "maxsim",
        "mteb",
        "llamaindex",
        "openai",
        "openai-compatible",
        "cohere",
        "voyage",
        "jina",
        "google",
        "cohere-rerank",
        "voyage-rerank",
        "jina-rerank",
        "splade",
    }
    assert set(BUILT_IN) == expected
    assert expected <= set(families())


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("tfidf?ngrams=2&min_df=1", "tfidf?ngrams=2"),
        ("bert:b?pooling=mean&layer=-1", "bert:b"),
        ("sbert:a?normalize=True&dim=64", "sbert:a?dim=64&normalize=true"),
        ("sbert:a?normalize=0", "sbert:a?normalize=false"),
        ("bm25?k1=2&b=0.75", "bm25?k1=2.0"),
        ("sbert:a?query_prompt=", "sbert:a?query_prompt="),
        ("sbert:a?query_prompt=query: ", "sbert:a?query_prompt=query:%20"),
        ("sbert:a?query_prompt=query:%20", "sbert:a?query_prompt=query:%20"),
        ("sbert:a?query_prompt=a%26b%3Dc%3F%2C%25", "sbert:a?query_prompt=a%26b%3Dc%3F%2C%25"),
        ("glove:C:/my vectors.txt", "glove:C:/my vectors.txt"),
        ("  bow  ", "bow"),
        ("bow?", "bow"),
    ],
)  # fmt: skip
def test_only_options_unlike_the_default_are_printed_sorted(text: str, printed: str):
    assert str(parse_spec(text)) == printed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tfidf:name", "'tfidf:name': the family 'tfidf' takes no name. Write 'tfidf'."),
        ("bert", "'bert': the family 'bert' needs a name: bert:NAME, a hub name or folder."),
        (
            "bert:?pooling=cls",
            "'bert:?pooling=cls': the family 'bert' needs a name: bert:NAME, a hub name or folder.",
        ),
        ("glove", "'glove': the family 'glove' needs a name: glove:NAME, a file (.gz too)."),
        ("bow?ngram=2", "'bow?ngram=2': unknown option 'ngram'. Did you mean 'ngrams'?"),
        ("bm25?x=2", "'bm25?x=2': unknown option 'x'. Allowed: b, k1, stemmer, stop_words, tokenizer."),
        (
            "bert:b?pooling=first",
            "'bert:b?pooling=first': option 'pooling': Input should be 'cls', 'mean' or 'max', got 'first'",
        ),
        ("bow?ngrams=0", "'bow?ngrams=0': option 'ngrams': Input should be greater than 0, got '0'"),
        ("bow?ngrams=2&ngrams=3", "'bow?ngrams=2&ngrams=3': option 'ngrams' is given twice"),
        ("bow?ngrams", "'bow?ngrams': 'ngrams' is not option=value"),
        ("bow?ngrams=2&", "'bow?ngrams=2&': '' is not option=value"),
        (
            "bow?min_df=0&x=1&ngrams&min_df=2",
            "'bow?min_df=0&x=1&ngrams&min_df=2': 'ngrams' is not option=value; option 'min_df' is given twice; "
            "unknown option 'x'. Allowed: min_df, ngrams, similarity, stemmer, stop_words, tokenizer.; "
            "option 'min_df': Input should be greater than 0, got '0'",
        ),
    ],
)
def test_what_is_wrong_with_a_spec_is_said(text: str, message: str):
    with pytest.raises(SpecError, match=f"^{re.escape(message)}$"):
        parse_spec(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("brt:name", "unknown model family 'brt' in 'brt:name'. Did you mean 'bert' or 'sbert'?"),
        ("", "unknown model family '' in ''. Allowed: " + ", ".join(sorted(families())) + "."),
    ],
    ids=["near", "empty"],
)
def test_unknown_family(text: str, message: str):
    with pytest.raises(UnknownNameError, match=f"^{re.escape(message)}$"):
        parse_spec(text)
