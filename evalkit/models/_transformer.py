"""A transformers network on the device: loading, tokenising, and forward passes in batches. Imports torch."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from evalkit.compute import Compute
from evalkit.errors import SpecError
from evalkit.models._batching import TEXTS_PER_WINDOW, Text, forward_batches, padding_changes_nothing
from evalkit.models._checkpoint import model_arguments, readable
from evalkit.models._kernels import tune_for_cpu, tune_for_gpu
from evalkit.models._loading import refuse_tokens_beyond
from evalkit.models.registry.options import Pooling
from evalkit.types import IntArray


class Network:
    """A tokenizer and a model in evaluation mode.

    Weights are in the dtype asked for, whatever the checkpoint stores: transformers would follow the checkpoint,
    and float16 runs several times slower on a CPU. Raises ModelNotFoundError if the folder holds no such model,
    SpecError if `max_length` is more than the model has positions for.
    """

    def __init__(self, folder: Path, auto_class: str, max_length: int | None, compute: Compute) -> None:
        import transformers

        trust = compute.trust_remote_code
        with readable(folder, f"transformers model that {auto_class}"):
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), trust_remote_code=trust)
            if auto_class == "AutoModel" and _has_text_encoder(folder, trust):
                auto_class = "AutoModelForTextEncoding"
            model = getattr(transformers, auto_class).from_pretrained(
                str(folder), trust_remote_code=trust, **model_arguments(compute)
            )
        refuse_tokens_beyond(folder, self.tokenizer, model)
        self.tokenizer.padding_side = "right"  # so that absolute positions count from a text's first token
        self.model = model.eval().to(compute.device)
        if compute.device == "cpu":
            tune_for_cpu(self.model)
        elif compute.device == "cuda":
            tune_for_gpu(self.model)
        self.config = model.config
        self._compute = compute
        self.max_length = allowed_length(self.tokenizer, self.model, max_length)

    def run(self, texts: Sequence[Text], **arguments: object) -> Iterator[tuple[IntArray, Tensor, Any]]:
        """For each batch: rows of `texts`, attention mask (batch, length), and the model's output."""

        def forward(features: Mapping[str, Tensor]) -> Any:
            return self.model(**features, **arguments)

        return forward_batches(texts, self._tokenize, forward, self._compute, self._padded)

    @cached_property
    def _padded(self) -> bool:
        """Whether batches may be padded."""

        def first_of(texts: list[str]) -> Tensor:
            features = self._features(texts)
            hidden: Tensor = self.model(**features).last_hidden_state[0]
            return hidden[features["attention_mask"][0].bool()]

        return padding_changes_nothing(first_of, self._compute)

    def width(self, layer: int) -> int:
        """Count the dimensions of a layer's token vectors; tried, since the last layer of some networks has its
        own.
        """
        features = self._features(["a"])
        del features["attention_mask"]  # nothing is padded, and what reads its numbers fails on the device `meta`
        with torch.inference_mode():
            output = self.model(**features, output_hidden_states=True)
        hidden: Tensor = output.last_hidden_state if layer == -1 else output.hidden_states[layer]
        return hidden.shape[-1]

    def _features(self, texts: Sequence[str]) -> dict[str, Tensor]:
        return {key: value.to(self._compute.device) for key, value in self._tokenize(texts).items()}

    def _tokenize(self, texts: Sequence[Text]) -> Mapping[str, Tensor]:
        sides = zip(*texts, strict=True) if isinstance(texts[0], tuple) else (texts,)
        tokenizer: Any = self.tokenizer
        tokenize = partial(tokenizer, *map(list, sides), truncation=True, return_tensors="pt")
        features = tokenize(padding=True, max_length=self.max_length)
        if features["input_ids"].shape[1] == 0:  # none of the texts has a token, and a network reads at least one
            features = tokenize(padding="max_length", max_length=1)
        return cast(Mapping[str, Tensor], dict(features))


def _has_text_encoder(folder: Path, trust: bool) -> bool:
    """Tell whether a model has an encoder and a decoder, and transformers loads the encoder alone (T5)."""
    from transformers import MODEL_FOR_TEXT_ENCODING_MAPPING, MODEL_MAPPING, AutoConfig

    if not (folder / "config.json").is_file():  # an adapter's folder
        return False
    kind = type(AutoConfig.from_pretrained(str(folder), trust_remote_code=trust))
    apart = kind in MODEL_FOR_TEXT_ENCODING_MAPPING and kind in MODEL_MAPPING
    return apart and MODEL_FOR_TEXT_ENCODING_MAPPING[kind] is not MODEL_MAPPING[kind]


def count_tokens(tokenizer: Any, *sides: Sequence[str]) -> IntArray:
    """Count the tokens of texts, or of pairs where there are two sides, special ones too, if nothing is cut off.

    int64 of shape (n_texts,).
    """
    counts: list[int] = []
    for start in range(0, len(sides[0]), TEXTS_PER_WINDOW):
        window = [list(side[start : start + TEXTS_PER_WINDOW]) for side in sides]
        # Not verbose: a text longer than the model reads is no surprise here.
        counts += map(len, tokenizer(*window, truncation=False, padding=False, verbose=False)["input_ids"])
    return np.array(counts, dtype=np.int64)


def count_unknown(tokenizer: Any, texts: Sequence[str]) -> tuple[IntArray, IntArray] | None:
    """Count the tokens of texts, without special ones, and the unknown among them: int64 of shape (n_texts,).

    None for a tokenizer without an unknown token, such as one of bytes.
    """
    if isinstance(tokenizer, Tokenizer):  # of the library below, as a table of static vectors has it
        unknown = tokenizer.token_to_id(getattr(tokenizer.model, "unk_token", None) or "")
    else:
        unknown = getattr(tokenizer, "unk_token_id", None)
    if unknown is None:
        return None
    counts: list[tuple[int, int]] = []
    for start in range(0, len(texts), TEXTS_PER_WINDOW):
        window = list(texts[start : start + TEXTS_PER_WINDOW])
        if isinstance(tokenizer, Tokenizer):
            rows = [encoding.ids for encoding in tokenizer.encode_batch_fast(window, add_special_tokens=False)]
        else:
            how = {"add_special_tokens": False, "truncation": False, "padding": False, "verbose": False}
            rows = tokenizer(window, **how)["input_ids"]
        counts += ((len(ids), ids.count(unknown)) for ids in rows)
    tokens, of_these = np.array(counts, dtype=np.int64).reshape(-1, 2).T
    return tokens, of_these


def pool(hidden: Tensor, mask: Tensor, how: Pooling) -> Tensor:
    """Return one vector a text from its token vectors, padding left out.

    `hidden` is (batch, length, dim), `mask` (batch, length) with 1 for real tokens; returns (batch, dim).
    cls: the first real token, whichever that is; mean, max: over the real tokens (Reimers & Gurevych 2019, section
    3). A text without a token gets a zero vector: it has no representation.
    """
    real = mask.unsqueeze(-1).bool()
    if how == "cls":
        pooled = hidden[torch.arange(len(hidden), device=hidden.device), mask.int().argmax(dim=1)]
    elif how == "max":
        pooled = hidden.masked_fill(~real, -torch.inf).amax(dim=1)
    else:
        pooled = (hidden * real).sum(dim=1) / real.sum(dim=1)
    return pooled.masked_fill(~real.any(dim=1), 0)


def allowed_length(tokenizer: Any, model: Any, asked: int | None) -> int:
    """Count the tokens kept of a text: what was asked for, else what tokenizer and positions allow.

    Raises SpecError if more is asked for than the model has positions.
    """
    # RoBERTa and its kin (MPNet, CamemBERT, Longformer) begin to count positions after the padding id.
    tables = [part for name, part in model.named_modules() if name.endswith("position_embeddings")]
    paddings = [padding for table in tables if (padding := getattr(table, "padding_idx", None)) is not None]
    offset = max(paddings, default=-1) + 1
    named = ("max_position_embeddings", "max_encoder_position_embeddings")  # the second is LED's
    positions = next((told for name in named if (told := getattr(model.config, name, None))), 0)
    has_limit = positions > 0  # XLNet says -1: it has none
    if asked is None:
        return min(int(tokenizer.model_max_length), positions - offset if has_limit else 10**6, 10**6)
    if has_limit and asked > positions - offset:
        raise SpecError(f"max_length={asked} is more than the model's {positions - offset} positions; lower it.")
    return asked
