"""`splade:NAME`: learned sparse vectors, a weight a word piece (SPLADE, Formal et al. 2021)."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix, vstack

from evalkit.compute import Compute
from evalkit.contracts import Advance, no_progress
from evalkit.errors import ModelNotFoundError
from evalkit.models.checkpoint import Checkpoint, count_read_tokens, document_limit, limit_length
from evalkit.models.weights import locate, weights_hash
from evalkit.registry.options import SpladeOptions
from evalkit.terms import Role, Similarity
from evalkit.types import IntArray

if TYPE_CHECKING:
    from sentence_transformers import SparseEncoder

# What sentence-transformers calls a role; a sentence of a symmetric pair has no name there.
TASKS: dict[Role, str | None] = {"query": "query", "document": "document", "sentence": None}


def load_splade(name: str, options: SpladeOptions, compute: Compute) -> "Splade":
    """Find a sparse encoder.

    Raises ModelNotFoundError if it cannot be found, or is of another kind: sentence-transformers would give that
    an untrained layer, and its vectors would mean nothing.
    """
    folder = locate(name, options.revision, compute)
    checkpoint = Checkpoint.read(folder)
    masked = not checkpoint.module_types and any(kind.endswith("ForMaskedLM") for kind in checkpoint.architectures)
    if checkpoint.settings.get("model_type") != "SparseEncoder" and not masked:
        raise ModelNotFoundError(
            f"{name!r} is no sparse encoder: neither saved by sentence-transformers as one nor a masked language "
            "model. Choose a SPLADE checkpoint, or use `sbert:` or `bert:` for dense vectors."
        )
    return Splade(checkpoint, options, compute)


class Splade:
    """A sparse encoder: CSR float32 of shape (n_texts, n_word_pieces); loaded when it first has to encode.

    Its vectors are not kept in a store, whose rows are dense.
    """

    def __init__(self, checkpoint: Checkpoint, options: SpladeOptions, compute: Compute) -> None:
        self.options = options
        self._checkpoint = checkpoint
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
            **{f"{role}_prompt": self.prompt(role) for role in TASKS},
        }

    @property
    def similarity(self) -> Similarity:
        """The option, else the checkpoint's own similarity, else the dot product."""
        return self.options.similarity or self._checkpoint.similarity or "dot"

    def prompt(self, role: Role) -> str:
        """The text put before each text of this role: the option, else the checkpoint's."""
        chosen: str | None = getattr(self.options, f"{role}_prompt")
        return self._checkpoint.prompt(role) if chosen is None else chosen

    @cached_property
    def _model(self) -> "SparseEncoder":
        model: SparseEncoder = self._checkpoint.load("SparseEncoder", self._compute)
        if self.options.max_length is not None:
            limit_length(model, self.options.max_length)
        return model

    def encode(self, texts: Sequence[str], role: Role, advance: Advance = no_progress) -> csr_matrix:
        """Vectors of texts: CSR float32 of shape (n_texts, n_word_pieces). Each distinct text is encoded once."""
        from sentence_transformers.util import select_max_active_dims

        from evalkit.models.batching import forward_batches

        if not texts:  # only vectors tell the width
            return self.encode([""], role)[:0]
        row_of = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        advance(len(texts) - len(row_of))
        tokenize: Any = partial(self._model.preprocess, prompt=self.prompt(role) or None, task=TASKS[role])
        most = self._model.max_active_dims
        forward = partial(self._model, task=TASKS[role], **({} if most is None else {"max_active_dims": most}))
        order, parts = [], []
        for rows, _, output in forward_batches(list(row_of), tokenize, forward, self._compute):
            vectors = output["sentence_embedding"].float()
            if most is not None:
                vectors = select_max_active_dims(vectors, max_active_dims=most)
            order.append(rows)
            parts.append(csr_matrix(vectors.cpu().numpy()))
            advance(len(rows))
        encoded = csr_matrix(vstack(parts, format="csr", dtype=np.float32))
        position = np.argsort(np.concatenate(order))
        return csr_matrix(encoded[position[[row_of[text] for text in texts]]])

    @property
    def max_tokens(self) -> int | None:
        """Tokens read of a document; None: all of them."""
        return document_limit(self._model)

    def tokens(self, texts: Sequence[str], role: Role) -> IntArray:
        """Tokens of each text if nothing were cut off: int64 of shape (n_texts,)."""
        return count_read_tokens(self._model, texts, self.prompt(role))
