"""`bow`, `tfidf` and `lsa`: vectors of word counts, fitted on the task's corpus, by scikit-learn."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from evalkit.compute import Compute
from evalkit.contracts import Advance, Coverage, Setting, Vectors, no_progress
from evalkit.errors import ConfigError
from evalkit.models._dense import truncate, unit_length
from evalkit.models.registry.families import Family
from evalkit.models.registry.options import option_settings
from evalkit.models.terms import (
    StopWords,
    TermOptions,
    make_terms,
    not_fitted,
    stop_words,
    stop_words_setting,
    texts_hash,
)
from evalkit.terms import Role, Similarity
from evalkit.types import IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.decomposition import TruncatedSVD  # type: ignore[import-untyped]
    from sklearn.feature_extraction.text import CountVectorizer  # type: ignore[import-untyped]


class LexicalOptions(TermOptions):
    """Options of `bow` and `tfidf`."""

    ngrams: PositiveInt = Field(1, description="longest n-gram counted; 2 means single words and pairs")
    min_df: PositiveInt = Field(1, description="fewest texts a word must be in")
    similarity: Similarity = "cosine"


class TfidfOptions(LexicalOptions):
    """Options of `tfidf`."""

    sublinear_tf: bool = Field(False, description="1 + log(tf) in place of tf")


class LsaOptions(TfidfOptions):
    """Options of `lsa`: TF-IDF, then truncated SVD (Deerwester et al. 1990)."""

    components: PositiveInt = Field(256, description="singular vectors kept")
    normalize: bool = Field(False, description="scale vectors to length 1")
    dim: PositiveInt | None = Field(None, description="leading dimensions kept")
    seed: int = Field(0, ge=0, lt=2**32, description="seed of the randomised SVD")


class BagOfWords:
    """Counts of words (or n-grams): CSR float64 of shape (n_texts, n_terms)."""

    not_stored = True
    family = "bow"
    options: LexicalOptions

    def __init__(self, name: str, options: LexicalOptions, compute: Compute) -> None:
        self.options = options
        self._stop_words: StopWords = options.stop_words or "none"
        left_out = _english() if self._stop_words == "english" else stop_words(self._stop_words)
        self._splitter = make_terms(options, compute, left_out)
        self._vectorizer: CountVectorizer | None = None
        self._corpus: str | None = None

    @property
    def identity(self) -> Mapping[str, object]:
        """Family, options and what the terms are made by and, once fitted, the hash of the corpus."""
        corpus = {} if self._corpus is None else {"corpus": self._corpus}
        settled = {"stop_words": self._stop_words, **self._splitter.identity}
        return {"family": self.family, **self.options.model_dump(), **settled, **corpus}

    @property
    def similarity(self) -> Similarity:
        """The option."""
        return self.options.similarity

    def fit(self, texts: Sequence[str]) -> Self:
        """Return a copy that knows the vocabulary of `texts`. Raises ConfigError if no term is left to count."""
        fitted = copy(self)
        fitted._vectorizer = self._new_vectorizer()
        try:
            fitted._vectorizer.fit(texts)
        except ValueError as error:
            raise ConfigError(
                f"{self.family} cannot be fitted on {len(texts)} texts: no word is left to count (min_df="
                f"{self.options.min_df}, stop_words={self._stop_words}). Give it texts with words, or "
                "change these options."
            ) from error
        fitted._corpus = texts_hash(texts)
        return fitted

    def encode(self, texts: Sequence[str], role: Role, advance: Advance = no_progress) -> Vectors:
        """Return vectors over the fitted vocabulary; unknown words are left out. Raises ConfigError before `fit`."""
        vectors = self._terms(texts)
        advance(len(texts))
        return vectors

    def coverage(self, texts: Sequence[str]) -> Coverage:
        """Count the tokens (words, or n-grams) and those that the fitted corpus does not have."""
        vectorizer = self._fitted_vectorizer()
        analyze, vocabulary = vectorizer.build_analyzer(), vectorizer.vocabulary_
        known = [token in vocabulary for text in texts for token in analyze(text)]
        return Coverage(len(known), known.count(False))

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Tell how the model is run; see `contracts.Described`."""
        return {**option_settings(self.options), "stop_words": stop_words_setting(self.options, self._stop_words)}

    @property
    def max_tokens(self) -> None:
        """No limit: every word of a text is read."""
        return None

    def tokens(self, texts: Sequence[str], role: Role) -> IntArray:
        """Count the words (or n-grams) of each text: int64 of shape (n_texts,)."""
        analyze = self._new_vectorizer().build_analyzer()
        return np.array([len(analyze(text)) for text in texts], dtype=np.int64)

    def _new_vectorizer(self) -> "CountVectorizer":
        from sklearn.feature_extraction.text import CountVectorizer

        return CountVectorizer(**self._counting(), dtype=np.float64)

    def _counting(self) -> dict[str, object]:
        return {
            "tokenizer": self._split,
            "token_pattern": None,
            "lowercase": False,
            "ngram_range": (1, self.options.ngrams),
            "min_df": self.options.min_df,
        }

    def _split(self, text: str) -> list[str]:
        return self._splitter.of([text])[0]

    def _fitted_vectorizer(self) -> "CountVectorizer":
        if self._vectorizer is None:
            raise not_fitted(self.family)
        return self._vectorizer

    def _terms(self, texts: Sequence[str]) -> "csr_matrix":
        from scipy.sparse import csr_matrix

        vectorizer = self._fitted_vectorizer()
        if not texts:  # scikit-learn refuses to transform nothing
            return csr_matrix((0, len(vectorizer.vocabulary_)))
        return csr_matrix(vectorizer.transform(texts))


class Tfidf(BagOfWords):
    """TF-IDF as scikit-learn has it (smooth, rows of length 1): CSR float64 of shape (n_texts, n_terms)."""

    family = "tfidf"
    options: TfidfOptions

    def _new_vectorizer(self) -> "CountVectorizer":
        from sklearn.feature_extraction.text import TfidfVectorizer

        return TfidfVectorizer(**self._counting(), sublinear_tf=self.options.sublinear_tf)


class Lsa(Tfidf):
    """Latent semantic analysis (Deerwester et al. 1990): TF-IDF projected on its largest singular vectors.

    There are min(components, n_terms - 1, n_texts - 1) of them: a small corpus allows fewer than asked for.
    """

    family = "lsa"
    options: LsaOptions

    def __init__(self, name: str, options: LsaOptions, compute: Compute) -> None:
        super().__init__(name, options, compute)
        self._svd: TruncatedSVD | None = None

    def fit(self, texts: Sequence[str]) -> Self:
        """Return a fitted copy. Raises ConfigError for a corpus with fewer than two texts or two terms."""
        from sklearn.decomposition import TruncatedSVD

        fitted = super().fit(texts)
        terms = fitted._terms(texts)
        components = min(self.options.components, *(size - 1 for size in terms.shape))
        if components < 1:
            raise ConfigError(
                f"lsa needs at least 2 texts and 2 terms, got {terms.shape[0]} and {terms.shape[1]}. "
                "Give it a larger corpus."
            )
        fitted._svd = TruncatedSVD(components, random_state=self.options.seed).fit(terms)
        return fitted

    def encode(self, texts: Sequence[str], role: Role, advance: Advance = no_progress) -> NDArray[np.float32]:
        """Return vectors: float32 of shape (n_texts, components), or (n_texts, dim).

        Raises ConfigError before `fit`, and SpecError if `dim` is more than there are components.
        """
        if self._svd is None:
            raise not_fitted(self.family)
        vectors = np.asarray(self._terms(texts) @ self._svd.components_.T, dtype=np.float32)
        advance(len(texts))
        if self.options.dim is not None:
            vectors = truncate(vectors, self.options.dim)
        return unit_length(vectors) if self.options.normalize else vectors


def _english() -> frozenset[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS)


FAMILIES = (
    Family(
        "bow", frozenset({"embedder"}), LexicalOptions, BagOfWords, "bag of words, counts",
        learns=True, sparse=True, counts_words=True,
    ),
    Family(
        "tfidf", frozenset({"embedder"}), TfidfOptions, Tfidf, "TF-IDF fitted on the task's corpus",
        learns=True, sparse=True, counts_words=True,
    ),
    Family(
        "lsa", frozenset({"embedder"}), LsaOptions, Lsa, "TF-IDF reduced by truncated SVD", learns=True
    ),
)  # fmt: skip
