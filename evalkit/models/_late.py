"""Late chunking: a model reads a whole text, and the vectors of its tokens are pooled over each part of it.

Günther, Mohr, Williams, Wang and Xiao 2024, "Late Chunking: Contextual Chunk Embeddings Using Long-Context Embedding
Models" (arXiv 2409.04701). Imports torch.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evalkit.compute import Compute
from evalkit.contracts import Advance
from evalkit.types import FloatArray, IntArray, Part

OVERLAP = 1 / 4
"""A window shares this part of its tokens with the one before, where a text is longer than the model reads."""
Hidden = Callable[[Mapping[str, Tensor]], Tensor]
"""Gives the token vectors of one text, (1, length, dim), of its features."""


def late_vectors(
    parts: Sequence[Part], prompt: str, tokenizer: Any, hidden: Hidden, limit: int, compute: Compute, advance: Advance
) -> NDArray[np.float32]:
    """Return the mean of each part's token vectors: float32 of shape (n_parts, dim).

    A token belongs to the part in which it begins; the prompt, which is read once before the whole, and special
    tokens belong to none. A text of more than `limit` tokens is read in windows that overlap, and a token's vector is
    that of the first window that has it (the paper's algorithm 2). A part without a token gets a zero vector.
    """
    order = sorted(range(len(parts)), key=lambda row: parts[row].text)
    found: dict[int, FloatArray] = {}
    for text, rows in groupby(order, key=lambda row: parts[row].text):
        starts, vectors = _read(prompt, text, tokenizer, hidden, limit, compute)
        for row in rows:
            inside = (starts >= parts[row].start) & (starts < parts[row].end)
            found[row] = vectors[inside].mean(axis=0) if inside.any() else np.zeros(vectors.shape[1])
            advance(1)
    return np.array([found[row] for row in range(len(parts))], dtype=np.float32)


def _read(
    prompt: str, text: str, tokenizer: Any, hidden: Hidden, limit: int, compute: Compute
) -> tuple[IntArray, FloatArray]:
    """Return the characters of the text at which its tokens begin, and their vectors: (n_tokens, dim)."""
    room = limit - tokenizer.num_special_tokens_to_add()
    windows = tokenizer(
        prompt + text, truncation=True, max_length=limit, stride=int(room * OVERLAP), return_overflowing_tokens=True,
        return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False,
    )  # fmt: skip
    starts, vectors, read = [], [], len(prompt)
    for window, offsets in enumerate(windows["offset_mapping"]):
        features = {
            name: torch.tensor([windows[name][window]], device=compute.device)
            for name in tokenizer.model_input_names
            if name in windows
        }
        with torch.inference_mode():
            of_tokens = hidden(features)[0].float().cpu().numpy().astype(np.float64)
        begins, ends = np.array(offsets, dtype=np.int64).T
        new = (np.array(windows["special_tokens_mask"][window]) == 0) & (begins >= read)
        starts.append(begins[new] - len(prompt))
        vectors.append(of_tokens[new])
        read = max(read, int(ends.max()))
    return np.concatenate(starts), np.concatenate(vectors)
