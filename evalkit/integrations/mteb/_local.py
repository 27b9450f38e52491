"""Our tasks and embedders as mteb's task objects and models."""

from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.contracts import Embedder, Fittable, no_progress
from evalkit.errors import ConfigError
from evalkit.runner.grid.encoding import encode
from evalkit.store import Store
from evalkit.store.keys import fingerprint
from evalkit.tasks.mteb.model import Encode, MtebModel, empty_meta
from evalkit.tasks.mteb.reference import DEFAULT_SUBSET, LocalKind, local_metadata, require_mteb
from evalkit.types import RetrievalTask, StsTask

if TYPE_CHECKING:
    from mteb import AbsTask


def as_mteb_model(embedder: Embedder, name: str | None = None, store: Store | None = None) -> MtebModel:
    """Return an embedder as a model that `mteb.evaluate` takes; vectors come from `store` if it has them.

    `name` is ORG/NAME, what mteb calls the model in its results; its revision there is the embedder's fingerprint, so
    that mteb's cache of results never takes one embedder for another. A model that learns from a corpus learns from
    the corpus of each retrieval task; for all other tasks give its fitted copy.

    Raises OptionalDependencyError without mteb, ConfigError if `name` has no ORG.
    """
    require_mteb()
    mark = fingerprint(embedder.identity)
    name = name or f"evalkit/{mark[:12]}"
    if "/" not in name:
        raise ConfigError(f"mteb calls models ORG/NAME, got {name!r}. Write for example 'evalkit/{name}'.")
    meta = empty_meta(name, mark, embedder.similarity)

    def encode_with(chosen: Embedder) -> Encode:
        return lambda texts, role: encode(chosen, name, texts, texts, role, store, no_progress)

    if not isinstance(embedder, Fittable):
        return MtebModel(encode_with(embedder), embedder.similarity, meta)
    return MtebModel(
        encode_with(embedder), embedder.similarity, meta, fit=lambda texts: encode_with(embedder.fit(texts))
    )


def as_mteb_task(task: StsTask | RetrievalTask) -> "AbsTask":
    """Return a task as an object that `mteb.evaluate` takes, with its data in it.

    Its name ends with the first digits of the content hash, and its revision is that hash, so that mteb's cache of
    results never gives an old score for changed data.

    Raises OptionalDependencyError without mteb, ConfigError for any other kind of task, or for grades that
    are not whole numbers, which mteb cannot take.
    """
    require_mteb()
    if isinstance(task, StsTask):
        return _sts(task)
    if isinstance(task, RetrievalTask):
        return _retrieval(task)
    raise ConfigError(f"a {type(task).__name__} cannot be given to mteb; an StsTask or a RetrievalTask can.")


def _made(base: type["AbsTask"], task: StsTask | RetrievalTask, kind: LocalKind, **attributes: Any) -> "AbsTask":
    metadata = local_metadata(task.name, task.split, kind, task.content_hash)
    made = type("EvalkitTask", (base,), {"metadata": metadata, "data_loaded": True, **attributes})
    instance: AbsTask = made()
    return instance


def _sts(task: StsTask) -> "AbsTask":
    from datasets import Dataset, DatasetDict
    from mteb.abstasks.sts import AbsTaskSTS

    low, high = task.score_range or (float(np.min(task.gold)), float(np.max(task.gold)))
    columns = {"sentence1": task.sentences1, "sentence2": task.sentences2, "score": task.gold.tolist()}
    data = DatasetDict({task.split: Dataset.from_dict(columns)})
    # Where all scores are one, any range does, and the correlation is undefined in any case.
    return _made(AbsTaskSTS, task, "STS", dataset=data, min_score=low, max_score=high if high > low else low + 1)


def _retrieval(task: RetrievalTask) -> "AbsTask":
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval

    uneven = [query for query, grades in task.qrels.items() if any(grade % 1 for grade in grades.values())]
    if uneven:
        raise ConfigError(
            f"{task.name!r} has grades that are not whole numbers, which mteb cannot take: {len(uneven)} queries, "
            f"the first: {uneven[0]!r}. Round the grades."
        )
    shared = {query.id for query in task.queries} & set(task.document_ids)
    if task.not_for_themselves and task.not_for_themselves != shared:
        raise ConfigError(
            f"{task.name!r}: {len(task.not_for_themselves)} of the {len(shared)} queries that share an id with a "
            "document are no results of themselves; mteb knows all or none. Set ignore_identical_ids in task.yaml."
        )
    corpus = [{"id": document.id, "title": document.title, "text": document.text} for document in task.corpus]
    split = {
        "corpus": Dataset.from_list(corpus),
        "queries": Dataset.from_list([{"id": query.id, "text": query.text} for query in task.queries]),
        "relevant_docs": {
            query: {document: int(grade) for document, grade in grades.items()}
            for query, grades in task.qrels.items()
        },
        "top_ranked": None if task.candidates is None else {query: [*ids] for query, ids in task.candidates.items()},
    }
    return _made(
        AbsTaskRetrieval,
        task,
        "Retrieval",
        dataset={DEFAULT_SUBSET: {task.split: split}},
        ignore_identical_ids=bool(task.not_for_themselves),
    )
