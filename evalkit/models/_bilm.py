"""ELMo's network: the bidirectional language model of Peters et al. (2018), section 3. Imports torch."""

from math import inf

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evalkit.models._elmo_files import Arrays, BilmOptions, CharacterCnn, Lstm, cell_name


class Bilm(nn.Module):
    """All layers of the language model, each direction apart, for inference only.

    Every text starts from a zero state. The released code carries the state over from the batch before, so that
    there a text's vectors depend on what was read earlier.
    """

    def __init__(self, options: BilmOptions, arrays: Arrays) -> None:
        super().__init__()
        self.words = CharacterEncoder(options.char_cnn, arrays)
        self.directions = nn.ModuleList(DirectedLstms(options.lstm, arrays, direction) for direction in (0, 1))
        self.requires_grad_(False)

    def forward(self, characters: Tensor, mask: Tensor) -> Tensor:
        """Return layers (n_layers + 1, batch, length, 2 × projection), forwards beside backwards.

        `characters` is (batch, length, characters of a word); `mask` (batch, length) with 1 for real words. Layer 0
        is what the character CNN makes of each word, twice.
        """
        real = mask.bool()
        distinct, places = torch.unique(characters[real], dim=0, return_inverse=True)
        encoded = self.words(distinct.int())
        words = encoded.new_zeros(*mask.shape, encoded.shape[-1])
        words[real] = encoded[places]
        return torch.cat([lstms(words, mask) for lstms in self.directions], dim=-1)


class CharacterEncoder(nn.Module):
    """A word's vector from its characters: convolutions, maximum over positions, highway layers, projection.

    Kim et al. (2016); the highway layers are those of Srivastava et al. (2015).
    """

    def __init__(self, cnn: CharacterCnn, arrays: Arrays) -> None:
        super().__init__()
        no_character = np.zeros((1, cnn.embedding.dim), dtype=np.float32)  # id 0, of padding words
        self.characters = nn.Embedding.from_pretrained(  # type: ignore[no-untyped-call]
            _tensor(np.vstack([no_character, arrays["char_embed"]]))
        )
        self.convolutions = nn.ModuleList(_convolution(arrays, number) for number in range(len(cnn.filters)))
        self.highways = nn.Sequential(*(Highway(arrays, f"CNN_high_{number}") for number in range(cnn.n_highway)))
        self.projection = _linear(arrays["CNN_proj/W_proj"], arrays["CNN_proj/b_proj"])
        self._activation = {"relu": torch.relu, "tanh": torch.tanh}[cnn.activation]

    def forward(self, characters: Tensor) -> Tensor:
        """Return vectors (n_words, projection) of words given as character ids, (n_words, characters of a word)."""
        embedded = self.characters(characters).transpose(1, 2)
        features = [self._activation(convolution(embedded).amax(dim=-1)) for convolution in self.convolutions]
        words: Tensor = self.projection(self.highways(torch.cat(features, dim=-1)))
        return words


class Highway(nn.Module):
    """A layer whose gate chooses, in each dimension, between what it computes and its input."""

    def __init__(self, arrays: Arrays, name: str) -> None:
        super().__init__()
        self.carry = _linear(arrays[f"{name}/W_carry"], arrays[f"{name}/b_carry"])
        self.transform = _linear(arrays[f"{name}/W_transform"], arrays[f"{name}/b_transform"])

    def forward(self, inputs: Tensor) -> Tensor:
        """Of the shape of the inputs."""
        # Named after the release, where it lets through what is computed; the paper's carry gate is 1 minus this.
        gate = torch.sigmoid(self.carry(inputs))
        return gate * torch.relu(self.transform(inputs)) + (1 - gate) * inputs


class DirectedLstms(nn.Module):
    """The LSTMs of one direction; each but the first adds its input to its output."""

    def __init__(self, sizes: Lstm, arrays: Arrays, direction: int) -> None:
        super().__init__()
        self.lstms = nn.ModuleList(DirectedLstm(sizes, arrays, direction, layer) for layer in range(sizes.n_layers))
        self._residual = sizes.use_skip_connections

    def forward(self, words: Tensor, mask: Tensor) -> Tensor:
        """Return the words and the output of each LSTM: (n_layers + 1, batch, length, projection)."""
        layers = [words]
        for number, lstm in enumerate(self.lstms):
            output = lstm(layers[-1], mask)
            layers.append(output + layers[-1] if self._residual and number > 0 else output)
        return torch.stack(layers)


class DirectedLstm(nn.Module):
    """One LSTM in one direction, its state projected (Sak et al. 2014), cell and projected state clipped."""

    def __init__(self, sizes: Lstm, arrays: Arrays, direction: int, layer: int) -> None:
        super().__init__()
        cell = cell_name(direction, layer)
        from_input, from_state = np.split(arrays[f"{cell}/W_0"], 2)
        self.from_input = _linear(from_input, arrays[f"{cell}/B"])
        self.from_state = _linear(from_state)
        self.projection = _linear(arrays[f"{cell}/W_P_0"])
        self._backwards = direction == 1
        self._cell_clip = sizes.cell_clip or inf
        self._state_clip = sizes.proj_clip or inf

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """Return states (batch, length, projection) of inputs of that shape; padding keeps the state at zero."""
        gates = self.from_input(inputs)
        outputs = torch.zeros_like(inputs)
        state = torch.zeros_like(inputs[:, 0])
        cell = gates.new_zeros(len(gates), gates.shape[-1] // 4)
        steps = range(inputs.shape[1])
        for step in reversed(steps) if self._backwards else steps:
            # TensorFlow's order of the gates; it adds 1 to the forget gate, outside its bias.
            enter, candidate, forget, leave = (gates[:, step] + self.from_state(state)).chunk(4, dim=-1)
            cell = torch.sigmoid(forget + 1) * cell + torch.sigmoid(enter) * torch.tanh(candidate)
            cell = cell.clamp(-self._cell_clip, self._cell_clip)
            state = self.projection(torch.sigmoid(leave) * torch.tanh(cell))
            state = state.clamp(-self._state_clip, self._state_clip)
            real = mask[:, step, None].to(state.dtype)
            cell, state = cell * real, state * real
            outputs[:, step] = state
        return outputs


def _tensor(array: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _linear(weight: NDArray[np.float32], bias: NDArray[np.float32] | None = None) -> nn.Linear:
    """Return a linear layer from TensorFlow's (inputs, outputs)."""
    inputs, outputs = weight.shape
    linear = nn.Linear(inputs, outputs, bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(_tensor(weight.T))
    if bias is not None:
        linear.bias = nn.Parameter(_tensor(bias))
    return linear


def _convolution(arrays: Arrays, number: int) -> nn.Conv1d:
    """Return a convolution over characters from TensorFlow's (1, width, inputs, outputs)."""
    weight = arrays[f"CNN/W_cnn_{number}"][0]
    width, inputs, outputs = weight.shape
    convolution = nn.Conv1d(inputs, outputs, width, device="meta")
    convolution.weight = nn.Parameter(_tensor(weight.T))
    convolution.bias = nn.Parameter(_tensor(arrays[f"CNN/b_cnn_{number}"]))
    return convolution
