"""`ce:NAME`: cross-encoders, which read query and document together (Nogueira & Cho 2019)."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from evalkit.compute import Compute
from evalkit.contracts import Advance, no_progress
from evalkit.errors import ModelNotFoundError
from evalkit.models.pair import PairModel
from evalkit.models.weights import locate
from evalkit.registry.options import PairOptions
from evalkit.types import FloatArray, IntArray

if TYPE_CHECKING:
    from evalkit.models.transformer import Network


def load_cross_encoder(name: str, options: PairOptions, compute: Compute) -> "CrossEncoder":
    """Find a sequence classifier. Raises ModelNotFoundError if it cannot be found."""
    return CrossEncoder(locate(name, options.revision, compute), options, compute)


class CrossEncoder(PairModel):
    """A transformers sequence classifier with one output, the relevance logit; loaded when it first scores."""

    family = "ce"

    @cached_property
    def _network(self) -> "Network":
        from evalkit.models.transformer import Network

        auto_class = "AutoModelForSequenceClassification"
        network = Network(self._folder, auto_class, self._options.max_length, self._compute)
        if network.config.num_labels != 1:
            raise ModelNotFoundError(
                f"{self._folder} has {network.config.num_labels} labels; a reranker has one, the relevance. "
                "Choose a checkpoint trained for ranking."
            )
        return network

    def score(self, queries: Sequence[str], documents: Sequence[str], advance: Advance = no_progress) -> FloatArray:
        """Relevance logits of the pairs: float64 of shape (n_pairs,)."""
        scores = np.empty(len(queries))
        for rows, _, output in self._network.run(list(zip(queries, documents, strict=True))):
            scores[rows] = output.logits[:, 0].float().cpu().numpy()
            advance(len(rows))
        return scores

    @property
    def max_tokens(self) -> int:
        """Tokens read of a pair."""
        return self._network.max_length

    def pair_tokens(self, queries: Sequence[str], documents: Sequence[str]) -> IntArray:
        """Tokens of each pair if nothing were cut off: int64 of shape (n_pairs,)."""
        from evalkit.models.transformer import count_tokens

        return count_tokens(self._network.tokenizer, queries, documents)
