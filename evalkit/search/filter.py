"""The best documents of one block in float32: a matrix product and a selection, on the CPU or a GPU."""

from functools import partial
from importlib.util import find_spec
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.types import IntArray

WORTH_TORCH = 1 << 31
"""Multiplications from which torch's many threads pay for importing it; below, numpy is as fast."""

CELLS_AT_ONCE = 1 << 26
"""Scores held at once, 256 MB: queries are taken in parts."""


def filter_block(
    queries: NDArray[np.float32],
    documents: NDArray[np.float32],
    known: NDArray[np.bool_],
    width: int,
    device: Literal["cpu", "cuda", "mps"],
) -> tuple[IntArray, NDArray[np.float32]]:
    """The `width` highest dot products of each query with the block's known documents, in any order.

    Returns rows of the block, int64, -1 where there are fewer, and their scores, float32 (-inf there); both of
    shape (n_queries, min(width, n_documents)).
    """
    width = min(width, len(documents))
    heavy = queries.size * len(documents) >= WORTH_TORCH and find_spec("torch") is not None
    select = partial(_with_torch, device=device) if device != "cpu" or heavy else _with_numpy
    size = max(1, CELLS_AT_ONCE // len(documents))
    parts = [select(queries[start : start + size], documents, known, width) for start in range(0, len(queries), size)]
    rows = np.concatenate([rows for rows, _ in parts])
    scores = np.concatenate([scores for _, scores in parts])
    return np.where(scores == -np.inf, -1, rows), scores


def _with_numpy(
    queries: NDArray[np.float32], documents: NDArray[np.float32], known: NDArray[np.bool_], width: int
) -> tuple[IntArray, NDArray[np.float32]]:
    product = queries @ documents.T
    product[:, ~known] = -np.inf
    rows = np.argpartition(product, len(documents) - width, axis=1)[:, len(documents) - width :]
    return rows, np.take_along_axis(product, rows, 1)


def _with_torch(
    queries: NDArray[np.float32],
    documents: NDArray[np.float32],
    known: NDArray[np.bool_],
    width: int,
    device: Literal["cpu", "cuda", "mps"],
) -> tuple[IntArray, NDArray[np.float32]]:
    import torch

    with torch.inference_mode():
        product = torch.from_numpy(queries).to(device) @ torch.from_numpy(documents).to(device).T
        if not known.all():
            product[:, torch.from_numpy(~known).to(device)] = -torch.inf
        top = torch.topk(product, width, dim=1, sorted=False)
        return top.indices.cpu().numpy(), top.values.cpu().numpy()
