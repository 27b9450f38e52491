"""Static embeddings against the recipe by hand and model2vec's own `encode`."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from model2vec import StaticModel
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from evalkit.compute import Compute
from evalkit.contracts import Coverage, Fittable
from evalkit.errors import ModelNotFoundError
from evalkit.models.static import StaticOptions, load_static


@pytest.fixture(scope="module")
def potion(data_dir: Path) -> Path:
    return data_dir / "potion-base-4m-int8"


@pytest.fixture(scope="module")
def sentences(data_dir: Path) -> list[str]:
    rows = map(json.loads, (data_dir / "stsb-en" / "test.jsonl").read_text().splitlines())
    return [row["sentence1"] for row in rows]


def load(folder: Path, **options: object):
    return load_static(str(folder), StaticOptions(**options), Compute())


def copied(potion: Path, folder: Path, **config: object) -> Path:
    folder.mkdir()
    for name in ("tokenizer.json", "modules.json", "model.safetensors"):
        shutil.copyfile(potion / name, folder / name)
    settings = json.loads((potion / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | config))
    return folder


def compress(folder: Path) -> None:
    """Let tokens share the vectors of 500, each with a weight."""
    table = load_file(folder / "model.safetensors")["embeddings"]
    rng = np.random.default_rng(0)
    mapping = rng.integers(0, 500, size=len(table))
    weights = rng.random(len(table)).astype(np.float32)
    save_file({"embeddings": table[:500], "mapping": mapping, "weights": weights}, folder / "model.safetensors")


def by_hand(folder: Path, texts: list[str], max_length: int | None = None) -> np.ndarray:
    table = load_file(folder / "model.safetensors")["embeddings"].astype(np.float64)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    unknown = tokenizer.token_to_id("[UNK]")
    means = np.zeros((len(texts), table.shape[1]))
    for row, text in enumerate(texts):
        read = text if max_length is None else text[: 6 * max_length]  # six: as model2vec, with this vocabulary
        ids = tokenizer.encode(read, add_special_tokens=False).ids[:max_length]
        ids = [token for token in ids if token != unknown]
        if ids:
            means[row] = table[ids].mean(axis=0)
    return means


def scaled(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)


def test_equals_the_recipe_and_model2vec(potion: Path, sentences: list[str]):
    vectors = load(potion).encode(sentences, "sentence")
    assert vectors.shape == (1379, 128)
    np.testing.assert_allclose(vectors, scaled(by_hand(potion, sentences)), atol=1e-7)
    np.testing.assert_allclose(vectors, StaticModel.from_pretrained(potion).encode(sentences), atol=1e-6)


WORD = "counterrevolutionaries "  # of more characters than the usual token, so that they are cut before tokens are
ODD_TEXTS = [WORD * 300, "a b c " * 2_000, "x" * 20_000, "", " ", "🙴", "🙴 cats " * 900, "cats sat", "Ünïcödé " * 700]

ADDED_UP = 5e-5
"""What float32 is off after some thousand additions, as model2vec makes them; ours are in float64."""


@pytest.mark.parametrize("limit", ["its own", None, 2, 40])
@pytest.mark.parametrize("compressed", [False, True])
def test_long_empty_and_unknown_texts_are_read_as_model2vec_reads_them(
    limit: object, compressed: bool, potion: Path, tmp_path: Path
):
    folder = copied(potion, tmp_path / "model", **({} if limit == "its own" else {"max_length": limit}))
    if compressed:
        compress(folder)
    peer = StaticModel.from_pretrained(folder)
    model = load(folder)
    np.testing.assert_allclose(model.encode(ODD_TEXTS, "document"), peer.encode(ODD_TEXTS), atol=ADDED_UP)
    prompted = load(folder, document_prompt="passage: ").encode(ODD_TEXTS, "document")
    np.testing.assert_allclose(prompted, peer.encode([f"passage: {text}" for text in ODD_TEXTS]), atol=ADDED_UP)
    if limit is not None:
        whole = StaticModel.from_pretrained(folder, max_length=None).encode(ODD_TEXTS)
        changed = np.abs(whole - peer.encode(ODD_TEXTS)).max(axis=1) > ADDED_UP
        cut = model.tokens(ODD_TEXTS, "document") > model.max_tokens
        assert cut[changed].all()
        assert cut.sum() < len(ODD_TEXTS)


def test_the_option_cuts_as_encode_does_that_is_told_the_same(potion: Path):
    peer = StaticModel.from_pretrained(potion)
    found = load(potion, max_length=7).encode(ODD_TEXTS, "document")
    np.testing.assert_allclose(found, peer.encode(ODD_TEXTS, max_length=7), atol=1e-6)


def test_blocks_do_not_show(potion: Path, sentences: list[str], monkeypatch):
    whole = load(potion).encode(sentences, "sentence")
    monkeypatch.setattr("evalkit.models.static.TEXTS_AT_ONCE", 100)
    finished: list[int] = []
    np.testing.assert_array_equal(load(potion).encode(sentences, "sentence", finished.append), whole)
    assert sum(finished) == len(sentences)


def test_options_decide_over_the_model(potion: Path, sentences: list[str]):
    means = by_hand(potion, sentences, max_length=4)
    model = load(potion, max_length=4, normalize=False, dim=16)
    np.testing.assert_allclose(model.encode(sentences, "query"), means[:, :16], rtol=1e-5, atol=1e-5)
    cut = load(potion, dim=16).encode(sentences, "query")
    np.testing.assert_allclose(cut, scaled(by_hand(potion, sentences)[:, :16]), atol=1e-6)
    prompted = load(potion, query_prompt="find: ")
    np.testing.assert_array_equal(prompted.encode(["cats"], "query"), prompted.encode(["find: cats"], "document"))


def test_follows_the_models_configuration(potion: Path, sentences: list[str], tmp_path: Path):
    folder = copied(potion, tmp_path / "model", normalize=False, max_length=2)
    model = load(folder)
    np.testing.assert_allclose(model.encode(sentences, "query"), by_hand(potion, sentences, 2), rtol=1e-5, atol=1e-5)
    assert model.identity["max_length"] == 2
    assert model.identity["normalize"] is False


def test_reads_a_compressed_vocabulary(potion: Path, sentences: list[str], tmp_path: Path):
    folder = copied(potion, tmp_path / "model")
    compress(folder)
    peer = StaticModel.from_pretrained(folder)
    np.testing.assert_allclose(load(folder).encode(sentences, "query"), peer.encode(sentences), atol=1e-5)


def test_unknown_tokens_are_left_out_and_counted(potion: Path):
    model = load(potion, normalize=False)
    assert model.coverage(["cats 🙴🙵 sat", "", "🙴"]) == Coverage(tokens=4, unknown=2)
    assert load(potion, max_length=1).coverage(["cats sat", "🙴 sat"]) == Coverage(tokens=2, unknown=1)
    with_unknown, without = model.encode(["cats 🙴 sat", "cats sat"], "query")
    np.testing.assert_array_equal(with_unknown, without)
    assert not model.encode(["", "🙴"], "query").any()
    assert not isinstance(model, Fittable)


def test_identity_follows_contents_not_places(potion: Path, tmp_path: Path):
    first, second = copied(potion, tmp_path / "one"), copied(potion, tmp_path / "two")
    other = copied(potion, tmp_path / "three", normalize=False)
    assert load(first).identity == load(second).identity
    assert load(first).identity["weights"] != load(other).identity["weights"]
    assert load(first).identity["family"] == "static"
    assert load(first).identity != load(first, max_length=3).identity


@pytest.mark.parametrize("broken", ["tokenizer.json", "model.safetensors", "config.json"])
def test_says_what_it_cannot_read(potion: Path, tmp_path: Path, broken: str):
    folder = copied(potion, tmp_path / "model")
    (folder / broken).write_text("nothing")
    its_own = r"model holds no model that model2vec can read: \w+"
    named = f"model/{broken} cannot be read: Expecting value" if broken.endswith(".json") else its_own
    with pytest.raises(ModelNotFoundError, match=named):
        load(folder)
    (folder / broken).unlink()
    none = r"model has the settings of a model, and no weights" if broken == "model.safetensors" else its_own
    with pytest.raises(ModelNotFoundError, match=none):
        load(folder)


def test_warns_of_nothing(potion: Path, caplog):
    with caplog.at_level(logging.WARNING):
        load(potion).encode(["cats"], "query")
    assert not caplog.records
