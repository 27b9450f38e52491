"""`bm25`: BM25 over the task's corpus, as first stage and as reranker, by bm25s (Lù 2024).

What it counts is that of `terms`: words in every script, without English stop words if nothing else is said.

The variant is Lucene's (Kamphuis et al. 2020): idf = ln(1 + (N - df + 0.5) / (df + 0.5)), and no constant
factor k1 + 1. A token that a query repeats counts each time.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import Field

from evalkit.compute import Compute
from evalkit.contracts import Advance, Coverage, Setting, no_progress
from evalkit.errors import ConfigError, ScoreError
from evalkit.models.registry.families import Family
from evalkit.models.registry.options import option_settings
from evalkit.models.terms import (
    StopWords,
    TermOptions,
    check_ids,
    make_terms,
    not_fitted,
    stop_words,
    stop_words_setting,
    texts_hash,
)
from evalkit.search.ranking import BLOCK_CELLS, best, id_ranks
from evalkit.terms import Role
from evalkit.types import FloatArray, IntArray, Run

if TYPE_CHECKING:
    import bm25s  # type: ignore[import-untyped]


class Bm25Options(TermOptions):
    """Options of `bm25`: the usual free parameters (Robertson & Zaragoza 2009).

    `stop_words` are English unless they are given, or a tokenizer is.
    """

    k1: float = Field(1.5, ge=0, allow_inf_nan=False, description="saturation of term frequency")
    b: float = Field(0.75, ge=0, le=1, description="strength of length normalisation")


class Bm25:
    """A retriever and a reranker of the documents it was fitted on."""

    scores_alone = True

    def __init__(self, name: str, options: Bm25Options, compute: Compute) -> None:
        self.options = options
        self._stop_words: StopWords = options.stop_words or ("english" if options.tokenizer is None else "none")
        self._terms = make_terms(options, compute, stop_words(self._stop_words))
        self._index: bm25s.BM25 | None = None
        self._corpus: str | None = None
        self._rows: Mapping[str, int] = {}
        self._size = 0

    @property
    def identity(self) -> Mapping[str, object]:
        """Family, options and what the terms are made by and, once fitted, the hash of the corpus."""
        corpus = {} if self._corpus is None else {"corpus": self._corpus}
        settled = {"stop_words": self._stop_words, **self._terms.identity}
        return {"family": "bm25", **self.options.model_dump(), **settled, **corpus}

    def fit(self, texts: Sequence[str]) -> Self:
        """Return a copy that has `texts` indexed. Raises ConfigError if none of them has a word."""
        import bm25s

        tokens = self._terms.of(texts)
        if not any(tokens):
            raise ConfigError(
                f"bm25 cannot be fitted on {len(texts)} texts: none has a word "
                f"(stop_words={self._stop_words}). Give it texts with words, or change this option."
            )
        fitted = copy(self)
        fitted._index = bm25s.BM25(method="lucene", k1=self.options.k1, b=self.options.b, dtype="float64")
        fitted._index.index(tokens, show_progress=False)
        fitted._corpus = texts_hash(texts)
        fitted._rows = {text: row for row, text in enumerate(texts)}
        fitted._size = len(texts)
        return fitted

    def search(
        self, queries: Sequence[str], document_ids: Sequence[str], depth: int, advance: Advance = no_progress
    ) -> Run:
        """Return the exact best documents of each query; only those that share a word with it are results.

        `document_ids` are the ids of the fitted texts, in their order. Raises ConfigError before `fit`, or if
        there are more or fewer ids than texts.
        """
        index = self._fitted_index()
        check_ids("bm25", self._size, document_ids)
        ranks = id_ranks(document_ids)
        block = max(1, BLOCK_CELLS // self._size)
        runs = [
            _best(index, self._terms.of(queries[start : start + block]), ranks, depth)
            for start in range(0, max(1, len(queries)), block)
        ]
        documents = np.concatenate([run.documents for run in runs])
        advance(self._size)
        return Run(documents, np.concatenate([run.scores for run in runs]))

    def score(self, queries: Sequence[str], documents: Sequence[str], advance: Advance = no_progress) -> FloatArray:
        """Return BM25 scores of the pairs (queries[i], documents[i]): float64 of shape (n_pairs,).

        Raises ConfigError before `fit`, and ScoreError for a document that was not fitted.
        """
        index = self._fitted_index()
        unknown = [document for document in documents if document not in self._rows]
        if unknown:
            raise ScoreError(
                f"bm25 scores only the {self._size} documents it was fitted on; {len(unknown)} of "
                f"{len(documents)} are not among them, the first: {unknown[0][:80]!r}. Fit it on them."
            )
        rows = np.array([self._rows[document] for document in documents], dtype=np.int64)
        pairs: defaultdict[str, list[int]] = defaultdict(list)
        for pair, query in enumerate(queries):
            pairs[query].append(pair)
        scores = np.empty(len(rows))
        for query, positions in pairs.items():
            scores[positions] = _scores(index, self._terms.of([query])[0])[rows[positions]]
            advance(len(positions))
        return scores

    def coverage(self, texts: Sequence[str]) -> Coverage:
        """Count the words that are left of the texts, and those that no fitted document has.

        Raises ConfigError before `fit`.
        """
        known = self._fitted_index().vocab_dict
        terms = [term for of_text in self._terms.of(texts) for term in of_text]
        return Coverage(len(terms), sum(term not in known for term in terms))

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Tell how the model is run; see `contracts.Described`."""
        return {**option_settings(self.options), "stop_words": stop_words_setting(self.options, self._stop_words)}

    @property
    def max_tokens(self) -> None:
        """No limit: every word of a text is read."""
        return None

    def tokens(self, texts: Sequence[str], role: Role) -> IntArray:
        """Count the words of each text: int64 of shape (n_texts,)."""
        return np.array([len(words) for words in self._terms.of(texts)], dtype=np.int64)

    def _fitted_index(self) -> "bm25s.BM25":
        if self._index is None:
            raise not_fitted("bm25")
        return self._index


def _scores(index: "bm25s.BM25", query: list[str]) -> FloatArray:
    return np.asarray(index.get_scores_from_ids(index.get_tokens_ids(query)), dtype=np.float64)


def _best(index: "bm25s.BM25", queries: list[list[str]], ranks: IntArray, depth: int) -> Run:
    scores = np.array([_scores(index, query) for query in queries]).reshape(-1, len(ranks))
    # bm25s' own top k promises no order among ties.
    return best(np.where(scores > 0, scores, -np.inf), ranks, depth)


FAMILIES = (
    Family(
        "bm25", frozenset({"retriever", "reranker"}), Bm25Options, Bm25, "BM25 over the task's corpus", learns=True
    ),
)
