"""Similarity of paired vectors, and its correlation with gold scores."""

import warnings
from typing import Any

import numpy as np
from scipy import sparse

from evalkit.contracts import Vectors
from evalkit.errors import VectorError
from evalkit.terms import SIMILARITIES, Similarity
from evalkit.types import FloatArray

_ROWS_AT_ONCE = 4096


def paired_similarities(a: Vectors, b: Vectors) -> dict[Similarity, FloatArray]:
    """Tell how alike row i of `a` is to row i of `b`, by every similarity; higher is more alike.

    Each value is float64 of shape (n_texts,). Euclidean and Manhattan distances are negated. All four are NaN
    where either vector is all zero: that text has no representation. Raises VectorError when the two sides
    differ in shape, or only one is sparse.
    """
    if a.shape != b.shape or sparse.issparse(a) != sparse.issparse(b):
        raise VectorError(
            f"paired vectors must have one shape and kind, got {type(a).__name__} {a.shape} and "
            f"{type(b).__name__} {b.shape}"
        )
    similarities = {name: np.empty(a.shape[0]) for name in SIMILARITIES}
    for start in range(0, a.shape[0], _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        for name, values in _block(a[rows].astype(np.float64), b[rows].astype(np.float64)).items():
            similarities[name][rows] = values
    return similarities


def _block(x: Any, y: Any) -> dict[Similarity, FloatArray]:
    dot, x_square, y_square = _row_products(x, y), _row_products(x, x), _row_products(y, y)
    represented = (x_square > 0) & (y_square > 0)
    difference = x - y
    # One root of the product, not a product of roots: the cosine of equal vectors is then exactly 1, a tie.
    norms = np.sqrt(np.where(represented, x_square * y_square, np.nan))
    similarities: dict[Similarity, FloatArray] = {
        "cosine": dot / norms,
        "dot": dot,
        "euclidean": -np.sqrt(_row_products(difference, difference)),
        "manhattan": -_row_sums(abs(difference)),
    }
    return {name: np.where(represented, values, np.nan) for name, values in similarities.items()}


def _row_products(x: Any, y: Any) -> FloatArray:
    return _row_sums(x.multiply(y) if isinstance(x, sparse.csr_matrix) else x * y)


def _row_sums(x: Any) -> FloatArray:
    return np.asarray(x.sum(axis=1), dtype=np.float64).ravel()


def spearman(predicted: FloatArray, gold: FloatArray) -> float:
    """Compute Spearman's rank correlation, a fraction in [-1, 1], over the pairs whose `predicted` is finite.

    Both are of shape (n_pairs,). NaN with fewer than 2 such pairs, or when either side is constant there.
    """
    from scipy.stats import spearmanr  # takes a second to import, and most runs are of searches

    return _correlation(spearmanr, predicted, gold)


def pearson(predicted: FloatArray, gold: FloatArray) -> float:
    """Compute Pearson's correlation, a fraction in [-1, 1], over the pairs whose `predicted` is finite.

    Both are of shape (n_pairs,). NaN with fewer than 2 such pairs, or when either side is constant there.
    """
    from scipy.stats import pearsonr

    return _correlation(pearsonr, predicted, gold)


def _correlation(method: Any, predicted: FloatArray, gold: FloatArray) -> float:
    from scipy.stats import NearConstantInputWarning

    finite = np.isfinite(predicted)
    predicted, gold = predicted[finite], gold[finite]
    if len(predicted) < 2 or np.ptp(predicted) == 0 or np.ptp(gold) == 0:
        return float("nan")
    with warnings.catch_warnings():
        # Similarities that differ in the last digits only are a result to report, not a fault of the caller.
        warnings.simplefilter("ignore", NearConstantInputWarning)
        return float(method(predicted, gold).statistic)
