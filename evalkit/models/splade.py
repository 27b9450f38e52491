"""`splade:NAME`: learned sparse vectors, a weight a word piece (SPLADE, Formal et al. 2021)."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, PositiveInt

from evalkit.compute import Compute, Dtype
from evalkit.contracts import Advance, Setting, no_progress
from evalkit.models._checkpoint import LENGTH_SAID_BY, Checkpoint
from evalkit.models.registry.families import HUB, Family
from evalkit.models.registry.options import PromptOptions, dtype_setting, option_settings
from evalkit.models.weights import locate, weights_hash
from evalkit.terms import ROLES, Role, Similarity
from evalkit.types import IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from evalkit.models._sentence_model import SentenceModel


class SpladeOptions(PromptOptions):
    """Options of `splade`: sparse encoders."""

    max_length: PositiveInt | None = Field(None, description="tokens kept of each text")
    similarity: Similarity | None = Field(None, description="unset: the model's own, else dot")
    dtype: Dtype | None = Field(None, description="dtype of the computation; unset: the run's")
    revision: str | None = Field(None, description="branch, tag or commit on the hub")


def load_splade(name: str, options: SpladeOptions, compute: Compute) -> "Splade":
    """Find a sparse encoder.

    Raises ModelNotFoundError if it cannot be found, or is of another kind: sentence-transformers would give that
    an untrained layer, and its vectors would mean nothing.
    """
    folder = locate(name, options.revision, compute)
    return Splade(Checkpoint.read(folder).for_family("splade", name), options, compute)


class Splade:
    """A sparse encoder: CSR float32 of shape (n_texts, n_word_pieces); loaded when it first has to encode.

    Its vectors are not kept in a store, whose rows are dense.
    """

    not_stored = True

    def __init__(self, checkpoint: Checkpoint, options: SpladeOptions, compute: Compute) -> None:
        self.options = options
        self.checkpoint = checkpoint
        self._compute = compute.with_dtype(options.dtype)
        self._weights = weights_hash(checkpoint.folder, compute.trust_remote_code)

    @property
    def identity(self) -> Mapping[str, object]:
        """Everything that changes the vectors, or how they are compared."""
        return {
            "family": "splade",
            "weights": self._weights,
            "compute_dtype": self._compute.dtype,
            "max_length": self.options.max_length,
            "similarity": self.similarity,
            **{f"{role}_prompt": self.prompt(role) for role in ROLES},
        }

    @property
    def similarity(self) -> Similarity:
        """The option, else the checkpoint's own similarity, else the dot product."""
        return self.options.similarity or self.checkpoint.similarity or "dot"

    def prompt(self, role: Role) -> str:
        """Return the text put before each text of this role: the option, else the checkpoint's."""
        chosen: str | None = getattr(self.options, f"{role}_prompt")
        return self.checkpoint.prompt(role) if chosen is None else chosen

    @cached_property
    def _model(self) -> "SentenceModel":
        from evalkit.models._sentence_model import SentenceModel

        return SentenceModel(self.checkpoint, "SparseEncoder", self._compute, self.options.max_length)

    def encode(self, texts: Sequence[str], role: Role, advance: Advance = no_progress) -> "csr_matrix":
        """Return vectors of texts: CSR float32 of shape (n_texts, n_word_pieces). Each distinct text is encoded
        once.
        """
        from scipy.sparse import csr_matrix, vstack

        if not texts:  # only vectors tell the width
            return self.encode([""], role)[:0]
        row_of = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        advance(len(texts) - len(row_of))
        order, parts = [], []
        for rows, vectors in self._model.embeddings(list(row_of), role, self.prompt(role)):
            order.append(rows)
            parts.append(csr_matrix(vectors.cpu().numpy()))
            advance(len(rows))
        encoded = csr_matrix(vstack(parts, format="csr", dtype=np.float32))
        position = np.argsort(np.concatenate(order))
        return csr_matrix(encoded[position[[row_of[text] for text in texts]]])

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Tell how the model is run; see `contracts.Described`."""
        given = option_settings(self.options, ("revision", "dtype"))
        return {
            "similarity": Setting(self.similarity, "default"),
            **self.checkpoint.described(),
            **({} if self.checkpoint.modules else {"pooling": Setting("SPLADE, max", "default")}),
            "max_length": Setting(self.max_tokens, LENGTH_SAID_BY),
            "dtype": dtype_setting(self._compute, self.options.dtype),
            **given,
        }

    @property
    def max_tokens(self) -> int | None:
        """Tokens read of a document; None: all of them."""
        return self._model.max_tokens("document")

    def tokens(self, texts: Sequence[str], role: Role) -> IntArray:
        """Count the tokens of each text if nothing were cut off: int64 of shape (n_texts,)."""
        return self._model.tokens(texts, role, self.prompt(role))

    def unknown_tokens(self, texts: Sequence[str], role: Role) -> tuple[IntArray, IntArray] | None:
        """Count each text's tokens, and the unknown among them; see `contracts.CountsUnknown`."""
        return self._model.unknown_tokens(texts, role)


FAMILIES = (
    Family(
        "splade", frozenset({"embedder"}), SpladeOptions, load_splade,
        "learned sparse vectors (SPLADE), any SparseEncoder of sentence-transformers",
        HUB, "hub", "sentence_transformers", "torch", sparse=True,
    ),
)  # fmt: skip
