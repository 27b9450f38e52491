"""`maxsim:NAME`: late interaction over a transformer's token vectors (ColBERT, Khattab & Zaharia 2020)."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evalkit.compute import Compute
from evalkit.contracts import Advance, no_progress
from evalkit.models.weights import locate, weights_hash
from evalkit.registry.options import PairOptions
from evalkit.types import FloatArray

if TYPE_CHECKING:
    from torch import Tensor

    from evalkit.models.transformer import Network

QUERIES_KEPT = 10_000
"""Queries whose token vectors are kept from one call to the next, since batches share queries."""


def load_maxsim(name: str, options: PairOptions, compute: Compute) -> "MaxSim":
    """Find a transformers encoder to score by late interaction. Raises ModelNotFoundError if there is none."""
    return MaxSim(locate(name, options.revision), options, compute)


class MaxSim:
    """Scores a pair by the mean, over the query's tokens, of the best cosine with any token of the document.

    ColBERT's sum, divided by the number of query tokens: the same ranking, and scores in [-1, 1].
    The network is loaded when it first scores.
    """

    def __init__(self, folder: Path, options: PairOptions, compute: Compute) -> None:
        self._folder = folder
        self._options = options
        self._compute = Compute(compute.device, options.dtype or compute.dtype)
        self.identity: Mapping[str, object] = {
            "family": "maxsim",
            "weights": weights_hash(folder),
            "compute_dtype": self._compute.dtype,
            "max_length": options.max_length,
        }
        self._query_tokens: dict[str, Tensor] = {}

    @cached_property
    def _network(self) -> "Network":
        from evalkit.models.transformer import Network

        return Network(self._folder, "AutoModel", self._options.max_length, self._compute)

    def score(self, queries: Sequence[str], documents: Sequence[str], advance: Advance = no_progress) -> FloatArray:
        """Scores of the pairs: float64 of shape (n_pairs,). Each distinct text is encoded once."""
        scores = np.empty(len(queries))
        pairs_of: dict[str, list[int]] = defaultdict(list)
        for pair, document in enumerate(documents):
            pairs_of[document].append(pair)
        query_tokens = self._tokens_of_queries(list(dict.fromkeys(queries)))
        distinct_documents = list(pairs_of)
        # A document's token vectors live only until its pairs are scored: memory does not grow with the corpus.
        for row, document_tokens in self._token_vectors(distinct_documents):
            pairs = pairs_of[distinct_documents[row]]
            for pair in pairs:
                cosines = query_tokens[queries[pair]] @ document_tokens.T
                scores[pair] = cosines.amax(dim=1).mean().item()
            advance(len(pairs))
        return scores

    def _tokens_of_queries(self, queries: list[str]) -> Mapping[str, "Tensor"]:
        if len(self._query_tokens) > QUERIES_KEPT:
            self._query_tokens.clear()
        new = [query for query in queries if query not in self._query_tokens]
        self._query_tokens.update((new[row], vectors) for row, vectors in self._token_vectors(new))
        return self._query_tokens

    def _token_vectors(self, texts: list[str]) -> Iterator[tuple[int, "Tensor"]]:
        """For each text its row number and its tokens' unit vectors, (n_tokens, dim), in any order."""
        from torch.nn.functional import normalize

        for rows, masks, output in self._network.run(texts):
            hidden = normalize(output.last_hidden_state.float(), dim=-1)
            for row, vectors, mask in zip(rows, hidden, masks, strict=True):
                yield int(row), vectors[mask.bool()]
