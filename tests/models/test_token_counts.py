"""How many tokens each family counts, and how many it reads, against the tokenizers themselves and the vectors."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling
from tiny_models import POSITIONS, TEXTS, MakeModel, tiny_tokenizer
from tokenizers import Tokenizer
from word_data import LINES, TEXT, glove, written

from evalkit.compute import Compute
from evalkit.contracts import CountsPairTokens, CountsTokens
from evalkit.models.registry import build, resolve

LONG = ["a b c d e f g h i j k l m n o p q r s t u v w x y z " * 2]


def made(spec: str):
    return build(resolve(spec), Compute())


@pytest.fixture(scope="module")
def passages(data_dir: Path) -> list[str]:
    lines = (data_dir / "llamaindex-10k-val" / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines[:200:8]]


def test_a_text_is_cut_exactly_where_its_vector_says_so(passages):
    """MiniLM on real passages: the vector changes with the limit just for those with more tokens than that."""
    whole, cut = made("all-MiniLM-L6-v2"), made("all-MiniLM-L6-v2?max_length=180")
    assert (whole.max_tokens, cut.max_tokens) == (256, 180)
    passages = [passage[: 300 + 60 * row] for row, passage in enumerate(passages)]
    counts = cut.tokens(passages, "document")
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, whole.tokens(passages, "document"))
    kept = counts <= 256
    changed = np.abs(whole.encode(passages, "document") - cut.encode(passages, "document")).max(axis=1) > 1e-3
    np.testing.assert_array_equal(changed[kept], counts[kept] > 180)
    assert 2 < changed.sum() < len(passages) - 2


def test_prompts_are_read_too(tiny: MakeModel):
    folder = tiny("bert")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = made(f"bert:{folder}?query_prompt=a b &max_length=9")
    assert isinstance(model, CountsTokens)
    texts = [*TEXTS, *LONG]
    expected = [[len(tokenizer(prompt + text)["input_ids"]) for text in texts] for prompt in ("a b ", "")]
    np.testing.assert_array_equal(model.tokens(texts, "query"), expected[0])
    np.testing.assert_array_equal(model.tokens(texts, "document"), expected[1])
    assert expected[0] != expected[1]
    assert (model.max_tokens, made(f"bert:{folder}").max_tokens) == (9, POSITIONS)


def test_pairs_are_read_together(data_dir: Path, passages):
    folder = data_dir / "ce-minilm"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = made(f"ce:{folder}?max_length=120")
    assert isinstance(model, CountsPairTokens)
    queries = ["what was the revenue?", "who sits on the board of directors?"] * 5
    expected = [len(tokenizer(*pair)["input_ids"]) for pair in zip(queries, passages, strict=False)]
    np.testing.assert_array_equal(model.pair_tokens(queries, passages[:10]), expected)
    assert model.max_tokens == 120
    assert max(expected) > 120


@pytest.mark.parametrize("split", [False, True], ids=["one way", "queries by a table"])
def test_sparse_encoders(split, tiny: MakeModel, tmp_path):
    modules = [Transformer(str(tiny("masked")), transformer_task="fill-mask"), SpladePooling("max")]
    if split:
        table = SparseStaticEmbedding(tiny_tokenizer(), torch.linspace(0.1, 2, len(tiny_tokenizer())))
        modules = [Router.for_query_document([table], modules, default_route="document")]
    SparseEncoder(modules=modules, device="cpu").save(str(tmp_path))
    model = made(f"splade:{tmp_path}?document_prompt=a ")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny("masked"))
    expected = [len(tokenizer("a " + text)["input_ids"]) for text in [*TEXTS, *LONG]]
    np.testing.assert_array_equal(model.tokens([*TEXTS, *LONG], "document"), expected)
    assert model.max_tokens == POSITIONS < max(expected)


def test_static_vectors(data_dir: Path, passages):
    folder = data_dir / "potion-base-4m-int8"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    expected = [len(tokenizer.encode(text, add_special_tokens=False).ids) for text in passages]
    model = made(f"static:{folder}?max_length=100")
    vectors = model.encode(passages, "document")
    np.testing.assert_array_equal(model.tokens(passages, "document"), expected)
    np.testing.assert_array_equal(model.encode(passages, "document"), vectors, "counting changes no vector")
    changed = (vectors != made(f"static:{folder}?max_length=5000").encode(passages, "document")).any(axis=1)
    np.testing.assert_array_equal(changed, np.array(expected) > model.max_tokens)
    assert changed.any()


def test_words(tmp_path):
    model = glove(written(tmp_path / "words.txt", "\n".join(LINES)), max_length=2)
    assert TEXT[1] == "Dog straße unknown"
    assert list(model.tokens(TEXT, "document")) == [2, 3, 2, 1]
    assert model.max_tokens == 2


@pytest.mark.parametrize("spec", ["bm25?stop_words=none", "bow", "tfidf", "lsa"])
def test_lexical_models_read_everything(spec):
    model = made(spec)
    assert model.max_tokens is None
    assert list(model.tokens(["a cat naps", "", "dogs bark at cats, and dogs"], "document")) == [3, 0, 6]
