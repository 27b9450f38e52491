"""`cove:` against the LSTM's equations in plain numpy, a text and a step at a time."""

import gzip
import os
import pickle
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from recurrent_data import DIM, GLOVE, HIDDEN, Arrays, context_vectors, encoder_arrays, save_cove, torch_lstm
from safetensors.numpy import save_file
from word_data import glove

from evalkit.compute import Compute
from evalkit.contracts import Coverage, HasVocabulary
from evalkit.errors import ModelNotFoundError
from evalkit.models import _batching as batching
from evalkit.models.cove import Cove, CoveOptions, load_cove

TEXTS = [
    "the cat sat", "mat", "The CAT, the dog!", "dog zebra ran", "zebra the", "the cat sat on the mat " * 4, "Cat cat",
]  # fmt: skip
"""Of mixed lengths; with unknown words within and at an end, and words known only when lower-cased."""

POOLED = {"mean": lambda states: states.mean(axis=0), "max": lambda states: states.max(axis=0)}


def load(folder: Path, **options: object) -> Cove:
    return load_cove(str(folder), CoveOptions(**options), Compute(allow_pickle=True))


def words_of(text: str, max_length: int | None = None) -> np.ndarray:
    tokens = re.findall(r"\w+", text)[:max_length]
    return np.array([GLOVE.get(token, GLOVE.get(token.lower(), np.zeros(DIM))) for token in tokens])


def by_hand(
    texts: Sequence[str], arrays: Arrays, pooling: str = "mean", glove: bool = True, max_length: int | None = None
) -> np.ndarray:
    vectors = []
    for text in texts:
        words = words_of(text, max_length)
        context = context_vectors(words, arrays)
        vectors.append(POOLED[pooling](np.hstack([words, context]) if glove else context))
    return np.array(vectors)


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return encoder_arrays()


@pytest.fixture(scope="module")
def folder(arrays: Arrays, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_cove(tmp_path_factory.mktemp("cove"), arrays)


@pytest.mark.parametrize("with_glove", [True, False])
@pytest.mark.parametrize("pooling", POOLED)
def test_pooled_states_by_hand(pooling: str, with_glove: bool, folder: Path, arrays: Arrays):
    found = load(folder, pooling=pooling, glove=with_glove).encode(TEXTS, "sentence")
    assert found.dtype == np.float32
    assert found.shape == (len(TEXTS), 2 * HIDDEN + DIM * with_glove)
    np.testing.assert_allclose(found, by_hand(TEXTS, arrays, pooling, with_glove), atol=1e-6)


@pytest.mark.parametrize("silent", ["", "_reverse"])
def test_one_direction_by_hand(silent: str, arrays: Arrays, tmp_path: Path):
    """With the second layer's other direction turned off, its half is zero and the rest is one direction's."""
    muted = {name: array * (not name.endswith(f"l1{silent}")) for name, array in arrays.items()}
    words = words_of("the cat sat on")
    first = np.hstack([torch_lstm(words, arrays, "l0"), torch_lstm(words, arrays, "l0_reverse")])
    second = torch_lstm(first, arrays, "l1_reverse" if silent == "" else "l1").mean(axis=0)
    found = load(save_cove(tmp_path, muted), glove=False).encode(["the cat sat on"], "sentence")[0]
    halves = (found[HIDDEN:], found[:HIDDEN]) if silent == "" else (found[:HIDDEN], found[HIDDEN:])
    np.testing.assert_allclose(halves[0], second, atol=1e-6)
    np.testing.assert_array_equal(halves[1], np.zeros(HIDDEN))


@pytest.mark.parametrize("pooling", POOLED)
def test_padding_changes_no_vector(pooling: str, folder: Path):
    model = load(folder, pooling=pooling)
    together = model.encode(TEXTS, "sentence")
    alone = np.concatenate([model.encode([text], "sentence") for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_batches_change_neither_order_nor_vectors(folder: Path, arrays: Arrays, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(batching.TOKENS_PER_BATCH, "cpu", 8)
    monkeypatch.setattr(batching, "TEXTS_PER_WINDOW", 3)
    finished: list[int] = []
    found = load(folder).encode([*TEXTS, "zebra", ""], "sentence", finished.append)
    np.testing.assert_allclose(found[:-2], by_hand(TEXTS, arrays), atol=1e-6)
    assert sum(finished) == len(TEXTS) + 2


def test_a_text_with_no_known_word_gets_a_zero_vector(folder: Path):
    model = load(folder)
    assert isinstance(model, HasVocabulary)
    np.testing.assert_array_equal(model.encode(["zebra yak", "", "?!"], "query"), np.zeros((3, 2 * HIDDEN + DIM)))
    assert model.encode([], "query").shape == (0, 2 * HIDDEN + DIM)


def test_words_are_those_of_glove(folder: Path):
    texts = [*TEXTS, "don't stop, Straße_1 3.5 – naïve", "\udc80 ³ cat\u0301"]
    coverage = load(folder).coverage(texts)
    assert coverage == glove(folder / "glove.840B.300d.txt").coverage(texts)
    assert load(folder).coverage(["the Zebra sat"]) == Coverage(3, 1)


def test_max_length_counts_words_known_or_not(folder: Path, arrays: Arrays):
    found = load(folder, max_length=2).encode(TEXTS, "sentence")
    np.testing.assert_allclose(found, by_hand(TEXTS, arrays, max_length=2), atol=1e-6)
    model = load(folder, max_length=2, query_prompt="the ")
    assert list(model.tokens(["", "the Zebra sat"], "query")) == [1, 4]
    assert (model.max_tokens, load(folder).max_tokens) == (2, None)


def test_a_prompt_is_read_before_each_text(folder: Path, arrays: Arrays):
    found = load(folder, query_prompt="the dog ran ").encode(TEXTS, "query")
    np.testing.assert_allclose(found, by_hand(["the dog ran " + text for text in TEXTS], arrays), atol=1e-6)


def test_bfloat16_is_close_to_float32_and_is_not_it(folder: Path, arrays: Arrays):
    model = load(folder, dtype="bfloat16")
    difference = np.abs(model.encode(TEXTS, "sentence") - by_hand(TEXTS, arrays))
    assert model.identity["compute_dtype"] == "bfloat16"
    assert 1e-4 < difference.max() < 0.05


@pytest.mark.parametrize("kind", ["prefix", "legacy", "safetensors"])
def test_state_dicts_in_every_form(kind: str, arrays: Arrays, tmp_path: Path):
    folder = save_cove(tmp_path, arrays, prefix="rnn." if kind == "prefix" else "")
    pth = folder / "wmtlstm-8f474287.pth"
    if kind == "legacy":
        torch.save(torch.load(pth, weights_only=True), pth, _use_new_zipfile_serialization=False)
    if kind == "safetensors":
        pth.write_bytes(b"is not read")
        save_file(dict(arrays), folder / "encoder.safetensors")
    np.testing.assert_allclose(load(folder).encode(TEXTS, "sentence"), by_hand(TEXTS, arrays), atol=1e-6)


def test_gzipped_glove_is_read(arrays: Arrays, tmp_path: Path):
    plain = save_cove(tmp_path, arrays) / "glove.840B.300d.txt"
    (tmp_path / "glove.840B.300d.txt.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    np.testing.assert_allclose(load(tmp_path).encode(TEXTS, "sentence"), by_hand(TEXTS, arrays), atol=1e-6)


def test_identity_follows_what_changes_vectors(folder: Path, arrays: Arrays, tmp_path: Path):
    same = save_cove(tmp_path / "same", arrays)
    weights = save_cove(tmp_path / "weights", encoder_arrays(seed=1))
    vectors = save_cove(tmp_path / "vectors", arrays, glove={**GLOVE, "the": np.ones(DIM)})
    assert load(same).identity == load(folder).identity
    others = [load(weights), load(vectors), load(folder, glove=False), load(folder, pooling="max")]
    others += [load(folder, max_length=3), load(folder, dtype="bfloat16")]
    assert all(model.identity != load(folder).identity for model in others)


class Harmful:
    """What a pickle may do when it is read without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_runs_no_code(arrays: Arrays, tmp_path: Path):
    folder = save_cove(tmp_path / "model", arrays)
    torch.save({"weight_ih_l0": Harmful(tmp_path / "harm")}, folder / "wmtlstm-8f474287.pth")
    with pytest.raises(ModelNotFoundError, match=r"^cannot read .*wmtlstm-8f474287\.pth: "):
        load(folder).encode(["the"], "query")
    (folder / "wmtlstm-8f474287.pth").write_bytes(pickle.dumps(Harmful(tmp_path / "harm"), protocol=2))
    with pytest.raises(ModelNotFoundError, match=r"^cannot read .*wmtlstm-8f474287\.pth: "):
        load(folder).encode(["the"], "query")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight_ih_l0": None}, "is not the state dict of a two-layer bidirectional LSTM: 'weight_ih_l0'"),
        ({"bias_hh_l1_reverse": None}, 'Missing key(s) in state_dict: "bias_hh_l1_reverse"'),
        ({"weight_ih_l2": np.zeros((12, 6), np.float32)}, 'Unexpected key(s) in state_dict: "weight_ih_l2"'),
        ({"weight_hh_l0": np.zeros((12, 4), np.float32)}, "size mismatch for weight_hh_l0"),
        ({"weight_ih_l0": np.zeros(12, np.float32)}, "is not the state dict of a two-layer bidirectional LSTM: "),
    ],
    ids=["no-input-weights", "missing", "too-many", "shape", "no-matrix"],
)
def test_another_state_dict_is_refused(change: Arrays, message: str, arrays: Arrays, tmp_path: Path):
    changed = {name: array for name, array in {**arrays, **change}.items() if array is not None}
    with pytest.raises(ModelNotFoundError, match=re.escape(message)):
        load(save_cove(tmp_path, changed)).encode(["the"], "query")


def test_no_state_dict_at_all(arrays: Arrays, tmp_path: Path):
    folder = save_cove(tmp_path, arrays)
    torch.save(torch.zeros(3), folder / "wmtlstm-8f474287.pth")
    with pytest.raises(ModelNotFoundError, match="is not the state dict of a two-layer bidirectional LSTM"):
        load(folder).encode(["the"], "query")


def test_glove_of_other_dimensions_is_refused(tmp_path: Path):
    folder = save_cove(tmp_path, encoder_arrays(dim=DIM + 2))
    with pytest.raises(
        ModelNotFoundError, match=r"reads vectors of 7 dimensions, but those of .*glove.* have 5\. Put"
    ):
        load(folder).encode(["the"], "query")


def test_files_that_are_not_there(folder: Path, arrays: Arrays, tmp_path: Path):
    with pytest.raises(
        ModelNotFoundError, match=r"^no folder 'nowhere'\. It must hold the encoder's state dict \(wmt"
    ):
        load(Path("nowhere"))
    with pytest.raises(
        ModelNotFoundError, match=r"^no folder 'cove-wmt'\..* Download into it.*: https://\S+\.pth, ht"
    ):
        load(Path("cove-wmt"))
    with pytest.raises(
        ModelNotFoundError, match=r"holds no file \*\.safetensors or \*\.pth: .* It holds: nothing\.$"
    ):
        load(tmp_path)
    save_cove(tmp_path, arrays)
    (tmp_path / "other.pth").touch()
    with pytest.raises(
        ModelNotFoundError, match=r"holds 2 files \*\.pth: other\.pth, wmtlstm-8f474287\.pth\. Leave o"
    ):
        load(tmp_path)
    (tmp_path / "other.pth").unlink()
    (tmp_path / "glove.840B.300d.txt").unlink()
    with pytest.raises(
        ModelNotFoundError, match=r"glove\*\.txt or glove\*\.txt\.gz: .* It holds: wmtlstm-8f474287\.p"
    ):
        load(tmp_path)
