"""The catalogue, and what a user's string resolves to."""

import re

import pytest

from evalkit.errors import ModelNotFoundError, SpecError, UnknownNameError
from evalkit.models.registry import CatalogueEntry, catalogue, families, parse_spec, resolve

ENTRIES = list(catalogue().values())
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def from_source(source: str, kind: str) -> set[str]:
    return {entry.name for entry in ENTRIES if source in entry.sources and entry.kind == kind}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_entry_names_a_model_that_can_be_run_or_says_why_not(entry: CatalogueEntry):
    if entry.spec is None:
        assert entry.retired
        assert entry.superseded_by
    elif entry.retired:
        assert entry.superseded_by
    else:
        spec = parse_spec(entry.spec)
        assert str(spec).partition("?")[0] == entry.spec.partition("?")[0]
        assert spec.name == entry.hub_name
        assert entry.kind in families()[spec.family].kinds
        assert resolve(entry.name) == spec
        assert bool(entry.provider) == bool(families()[spec.family].keys)


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.superseded_by], ids=lambda entry: entry.name)
def test_what_replaced_an_entry_is_there_and_runs_or_is_not_retired(entry: CatalogueEntry):
    newer = catalogue()[str(entry.superseded_by)]
    assert not newer.retired
    assert newer.kind == entry.kind


def test_downloads_are_links_for_models_that_are_read_from_a_folder():
    families_with_downloads = {entry.name: resolve(entry.name).family for entry in ENTRIES if entry.downloads}
    assert set(families_with_downloads.values()) == {"cove", "elmo"}
    for name, family in families_with_downloads.items():
        endings = {link.rpartition(".")[2] for link in catalogue()[name].downloads}
        assert endings == {"cove": {"pth", "zip"}, "elmo": {"json", "hdf5"}}[family]
        assert all(link.startswith("https://") for link in catalogue()[name].downloads)


def test_models_of_the_boosting_rag_grid():
    assert from_source("boosting-rag", "embedder") == {
        "openai-ada-002", "bge-large", "llm-embedder", "cohere-v2", "cohere-v3", "voyage-01", "jina-small",
        "jina-base", "google-palm",
    }  # fmt: skip
    assert from_source("boosting-rag", "reranker") == {"bge-reranker-base", "bge-reranker-large", "cohere-rerank-v2"}


def test_rows_of_the_sbert_papers_table():
    assert from_source("sbert-paper", "embedder") == {
        "avg-glove", "avg-bert", "bert-cls", "infersent-glove", "universal-sentence-encoder", "sbert-nli-base",
        "sbert-nli-large", "sroberta-nli-base", "sroberta-nli-large",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("all-MiniLM-L6-v2", f"sbert:{MINILM}"),
        ("bert:all-MiniLM-L6-v2", f"bert:{MINILM}"),
        ("bert:all-MiniLM-L6-v2?pooling=cls", f"bert:{MINILM}?pooling=cls"),
        ("sbert:bge-large", "sbert:BAAI/bge-large-en-v1.5"),
        ("maxsim:all-MiniLM-L6-v2", f"maxsim:{MINILM}"),
        ("ce:bge-reranker-base?max_length=256", "ce:BAAI/bge-reranker-base?max_length=256"),
        ("bert:openai-ada-002", "bert:openai-ada-002"),
        ("bert:some/folder", "bert:some/folder"),
        ("tfidf?ngrams=2", "tfidf?ngrams=2"),
    ],
)
def test_resolve(text: str, printed: str):
    assert str(resolve(text)) == printed


def test_prompts_of_the_catalogue_keep_their_last_blank():
    options = resolve("e5-base").options.model_dump()
    assert options["query_prompt"] == options["sentence_prompt"] == "query: "
    assert options["document_prompt"] == "passage: "


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("cohere-v2", ModelNotFoundError, "'cohere-v2' is retired and cannot be run any more. Use 'cohere-v3'."),
        (
            "infersent-glove",
            ModelNotFoundError,
            "'infersent-glove' is retired and cannot be run any more. Use 'sbert-nli-base'.",
        ),
        (
            "all-MiniLM-L6",
            UnknownNameError,
            "unknown model 'all-MiniLM-L6': neither in the catalogue, nor a FAMILY:NAME spec, nor a folder here. "
            "Did you mean 'all-MiniLM-L6-v2' or 'all-MiniLM-L12-v2' or 'ms-marco-MiniLM-L6'? "
            "`evalkit models` lists them.",
        ),
        ("brt:x", UnknownNameError, "unknown model family 'brt' in 'brt:x'. Did you mean 'bert' or 'sbert'?"),
        ("bert", SpecError, "'bert': the family 'bert' needs a name: bert:NAME, a hub name or folder."),
    ],
    ids=["retired", "no-spec", "near-name", "near-family", "no-name"],
)
def test_what_cannot_be_run_says_why(text: str, error: type[Exception], message: str):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        resolve(text)
