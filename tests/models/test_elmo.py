"""`elmo:` against the papers' equations in plain numpy, a text, a word and a step at a time."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
from recurrent_data import Arrays, elmo_arrays, elmo_layers, elmo_options, save_elmo

from evalkit.compute import Compute
from evalkit.errors import ModelNotFoundError, SpecError
from evalkit.models import _batching as batching
from evalkit.models.elmo import Elmo, ElmoOptions, character_ids, load_elmo

SENTENCES = [
    ["the", "cat", "sat"],
    ["Dog"],
    ["It", "'s", "3.5", "naïve", "yaks", ",", "not", "zebras", "!"],
    ["incomprehensibilities", "日本語日本語日本語"],
    ["the", "cat", "sat", "on", "the", "mat"] * 3,
    ["?"],
]
"""Of mixed lengths; with words of more bytes than are read, one cut within a character."""

TEXTS = [
    "the cat sat", "Dog", "It's 3.5 naïve yaks, not zebras!", "incomprehensibilities 日本語日本語日本語",
    "the cat sat on the mat " * 3, "?",
]  # fmt: skip
OPTIONS = elmo_options()
POOLED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda states: states.mean(axis=0),
    "max": lambda states: states.max(axis=0),
}


def load(folder: Path, **options: object) -> Elmo:
    return load_elmo(str(folder), ElmoOptions(**options), Compute())


def by_hand(
    sentences: Sequence[Sequence[str]], arrays: Arrays, sizes: dict = OPTIONS, pooling: str = "mean",
    layer: int | None = None,
) -> np.ndarray:  # fmt: skip
    vectors = []
    for sentence in sentences:
        layers = elmo_layers(sentence, arrays, sizes)
        vectors.append(POOLED[pooling](sum(layers) / len(layers) if layer is None else layers[layer]))
    return np.array(vectors)


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return elmo_arrays(OPTIONS)


@pytest.fixture(scope="module")
def folder(arrays: Arrays, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_elmo(tmp_path_factory.mktemp("elmo"), OPTIONS, arrays)


@pytest.mark.parametrize("pooling", POOLED)
def test_the_mean_of_the_layers_by_hand(pooling: str, folder: Path, arrays: Arrays):
    found = load(folder, pooling=pooling).encode(TEXTS, "sentence")
    assert found.dtype == np.float32
    assert found.shape == (len(TEXTS), 8)
    np.testing.assert_allclose(found, by_hand(SENTENCES, arrays, pooling=pooling), atol=1e-6)


@pytest.mark.parametrize("layer", [0, 1, 2, -1, -3])
def test_one_layer_by_hand(layer: int, folder: Path, arrays: Arrays):
    found = load(folder, layer=layer).encode(TEXTS, "sentence")
    np.testing.assert_allclose(found, by_hand(SENTENCES, arrays, layer=layer), atol=1e-6)


@pytest.mark.parametrize(
    "sizes",
    [
        elmo_options(lstm={"use_skip_connections": False}),
        elmo_options(lstm={"cell_clip": None, "proj_clip": None}),
        elmo_options(lstm={"cell_clip": None}),
        elmo_options(lstm={"proj_clip": None}),
        elmo_options(lstm={"n_layers": 3}),
        elmo_options(lstm={"n_layers": 1}),
        elmo_options(char_cnn={"activation": "tanh"}),
        elmo_options(char_cnn={"n_highway": 1}),
        elmo_options(char_cnn={"n_highway": 0}),
        elmo_options(char_cnn={"filters": [[4, 5]], "max_characters_per_token": 50}),
    ],
    ids=["no-residual", "no-clips", "no-cell-clip", "no-state-clip", "3-layers", "1-layer", "tanh", "1-highway",
         "0-highways", "other-filters"],
)  # fmt: skip
def test_other_sizes_by_hand(sizes: dict, arrays: Arrays, tmp_path: Path):
    own = elmo_arrays(sizes)
    expected = by_hand(SENTENCES, own, sizes, layer=-1)
    found = load(save_elmo(tmp_path, sizes, own), layer=-1).encode(TEXTS, "sentence")
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("change", ["residual", "cell_clip", "proj_clip"])
def test_every_part_of_the_arithmetic_shows(change: str, arrays: Arrays):
    """The comparisons above would miss a part that changes nothing with these weights."""
    without = {"residual": {"use_skip_connections": False}}.get(change, {change: None})
    plain = by_hand(SENTENCES, arrays, layer=-1)
    assert np.abs(by_hand(SENTENCES, arrays, elmo_options(lstm=without), layer=-1) - plain).max() > 0.01


@pytest.mark.parametrize(
    ("texts", "direction", "shared"),
    [(["the cat sat", "the cat ran"], 0, slice(0, 2)), (["the cat sat", "my cat sat"], 1, slice(1, 3))],
    ids=["forwards", "backwards"],
)
def test_a_direction_reads_only_what_comes_before_it(texts: list[str], direction: int, shared: slice, folder: Path):
    features = load(folder)._features(texts)
    layers = load(folder)._network(features["characters"], features["attention_mask"])[1:, :, 1:-1].numpy()
    directions = np.split(layers[:, :, shared], 2, axis=-1)
    np.testing.assert_allclose(directions[direction][:, 0], directions[direction][:, 1], atol=1e-6)
    assert np.abs(directions[1 - direction][:, 0] - directions[1 - direction][:, 1]).max(axis=-1).min() > 1e-4


@pytest.mark.parametrize("pooling", POOLED)
def test_padding_changes_no_vector(pooling: str, folder: Path):
    model = load(folder, pooling=pooling)
    together = model.encode(TEXTS, "sentence")
    alone = np.concatenate([model.encode([text], "sentence") for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_batches_change_neither_order_nor_vectors(folder: Path, arrays: Arrays, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(batching.TOKENS_PER_BATCH, "cpu", 12)
    monkeypatch.setattr(batching, "TEXTS_PER_WINDOW", 4)
    finished: list[int] = []
    found = load(folder).encode([*TEXTS, " \n"], "sentence", finished.append)
    np.testing.assert_allclose(found[:-1], by_hand(SENTENCES, arrays), atol=1e-6)
    np.testing.assert_array_equal(found[-1], np.zeros(8))
    assert sum(finished) == len(TEXTS) + 1


def test_a_text_does_not_depend_on_what_was_read_before(folder: Path):
    model = load(folder)
    first = model.encode(TEXTS[:1], "sentence")
    model.encode(TEXTS, "sentence")
    np.testing.assert_array_equal(model.encode(TEXTS[:1], "sentence"), first)


def test_no_texts(folder: Path):
    assert load(folder).encode([], "sentence").shape == (0, 8)


def test_max_length_counts_words(folder: Path, arrays: Arrays):
    found = load(folder, max_length=2).encode(TEXTS, "sentence")
    np.testing.assert_allclose(found, by_hand([words[:2] for words in SENTENCES], arrays), atol=1e-6)
    assert list(load(folder).tokens(TEXTS, "document")) == list(map(len, SENTENCES))


def test_a_prompt_is_read_before_each_text(folder: Path, arrays: Arrays):
    found = load(folder, document_prompt="passage: ").encode(TEXTS, "document")
    np.testing.assert_allclose(found, by_hand([["passage", ":", *words] for words in SENTENCES], arrays), atol=1e-6)


def test_bfloat16_is_close_to_float32_and_is_not_it(folder: Path, arrays: Arrays):
    model = load(folder, dtype="bfloat16")
    difference = np.abs(model.encode(TEXTS, "sentence") - by_hand(SENTENCES, arrays))
    assert model.identity["compute_dtype"] == "bfloat16"
    assert 1e-4 < difference.max() < 0.2


def test_character_ids_are_the_releases():
    """The ids that AllenNLP's batch_to_ids documents, all one higher than in the weights file."""
    ids = character_ids(["Ab", "ü"], 6)
    assert ids.tolist() == [
        [259, 257, 260, 261, 261, 261],
        [259, ord("A") + 1, ord("b") + 1, 260, 261, 261],
        [259, 0xC3 + 1, 0xBC + 1, 260, 261, 261],
        [259, 258, 260, 261, 261, 261],
    ]
    long = character_ids(["x" * 60], 50)[1]
    assert long.tolist() == [259, *[ord("x") + 1] * 48, 260]
    assert character_ids(["\udc80"], 4)[1].tolist() == [259, 260, 261, 261]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's 3.5, isn't it?", ["It", "'s", "3.5", ",", "isn", "'t", "it", "?"]),
        ("It 's tokenised ( already ) .", ["It", "'s", "tokenised", "(", "already", ")", "."]),
        ("They’re well-known in the U.S.", ["They", "’re", "well-known", "in", "the", "U.S", "."]),
        ("'Stop' 1,000 e-mails…", ["'", "Stop", "'", "1,000", "e-mails", "…"]),
    ],
)
def test_texts_are_tokenised_as_the_training_text_was(text: str, words: list[str], folder: Path):
    model = load(folder)
    found = model._features([text])["characters"][0].numpy()
    np.testing.assert_array_equal(found, character_ids(words, 12))


def test_identity_follows_what_changes_vectors(folder: Path, arrays: Arrays, tmp_path: Path):
    same = save_elmo(tmp_path / "same", OPTIONS, arrays)
    weights = save_elmo(tmp_path / "weights", OPTIONS, elmo_arrays(OPTIONS, seed=1))
    sizes = save_elmo(tmp_path / "sizes", elmo_options(lstm={"cell_clip": 2}), arrays)
    assert load(same).identity == load(folder).identity
    others = [load(weights), load(sizes), load(folder, layer=1), load(folder, pooling="max")]
    others += [load(folder, max_length=3), load(folder, dtype="bfloat16")]
    assert all(model.identity != load(folder).identity for model in others)


@pytest.mark.parametrize("layer", [3, -4])
def test_a_layer_that_is_not_there_is_refused(layer: int, folder: Path):
    message = (
        f"layer={layer}: the model has 3 layers; allowed are -3 to 2 (0 is the character CNN, -1 the last LSTM)."
    )
    with pytest.raises(SpecError, match=f"^{re.escape(message)}$"):
        load(folder, layer=layer)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("no json", "the file: Invalid JSON"),
        ("{}", "char_cnn: Field required; lstm: Field required"),
        (json.dumps(elmo_options(lstm={"dim": -1})), "lstm.dim: Input should be greater than 0"),
        (json.dumps(elmo_options(char_cnn={"activation": "gelu"})), "char_cnn.activation: Input should be 'relu' or"),
        (json.dumps(elmo_options(char_cnn={"filters": [[1]]})), "char_cnn.filters.0.1: Field required"),
    ],
    ids=["no-json", "empty", "size", "activation", "filters"],
)
def test_options_that_cannot_be_read_are_named(content: str, problem: str, arrays: Arrays, tmp_path: Path):
    (save_elmo(tmp_path, OPTIONS, arrays) / "elmo_tiny_options.json").write_text(content)
    with pytest.raises(
        ModelNotFoundError, match=f"does not hold the options of an ELMo model: .*{re.escape(problem)}"
    ):
        load(tmp_path)


def test_arrays_that_are_missing_or_misshapen_are_all_named(arrays: Arrays, tmp_path: Path):
    kept = {name: array for name, array in arrays.items() if not name.endswith("Cell1/LSTMCell/W_P_0")}
    save_elmo(tmp_path, OPTIONS, {**kept, "char_embed": np.zeros((261, 4), np.float32)})
    cell = "RNN/MultiRNNCell/Cell1/LSTMCell/W_P_0"
    problems = f"char_embed is (261, 4), not (261, 3); RNN_0/{cell} is missing; RNN_1/{cell} is missing."
    with pytest.raises(ModelNotFoundError, match=f"does not fit its options.json: {re.escape(problems)}$"):
        load(tmp_path).encode(["a"], "query")


def test_a_group_in_place_of_an_array_counts_as_missing(arrays: Arrays, tmp_path: Path):
    save_elmo(tmp_path, OPTIONS, arrays)
    with h5py.File(tmp_path / "elmo_tiny_weights.hdf5", "a") as file:
        del file["CNN_proj/b_proj"]
        file.create_group("CNN_proj/b_proj")
    with pytest.raises(ModelNotFoundError, match=r": CNN_proj/b_proj is missing\.$"):
        load(tmp_path).encode(["a"], "query")


def test_weights_that_are_no_hdf5_are_refused(arrays: Arrays, tmp_path: Path):
    (save_elmo(tmp_path, OPTIONS, arrays) / "elmo_tiny_weights.hdf5").write_bytes(b"no HDF5")
    with pytest.raises(
        ModelNotFoundError, match=r"^cannot read .*weights\.hdf5: .*Allowed: the released HDF5 file\.$"
    ):
        load(tmp_path).encode(["a"], "query")


def test_files_that_are_not_there(arrays: Arrays, tmp_path: Path):
    with pytest.raises(
        ModelNotFoundError, match=r"^no folder 'elmo-small'\. .* Download into it.*_options\.json, http"
    ):
        load(Path("elmo-small"))
    with pytest.raises(
        ModelNotFoundError, match=r"holds no file \*options\.json: the model's options\. It holds: noth"
    ):
        load(tmp_path)
    save_elmo(tmp_path, OPTIONS, arrays)
    (tmp_path / "elmo_tiny_weights.hdf5").unlink()
    with pytest.raises(ModelNotFoundError, match=r"holds no file \*\.hdf5: .* It holds: elmo_tiny_options\.json\.$"):
        load(tmp_path)
