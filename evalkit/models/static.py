"""`static:NAME`: Model2Vec static embeddings, a mean of token vectors (Tulkens & van Dongen 2024)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evalkit.compute import Compute
from evalkit.contracts import Advance, Coverage, Setting
from evalkit.errors import ModelNotFoundError
from evalkit.models._dense import DenseEmbedder, refuse_beyond
from evalkit.models.registry.families import HUB, Family
from evalkit.models.registry.options import HubOptions
from evalkit.models.weights import locate, weights_hash
from evalkit.terms import Role
from evalkit.types import IntArray

TEXTS_AT_ONCE = 4096

if TYPE_CHECKING:
    from model2vec import StaticModel


class StaticOptions(HubOptions):
    """Options of `static`."""


def load_static(name: str, options: StaticOptions, compute: Compute) -> "Static":
    """Load a Model2Vec model. Raises ModelNotFoundError if it cannot be found or read."""
    return Static(locate(name, options.revision, compute), options)


class Static(DenseEmbedder):
    """A Model2Vec model: vectors as its own `encode` gives them.

    A text is cut to `max_length` times so many characters as half of the vocabulary's tokens have at most, then to
    `max_length` tokens. Unknown tokens are left out; a text with no token gets a zero vector. Without the options,
    `normalize` and `max_length` are the model's own.
    """

    options: StaticOptions

    def __init__(self, folder: Path, options: StaticOptions) -> None:
        self._model = _load(folder, options)
        settled = {"normalize": self._model.normalize, "max_length": self._model.max_length}
        limit = self._model.max_length
        self._characters = None if limit is None else limit * self._model.median_token_length
        facts = {"family": "static", "weights": weights_hash(folder), "characters": self._characters}
        # Not model_copy: it would mark what the model itself says as given by the user.
        given, values = set(options.model_fields_set), {**options.model_dump(), **settled}
        super().__init__(StaticOptions.model_construct(_fields_set=given, **values), facts)
        self._table = _token_vectors(self._model)
        refuse_beyond(options.dim, self._table.shape[1])

    def coverage(self, texts: Sequence[str]) -> Coverage:
        """Count the tokens kept of the texts, and those that the tokenizer does not know."""
        read = [text[: self._characters] for text in texts]
        encodings = self._model.tokenizer.encode_batch_fast(read, add_special_tokens=False)
        tokens = sum(len(encoding.ids) for encoding in encodings)
        return Coverage(tokens, tokens - sum(map(len, self._model.tokenize(read))))

    def raw(self, texts: Sequence[str], prompt: str, advance: Advance) -> NDArray[np.float32]:
        """Compute means of token vectors: float32 of shape (n_texts, dim)."""
        vectors = np.empty((len(texts), self._table.shape[1]), dtype=np.float32)
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            block = [(prompt + text)[: self._characters] for text in texts[start : start + TEXTS_AT_ONCE]]
            vectors[start : start + len(block)] = self._means(block)
            advance(len(block))
        return vectors

    def own_settings(self) -> Mapping[str, Setting]:
        """Return scaling and length, where they are the model's own."""
        return {
            "normalize": Setting(self._model.normalize, "config.json"),
            "max_length": Setting(self._model.max_length, "default"),
        }

    @property
    def max_tokens(self) -> int | None:
        """Tokens read of a text, known or not; None: all of them."""
        return self.options.max_length

    def tokens(self, texts: Sequence[str], role: Role) -> IntArray:
        """Count the tokens of each text if nothing were cut off, known or not: int64 of shape (n_texts,).

        A text of too many characters counts as one of too many tokens, whatever their number: its end is not read.
        """
        from tokenizers import Tokenizer

        whole = Tokenizer.from_str(self._model.tokenizer.to_str())
        whole.no_truncation()
        read = [self.prompt(role) + text for text in texts]
        counts = [len(encoding.ids) for encoding in whole.encode_batch_fast(read, add_special_tokens=False)]
        if self._characters is not None and self.max_tokens is not None:
            counts = [
                max(count, self.max_tokens + 1) if len(text) > self._characters else count
                for count, text in zip(counts, read, strict=True)
            ]
        return np.array(counts, dtype=np.int64)

    def _means(self, texts: list[str]) -> NDArray[np.float64]:
        from scipy.sparse import csr_matrix

        tokens = self._model.tokenize(texts)
        lengths = np.array([len(ids) for ids in tokens])
        distinct, columns = np.unique(
            np.array([token for ids in tokens for token in ids], dtype=np.int64), return_inverse=True
        )
        ends = np.concatenate([[0], np.cumsum(lengths)])
        counts = csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(texts), len(distinct)))
        sums = counts @ self._table[distinct].astype(np.float64)
        return np.asarray(sums / np.maximum(lengths, 1)[:, None])


def _load(folder: Path, options: StaticOptions) -> "StaticModel":
    from model2vec import StaticModel

    chosen = options.model_dump(include={"normalize", "max_length"}, exclude_none=True)
    try:
        return StaticModel.from_pretrained(folder, **chosen)
    except Exception as error:  # safetensors and tokenizers raise bare ones
        raise ModelNotFoundError(f"{folder} holds no model that model2vec can read: {error}") from error


def _token_vectors(model: "StaticModel") -> NDArray[np.float32]:
    """Return one row a token: int8 as float32, and the compressed vocabulary's rows and weights applied."""
    table = model.embedding.astype(np.float32)
    if model.token_mapping is not None:
        table = table[model.token_mapping]
    return table if model.weights is None else table * model.weights[:, None].astype(np.float32)


FAMILIES = (
    Family(
        "static", frozenset({"embedder"}), StaticOptions, load_static, "Model2Vec static embeddings",
        HUB, "hub", "model2vec", "words",
    ),
)  # fmt: skip
