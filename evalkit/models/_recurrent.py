"""What the recurrent families share: a network over a text's words, whose vectors are pooled into one."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evalkit.compute import Compute, Dtype
from evalkit.contracts import Advance
from evalkit.errors import ModelNotFoundError
from evalkit.models._dense import DenseEmbedder
from evalkit.models.registry.catalogue import entries_of
from evalkit.models.registry.folder import refuse_pointer
from evalkit.models.registry.options import DenseOptions
from evalkit.terms import Role
from evalkit.types import IntArray

if TYPE_CHECKING:
    from torch import Tensor


class RecurrentOptions(DenseOptions):
    """Options of dense families that run a recurrent network over words."""

    pooling: Literal["mean", "max"] = Field("mean", description="how word vectors become one")
    dtype: Dtype | None = Field(None, description="dtype of the computation; unset: the run's")


class Recurrent(DenseEmbedder):
    """Base of recurrent embedders. A text with nothing to read gets a zero vector."""

    options: RecurrentOptions

    def __init__(self, options: RecurrentOptions, facts: Mapping[str, object], compute: Compute) -> None:
        self._compute = compute.with_dtype(options.dtype)
        super().__init__(options, {**facts, "compute_dtype": self._compute.dtype})

    @property
    @abstractmethod
    def _dim(self) -> int:
        """Dimensions of the full vectors."""

    @abstractmethod
    def _words(self, text: str) -> list[str]:
        """Return all words of a text."""

    @abstractmethod
    def _readable(self, text: str) -> bool:
        """Tell whether there is anything in a text for the network to read."""

    @abstractmethod
    def _features(self, texts: Sequence[str]) -> "Mapping[str, Tensor]":
        """Tell what the network reads, padded on the right, with an `attention_mask` of shape (n_texts, length)."""

    @abstractmethod
    def _pooled(self, features: "Mapping[str, Tensor]") -> "Tensor":
        """Return vectors of a batch, its longest text first: (batch, dim)."""

    @property
    def max_tokens(self) -> int | None:
        """Words read of a text; None: all of them."""
        return self.options.max_length

    def tokens(self, texts: Sequence[str], role: Role) -> IntArray:
        """Count the words of each text: int64 of shape (n_texts,)."""
        prompt = self.prompt(role)
        return np.array([len(self._words(prompt + text)) for text in texts], dtype=np.int64)

    def raw(self, texts: Sequence[str], prompt: str, advance: Advance) -> NDArray[np.float32]:
        """Return pooled word vectors: float32 of shape (n_texts, full dim)."""
        from evalkit.models._batching import forward_batches

        vectors = np.zeros((len(texts), self._dim), dtype=np.float32)
        prompted = [prompt + text for text in texts]
        readable = np.array([row for row, text in enumerate(prompted) if self._readable(text)], dtype=np.int64)
        advance(len(texts) - len(readable))
        read = [prompted[row] for row in readable]
        for rows, _, pooled in forward_batches(read, self._features, self._pooled, self._compute):
            vectors[readable[rows]] = pooled.float().cpu().numpy()
            advance(len(rows))
        return vectors


def released_folder(name: str, contents: str) -> Path:
    """Return the folder with a model's released files. Raises ModelNotFoundError that says what belongs into it."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        links = [link for entry in entries_of(name) for link in entry.downloads]
        raise ModelNotFoundError(
            f"no folder {name!r}. It must hold {contents}."
            + (f" Download into it, and unpack what is packed: {', '.join(links)}." if links else "")
        )
    return folder


def released_file(folder: Path, what: str, *patterns: str) -> Path:
    """Return the one file of a folder that matches the first of the patterns that any file matches.

    Raises ModelNotFoundError if no file matches any pattern, several match one, or it is a pointer of Git LFS.
    """
    for pattern in patterns:
        found = sorted(folder.glob(pattern))
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise ModelNotFoundError(f"{folder} holds {len(found)} files {pattern}: {names}. Leave one: {what}.")
        if found:
            refuse_pointer(found[0])
            return found[0]
    held = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
    raise ModelNotFoundError(f"{folder} holds no file {' or '.join(patterns)}: {what}. It holds: {held}.")
