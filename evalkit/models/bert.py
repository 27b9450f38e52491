"""`bert:NAME`: any transformers encoder, its token vectors pooled into one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evalkit.compute import Compute
from evalkit.contracts import Advance
from evalkit.errors import ModelNotFoundError, SpecError
from evalkit.models.batching import Features, batches, inference
from evalkit.models.dense import DenseEmbedder
from evalkit.models.weights import locate, quiet_loading, weights_hash
from evalkit.registry.options import BertOptions, Pooling


def load_bert(name: str, options: BertOptions, compute: Compute) -> "Bert":
    """Load a transformers encoder. Raises ModelNotFoundError if it cannot be found or read."""
    return Bert(locate(name, options.revision), options, compute)


class Bert(DenseEmbedder):
    """A transformers encoder with masked pooling over one of its layers."""

    options: BertOptions

    def __init__(self, folder: Path, options: BertOptions, compute: Compute) -> None:
        self._compute = Compute(compute.device, options.dtype or compute.dtype)
        facts = {"family": "bert", "weights": weights_hash(folder), "compute_dtype": self._compute.dtype}
        super().__init__(options, facts)
        self._tokenizer, self._model = load_transformer(folder, "AutoModel", self._compute)
        self._max_length = allowed_length(self._tokenizer, self._model, options.max_length)
        layers = self._model.config.num_hidden_layers
        if not -layers - 1 <= options.layer <= layers:
            raise SpecError(
                f"layer={options.layer}: the model has {layers} layers; allowed are {-layers - 1} to {layers} "
                "(0 is the embeddings, -1 the last layer)."
            )

    def raw(self, texts: Sequence[str], advance: Advance) -> NDArray[np.float32]:
        """Pooled token vectors: float32 of shape (n_texts, hidden size)."""
        vectors = np.empty((len(texts), self._model.config.hidden_size), dtype=np.float32)
        with torch.inference_mode(), inference(self._compute):
            for rows, features in batches(texts, self._tokenize, self._compute):
                output = self._model(**features, output_hidden_states=self.options.layer != -1)
                hidden = (
                    output.last_hidden_state if self.options.layer == -1 else output.hidden_states[self.options.layer]
                )
                pooled = pool(hidden.float(), features["attention_mask"], self.options.pooling)
                vectors[rows] = pooled.cpu().numpy()
                advance(len(rows))
        return vectors

    def _tokenize(self, texts: list[str]) -> Features:
        return tokenized(self._tokenizer, (texts,), self._max_length)


def pool(hidden: Tensor, mask: Tensor, how: Pooling) -> Tensor:
    """One vector a text from its token vectors, padding left out.

    `hidden` is (batch, length, dim), `mask` (batch, length) with 1 for real tokens; returns (batch, dim).
    cls: the first real token; mean, max: over the real tokens (Reimers & Gurevych 2019, section 3).
    """
    if how == "cls":
        return hidden[torch.arange(len(hidden), device=hidden.device), mask.int().argmax(dim=1)]
    real = mask.unsqueeze(-1).bool()
    if how == "max":
        return hidden.masked_fill(~real, -torch.inf).amax(dim=1)
    return (hidden * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)


def load_transformer(folder: Path, auto_class: str, compute: Compute) -> tuple[Any, Any]:
    """A tokenizer and a model in evaluation mode, in float32, on the device.

    float32 whatever the checkpoint stores: lower precision is a matter of the computation (see
    `batching.inference`), and half-precision weights run several times slower on a CPU.
    Raises ModelNotFoundError if the folder holds no such model.
    """
    import transformers

    try:
        with quiet_loading():
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
            model = getattr(transformers, auto_class).from_pretrained(
                str(folder), dtype=torch.float32, use_safetensors=True
            )
    except (OSError, ValueError, KeyError) as error:
        raise ModelNotFoundError(
            f"{folder} holds no transformers model that {auto_class} can read: {error}"
        ) from error
    return tokenizer, model.eval().to(compute.device)


def allowed_length(tokenizer: Any, model: Any, asked: int | None) -> int:
    """Tokens kept of a text: what was asked for, else what tokenizer and positions allow.

    Raises SpecError if more is asked than the model has positions for.
    """
    # RoBERTa and its kin begin to count positions after the padding id.
    offset = model.config.pad_token_id + 1 if "roberta" in model.config.model_type else 0
    positions = getattr(model.config, "max_position_embeddings", None)
    limit = min(int(tokenizer.model_max_length), (positions or 10**9) - offset, 10**6)
    if asked is not None and positions is not None and asked > positions - offset:
        raise SpecError(f"max_length={asked} is more than the model's {positions - offset} positions; lower it.")
    return limit if asked is None else asked


def tokenized(tokenizer: Any, sides: tuple[list[str], ...], max_length: int) -> Mapping[str, Tensor]:
    """Padded tensors of texts (one side) or of pairs (two)."""
    features: Mapping[str, Tensor] = tokenizer(
        *sides, padding=True, truncation=True, max_length=max_length, return_tensors="pt"
    )
    return dict(features)
