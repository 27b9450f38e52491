"""`ce:NAME`: cross-encoders, which read query and document together (Nogueira & Cho 2019)."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from evalkit.compute import Compute
from evalkit.contracts import Advance, Setting, no_progress
from evalkit.errors import ModelNotFoundError
from evalkit.models.checkpoint import SETTINGS, Checkpoint
from evalkit.models.registry.families import HUB, Family
from evalkit.models.transformer_reranker import PairModel, PairOptions
from evalkit.models.weights import locate
from evalkit.terms import Role
from evalkit.types import FloatArray, IntArray

if TYPE_CHECKING:
    from evalkit.models.sentence_model import SentenceModel


def load_cross_encoder(name: str, options: PairOptions, compute: Compute) -> "CrossEncoder":
    """Find a cross-encoder. Raises ModelNotFoundError if it cannot be found, is an embedder or has no head."""
    folder = locate(name, options.revision, compute)
    return CrossEncoder(Checkpoint.read(folder).for_family("ce", name), options, compute)


class CrossEncoder(PairModel):
    """A cross-encoder of sentence-transformers, or a transformers classifier with one output.

    Scores are those of the library's `predict`, with the checkpoint's modules and prompt, before a last sigmoid (or
    another function that changes no ranking). Loaded when it first scores.
    """

    family = "ce"

    @cached_property
    def _network(self) -> "SentenceModel":
        from evalkit.models.sentence_model import SentenceModel

        network = SentenceModel(self.checkpoint, "CrossEncoder", self._compute, self._options.max_length)
        if network.loaded.num_labels != 1:
            raise ModelNotFoundError(
                f"{self.checkpoint.folder} has {network.loaded.num_labels} labels; a reranker has one, the "
                "relevance. Choose a checkpoint trained for ranking."
            )
        network.check_pairs()
        return network

    def score(self, queries: Sequence[str], documents: Sequence[str], advance: Advance = no_progress) -> FloatArray:
        """Relevance of the pairs: float64 of shape (n_pairs,)."""
        scores = np.empty(len(queries))
        for rows, part in self._network.scores(list(zip(queries, documents, strict=True))):
            scores[rows] = part.cpu().numpy()
            advance(len(rows))
        return scores

    def own_settings(self) -> Mapping[str, Setting]:
        """The prompt that is read before each query, and the function that scores go through last."""
        prompt = self.checkpoint.prompt("sentence")
        return {
            "prompt": Setting(prompt, SETTINGS if prompt else "default"),
            "activation": Setting(
                type(self._network.last).__name__, SETTINGS if self.checkpoint.modules else "default"
            ),
        }

    @property
    def max_tokens(self) -> int | None:
        """Tokens read of a pair; None: all of them."""
        return self._network.max_tokens("sentence")

    def pair_tokens(self, queries: Sequence[str], documents: Sequence[str]) -> IntArray:
        """Tokens of each pair if nothing were cut off: int64 of shape (n_pairs,)."""
        return self._network.tokens(
            list(zip(queries, documents, strict=True)), "sentence", self.checkpoint.prompt("sentence")
        )

    def unknown_tokens(self, texts: Sequence[str], role: Role) -> tuple[IntArray, IntArray] | None:
        """Count each text's tokens, and the unknown among them; see `contracts.CountsUnknown`."""
        return self._network.unknown_tokens(texts, role)


FAMILIES = (
    Family(
        "ce", frozenset({"reranker"}), PairOptions, load_cross_encoder,
        "cross-encoder: a transformers classifier, or any CrossEncoder of sentence-transformers",
        HUB, "hub", "sentence_transformers", "torch",
    ),
)  # fmt: skip
