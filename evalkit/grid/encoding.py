"""From texts to checked vectors."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TypeVar

import numpy as np
from scipy.sparse import issparse

from evalkit.contracts import Advance, Embedder, Fittable, HasVocabulary, Vectors
from evalkit.errors import VectorError
from evalkit.types import IntArray, Role

Model = TypeVar("Model")

SHOWN = 5
"""Text ids named in an error message; the rest are counted."""


def fitted(model: Model, texts: Sequence[str]) -> Model:
    """The model, fitted on the texts if it is one that learns from them."""
    return model.fit(texts) if isinstance(model, Fittable) else model


def fingerprint(identity: Mapping[str, object]) -> str:
    """SHA-256, in hex, over everything that changes a model's output."""
    return sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def encode(
    embedder: Embedder, label: str, texts: Sequence[str], ids: Sequence[str], role: Role, advance: Advance
) -> Vectors:
    """Vectors of `texts`, held to be scorable.

    Raises VectorError, naming the model and the texts' ids, for vectors of the wrong shape, not finite, or
    all zero; zero is allowed for models with a closed vocabulary, where it means "no known word".
    """
    vectors = embedder.encode(texts, role, advance)
    if vectors.ndim != 2 or vectors.shape[0] != len(texts):
        raise VectorError(
            f"model {label!r} gave an array of shape {vectors.shape} for {len(texts)} {role} texts; "
            f"it must be ({len(texts)}, dim)."
        )
    values = vectors.data if issparse(vectors) else vectors
    if not np.isfinite(values).all():
        bad = np.flatnonzero(~np.isfinite(vectors.sum(axis=1).A1 if issparse(vectors) else vectors.sum(axis=1)))
        raise VectorError(f"model {label!r} gave vectors that are not finite for {named(bad, ids)}.")
    if not isinstance(embedder, HasVocabulary) and (zero := zero_rows(vectors)).size:
        raise VectorError(f"model {label!r} gave vectors that are all zero for {named(zero, ids)}.")
    return vectors


def zero_rows(vectors: Vectors) -> IntArray:
    """Rows that are all zero: int64 of shape (n_zero,)."""
    entries = vectors.getnnz(axis=1) if issparse(vectors) else np.count_nonzero(vectors, axis=1)
    return np.flatnonzero(entries == 0)


def named(rows: IntArray, ids: Sequence[str]) -> str:
    """The first few ids at `rows`, for a message, and how many there are."""
    shown = ", ".join(repr(ids[row]) for row in rows[:SHOWN])
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return f"{len(rows)} of {len(ids)} texts: {shown}{more}"
