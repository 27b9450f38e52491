"""What every dense embedder shares: prompts, truncation, normalisation, identity."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.contracts import Advance, no_progress
from evalkit.errors import SpecError
from evalkit.registry.options import DenseOptions
from evalkit.types import Role, Similarity


class DenseEmbedder(ABC):
    """Base of dense embedders: a family writes `raw`, the rest is the same for all.

    `facts` names what `raw` depends on beside the options: the family and a hash of the weights.
    """

    def __init__(self, options: DenseOptions, facts: Mapping[str, object]) -> None:
        self.options = options
        self._facts = facts

    @abstractmethod
    def raw(self, texts: Sequence[str], advance: Advance) -> NDArray[np.float32]:
        """Full vectors of texts that carry their prompts already: float32 of shape (n_texts, full dim)."""

    def default_prompt(self, role: Role) -> str:
        """The model's own prompt for a role; options override it."""
        return ""

    @property
    def identity(self) -> Mapping[str, object]:
        """Everything that changes this model's vectors."""
        prompts = {f"{role}_prompt": self.prompt(role) for role in ("query", "document", "sentence")}
        return {**self._facts, **self.options.model_dump(), **prompts}

    @property
    def similarity(self) -> Similarity:
        """How vectors are compared in retrieval: the option, else cosine."""
        return self.options.similarity or "cosine"

    def prompt(self, role: Role) -> str:
        """The text put before each text of this role."""
        chosen: str | None = getattr(self.options, f"{role}_prompt")
        return self.default_prompt(role) if chosen is None else chosen

    def encode(self, texts: Sequence[str], role: Role, advance: Advance = no_progress) -> NDArray[np.float32]:
        """Vectors of texts: float32 of shape (n_texts, dim), truncated and scaled as the options say."""
        prompt = self.prompt(role)
        vectors = self.raw([prompt + text for text in texts], advance)
        if self.options.dim is not None:
            vectors = truncate(vectors, self.options.dim)
        return unit_length(vectors) if self.options.normalize else vectors


def truncate(vectors: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """The leading `dim` dimensions (Matryoshka, Kusupati et al. 2022). Raises SpecError if there are fewer."""
    if dim > vectors.shape[1]:
        raise SpecError(f"dim={dim} is more than the model's {vectors.shape[1]} dimensions; choose at most that.")
    return np.ascontiguousarray(vectors[:, :dim])


def unit_length(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors scaled to length 1; zero vectors stay zero, for the caller to report."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled = np.zeros_like(vectors)
    np.divide(vectors, lengths, out=scaled, where=lengths > 0)
    return scaled
