"""`elmo:NAME`: word vectors from a bidirectional language model over characters (Peters et al. 2018)."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evalkit.compute import Compute
from evalkit.errors import SpecError
from evalkit.models._elmo_files import BilmOptions, read_options, read_weights
from evalkit.models._recurrent import Recurrent, RecurrentOptions, released_file, released_folder
from evalkit.models.registry.families import Family
from evalkit.models.weights import file_hash

if TYPE_CHECKING:
    from torch import Tensor

    from evalkit.models._bilm import Bilm

CONTENTS = "the two released files, *options.json and *.hdf5"

BEGIN_SENTENCE, END_SENTENCE, BEGIN_WORD, END_WORD, PADDING = range(256, 261)
"""Character ids after those of the 256 bytes."""

# The models were trained on tokenised news: marks are words, "it's" is "it 's", "3.5" and "u.s." keep inner dots.
_TOKEN = re.compile(r"['’](?:s|t|re|ve|ll|d|m)\b|\w+(?:[-.,]\w+)*|[^\w\s]", re.IGNORECASE)


class ElmoOptions(RecurrentOptions):
    """Options of `elmo`."""

    layer: int | None = Field(
        None, description="layer pooled: 0 the character CNN, 1 and 2 the LSTMs, -1 the last; unset: the mean of all"
    )


def load_elmo(name: str, options: ElmoOptions, compute: Compute) -> "Elmo":
    """Find a released model in a folder and read its options.

    Raises ModelNotFoundError if a file is not there or the options cannot be read, SpecError for a layer that the
    model does not have.
    """
    folder = released_folder(name, CONTENTS)
    sizes = released_file(folder, "the model's options", "*options.json")
    weights = released_file(folder, "the model's weights", "*.hdf5")
    return Elmo(sizes, weights, options, compute)


class Elmo(Recurrent):
    """The language model's layers, mixed into one vector a word, pooled over the words.

    Without `layer` the mix is the layers' mean: the paper's scalar mix (equation 1) before a task has trained it,
    all weights equal and gamma 1. The weights are read when it first has to encode.
    """

    options: ElmoOptions

    def __init__(self, sizes: Path, weights: Path, options: ElmoOptions, compute: Compute) -> None:
        self._sizes: BilmOptions = read_options(sizes)
        self._weights_file = weights
        layers = self._sizes.lstm.n_layers
        if options.layer is not None and not -layers - 1 <= options.layer <= layers:
            raise SpecError(
                f"layer={options.layer}: the model has {layers + 1} layers; allowed are {-layers - 1} to {layers} "
                "(0 is the character CNN, -1 the last LSTM)."
            )
        facts = {"family": "elmo", "weights": file_hash(weights), "sizes": file_hash(sizes)}
        super().__init__(options, facts, compute)

    @cached_property
    def _network(self) -> "Bilm":
        import torch

        from evalkit.models._bilm import Bilm

        network = Bilm(self._sizes, read_weights(self._weights_file, self._sizes))
        return network.eval().to(self._compute.device, getattr(torch, self._compute.dtype))

    @property
    def _dim(self) -> int:
        return 2 * self._sizes.lstm.projection_dim

    def _words(self, text: str) -> list[str]:
        return _TOKEN.findall(text)

    def _readable(self, text: str) -> bool:
        return _TOKEN.search(text) is not None

    def _features(self, texts: Sequence[str]) -> "Mapping[str, Tensor]":
        """Return character ids, int16 of shape (n_texts, length, characters of a word), 0 for padding words; the
        mask.

        The begin and the end of the sentence count as words here.
        """
        import torch
        from torch.nn.utils.rnn import pad_sequence

        width = self._sizes.char_cnn.max_characters_per_token
        words = [self._words(text)[: self.options.max_length] for text in texts]
        ids = pad_sequence([torch.from_numpy(character_ids(each, width)) for each in words], batch_first=True)
        return {"characters": ids, "attention_mask": (ids[:, :, 0] > 0).long()}

    def _pooled(self, features: "Mapping[str, Tensor]") -> "Tensor":
        from evalkit.models._transformer import pool

        mask = features["attention_mask"]
        layers = self._network(features["characters"], mask).float()
        states = layers.mean(dim=0) if self.options.layer is None else layers[self.options.layer]
        # Without the begin of the sentence, and with a mask two shorter, which so leaves out the end.
        return pool(states[:, 1:-1], mask[:, 2:], self.options.pooling)


def character_ids(words: Sequence[str], width: int) -> NDArray[np.int16]:
    """Return character ids of a sentence, its begin and end added: (n_words + 2, width), as the released models read
    them.

    A word is the UTF-8 bytes that fit between its begin and end; all ids are one higher than in the weights file, to
    leave 0 to padding words.
    """
    encoded = [list(word.encode("utf-8", "ignore")[: width - 2]) for word in words]
    ids = np.full((len(words) + 2, width), PADDING, dtype=np.int16)
    for row, word in zip(ids, [[BEGIN_SENTENCE], *encoded, [END_SENTENCE]], strict=True):
        row[: len(word) + 2] = [BEGIN_WORD, *word, END_WORD]
    return ids + np.int16(1)


FAMILIES = (
    Family(
        "elmo", frozenset({"embedder"}), ElmoOptions, load_elmo,
        "ELMo: a language model's character CNN and BiLSTMs",
        "folder with *options.json and *.hdf5", "disk", "torch h5py", "recurrent",
    ),
)  # fmt: skip
