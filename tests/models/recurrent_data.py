"""Tiny recurrent models in the released layouts, and their arithmetic one step at a time in float64."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import torch

Array = np.ndarray
Arrays = Mapping[str, Array]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


# --- CoVe: `hidden` numbers a direction over word vectors of `DIM` numbers

DIM, HIDDEN = 5, 3
GLOVE = {
    word: np.random.default_rng(row).standard_normal(DIM).round(3)
    for row, word in enumerate(["the", "cat", "Cat", "sat", "on", "mat", "ran", "dog"])
}


def encoder_arrays(seed: int = 0, dim: int = DIM, hidden: int = HIDDEN) -> dict[str, Array]:
    """The released state dict: two layers, two directions."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, Array] = {}
    for layer, inputs in enumerate((dim, 2 * hidden)):
        for direction in ("", "_reverse"):
            end = f"l{layer}{direction}"
            arrays[f"weight_ih_{end}"] = rng.standard_normal((4 * hidden, inputs))
            arrays[f"weight_hh_{end}"] = rng.standard_normal((4 * hidden, hidden))
            arrays[f"bias_ih_{end}"] = rng.standard_normal(4 * hidden)
            arrays[f"bias_hh_{end}"] = rng.standard_normal(4 * hidden)
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def save_cove(folder: Path, arrays: Arrays, prefix: str = "", glove: Mapping[str, Array] = GLOVE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    state = {prefix + name: torch.from_numpy(array) for name, array in arrays.items()}
    torch.save(state, folder / "wmtlstm-8f474287.pth")
    lines = (" ".join([word, *map(str, vector)]) for word, vector in glove.items())
    (folder / "glove.840B.300d.txt").write_text("\n".join(lines))
    return folder


def torch_lstm(words: Array, arrays: Arrays, end: str) -> Array:
    """Hochreiter & Schmidhuber's cell with a forget gate, over (length, inputs), with PyTorch's order of gates."""
    hidden = arrays[f"weight_hh_{end}"].shape[1]
    h, c = np.zeros(hidden), np.zeros(hidden)
    outputs = np.zeros((len(words), hidden))
    steps = range(len(words) - 1, -1, -1) if end.endswith("reverse") else range(len(words))
    for t in steps:
        gates = arrays[f"weight_ih_{end}"].astype(float) @ words[t] + arrays[f"bias_ih_{end}"]
        gates += arrays[f"weight_hh_{end}"].astype(float) @ h + arrays[f"bias_hh_{end}"]
        i = sigmoid(gates[:hidden])
        f = sigmoid(gates[hidden : 2 * hidden])
        g = np.tanh(gates[2 * hidden : 3 * hidden])
        o = sigmoid(gates[3 * hidden :])
        c = f * c + i * g
        h = o * np.tanh(c)
        outputs[t] = h
    return outputs


def context_vectors(words: Array, arrays: Arrays) -> Array:
    """CoVe of a sentence's word vectors: (length, 2 × hidden)."""
    layer = words
    for number in (0, 1):
        forwards = torch_lstm(layer, arrays, f"l{number}")
        backwards = torch_lstm(layer, arrays, f"l{number}_reverse")
        layer = np.hstack([forwards, backwards])
    return layer


# --- ELMo

ELMO_OPTIONS = {
    "lstm": {
        "use_skip_connections": True, "projection_dim": 4, "cell_clip": 0.5, "proj_clip": 0.3, "dim": 6,
        "n_layers": 2,
    },
    "char_cnn": {
        "activation": "relu", "filters": [[1, 3], [2, 4], [3, 2]], "n_highway": 2, "embedding": {"dim": 3},
        "n_characters": 262, "max_characters_per_token": 12,
    },
    "n_train_tokens": 768648884, "unidirectional": False,
}  # fmt: skip


def elmo_options(lstm: Mapping[str, object] | None = None, char_cnn: Mapping[str, object] | None = None) -> dict:
    """The options above with some of them replaced."""
    return {
        **ELMO_OPTIONS,
        "lstm": {**ELMO_OPTIONS["lstm"], **(lstm or {})},
        "char_cnn": {**ELMO_OPTIONS["char_cnn"], **(char_cnn or {})},
    }


def elmo_arrays(options: dict, seed: int = 0) -> dict[str, Array]:
    """Random arrays by the names that the release has them under."""
    cnn, lstm = options["char_cnn"], options["lstm"]
    n_filters = sum(number for _, number in cnn["filters"])
    characters, size, state = cnn["embedding"]["dim"], lstm["dim"], lstm["projection_dim"]
    shapes: dict[str, tuple[int, ...]] = {"char_embed": (261, characters)}
    for number, (width, filters) in enumerate(cnn["filters"]):
        shapes[f"CNN/W_cnn_{number}"], shapes[f"CNN/b_cnn_{number}"] = (1, width, characters, filters), (filters,)
    for number in range(cnn["n_highway"]):
        for gate in ("carry", "transform"):
            shapes[f"CNN_high_{number}/W_{gate}"] = (n_filters, n_filters)
            shapes[f"CNN_high_{number}/b_{gate}"] = (n_filters,)
    shapes["CNN_proj/W_proj"], shapes["CNN_proj/b_proj"] = (n_filters, state), (state,)
    for direction in (0, 1):
        for layer in range(lstm["n_layers"]):
            cell = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            shapes[f"{cell}/W_0"] = (state + state, 4 * size)
            shapes[f"{cell}/B"] = (4 * size,)
            shapes[f"{cell}/W_P_0"] = (size, state)
    rng = np.random.default_rng(seed)
    return {name: (rng.standard_normal(shape) / 2).astype(np.float32) for name, shape in shapes.items()}


def save_elmo(folder: Path, options: dict, arrays: Arrays) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "elmo_tiny_options.json").write_text(json.dumps(options))
    with h5py.File(folder / "elmo_tiny_weights.hdf5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return folder


def word_vector(characters: Sequence[int], arrays: Arrays, options: dict) -> Array:
    """The character CNN's vector of one word, given by ids before the shift by one."""
    activation = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}[options["char_cnn"]["activation"]]
    embedded = arrays["char_embed"].astype(float)[list(characters)]
    features = []
    for number, (width, filters) in enumerate(options["char_cnn"]["filters"]):
        kernel, bias = arrays[f"CNN/W_cnn_{number}"][0], arrays[f"CNN/b_cnn_{number}"]
        for feature in range(filters):
            at = [
                np.sum(embedded[start : start + width] * kernel[:, :, feature]) + bias[feature]
                for start in range(len(characters) - width + 1)
            ]
            features.append(activation(max(at)))
    word = np.array(features)
    for number in range(options["char_cnn"]["n_highway"]):
        high = f"CNN_high_{number}"
        gate = sigmoid(word @ arrays[f"{high}/W_carry"] + arrays[f"{high}/b_carry"])
        made = np.maximum(word @ arrays[f"{high}/W_transform"] + arrays[f"{high}/b_transform"], 0)
        word = gate * made + (1 - gate) * word
    return word @ arrays["CNN_proj/W_proj"] + arrays["CNN_proj/b_proj"]


def clipped_lstm(words: Array, arrays: Arrays, options: dict, direction: int, layer: int) -> Array:
    """TensorFlow's LSTMCell with num_proj, cell_clip and proj_clip, over (length, inputs)."""
    lstm = options["lstm"]
    cell_clip, proj_clip = lstm["cell_clip"] or np.inf, lstm["proj_clip"] or np.inf
    cell = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
    weights, bias, projection = (arrays[f"{cell}/{name}"].astype(float) for name in ("W_0", "B", "W_P_0"))
    h, c = np.zeros(lstm["projection_dim"]), np.zeros(lstm["dim"])
    outputs = np.zeros((len(words), lstm["projection_dim"]))
    for t in range(len(words)) if direction == 0 else range(len(words) - 1, -1, -1):
        i, j, f, o = np.split(np.concatenate([words[t], h]) @ weights + bias, 4)
        c = sigmoid(f + 1.0) * c + sigmoid(i) * np.tanh(j)
        c = np.minimum(np.maximum(c, -cell_clip), cell_clip)
        h = (sigmoid(o) * np.tanh(c)) @ projection
        h = np.minimum(np.maximum(h, -proj_clip), proj_clip)
        outputs[t] = h
    return outputs


def elmo_layers(words: Sequence[str], arrays: Arrays, options: dict) -> Array:
    """All layers of a sentence's words: (n_layers + 1, length, 2 × projection)."""
    width = options["char_cnn"]["max_characters_per_token"]
    spelled = [[256], *(list(word.encode()[: width - 2]) for word in words), [257]]
    ids = [[258, *word, 259] + [260] * (width - 2 - len(word)) for word in spelled]
    embedded = np.array([word_vector(word, arrays, options) for word in ids])
    layers = [np.hstack([embedded, embedded])]
    inputs = [embedded, embedded]
    for layer in range(options["lstm"]["n_layers"]):
        outputs = [clipped_lstm(inputs[direction], arrays, options, direction, layer) for direction in (0, 1)]
        if layer > 0 and options["lstm"]["use_skip_connections"]:
            outputs = [output + before for output, before in zip(outputs, inputs, strict=True)]
        layers.append(np.hstack(outputs))
        inputs = outputs
    return np.array(layers)[:, 1:-1]
