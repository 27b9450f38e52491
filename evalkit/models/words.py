"""`glove`, `word2vec` and `fasttext`: averages of word vectors, pretrained or trained on the corpus."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from evalkit.compute import Compute
from evalkit.contracts import Advance, Coverage
from evalkit.errors import ConfigError, SpecError
from evalkit.models._dense import DenseEmbedder
from evalkit.models._word_files import SubwordVectors, WordVectors, read_fasttext, read_glove, read_word2vec
from evalkit.models.registry.families import TRAIN, Family
from evalkit.models.registry.options import DenseOptions
from evalkit.models.terms import not_fitted, texts_hash
from evalkit.models.weights import file_hash
from evalkit.terms import Role
from evalkit.tokenization import RULES, words
from evalkit.types import FloatArray, IntArray

TEXTS_AT_ONCE = 4096
SIF_A = 1e-3
"""The parameter a of SIF; Arora et al. (2017) find 1e-3 to 1e-4 best."""
FASTTEXT_BUCKET = 200_000
"""Rows for n-grams when training; fastText's 2 million would take a gigabyte; a task's corpus needs few."""
GENSIM_SENTENCE = 10_000
"""gensim silently drops what a training sentence has beyond this."""

if TYPE_CHECKING:
    from gensim.models import Word2Vec


class WordOptions(DenseOptions):
    """Options of averages of pretrained word vectors."""

    weighting: Literal["mean", "idf", "sif"] = Field("mean", description="weight of each word in the average")


class TrainedWordOptions(WordOptions):
    """Options of word vectors trained on the task's corpus."""

    sg: int = Field(0, ge=0, le=1, description="1: skip-gram, 0: CBOW")
    size: PositiveInt = Field(100, description="dimensions of the vectors")
    window: PositiveInt = Field(5, description="words to each side")
    epochs: PositiveInt = Field(20, description="passes over the corpus")
    min_count: PositiveInt = Field(1, description="fewest occurrences of a word")
    seed: int = Field(0, ge=0, lt=2**32, description="seed; training is single-threaded, so it decides all")


Train = Callable[[list[list[str]], TrainedWordOptions], WordVectors]
_TRAINING = TrainedWordOptions.model_fields.keys() - WordOptions.model_fields.keys()


def load_glove(name: str, options: WordOptions, compute: Compute) -> "WordAverage":
    """Return vectors of a file in GloVe text format. Raises ModelNotFoundError if it cannot be read."""
    return _pretrained("glove", name, options, read_glove)


def load_word2vec(name: str, options: TrainedWordOptions, compute: Compute) -> "WordAverage":
    """word2vec vectors (Mikolov et al. 2013) of a file, or for the name `train` learnt in `fit`.

    Raises ModelNotFoundError if the file cannot be read, SpecError if options of training come with a file.
    """
    if name == TRAIN:
        return FittedWordAverage("word2vec", options, train=_train_word2vec)
    _refuse_training_options("word2vec", name, options)
    return _pretrained("word2vec", name, options, read_word2vec)


def load_fasttext(name: str, options: TrainedWordOptions, compute: Compute) -> "WordAverage":
    """fastText vectors (Bojanowski et al. 2017) of a file, or for the name `train` learnt in `fit`.

    Raises ModelNotFoundError if the file cannot be read, SpecError if options of training come with a file.
    """
    if name == TRAIN:
        return FittedWordAverage("fasttext", options, train=_train_fasttext)
    _refuse_training_options("fasttext", name, options)
    return _pretrained("fasttext", name, options, read_fasttext)


class WordAverage(DenseEmbedder):
    """The mean of a text's word vectors. A text with no known word gets a zero vector.

    Words are those of `tokenization`, looked up as they are, then lower-cased; unknown ones are left out. What is
    written without blanks is one word if it has a vector as it stands.
    """

    options: WordOptions

    def __init__(self, options: WordOptions, facts: Mapping[str, object], vectors: WordVectors) -> None:
        super().__init__(options, {**facts, "words": RULES})
        self._vectors = vectors
        self._weights: Mapping[str, float] = {}
        self._unseen_weight = 1.0
        self._component: FloatArray | None = None

    def coverage(self, texts: Sequence[str]) -> Coverage:
        """Count the words kept of the texts, and those without a vector."""
        counts = Counter(token for text in texts for token in self._tokens(text))
        unknown = sum(count for token, count in counts.items() if self._vectors.find(token) is None)
        return Coverage(counts.total(), unknown)

    @property
    def max_tokens(self) -> int | None:
        """Words read of a text, known or not; None: all of them."""
        return self.options.max_length

    def tokens(self, texts: Sequence[str], role: Role) -> IntArray:
        """Count the words of each text, known or not: int64 of shape (n_texts,)."""
        prompt = self.prompt(role)
        return np.array([len(words(prompt + text, self._vectors.has)) for text in texts], dtype=np.int64)

    def raw(self, texts: Sequence[str], prompt: str, advance: Advance) -> NDArray[np.float32]:
        """Averages: float32 of shape (n_texts, full dim)."""
        texts = [prompt + text for text in texts]
        vectors = np.empty((len(texts), self._vectors.matrix.shape[1]), dtype=np.float32)
        done = 0
        for block in self._averages(texts):
            if self._component is not None:
                # Row by row: a matrix product would make the last digit depend on the other texts.
                block -= (block * self._component).sum(axis=1, keepdims=True) * self._component
            vectors[done : done + len(block)] = block
            done += len(block)
            advance(len(block))
        return vectors

    def _tokens(self, text: str) -> list[str]:
        return words(text, self._vectors.has)[: self.options.max_length]

    def _words(self, text: str) -> list[str]:
        found = map(self._vectors.find, self._tokens(text))
        return [word for word in found if word is not None]

    def _averages(self, texts: Sequence[str]) -> Iterator[FloatArray]:
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            yield self._average(texts[start : start + TEXTS_AT_ONCE])

    def _average(self, texts: Sequence[str]) -> FloatArray:
        from scipy.sparse import csr_matrix

        column: dict[str, int] = {}
        columns: list[int] = []
        ends = [0]
        for text in texts:
            columns += [column.setdefault(word, len(column)) for word in self._words(text)]
            ends.append(len(columns))
        weights = np.array([self._weights.get(word, self._unseen_weight) for word in column])
        # One entry a word, in the text's order: sums do not depend on the other texts.
        entries = csr_matrix((weights[columns], columns, ends), shape=(len(texts), len(column)))
        sums = entries @ self._vectors.of(list(column)).astype(np.float64)
        # SIF divides by the number of words (Arora et al. 2017), the others by the sum of weights.
        totals = np.diff(ends) if self.options.weighting == "sif" else np.asarray(entries.sum(axis=1)).ravel()
        return np.asarray(sums / np.where(totals > 0, totals, 1)[:, None])


class FittedWordAverage(WordAverage):
    """An average that needs the corpus: to train the vectors, to weight words, or both.

    `idf`: ln((1 + n) / (1 + df)) + 1. `sif` (Arora et al. 2017): a / (a + p), with p the word's share of all
    words, then minus the projection on the first singular vector of the corpus's averages, not centred.
    """

    def __init__(
        self, family: str, options: WordOptions, train: Train | None = None,
        vectors: WordVectors | None = None, weights: str = "train",
    ) -> None:  # fmt: skip
        untrained = WordVectors({}, np.empty((0, 0), dtype=np.float32))
        super().__init__(options, {"family": family, "weights": weights}, vectors or untrained)
        self._family = family
        self._train = train

    def fit(self, texts: Sequence[str]) -> Self:
        """Return a fitted copy. Raises ConfigError if the corpus has no word to learn from."""
        fitted = copy(self)
        fitted._facts = {**self._facts, "corpus": texts_hash(texts)}
        if self._train is not None and isinstance(self.options, TrainedWordOptions):
            fitted._vectors = self._train([self._tokens(text.lower()) for text in texts], self.options)
        if self.options.weighting == "idf":
            fitted._fit_idf(texts)
        elif self.options.weighting == "sif":
            fitted._fit_sif(texts)
        return fitted

    def coverage(self, texts: Sequence[str]) -> Coverage:
        """Count the words kept of the texts, and those without a vector. Raises ConfigError before `fit`."""
        self._check_fitted()
        return super().coverage(texts)

    def raw(self, texts: Sequence[str], prompt: str, advance: Advance) -> NDArray[np.float32]:
        """Averages: float32 of shape (n_texts, full dim). Raises ConfigError before `fit`."""
        self._check_fitted()
        return super().raw(texts, prompt, advance)

    def _check_fitted(self) -> None:
        if "corpus" not in self._facts:
            raise not_fitted(self._family)

    def _fit_idf(self, texts: Sequence[str]) -> None:
        seen_in = Counter(word for text in texts for word in set(self._words(text)))
        self._unseen_weight = float(np.log(1 + len(texts)) + 1)
        self._weights = {word: self._unseen_weight - float(np.log(1 + df)) for word, df in seen_in.items()}

    def _fit_sif(self, texts: Sequence[str]) -> None:
        counts = Counter(word for text in texts for word in self._words(text))
        total = sum(len(self._tokens(text)) for text in texts)
        if not counts:
            raise ConfigError(
                f"{self._family} with weighting=sif cannot be fitted: none of the corpus's {total} words has "
                "a vector. Choose vectors of the corpus's language, or weighting=mean."
            )
        self._weights = {word: SIF_A / (SIF_A + count / total) for word, count in counts.items()}
        gram = sum(block.T @ block for block in self._averages(texts))
        self._component = np.linalg.eigh(gram)[1][:, -1]


def _pretrained(family: str, name: str, options: WordOptions, read: Callable[[Path], WordVectors]) -> WordAverage:
    path = Path(name).expanduser()
    vectors, weights = read(path), file_hash(path)
    if options.weighting == "mean":
        return WordAverage(options, {"family": family, "weights": weights}, vectors)
    return FittedWordAverage(family, options, vectors=vectors, weights=weights)


def _refuse_training_options(family: str, name: str, options: TrainedWordOptions) -> None:
    given = sorted(options.model_fields_set & _TRAINING)
    if given:
        raise SpecError(
            f"{family}:{name}: {', '.join(given)} would be ignored, since the vectors of a file are trained "
            f"already. Leave out, or train on the corpus: {family}:train."
        )


def _train_word2vec(texts: list[list[str]], options: TrainedWordOptions) -> WordVectors:
    from gensim.models import Word2Vec

    vectors = _trained(Word2Vec, texts, options).wv
    return WordVectors(vectors.key_to_index, vectors.vectors)


def _train_fasttext(texts: list[list[str]], options: TrainedWordOptions) -> WordVectors:
    from gensim.models import FastText

    return SubwordVectors(_trained(FastText, texts, options, bucket=FASTTEXT_BUCKET).wv)


def _trained(model: "type[Word2Vec]", texts: list[list[str]], options: TrainedWordOptions, **more: int) -> "Word2Vec":
    pieces = _pieces(texts)
    most = max(Counter(token for tokens in pieces for token in tokens).values(), default=0)
    if most < options.min_count:
        raise ConfigError(
            f"word vectors cannot be trained: no word of the {len(texts)} texts is there at least "
            f"min_count={options.min_count} times. Give a larger corpus, or a smaller min_count."
        )
    return model(
        pieces, vector_size=options.size, window=options.window, epochs=options.epochs, sg=options.sg,
        min_count=options.min_count, seed=options.seed, workers=1, **more,
    )  # fmt: skip


def _pieces(texts: list[list[str]]) -> list[list[str]]:
    return [
        tokens[start : start + GENSIM_SENTENCE]
        for tokens in texts
        for start in range(0, len(tokens), GENSIM_SENTENCE)
    ]


_GENSIM: dict[str, Any] = {"weights": "disk", "module": "gensim", "extra": "words"}
FAMILIES = (
    Family(
        "glove", frozenset({"embedder"}), WordOptions, load_glove, "average of word vectors in GloVe text format",
        "file (.gz too)", **_GENSIM,
    ),
    Family(
        "word2vec", frozenset({"embedder"}), TrainedWordOptions, load_word2vec,
        "average of word2vec vectors, pretrained or trained on the corpus",
        "file in text or binary format (.gz too), or 'train'", trains=True, **_GENSIM,
    ),
    Family(
        "fasttext", frozenset({"embedder"}), TrainedWordOptions, load_fasttext,
        "average of fastText vectors, pretrained or trained on the corpus",
        ".vec or .bin file (.gz too), or 'train'", trains=True, **_GENSIM,
    ),
)  # fmt: skip
