"""mteb's descriptions of tasks: its own by name, and such as we make for ours."""

import re
from functools import cache
from typing import TYPE_CHECKING, Literal

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
    """mteb's description of a task of ours."""
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
    """The description of a task, for models that choose prompts by it: mteb's own if the name is one of mteb's.

    Otherwise one of a retrieval task, or of an STS task for the texts of a symmetric one.
    """
    import mteb

    if is_mteb(task):
        return mteb.get_task(Reference.parse(task).name).metadata
    return local_metadata("evalkit", "test", "STS" if role == "sentence" else "Retrieval", "")
