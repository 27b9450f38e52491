"""`sbert:NAME`: any sentence-transformers checkpoint, with its own modules, prompts and maximum length."""

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalkit.compute import Compute
from evalkit.contracts import Advance
from evalkit.errors import SpecError
from evalkit.models.checkpoint import Checkpoint, count_read_tokens, document_limit, limit_length
from evalkit.models.dense import DenseEmbedder
from evalkit.models.weights import locate, weights_hash
from evalkit.registry.options import SbertOptions
from evalkit.terms import Role, Similarity
from evalkit.types import IntArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def load_sbert(name: str, options: SbertOptions, compute: Compute) -> "Sbert":
    """Find a sentence-transformers checkpoint. Raises ModelNotFoundError if it cannot be found."""
    return Sbert(locate(name, options.revision, compute), options, compute)


class Sbert(DenseEmbedder):
    """A sentence-transformers model: its modules are its own, batches and scaling to length 1 are ours.

    Loaded when it first has to encode; prompts, similarity and scaling are read from its configuration.
    """

    options: SbertOptions

    def __init__(self, folder: Path, options: SbertOptions, compute: Compute) -> None:
        self._compute = compute.with_dtype(options.dtype)
        facts = {
            "family": "sbert",
            "weights": weights_hash(folder, compute.trust_remote_code),
            "compute_dtype": self._compute.dtype,
        }
        super().__init__(options, facts)
        self._checkpoint = Checkpoint.read(folder)

    @property
    def similarity(self) -> Similarity:
        """The option, else the checkpoint's own similarity, else cosine."""
        return self.options.similarity or self._checkpoint.similarity or "cosine"

    def default_prompt(self, role: Role) -> str:
        """The checkpoint's own prompt for this role."""
        return self._checkpoint.prompt(role)

    def default_normalize(self) -> bool:
        """Whether the checkpoint ends with a module that scales to length 1."""
        return any(kind.endswith("Normalize") for kind in self._checkpoint.module_types[-1:])

    @cached_property
    def _model(self) -> "SentenceTransformer":
        model: SentenceTransformer = self._checkpoint.load("SentenceTransformer", self._compute)
        if self.default_normalize():
            model.pop(len(model) - 1)
        if self.options.max_length is not None:
            limit_length(model, self.options.max_length)
        if self.options.pooling is not None:
            _replace_pooling(model, self.options)
        return model

    def raw(self, texts: Sequence[str], prompt: str, advance: Advance) -> NDArray[np.float32]:
        """Sentence vectors, not scaled: float32 of shape (n_texts, full dim)."""
        from sentence_transformers.base.modules import Transformer

        from evalkit.models.batching import forward_batches

        vectors = np.empty((len(texts), self._model.get_embedding_dimension() or 0), dtype=np.float32)
        if texts and not isinstance(self._model[0], Transformer):
            advance(len(texts))
            return self._model.encode(list(texts), prompt=prompt, show_progress_bar=False).astype(np.float32)
        tokenize: Any = partial(self._model.preprocess, prompt=prompt or None)
        for rows, _, output in forward_batches(texts, tokenize, self._model, self._compute):
            vectors[rows] = output["sentence_embedding"].float().cpu().numpy()
            advance(len(rows))
        return vectors

    @property
    def max_tokens(self) -> int | None:
        """Tokens read of a document; None: all of them."""
        return document_limit(self._model)

    def tokens(self, texts: Sequence[str], role: Role) -> IntArray:
        """Tokens of each text if nothing were cut off: int64 of shape (n_texts,)."""
        return count_read_tokens(self._model, texts, self.prompt(role))


def _replace_pooling(model: "SentenceTransformer", options: SbertOptions) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    for name, module in model.named_children():
        if isinstance(module, Pooling):
            prompt_counts = module.include_prompt
            pooling = Pooling(module.embedding_dimension, pooling_mode=options.pooling, include_prompt=prompt_counts)
            setattr(model, name, pooling)
            return
    raise SpecError(f"pooling={options.pooling}: this checkpoint has no pooling module to replace; leave it out.")
