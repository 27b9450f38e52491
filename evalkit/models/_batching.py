"""Forward passes over batches sorted by length, filled up to a budget of tokens, padded as little as possible."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evalkit.compute import Compute
from evalkit.types import IntArray

Text = TypeVar("Text", str, tuple[str, str])
Features = Mapping[str, Tensor]

TOKENS_PER_BATCH = {"cpu": 2_048, "mps": 8_192, "cuda": 65_536}
"""Where a batch starts from; on out-of-memory it is halved until it fits."""
ENOUGH_TOKENS = {"cpu": 2_048, "mps": 2_048, "cuda": 4_096}
"""What keeps the device busy: a batch that has as many ends where texts get shorter, rather than pad them."""
EVEN = 7 / 8
"""Of a batch's longest text: how long the texts must be that are padded to it."""
SHORT, LONG = "a short text", "a longer text that has some more words than the other one, so that it is padded to it"
SHORTEST = "a"
"""Still shorter than LONG where a model reads but a few tokens, so that both of the others are cut to one length."""
PADDING_TOLERANCE = {"float32": 1e-4, "bfloat16": 0.05, "float16": 0.01}
"""Rounding may change a vector of length 1 by so much when a text is padded."""
TEXTS_PER_WINDOW = 1_024
"""Texts tokenised and padded at once; bounds memory, whatever the number of texts."""


def forward_batches(
    texts: Sequence[Text],
    tokenize: Callable[[list[Text]], Features],
    forward: Callable[[Features], Any],
    compute: Compute,
    padded: bool = True,
) -> Iterator[tuple[IntArray, Tensor, Any]]:
    """For each batch: rows of `texts`, int64 of shape (batch,); attention mask, (batch, length); the output.

    The longest texts come first; without `padded` all texts of a batch have the same number of tokens. `tokenize`
    returns tensors padded on one side, with an `attention_mask` of shape (n_texts, length); it runs in a thread of
    its own, a window of texts ahead. Raises torch.OutOfMemoryError only when a single text does not fit.
    """
    budget = TOKENS_PER_BATCH[compute.device]
    enough, even = (ENOUGH_TOKENS[compute.device], EVEN) if padded else (0, 1)
    for window, features in _windows(texts, tokenize):
        mask = features["attention_mask"].numpy()
        lengths = mask.sum(axis=1)
        order = np.argsort(-lengths, kind="stable")
        start = 0
        while start < len(order):
            rows = order[start : start + _batch_size(lengths[order[start:]], budget, enough, even)]
            batch = {key: _cut(value, rows, mask, compute) for key, value in features.items()}
            try:
                # Closed before the yield, so that the mode does not reach into the caller's code.
                with torch.inference_mode():
                    output = forward(batch)
            except torch.OutOfMemoryError:
                if len(rows) == 1:
                    raise
                budget //= 2
                torch.cuda.empty_cache()
                continue
            start += len(rows)
            yield window[rows], batch["attention_mask"], output


def padding_changes_nothing(first_of: Callable[[list[Any]], Tensor], compute: Compute, pairs: bool = False) -> bool:
    """Try whether a text (or pair) gets the same values alone as padded to a longer one, up to rounding.

    `first_of` reads texts as one batch and gives the values of the first: of its tokens, or of the whole. A few
    networks mix the whole row, padding and all (FNet), or convolve over it (ConvBERT, CANINE).
    """
    shortest, short, long = ((text, text) if pairs else text for text in (SHORTEST, SHORT, LONG))
    return all(_is_alike(first_of, tried, long, compute) for tried in (shortest, short))


def _is_alike(first_of: Callable[[list[Any]], Tensor], short: Any, long: Any, compute: Compute) -> bool:
    with torch.inference_mode():
        alone, beside = first_of([short]).float(), first_of([short, long]).float()
    return bool((alone - beside).norm() <= PADDING_TOLERANCE[compute.dtype] * max(1, float(alone.norm())))


def _batch_size(lengths: NDArray[np.int64], budget: int, enough: int, even: float) -> int:
    """Count the next texts, whose lengths fall, that are one batch: at most `budget` tokens, at least one text.

    Texts shorter than `even` of the longest are only taken up to `enough` tokens.
    """
    longest = max(1, int(lengths[0]))
    most = min(len(lengths), max(1, budget // longest))
    alike = int(np.searchsorted(-lengths[:most], -even * longest, side="right"))
    return max(1, min(most, max(alike, enough // longest)))


def _windows(
    texts: Sequence[Text], tokenize: Callable[[list[Text]], Features]
) -> Iterator[tuple[IntArray, Features]]:
    """Yield rows of texts that are alike in characters, with their features; the next ones are made meanwhile."""
    characters = np.array([sum(map(len, text)) if isinstance(text, tuple) else len(text) for text in texts])
    order = np.argsort(-characters, kind="stable")
    windows = [order[start : start + TEXTS_PER_WINDOW] for start in range(0, len(order), TEXTS_PER_WINDOW)]
    with ThreadPoolExecutor(1) as ahead:
        waiting = [ahead.submit(tokenize, [texts[row] for row in window]) for window in windows[:1]]
        for number, window in enumerate(windows):
            features = waiting.pop().result()
            if number + 1 < len(windows):
                waiting.append(ahead.submit(tokenize, [texts[row] for row in windows[number + 1]]))
            yield window, features


def _cut(value: Tensor, rows: IntArray, mask: NDArray[np.int64], compute: Compute) -> Tensor:
    """Return the batch's rows of a tensor, without the columns in which all of them are padding, on the device."""
    if not isinstance(value, Tensor) or value.shape[:1] != mask.shape[:1]:
        return value  # features that are not one row a text, such as the length of a prompt
    part = value[torch.from_numpy(rows)]
    if part.shape[1:2] == mask.shape[1:]:
        used = np.flatnonzero(mask[rows].any(axis=0))
        part = part[:, used[0] : used[-1] + 1] if used.size else part
    return part.pin_memory().to("cuda", non_blocking=True) if compute.device == "cuda" else part.to(compute.device)
