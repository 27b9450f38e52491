"""Batches for transformers: sorted by length, filled up to a budget of tokens, padded as little as possible."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evalkit.compute import Compute
from evalkit.types import IntArray

Text = TypeVar("Text", str, tuple[str, str])
Features = Mapping[str, Tensor]

TOKENS_PER_BATCH = {"cpu": 2_048, "mps": 8_192, "cuda": 32_768}
TEXTS_PER_WINDOW = 1_024
"""Texts tokenised and padded at once; bounds memory, whatever the number of texts."""


def batches(
    texts: Sequence[Text], tokenize: Callable[[list[Text]], Features], compute: Compute
) -> Iterator[tuple[IntArray, Features]]:
    """Rows of `texts`, int64 of shape (batch,), with their padded features on the device; longest texts first.

    `tokenize` returns tensors padded on one side, with an `attention_mask` of shape (n_texts, length).
    """
    characters = np.array([sum(map(len, text)) if isinstance(text, tuple) else len(text) for text in texts])
    order = np.argsort(-characters, kind="stable")
    for start in range(0, len(order), TEXTS_PER_WINDOW):
        window = order[start : start + TEXTS_PER_WINDOW]
        features = tokenize([texts[row] for row in window])
        mask = features["attention_mask"].numpy()
        lengths = mask.sum(axis=1)
        by_length = np.argsort(-lengths, kind="stable")
        for rows in _fill(by_length, lengths, TOKENS_PER_BATCH[compute.device]):
            yield window[rows], {key: _cut(value, rows, mask, compute) for key, value in features.items()}


def _fill(order: IntArray, lengths: IntArray, budget: int) -> Iterator[IntArray]:
    """Cut `order` (longest first) into batches whose padded size, rows × longest, stays within the budget."""
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        stop = start + max(1, budget // longest)
        yield order[start:stop]
        start = stop


def _cut(value: Tensor, rows: IntArray, mask: NDArray[np.int64], compute: Compute) -> Tensor:
    """The batch's rows of a tensor, without the columns in which all of them are padding, on the device."""
    if not isinstance(value, Tensor) or value.shape[:1] != mask.shape[:1]:
        return value  # features that are not one row a text, such as the length of a prompt
    part = value[torch.from_numpy(rows)]
    if part.shape[1:2] == mask.shape[1:]:
        used = np.flatnonzero(mask[rows].any(axis=0))
        part = part[:, used[0] : used[-1] + 1] if used.size else part
    return part.to(compute.device)
