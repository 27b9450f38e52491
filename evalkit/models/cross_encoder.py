"""`ce:NAME`: cross-encoders, which read query and document together (Nogueira & Cho 2019)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from evalkit.compute import Compute
from evalkit.contracts import Advance, no_progress
from evalkit.errors import ModelNotFoundError
from evalkit.models.batching import Features, batches, inference
from evalkit.models.bert import allowed_length, load_transformer, tokenized
from evalkit.models.weights import locate, weights_hash
from evalkit.registry.options import PairOptions
from evalkit.types import FloatArray


def load_cross_encoder(name: str, options: PairOptions, compute: Compute) -> "CrossEncoder":
    """Load a sequence classifier with one label. Raises ModelNotFoundError if there is none."""
    return CrossEncoder(locate(name, options.revision), options, compute)


class CrossEncoder:
    """A transformers sequence classifier with one output, the relevance logit."""

    def __init__(self, folder: Path, options: PairOptions, compute: Compute) -> None:
        self._compute = Compute(compute.device, options.dtype or compute.dtype)
        self.identity: Mapping[str, object] = {
            "family": "ce",
            "weights": weights_hash(folder),
            "compute_dtype": self._compute.dtype,
            **options.model_dump(),
        }
        self._tokenizer, self._model = load_transformer(folder, "AutoModelForSequenceClassification", self._compute)
        if self._model.config.num_labels != 1:
            raise ModelNotFoundError(
                f"{folder} has {self._model.config.num_labels} labels; a reranker has one, the relevance. "
                "Choose a checkpoint trained for ranking."
            )
        self._max_length = allowed_length(self._tokenizer, self._model, options.max_length)

    def score(self, queries: Sequence[str], documents: Sequence[str], advance: Advance = no_progress) -> FloatArray:
        """Relevance logits of the pairs: float64 of shape (n_pairs,)."""
        scores = np.empty(len(queries))
        pairs = list(zip(queries, documents, strict=True))
        with torch.inference_mode(), inference(self._compute):
            for rows, features in batches(pairs, self._tokenize, self._compute):
                scores[rows] = self._model(**features).logits[:, 0].float().cpu().numpy()
                advance(len(rows))
        return scores

    def _tokenize(self, pairs: list[tuple[str, str]]) -> Features:
        queries, documents = map(list, zip(*pairs, strict=True))
        return tokenized(self._tokenizer, (queries, documents), self._max_length)
