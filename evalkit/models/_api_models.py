"""Embedders and rerankers behind an API: what is asked in one request, and what of it is the model's identity."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.contracts import Advance, no_progress
from evalkit.models._api import Api
from evalkit.models._api_requests import Answer, Request, WrongAnswerError, cut, estimate_tokens, finite_array
from evalkit.models._dense import DenseEmbedder
from evalkit.models.registry.catalogue import entry_of, price_of
from evalkit.models.registry.options import ApiEmbedderOptions, ApiOptions
from evalkit.spending import Spending
from evalkit.terms import Role
from evalkit.types import FloatArray, IntArray

TOKENS_PER_SEARCHED_DOCUMENT, DOCUMENTS_PER_SEARCH = 500, 100
"""Of one unit of a price by searches; a longer document counts as several."""


@dataclass(frozen=True)
class EmbeddingApi:
    """A provider's embeddings: `embed` takes texts and the input type of their role; the most for one request.

    `prompts` are for models that read a role in the text itself. `shortened` cuts a text to what the provider takes,
    where that is known.
    """

    embed: Callable[[list[str], str], Answer]
    input_types: Mapping[Role, str]
    texts: int
    tokens: int
    prompts: Mapping[Role, str] = field(default_factory=dict)
    shortened: Callable[[str], str] = str


@dataclass(frozen=True)
class RerankApi:
    """A provider's reranker: `rerank` takes a query and its documents; the most for one request."""

    rerank: Callable[[str, list[str]], Answer]
    documents: int
    tokens: int


class ApiEmbedder(DenseEmbedder):
    """A model behind an API, called by family and name. There are no weights to hash: its name is its identity."""

    def __init__(self, family: str, name: str, key: str, options: ApiEmbedderOptions, api: EmbeddingApi) -> None:
        sent = {"dimensions": options.dimensions, "api_base": _text(options.api_base)}
        super().__init__(options, {"family": family, "model": name, **sent})
        self.spending = Spending()
        self._provider = api
        entry = entry_of(family, name)
        self._dim = options.dimensions or (entry.dim if entry and entry.provider else None)
        price = price_of(family, name, options)
        self._batch_size = options.batch_size
        self._cut: set[str] = set()
        self._api = Api(f"{family}:{name}", key, price, options.concurrency, self._vectors)

    @property
    def raw_identity(self) -> Mapping[str, object]:
        """Everything that changes the result of `raw` for given arguments."""
        return self._facts

    def default_prompt(self, role: Role) -> str:
        """Return the model's own prompt for a role; options override it."""
        return self._provider.prompts.get(role, "")

    def prompt(self, role: Role) -> str:
        """Tell how texts of this role are sent: the API's input type, and on a new line the text put before each."""
        return f"{self._provider.input_types[role]}\n{super().prompt(role)}"

    def raw(self, texts: Sequence[str], prompt: str, advance: Advance) -> NDArray[np.float32]:
        """Return full vectors, float32 of shape (n_texts, full dim). Raises ApiError or BudgetError."""
        parts = list(self.raw_parts(texts, prompt, advance))
        vectors = np.empty((len(texts), parts[0][1].shape[1] if parts else 0), dtype=np.float32)
        for rows, part in parts:
            vectors[rows] = part
        return vectors

    def raw_parts(
        self, texts: Sequence[str], prompt: str, advance: Advance
    ) -> Iterator[tuple[IntArray, NDArray[np.float32]]]:
        """Yield rows of `texts` and their full vectors, as they come; what was paid for comes before an error is
        raised.
        """
        input_type, _, before = prompt.partition("\n")
        whole = [before + text for text in texts]
        sent = [self._provider.shortened(text) for text in whole]
        self._cut.update(text for text, full, short in zip(texts, whole, sent, strict=True) if short != full)
        sizes = [estimate_tokens(text) for text in sent]
        every, most = np.arange(len(texts)), self._provider.texts
        requests = (
            self._request(every[part], sent[part], input_type)
            for part in cut(sizes, min(most, self._batch_size or most), self._provider.tokens)
        )
        for request, vectors in self._api.answers(requests, self.spending):
            advance(len(request.rows))
            if request.shortened:
                self._cut.update(texts[row] for row in request.rows)
            yield request.rows, vectors

    def cut_of(self, texts: Iterable[str]) -> int:
        """Tell how many of the texts were cut to what the server reads, as far as they were sent."""
        return sum(text in self._cut for text in texts)

    def _request(self, rows: IntArray, sent: list[str], input_type: str, shortened: bool = False) -> Request:
        def shorter(kept: float) -> Request | None:
            text = sent[0][: int(len(sent[0]) * kept)]
            return self._request(rows, [text], input_type, True) if text.strip() else None

        return Request(
            rows,
            partial(self._provider.embed, sent, input_type),
            sum(map(estimate_tokens, sent)),
            sent[0],
            lambda part: self._request(rows[part], sent[part], input_type, shortened),
            shorter,
            shortened=shortened,
        )

    def _vectors(self, values: Any, count: int) -> NDArray[np.float32]:
        vectors = finite_array(values, (count, self._dim), np.float32)
        if not vectors.any(axis=1).all():
            raise WrongAnswerError("a vector that is all zero")
        self._dim = vectors.shape[1]
        return vectors


class ApiReranker:
    """A reranker behind an API that scores each document of a query by itself, called by family and name."""

    def __init__(self, family: str, name: str, key: str, options: ApiOptions, api: RerankApi) -> None:
        self.identity: Mapping[str, object] = {"family": family, "model": name, "api_base": _text(options.api_base)}
        self.spending = Spending()
        self._provider = api
        price = price_of(family, name, options)
        self._batch_size = options.batch_size
        self._cut: set[str] = set()
        self._api = Api(f"{family}:{name}", key, price, options.concurrency, _scores)

    def score(self, queries: Sequence[str], documents: Sequence[str], advance: Advance = no_progress) -> FloatArray:
        """Return relevance scores of the pairs, float64 of shape (n_pairs,). Raises ApiError or BudgetError."""
        scores = np.empty(len(queries))
        for rows, part in self.score_parts(queries, documents, advance):
            scores[rows] = part
        return scores

    def score_parts(
        self, queries: Sequence[str], documents: Sequence[str], advance: Advance
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield rows of the pairs and their scores, as they come; what was paid for comes before an error is
        raised.
        """
        for request, scores in self._api.answers(self._requests(queries, documents), self.spending):
            advance(len(request.rows))
            if request.shortened:
                self._cut.update(documents[row] for row in request.rows)
            yield request.rows, scores

    def cut_of(self, texts: Iterable[str]) -> int:
        """Tell how many of the documents were cut to what the server reads, as far as they were sent."""
        return sum(text in self._cut for text in texts)

    def _requests(self, queries: Sequence[str], documents: Sequence[str]) -> Iterator[Request]:
        """Yield a request a query, with all its documents: some providers charge for the query."""
        most = self._provider.documents
        rows_of: dict[str, list[int]] = {}
        for row, query in enumerate(queries):
            rows_of.setdefault(query, []).append(row)
        for query, rows in rows_of.items():
            query_size = estimate_tokens(query)
            sizes = [query_size + estimate_tokens(documents[row]) for row in rows]
            for part in cut(sizes, min(most, self._batch_size or most), self._provider.tokens):
                sent = [documents[row] for row in rows[part]]
                yield self._request(np.array(rows[part], dtype=np.int64), query, sent)

    def _request(self, rows: IntArray, query: str, sent: list[str], shortened: bool = False) -> Request:
        def shorter(kept: float) -> Request | None:
            text = sent[0][: int(len(sent[0]) * kept)]
            return self._request(rows, query, [text], True) if text.strip() else None

        sizes = [estimate_tokens(query) + estimate_tokens(text) for text in sent]
        chunks = sum(ceil(size / TOKENS_PER_SEARCHED_DOCUMENT) for size in sizes)
        return Request(
            rows,
            partial(self._provider.rerank, query, sent),
            sum(sizes),
            sent[0],
            lambda part: self._request(rows[part], query, sent[part], shortened),
            shorter,
            ceil(chunks / DOCUMENTS_PER_SEARCH),
            shortened,
        )


def _scores(values: Any, count: int) -> FloatArray:
    return finite_array(values, (count,), np.float64)


def _text(url: object) -> str | None:
    return None if url is None else str(url)
