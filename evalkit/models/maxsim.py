"""`maxsim:NAME`: late interaction over token vectors (ColBERT, Khattab & Zaharia 2020)."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Self

import numpy as np

from evalkit.compute import Compute
from evalkit.contracts import Advance, Setting, no_progress
from evalkit.errors import VectorError
from evalkit.models._checkpoint import SETTINGS, Checkpoint
from evalkit.models.cross_encoder import PairModel, PairOptions
from evalkit.models.registry.families import HUB, Family
from evalkit.models.terms import check_ids, not_fitted
from evalkit.models.weights import locate
from evalkit.search.ranking import id_ranks, rank
from evalkit.terms import Role
from evalkit.types import FloatArray, IntArray, Run

if TYPE_CHECKING:
    from torch import Tensor

    from evalkit.models._multi_vector import MultiVector

QUERIES_KEPT = 10_000
"""Queries whose token vectors are kept from one call to the next, since batches share queries."""
DOCUMENTS_AT_ONCE, QUERIES_AT_ONCE = 64, 1_024
"""What a search compares at once; bounds memory, whatever the size of the task."""


def load_maxsim(name: str, options: PairOptions, compute: Compute) -> "MaxSim":
    """Find a model that gives a vector a token. Raises ModelNotFoundError if there is none."""
    return MaxSim(Checkpoint.read(locate(name, options.revision, compute)), options, compute)


class MaxSim(PairModel):
    """Scores a pair by the best match, among the document's tokens, of each of the query's tokens.

    For a ColBERT checkpoint the sum of them, or what else the checkpoint asks for; for another encoder their mean,
    in [-1, 1]. Exact: every document of the corpus is scored, and no token vectors are kept of a document.
    """

    family = "maxsim"
    _corpus: list[str] | None = None

    @cached_property
    def _network(self) -> "MultiVector":
        from evalkit.models._multi_vector import MultiVector

        return MultiVector(self.checkpoint, self._options.max_length, self._compute)

    @cached_property
    def _query_tokens(self) -> "dict[str, Tensor]":
        return {}

    def fit(self, texts: Sequence[str]) -> Self:
        """Return a copy that searches `texts`. The network is loaded first, for all copies."""
        _ = self._network, self._query_tokens
        fitted = copy(self)
        fitted._corpus = list(texts)
        return fitted

    def search(
        self, queries: Sequence[str], document_ids: Sequence[str], depth: int, advance: Advance = no_progress
    ) -> Run:
        """Return the exact best documents of each query; each distinct text is encoded once, so that equal ones tie.

        `document_ids` are the ids of the fitted texts, in their order. Raises ConfigError before `fit`, or if
        there are more or fewer ids than texts.
        """
        if self._corpus is None:
            raise not_fitted("maxsim")
        check_ids("maxsim", len(self._corpus), document_ids)
        ranks = id_ranks(document_ids)
        tokens = self._tokens_of_queries(queries)
        rows_of: dict[str, list[int]] = defaultdict(list)
        for row, text in enumerate(self._corpus):
            rows_of[text].append(row)
        distinct = list(rows_of)
        run = Run(np.empty((len(queries), 0), dtype=np.int64), np.empty((len(queries), 0)))
        documents = self._network.documents(distinct) if queries else iter(())
        while block := list(islice(documents, DOCUMENTS_AT_ONCE)):
            alike = [rows_of[distinct[number]] for number, _ in block]
            rows = np.array([row for each in alike for row in each])
            scores = self._all_pairs(tokens, [vectors for _, vectors in block])
            scores = np.repeat(scores, list(map(len, alike)), axis=1)
            found = np.concatenate([run.documents, np.broadcast_to(rows, scores.shape)], axis=1)
            run = rank(found, np.concatenate([run.scores, scores], axis=1), ranks, depth)
            advance(len(rows))
        return run

    def score(self, queries: Sequence[str], documents: Sequence[str], advance: Advance = no_progress) -> FloatArray:
        """Return scores of the pairs: float64 of shape (n_pairs,). Each distinct text is encoded once."""
        scores = np.empty(len(queries))
        pairs_of: dict[str, list[int]] = defaultdict(list)
        for pair, document in enumerate(documents):
            pairs_of[document].append(pair)
        tokens = self._tokens_of_queries(queries)
        # A document's token vectors live only until its pairs are scored: memory does not grow with the corpus.
        distinct = list(pairs_of)
        for number, vectors in self._network.documents(distinct):
            pairs = pairs_of[distinct[number]]
            scores[pairs] = self._all_pairs([tokens[pair] for pair in pairs], [vectors])[:, 0]
            advance(len(pairs))
        return scores

    def own_settings(self) -> Mapping[str, Setting]:
        """Tell what a late-interaction checkpoint reads before queries and before documents."""
        prompts = {f"{role}_prompt": self._network.prompt(role) for role in ("query", "document")}
        return {name: Setting(prompt, SETTINGS if prompt else "default") for name, prompt in prompts.items()}

    @property
    def max_tokens(self) -> int | None:
        """Tokens read of a document; None: all of them."""
        return self._network.document_limit

    def tokens(self, texts: Sequence[str], role: Role) -> IntArray:
        """Count the tokens of each text if nothing were cut off: int64 of shape (n_texts,)."""
        return self._network.count_tokens(texts, role)

    def unknown_tokens(self, texts: Sequence[str], role: Role) -> tuple[IntArray, IntArray] | None:
        """Count each text's tokens, and the unknown among them; see `contracts.CountsUnknown`."""
        return self._network.unknown_tokens(texts)

    def _all_pairs(self, queries: "list[Tensor]", documents: "list[Tensor]") -> FloatArray:
        parts: Iterator[list[Tensor]] = (
            queries[start : start + QUERIES_AT_ONCE] for start in range(0, len(queries), QUERIES_AT_ONCE)
        )
        scores = [self._network.similarity(part, documents).double().cpu().numpy() for part in parts]
        if any(np.isnan(part).any() for part in scores) and not all(
            bool(vectors.isfinite().all()) for vectors in (*queries, *documents)
        ):
            raise VectorError(
                "maxsim gave vectors of tokens that are not finite. Choose a checkpoint with whole weights."
            )
        return np.concatenate(scores)

    def _tokens_of_queries(self, queries: Sequence[str]) -> "list[Tensor]":
        known = self._query_tokens
        if len(known) > QUERIES_KEPT:
            known.clear()
        new = list(dict.fromkeys(query for query in queries if query not in known))
        known.update(zip(new, self._network.queries(new), strict=True))
        return [known[query] for query in queries]


FAMILIES = (
    Family(
        "maxsim", frozenset({"retriever", "reranker"}), PairOptions, load_maxsim,
        "late interaction over token vectors (MaxSim): a ColBERT checkpoint, or any encoder",
        HUB, "hub", "sentence_transformers", "torch",
    ),
)  # fmt: skip
