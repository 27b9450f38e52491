"""Names of metrics, ours and mteb's."""

import math
import re
from collections.abc import Mapping
from numbers import Real
from typing import Any

_CORRELATIONS = {
    f"{kind}({similarity})": f"{similarity}_{kind}"
    for kind in ("spearman", "pearson")
    for similarity in ("cosine", "euclidean", "manhattan")
}
"""Ours of STS, and mteb's, which has none for the dot product."""
_OURS = {theirs: ours for ours, theirs in _CORRELATIONS.items()}
_THEIRS = {"hit_rate": "hit_rate", "MRR": "mrr", "nDCG": "ndcg", "R": "recall", "P": "precision", "AP": "map"}
"""Ours of rankings, and mteb's."""
_AT_K = re.compile(r"(\w+)_at_(\d+)")


def numbers(scores: Mapping[str, Any]) -> dict[str, float]:
    """The metrics in mteb's scores that are one number each. The main score is among them under its own name; the
    curves of abstention (nauc) are left out.
    """
    return {
        name: float(value)
        for name, value in scores.items()
        if isinstance(value, Real) and name != "main_score" and not name.startswith("nauc")
    }


def to_mteb(scores: Mapping[str, float]) -> dict[str, float]:
    """Scores under mteb's names, without those that are undefined."""
    return {_to_mteb(name): score for name, score in scores.items() if math.isfinite(score)}


def _to_mteb(name: str) -> str:
    base, at, k = name.partition("@")
    return f"{_THEIRS.get(base, base)}_at_{k}" if at else _CORRELATIONS.get(name, name)


def from_mteb(name: str, kind: str) -> str:
    """Our name of mteb's metric, in a task of mteb's type `kind`: those that we score ourselves have our names."""
    if kind == "STS":
        return _OURS.get(name, name)
    ours = {theirs: own for own, theirs in _THEIRS.items()}
    found = _AT_K.fullmatch(name) if kind in ("Retrieval", "Reranking") else None
    return f"{ours[found[1]]}@{found[2]}" if found and found[1] in ours else name
