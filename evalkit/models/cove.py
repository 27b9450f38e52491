"""`cove:NAME`: context vectors (McCann et al. 2017), the encoder of a machine translation model over GloVe.

Sources: "Learned in Translation: Contextualized Word Vectors" and the code that its authors released,
github.com/salesforce/cove.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from evalkit.compute import Compute
from evalkit.contracts import Coverage
from evalkit.errors import ModelNotFoundError
from evalkit.models._recurrent import Recurrent, RecurrentOptions, released_file, released_folder
from evalkit.models._trust import refuse_pickles
from evalkit.models.registry.families import Family
from evalkit.models.weights import file_hash
from evalkit.tokenization import RULES, words

if TYPE_CHECKING:
    from torch import Tensor, nn

    from evalkit.models._word_files import WordVectors

CONTENTS = (
    "the encoder's state dict (wmtlstm-*.pth, or as .safetensors) and the GloVe vectors below it (glove*.txt[.gz])"
)


class CoveOptions(RecurrentOptions):
    """Options of `cove`."""

    glove: bool = Field(True, description="[GloVe; CoVe] for each word; false: CoVe alone")


def load_cove(name: str, options: CoveOptions, compute: Compute) -> "Cove":
    """Find the encoder and its GloVe vectors in a folder.

    Raises ModelNotFoundError if one is not there, UntrustedError if the encoder is pickled and that is not allowed.
    """
    folder = released_folder(name, CONTENTS)
    encoder = released_file(folder, "the encoder's state dict", "*.safetensors", "*.pth")
    glove = released_file(folder, "the GloVe vectors the encoder reads", "glove*.txt", "glove*.txt.gz")
    refuse_pickles(folder, compute)
    return Cove(encoder, glove, options, compute)


class Cove(Recurrent):
    """The two-layer bidirectional LSTM over GloVe vectors, pooled over the words; read when it first has to encode.

    A word's vector is [GloVe(w); CoVe(w)], which is what the paper (section 4) gives to every model it
    evaluates; with `glove=false` it is CoVe(w) alone. Words are looked up as for `glove:`.
    Unlike there an unknown word stays in its place, as a zero vector: the encoder was trained so. A text with no
    known word gets a zero vector, since the encoder would tell nothing but its length.
    """

    options: CoveOptions

    def __init__(self, encoder: Path, glove: Path, options: CoveOptions, compute: Compute) -> None:
        self._encoder_file = encoder
        self._glove_file = glove
        facts = {"family": "cove", "weights": file_hash(encoder), "word_vectors": file_hash(glove), "words": RULES}
        super().__init__(options, facts, compute)

    def coverage(self, texts: Sequence[str]) -> Coverage:
        """Count the words kept of the texts, and those without a GloVe vector."""
        counts = Counter(token for text in texts for token in self._tokens(text))
        unknown = sum(count for token, count in counts.items() if self._glove.find(token) is None)
        return Coverage(counts.total(), unknown)

    @cached_property
    def _glove(self) -> "WordVectors":
        from evalkit.models._word_files import read_glove

        return read_glove(self._glove_file)

    @cached_property
    def _table(self) -> "Tensor":
        import torch

        return torch.from_numpy(self._glove.matrix).to(self._compute.device)

    @cached_property
    def _encoder(self) -> "nn.LSTM":
        import torch

        encoder = _read_encoder(self._encoder_file)
        dim = self._glove.matrix.shape[1]
        if encoder.input_size != dim:
            raise ModelNotFoundError(
                f"{self._encoder_file} reads vectors of {encoder.input_size} dimensions, but those of "
                f"{self._glove_file} have {dim}. Put the GloVe vectors there that it was trained over."
            )
        return encoder.to(self._compute.device, getattr(torch, self._compute.dtype))

    @property
    def _dim(self) -> int:
        return 2 * self._encoder.hidden_size + (self._encoder.input_size if self.options.glove else 0)

    def _words(self, text: str) -> list[str]:
        return words(text, self._glove.has)

    def _tokens(self, text: str) -> list[str]:
        return self._words(text)[: self.options.max_length]

    def _readable(self, text: str) -> bool:
        return any(self._glove.find(token) is not None for token in self._tokens(text))

    def _features(self, texts: Sequence[str]) -> "Mapping[str, Tensor]":
        """Return the row of each word in the GloVe matrix, -1 for a word that is not in it; and the mask."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        found = [map(self._glove.find, self._tokens(text)) for text in texts]
        rows = [torch.tensor([-1 if word is None else self._glove.rows[word] for word in words]) for words in found]
        mask = [torch.ones(len(row), dtype=torch.int64) for row in rows]
        return {"rows": pad_sequence(rows, batch_first=True), "attention_mask": pad_sequence(mask, batch_first=True)}

    def _pooled(self, features: "Mapping[str, Tensor]") -> "Tensor":
        import torch
        from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

        from evalkit.models._transformer import pool

        rows, mask = features["rows"], features["attention_mask"]
        words = self._table[rows.clamp(min=0)] * (rows >= 0).unsqueeze(-1)
        read = words.to(getattr(torch, self._compute.dtype))
        packed = pack_padded_sequence(read, mask.sum(dim=1).cpu(), batch_first=True)
        context = pad_packed_sequence(self._encoder(packed)[0], batch_first=True)[0].float()
        states = torch.cat([words, context], dim=-1) if self.options.glove else context
        return pool(states, mask, self.options.pooling)


def _read_encoder(path: Path) -> "nn.LSTM":
    """Return the released state dict in a torch LSTM of its sizes. Raises ModelNotFoundError if it is not such a
    one.
    """
    import torch
    from safetensors.torch import load_file

    try:
        # weights_only: nothing but tensors, even in a pickle that is allowed.
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # safetensors and pickle raise many kinds
        raise ModelNotFoundError(
            f"cannot read {path}: {error}. Allowed: a state dict, pickled or safetensors."
        ) from error
    try:
        state = {name.removeprefix("rnn."): tensor for name, tensor in state.items()}
        gates, dim = state["weight_ih_l0"].shape
        encoder = torch.nn.LSTM(dim, gates // 4, num_layers=2, bidirectional=True, batch_first=True)
        encoder.load_state_dict(state)
    except (AttributeError, KeyError, ValueError, RuntimeError) as error:
        raise ModelNotFoundError(
            f"{path} is not the state dict of a two-layer bidirectional LSTM: {error}. "
            "Its keys must be weight_ih_l0, weight_hh_l0, bias_ih_l0 and bias_hh_l0, their _reverse, and those of l1."
        ) from error
    return encoder.requires_grad_(False)


FAMILIES = (
    Family(
        "cove", frozenset({"embedder"}), CoveOptions, load_cove,
        "context vectors (CoVe): a translation model's BiLSTM over GloVe",
        "folder with wmtlstm-*.pth and glove*.txt", "disk", "torch gensim", "recurrent",
    ),
)  # fmt: skip
