"""Translate names and descriptions of tasks and metrics, from mteb's to ours and back."""

import math
import re
from collections.abc import Mapping
from functools import cache
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

from evalkit.tasks.mteb.reference import Reference, is_mteb
from evalkit.terms import Role

if TYPE_CHECKING:
    from mteb import TaskMetadata

LocalKind = Literal["STS", "Retrieval"]
HASH_DIGITS = 12
LABEL_LENGTH = 100
"""Of a name at most: mteb's names become names of files."""
LANGUAGE = "und-Zyyy"
"""ISO codes for a language and script that nobody stated."""


def local_metadata(name: str, split: str, kind: LocalKind, content_hash: str) -> "TaskMetadata":
    """Return mteb's description of a task of ours."""
    from mteb import TaskMetadata
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.sts import AbsTaskSTS

    label = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-")[:LABEL_LENGTH]
    return TaskMetadata(
        name=f"{label}-{content_hash[:HASH_DIGITS]}",
        description=f"The task {name!r} of an evalkit run.",
        type=kind,
        category="t2t",
        prompt=(AbsTaskSTS if kind == "STS" else AbsTaskRetrieval).abstask_prompt,
        eval_splits=[split],
        eval_langs=[LANGUAGE],
        main_score="cosine_spearman" if kind == "STS" else "ndcg_at_10",
        dataset={"path": f"evalkit/{label}", "revision": content_hash},
    )


@cache
def metadata_for(task: str, role: Role) -> "TaskMetadata":
    """Return the description of a task, for models that choose prompts by it: mteb's own if the name is one of
    mteb's.

    Otherwise one of a retrieval task, or of an STS task for the texts of a symmetric one.
    """
    import mteb

    if is_mteb(task):
        return mteb.get_task(Reference.parse(task).name).metadata
    return local_metadata("evalkit", "test", "STS" if role == "sentence" else "Retrieval", "")


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
    """Return the metrics in mteb's scores that are one number each. The main score is among them under its own name;
    the curves of abstention (nauc) are left out.
    """
    return {
        name: float(value)
        for name, value in scores.items()
        if isinstance(value, Real) and name != "main_score" and not name.startswith("nauc")
    }


def to_mteb(scores: Mapping[str, float]) -> dict[str, float]:
    """Return scores under mteb's names, without those that are undefined."""
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
