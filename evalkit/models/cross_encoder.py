"""`ce:NAME`: cross-encoders, which read query and document together (Nogueira & Cho 2019)."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field, PositiveInt

from evalkit.compute import Compute, Dtype
from evalkit.contracts import Advance, Setting, no_progress
from evalkit.errors import ModelNotFoundError
from evalkit.models._checkpoint import LENGTH_SAID_BY, MODULES, SETTINGS, Checkpoint
from evalkit.models.registry.families import HUB, Family
from evalkit.models.registry.options import Options, dtype_setting
from evalkit.models.weights import locate, weights_hash
from evalkit.terms import Role
from evalkit.types import FloatArray, IntArray

if TYPE_CHECKING:
    from evalkit.models._sentence_model import SentenceModel


class PairOptions(Options):
    """Options of rerankers that run a transformer."""

    max_length: PositiveInt | None = Field(None, description="tokens kept; unset: what the model allows")
    dtype: Dtype | None = Field(None, description="dtype of the computation; unset: the run's")
    revision: str | None = Field(None, description="branch, tag or commit on the hub")


class PairModel(ABC):
    """Base of rerankers that run a transformer: a family writes `score`, and loads its network when it first does."""

    family: ClassVar[str]
    scores_alone = True

    def __init__(self, checkpoint: Checkpoint, options: PairOptions, compute: Compute) -> None:
        self.checkpoint = checkpoint
        self._options = options
        self._compute = compute.with_dtype(options.dtype)
        # By name, since earlier versions left out modules, prompts and lengths, and stored scores would be theirs.
        modules = {"modules": [module.name for module in checkpoint.modules]} if checkpoint.modules else {}
        self.identity: Mapping[str, object] = {
            "family": self.family,
            "weights": weights_hash(checkpoint.folder, compute.trust_remote_code),
            "compute_dtype": self._compute.dtype,
            "max_length": options.max_length,
            **modules,
        }

    @property
    @abstractmethod
    def max_tokens(self) -> int | None:
        """Tokens read of what is scored; None: all of them."""

    def own_settings(self) -> Mapping[str, Setting]:
        """Tell what the checkpoint's files say beside its modules and length, by name."""
        return {}

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Tell how the model is run; see `contracts.Described`."""
        modules = [module.name for module in self.checkpoint.modules]
        length = LENGTH_SAID_BY if self._options.max_length is None else "option"
        return {
            **({"modules": Setting(modules, MODULES)} if modules else {}),
            "max_length": Setting(self.max_tokens, length),
            "dtype": dtype_setting(self._compute, self._options.dtype),
            **self.own_settings(),
        }


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
        from evalkit.models._sentence_model import SentenceModel

        network = SentenceModel(self.checkpoint, "CrossEncoder", self._compute, self._options.max_length)
        if network.loaded.num_labels != 1:
            raise ModelNotFoundError(
                f"{self.checkpoint.folder} has {network.loaded.num_labels} labels; a reranker has one, the "
                "relevance. Choose a checkpoint trained for ranking."
            )
        network.check_pairs()
        return network

    def score(self, queries: Sequence[str], documents: Sequence[str], advance: Advance = no_progress) -> FloatArray:
        """Return relevance of the pairs: float64 of shape (n_pairs,)."""
        scores = np.empty(len(queries))
        for rows, part in self._network.scores(list(zip(queries, documents, strict=True))):
            scores[rows] = part.cpu().numpy()
            advance(len(rows))
        return scores

    def own_settings(self) -> Mapping[str, Setting]:
        """Return the prompt that is read before each query, and the function that scores go through last."""
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
        """Count the tokens of each pair if nothing were cut off: int64 of shape (n_pairs,)."""
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
