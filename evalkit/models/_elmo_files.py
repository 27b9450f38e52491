"""The two files of a released ELMo model: options.json with its sizes, weights.hdf5 with its arrays.

The layout is that of bilm-tf (github.com/allenai/bilm-tf), which AllenNLP reads too.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from evalkit.errors import ModelNotFoundError

CHARACTERS = 261
"""The 256 bytes, begin and end of sentence, begin and end of word, and padding."""

Arrays = Mapping[str, NDArray[np.float32]]


class CharacterEmbedding(BaseModel):
    """`char_cnn.embedding` of options.json."""

    dim: PositiveInt


class CharacterCnn(BaseModel):
    """`char_cnn` of options.json; `filters` are pairs of width and number."""

    embedding: CharacterEmbedding
    filters: tuple[tuple[PositiveInt, PositiveInt], ...]
    n_highway: NonNegativeInt
    activation: Literal["relu", "tanh"]
    max_characters_per_token: PositiveInt

    @property
    def n_filters(self) -> int:
        """Filters of all widths."""
        return sum(number for _, number in self.filters)


class Lstm(BaseModel):
    """`lstm` of options.json: `dim` is the cell's size; without a clip value nothing is clipped."""

    dim: PositiveInt
    projection_dim: PositiveInt
    n_layers: PositiveInt
    use_skip_connections: bool
    cell_clip: PositiveFloat | None = None
    proj_clip: PositiveFloat | None = None


class BilmOptions(BaseModel):
    """What options.json says of the network; what it says of the training is left out."""

    char_cnn: CharacterCnn
    lstm: Lstm


def cell_name(direction: int, layer: int) -> str:
    """Tell where the arrays of an LSTM are: direction 0 reads forwards, 1 backwards."""
    return f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"


def read_options(path: Path) -> BilmOptions:
    """Read options.json. Raises ModelNotFoundError that lists every value that is missing or wrong."""
    try:
        return BilmOptions.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, detail['loc'])) or 'the file'}: {detail['msg']}" for detail in error.errors()
        )
        raise ModelNotFoundError(f"{path} does not hold the options of an ELMo model: {problems}.") from error


def read_weights(path: Path, options: BilmOptions) -> Arrays:
    """Read the arrays of weights.hdf5, float32 by their released names.

    Raises ModelNotFoundError if it is no HDF5 file, or lists every array that is missing or has another shape than
    the options ask for.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            shapes = {name: getattr(file.get(name), "shape", None) for name in _layout(options)}
            problems = [
                f"{name} " + ("is missing" if shapes[name] is None else f"is {shapes[name]}, not {shape}")
                for name, shape in _layout(options).items()
                if shapes[name] != shape
            ]
            if not problems:
                return {name: file[name][...].astype(np.float32) for name in shapes}
    except OSError as error:
        raise ModelNotFoundError(f"cannot read {path}: {error}. Allowed: the released HDF5 file.") from error
    raise ModelNotFoundError(f"{path} does not fit its options.json: {'; '.join(problems)}.")


def _layout(options: BilmOptions) -> dict[str, tuple[int, ...]]:
    """Name and shape of every array that is read."""
    cnn, lstm = options.char_cnn, options.lstm
    layout: dict[str, tuple[int, ...]] = {"char_embed": (CHARACTERS, cnn.embedding.dim)}
    for number, (width, filters) in enumerate(cnn.filters):
        layout[f"CNN/W_cnn_{number}"] = (1, width, cnn.embedding.dim, filters)
        layout[f"CNN/b_cnn_{number}"] = (filters,)
    for number in range(cnn.n_highway):
        for gate in ("carry", "transform"):
            layout[f"CNN_high_{number}/W_{gate}"] = (cnn.n_filters, cnn.n_filters)
            layout[f"CNN_high_{number}/b_{gate}"] = (cnn.n_filters,)
    layout["CNN_proj/W_proj"] = (cnn.n_filters, lstm.projection_dim)
    layout["CNN_proj/b_proj"] = (lstm.projection_dim,)
    for direction in (0, 1):
        for layer in range(lstm.n_layers):
            cell = cell_name(direction, layer)
            layout[f"{cell}/W_0"] = (2 * lstm.projection_dim, 4 * lstm.dim)
            layout[f"{cell}/B"] = (4 * lstm.dim,)
            layout[f"{cell}/W_P_0"] = (lstm.dim, lstm.projection_dim)
    return layout
