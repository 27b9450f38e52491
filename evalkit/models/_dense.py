"""What every dense embedder shares: prompts, and what is derived from its full vectors."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Self

import numpy as np
from numpy.typing import NDArray

from evalkit.contracts import Advance, Setting, no_progress
from evalkit.errors import ConfigError, SpecError
from evalkit.models.registry.options import Precision, VectorOptions, option_settings
from evalkit.terms import ROLES, Role, Similarity
from evalkit.types import Part

DERIVED = frozenset(
    {"query_prompt", "document_prompt", "sentence_prompt", "normalize", "dim", "precision", "rescore", "similarity"}
)
"""Options that do not change `raw`: prompts are its argument, and the others are applied to its result."""
SETTLED = frozenset({"dtype", "revision"})
"""Options whose outcome is among the facts: the dtype computed in, the hash of the weights found."""


class DenseEmbedder(ABC):
    """Base of dense embedders: a family writes `raw`, the rest is the same for all.

    `facts` names what `raw` depends on beside the options: the family and a hash of the weights.
    """

    def __init__(self, options: VectorOptions, facts: Mapping[str, object]) -> None:
        self.options = options
        self._facts = facts

    @abstractmethod
    def raw(self, texts: Sequence[str], prompt: str, advance: Advance) -> NDArray[np.float32]:
        """Return full vectors of texts, each read after the prompt: float32 of shape (n_texts, full dim)."""

    def default_prompt(self, role: Role) -> str:
        """Return the model's own prompt for a role; options override it."""
        return ""

    def default_normalize(self) -> bool:
        """Tell whether the model itself scales its vectors to length 1; the option overrides it."""
        return False

    def default_dim(self) -> int | None:
        """Return the leading dimensions that the model itself keeps; the option overrides them. None: all of them."""
        return None

    @property
    def raw_identity(self) -> Mapping[str, object]:
        """Everything that changes the result of `raw` for given arguments."""
        own = {key: value for key, value in self.options.model_dump().items() if key not in DERIVED | SETTLED}
        return {**self._facts, **own}

    @property
    def identity(self) -> Mapping[str, object]:
        """Everything that changes this model's vectors."""
        prompts = {f"{role}_prompt": self.prompt(role) for role in ROLES}
        derived = {"normalize": self._normalize, "dim": self.leading_dim, "precision": self.options.precision}
        # As part of the fingerprint only where it is set, so that others keep theirs.
        rescored = {} if self.rescore is None else {"rescore": self.rescore}
        return {**self.raw_identity, **prompts, **derived, **rescored, "similarity": self.similarity}

    def own_settings(self) -> Mapping[str, Setting]:
        """Tell what the model's own files say, by name. An option goes before them."""
        return {}

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Tell how the model is run; see `contracts.Described`."""
        in_force: dict[str, object] = {
            **{f"{role}_prompt": self.prompt(role) for role in ROLES},
            "normalize": self._normalize,
            "similarity": self.similarity,
        }
        options = option_settings(self.options, SETTLED)
        given = {name: setting for name, setting in options.items() if setting.source == "option"}
        defaults = {name: Setting(value, "default") for name, value in in_force.items()}
        return {**options, **defaults, **self.own_settings(), **given}

    @property
    def similarity(self) -> Similarity:
        """How vectors are compared in retrieval: the option, else cosine."""
        return self.options.similarity or "cosine"

    @property
    def _normalize(self) -> bool:
        return self.default_normalize() if self.options.normalize is None else self.options.normalize

    @property
    def leading_dim(self) -> int | None:
        """The leading dimensions kept: the option, else as the model does; None: all of them."""
        return self.default_dim() if self.options.dim is None else self.options.dim

    def prompt(self, role: Role) -> str:
        """Return the text put before each text of this role."""
        chosen: str | None = getattr(self.options, f"{role}_prompt")
        return self.default_prompt(role) if chosen is None else chosen

    def encode(self, texts: Sequence[str], role: Role, advance: Advance = no_progress) -> NDArray[np.float32]:
        """Return vectors of texts: float32 of shape (n_texts, dim). Each distinct text is encoded once."""
        row_of = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        advance(len(texts) - len(row_of))
        return self.derive(self.raw(list(row_of), self.prompt(role), advance)[[row_of[text] for text in texts]])

    def derive(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Make this model's vectors from full ones: truncated, scaled to length 1, quantised, as the options say."""
        if self.leading_dim is not None:
            vectors = truncate(vectors, self.leading_dim)
        if self._normalize:
            vectors = unit_length(vectors)
        return self.quantize(vectors)

    @property
    def rescore(self) -> int | None:
        """Documents found with vectors of low precision that are ranked anew; None: as they are found."""
        return self.options.rescore

    @property
    def full(self) -> Self:
        """This embedder with vectors of full precision."""
        made = copy(self)
        made.options = self.options.model_copy(update={"precision": "float32", "rescore": None})
        return made

    def quantize(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return vectors at this model's precision."""
        return quantize(vectors, self.options.precision)


class LateChunks(DenseEmbedder):
    """Base of dense embedders that can read a text as a part of a whole; see `contracts.ReadsWholes`.

    A family gives `raw` of keys of `parts` too.
    """

    parts: Mapping[str, Part] = {}

    @abstractmethod
    def refuse_other_pooling(self) -> None:
        """Raise ConfigError if vectors are not the mean of those of tokens. Loads what both copies share."""

    def in_context(self, parts: Mapping[str, Part]) -> Self:
        """Return a copy that reads keys of `parts` as these parts."""
        self.refuse_other_pooling()
        made = copy(self)
        made.parts = parts
        return made

    def reads_parts(self, texts: Sequence[str]) -> bool:
        """Tell whether the texts are keys of parts."""
        return bool(texts) and all(text in self.parts for text in texts)

    @property
    def raw_identity(self) -> Mapping[str, object]:
        """Everything that changes the result of `raw`; that parts are read in context is a part of it."""
        return {**super().raw_identity, "late_chunks": 1} if self.parts else super().raw_identity


def not_mean(pooling: str | None) -> ConfigError:
    """Return the error for a model that cannot read a text as a part of a whole."""
    return ConfigError(
        f"late chunking takes the mean of a part's token vectors, and this model cannot give them (its pooling: "
        f"{pooling or 'none'}). Take a transformer with mean pooling and a fast tokenizer, or another chunker."
    )


def refuse_beyond(dim: int | None, full: int | None) -> None:
    """Raise SpecError if more dimensions are asked for than a model's full vectors have (None: not known)."""
    if dim is not None and full is not None and dim > full:
        raise SpecError(f"dim={dim} is more than the model's {full} dimensions; choose at most that.")


def truncate(vectors: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """Return the leading `dim` dimensions (Matryoshka, Kusupati et al. 2022). Raises SpecError if there are fewer."""
    refuse_beyond(dim, vectors.shape[1])
    return np.ascontiguousarray(vectors[:, :dim])


def unit_length(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors scaled to length 1; those that are zero or not finite stay so, for the caller to report."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled = np.zeros_like(vectors)
    with np.errstate(invalid="ignore"):
        np.divide(vectors, lengths, out=scaled, where=lengths != 0)
    return scaled


def quantize(vectors: NDArray[np.float32], precision: Precision) -> NDArray[np.float32]:
    """Return the values that vectors have when they are kept in less space, as float32.

    int8: each vector in 255 even steps up to its largest magnitude. binary: the signs, +1 or -1 (0 counts as
    -1), so that the cosine falls evenly with the Hamming distance; a zero vector stays zero, and NaN stays NaN.
    """
    if precision == "float32":
        return vectors
    if precision == "binary":
        signs = np.where(vectors > 0, np.float32(1), np.float32(-1))
        known = np.where(vectors.any(axis=1, keepdims=True), signs, np.float32(0))
        return np.where(np.isnan(vectors), vectors, known)
    step = np.abs(vectors).max(axis=1, keepdims=True, initial=0) / 127
    steps = np.zeros_like(vectors)
    np.divide(vectors, step, out=steps, where=step != 0)
    return np.asarray(np.round(steps) * step, dtype=np.float32)
