"""`sbert:NAME`: any sentence-transformers checkpoint, with its own modules, prompts and maximum length."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evalkit.compute import Compute
from evalkit.contracts import Advance, Coverage, Setting
from evalkit.models._checkpoint import LENGTH_SAID_BY, Checkpoint
from evalkit.models._dense import LateChunks, not_mean, refuse_beyond, truncate, unit_length
from evalkit.models.registry.families import HUB, Family
from evalkit.models.registry.options import Pooling, TransformerOptions, dtype_setting
from evalkit.models.weights import locate, weights_hash
from evalkit.terms import ROLES, Role, Similarity
from evalkit.types import IntArray

if TYPE_CHECKING:
    from evalkit.models._sentence_model import SentenceModel


class SbertOptions(TransformerOptions):
    """Options of `sbert`: any sentence-transformers checkpoint."""

    pooling: Pooling | None = Field(None, description="replaces the checkpoint's pooling")


def load_sbert(name: str, options: SbertOptions, compute: Compute) -> "Sbert":
    """Find a sentence-transformers checkpoint.

    Raises ModelNotFoundError if it cannot be found, or is one of a sparse encoder, a cross-encoder or the like.
    """
    folder = locate(name, options.revision, compute)
    checkpoint = Checkpoint.read(folder).for_family("sbert", name)
    return (WordTable if checkpoint.is_word_table else Sbert)(checkpoint, options, compute)


class Sbert(LateChunks):
    """A sentence-transformers model: vectors as its encode_query, encode_document and encode give them.

    Loaded when it first has to encode; prompts, similarity, dimensions kept and scaling to length 1 are read from its
    configuration. Where one text can differ by its role beside the prompt, its full vectors are kept by role.
    """

    options: SbertOptions

    def __init__(self, checkpoint: Checkpoint, options: SbertOptions, compute: Compute) -> None:
        self._compute = compute.with_dtype(options.dtype)
        facts = {
            "family": "sbert",
            "weights": weights_hash(checkpoint.folder, compute.trust_remote_code),
            "compute_dtype": self._compute.dtype,
        }
        super().__init__(options, facts)
        self.checkpoint = checkpoint

    @property
    def similarity(self) -> Similarity:
        """The option, else the checkpoint's own similarity, else cosine."""
        return self.options.similarity or self.checkpoint.similarity or "cosine"

    def default_prompt(self, role: Role) -> str:
        """Return the checkpoint's own prompt for this role."""
        return self.checkpoint.prompt(role)

    def prompt(self, role: Role) -> str:
        """Return the text put before each text of this role; where the role matters, a line before it names the
        role.
        """
        text = super().prompt(role)
        return f"{role}\n{text}" if self.checkpoint.knows_roles else text

    def default_normalize(self) -> bool:
        """Tell whether the checkpoint ends with a module that scales to length 1."""
        return self.checkpoint.scales

    def default_dim(self) -> int | None:
        """Return the leading dimensions that the checkpoint keeps."""
        return self.checkpoint.truncate_dim

    @cached_property
    def _model(self) -> "SentenceModel":
        from evalkit.models._sentence_model import SentenceModel

        model = SentenceModel(self.checkpoint, "SentenceTransformer", self._compute, self.options.max_length)
        model.loaded.truncate_dim = None  # as scaling, it is done when vectors are derived from full ones
        if self.default_normalize():
            model.drop_scaling()
        if self.options.pooling is not None:
            model.replace_pooling(self.options.pooling)
        refuse_beyond(self.options.dim, model.loaded.get_embedding_dimension())
        return model

    def raw(self, texts: Sequence[str], prompt: str, advance: Advance) -> NDArray[np.float32]:
        """Return sentence vectors, neither cut nor scaled: float32 of shape (n_texts, full dim)."""
        role, text = self._told(prompt)
        if self.reads_parts(texts):
            return self._model.late([self.parts[key] for key in texts], text, advance)
        vectors = np.empty((0, self._model.loaded.get_embedding_dimension() or 0), dtype=np.float32)
        for rows, part in self._model.embeddings(texts, role, text):
            if not vectors.size:  # a checkpoint may not know its dimension
                vectors = np.empty((len(texts), part.shape[1]), dtype=np.float32)
            vectors[rows] = part.cpu().numpy()
            advance(len(rows))
        return vectors

    def derive(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Make this model's vectors from full ones.

        A checkpoint with both scales first and cuts then, as the library does, so that lengths fall short of 1; with
        the option `dim` or `normalize`, what was cut is what is scaled.
        """
        own = self.checkpoint.truncate_dim
        if own is None or self.options.dim is not None:
            return super().derive(vectors)
        if self.options.normalize is None and self.default_normalize():
            vectors = unit_length(vectors)
        vectors = truncate(vectors, min(own, vectors.shape[1]))
        return self.quantize(unit_length(vectors) if self.options.normalize else vectors)

    def refuse_other_pooling(self) -> None:
        """Raise ConfigError if vectors are not the mean of those of tokens."""
        if not self._model.pools_the_mean:
            raise not_mean(self.checkpoint.pooling)

    def own_settings(self) -> Mapping[str, Setting]:
        """Tell what the checkpoint says, and the length that it and its tokenizer allow."""
        return {
            **self.checkpoint.described(),
            "max_length": Setting(self.max_tokens, LENGTH_SAID_BY),
            "dtype": dtype_setting(self._compute, self.options.dtype),
        }

    @property
    def max_tokens(self) -> int | None:
        """Tokens read of a document; None: all of them."""
        return self._model.max_tokens("document")

    def tokens(self, texts: Sequence[str], role: Role) -> IntArray:
        """Count the tokens of each text if nothing were cut off: int64 of shape (n_texts,)."""
        return self._model.tokens(texts, role, super().prompt(role))

    def unknown_tokens(self, texts: Sequence[str], role: Role) -> tuple[IntArray, IntArray] | None:
        """Count each text's tokens, and the unknown among them; see `contracts.CountsUnknown`."""
        return self._model.unknown_tokens(texts, role)

    def _told(self, prompt: str) -> tuple[Role, str]:
        """Return the role and the text of a prompt as `prompt` gives it."""
        if not self.checkpoint.knows_roles:
            return "sentence", prompt
        role, _, text = prompt.partition("\n")
        return next(known for known in ROLES if known == role), text


class WordTable(Sbert):
    """A checkpoint that looks words up in a table: a text with no known word has a zero vector."""

    def coverage(self, texts: Sequence[str]) -> Coverage:
        """Count the words of the texts, and those that the table does not know or leaves out as stop words."""
        return self._model.coverage(texts)


FAMILIES = (
    Family(
        "sbert", frozenset({"embedder"}), SbertOptions, load_sbert, "any sentence-transformers model",
        HUB, "hub", "sentence_transformers", "torch",
    ),
)  # fmt: skip
