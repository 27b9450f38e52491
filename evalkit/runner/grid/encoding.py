"""From texts to checked vectors, and from pairs to checked scores, through the store where there is one."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from evalkit.contracts import (
    Advance,
    Embedder,
    Engine,
    Fittable,
    FullVectors,
    HasVocabulary,
    NotStored,
    PromptedByTask,
    ReadsWholes,
    Reranker,
    VectorRows,
    Vectors,
)
from evalkit.engine import LOCAL
from evalkit.errors import ConfigError, ScoreError, VectorError
from evalkit.runner.context import RunContext
from evalkit.store import Store, encode_once, score_once
from evalkit.store.keys import text_keys
from evalkit.store.table import as_bytes
from evalkit.terms import Role
from evalkit.types import Document, FloatArray, IntArray, RetrievalTask

Model = TypeVar("Model")

SHOWN = 5
"""Text ids named in an error message; the rest are counted."""
ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class Texts:
    """A retrieval task's texts and ids."""

    contents: Sequence[str]
    document_ids: Sequence[str]
    questions: list[str]
    query_ids: list[str]

    @classmethod
    def from_task(cls, task: RetrievalTask) -> "Texts":
        """Collect the texts of a task."""
        return cls(
            task.contents,
            task.document_ids,
            [query.text for query in task.queries],
            [query.id for query in task.queries],
        )


def prepared(model: Model, task: str, texts: Sequence[str]) -> Model:
    """Return the model with its prompts for the task of this name, and fitted on the texts, if it is one that does
    so.
    """
    return fitted(for_task(model, task), texts)


def for_task(model: Model, name: str) -> Model:
    """Return the model with its prompts for the task of this name, if it is one that has such."""
    return model.for_task(name) if isinstance(model, PromptedByTask) else model


def fitted(model: Model, texts: Sequence[str]) -> Model:
    """Return the model, fitted on the texts if it is one that learns from them."""
    return model.fit(texts) if isinstance(model, Fittable) else model


def in_context(model: Model, label: str, task: RetrievalTask) -> tuple[Model, RetrievalTask]:
    """Return an embedder that reads a task's documents as parts of wholes, and the task with a key for each document.

    Both stay as they are where no parts are known, or the model has no vectors. Keys are of one length, so that parts
    of a whole stay together. Raises ConfigError for an embedder that cannot read a part.
    """
    if task.parts is None or not isinstance(model, Embedder):
        return model, task
    if not isinstance(model, ReadsWholes):
        raise ConfigError(
            f"{label} gives no token vectors, which late chunking takes the mean of. Take a transformer with mean "
            "pooling (bert:NAME, sbert:NAME), or another chunker."
        )
    hashes = {
        text: sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in {p.text for p in task.parts}
    }
    keys = [f"{hashes[part.text]}:{part.start:012}-{part.end:012}" for part in task.parts]
    corpus = tuple(Document(each.id, key) for each, key in zip(task.corpus, keys, strict=True))
    reading = cast(Model, model.in_context(dict(zip(keys, task.parts, strict=True))))
    return reading, replace(task, corpus=corpus, parts=None)


def learned_from(model: object, task: str, texts: Sequence[str]) -> Mapping[str, object]:
    """Tell what a prepared model took from a task: a hash of the texts it was fitted on, the name its prompts depend
    on.

    Its identity should hold these, too. Where it does not, as in one that the user wrote, vectors of another corpus
    must still not be taken for those of this one.
    """
    learned: dict[str, object] = {}
    if isinstance(model, Fittable):
        learned["corpus"] = sha256(as_bytes(text_keys(texts, "")).tobytes()).hexdigest()
    if isinstance(model, PromptedByTask):
        learned["task"] = task
    return learned


class _SparseError(Exception):
    """Vectors that the store cannot keep."""


@dataclass(frozen=True)
class _Whole:
    """An embedder that does nothing but encode, as one whose vectors can be kept: the role stands for the prompt."""

    embedder: Embedder
    learned: Mapping[str, object]

    @property
    def raw_identity(self) -> Mapping[str, object]:
        return {"embedder": dict(self.embedder.identity), **self.learned}

    def prompt(self, role: Role) -> str:
        return role

    def raw(self, texts: Sequence[str], prompt: str, advance: Advance) -> NDArray[np.float32]:
        vectors = self.embedder.encode(texts, cast(Role, prompt), advance)
        if issparse(vectors):
            raise _SparseError
        return np.asarray(vectors, dtype=np.float32)

    def derive(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return vectors


def encode(
    embedder: Embedder,
    label: str,
    texts: Sequence[str],
    ids: Sequence[str],
    role: Role,
    store: Store | None,
    advance: Advance,
    engine: Engine = LOCAL,
    learned: Callable[[], Mapping[str, object]] = dict,
) -> VectorRows:
    """Return vectors of `texts`, held to be scorable; those of a dense model come from the store if it has them.

    `learned` gives what `learned_from` says of the embedder.

    Raises VectorError, naming the model and the texts' ids, for vectors of the wrong shape, not finite, or
    all zero; zero is allowed for models with a closed vocabulary, where it means "no known word".
    """

    def check(vectors: Vectors, rows: IntArray) -> None:
        if vectors.ndim != 2 or vectors.shape[0] != len(rows):
            raise VectorError(
                f"model {label!r} gave an array of shape {vectors.shape} for {len(rows)} {role} texts; "
                f"it must be ({len(rows)}, dim)."
            )
        finite = np.isfinite(np.asarray(vectors.sum(axis=1, dtype=np.float64)).ravel())
        if not finite.all():
            raise VectorError(f"model {label!r} gave vectors that are not finite for {named(rows[~finite], ids)}.")
        if not isinstance(embedder, HasVocabulary) and (zero := _zero(vectors)).any():
            raise VectorError(f"model {label!r} gave vectors that are all zero for {named(rows[zero], ids)}.")

    if store is not None and isinstance(embedder, FullVectors):
        return encode_once(store, embedder, label, texts, role, check, advance, engine)
    if store is not None and not isinstance(embedder, NotStored):
        with suppress(_SparseError):  # known once it has encoded something
            return encode_once(store, _Whole(embedder, learned()), label, texts, role, check, advance)
    vectors = embedder.encode(texts, role, advance)
    check(vectors, np.arange(len(texts)))
    return vectors


def score_pairs(
    reranker: Reranker,
    label: str,
    queries: Sequence[str],
    documents: Sequence[str],
    pair_ids: Sequence[str],
    store: Store | None,
    advance: Advance,
    engine: Engine = LOCAL,
) -> FloatArray:
    """Return scores of the pairs (queries[i], documents[i]): float64 of shape (n_pairs,).

    Raises ScoreError, naming the reranker and the pairs, for scores that are NaN or +inf, or of the wrong
    count; -inf ranks last.
    """

    def check(scores: FloatArray, rows: IntArray) -> None:
        if scores.shape != (len(rows),):
            raise ScoreError(
                f"reranker {label!r} gave scores of shape {scores.shape} for {len(rows)} pairs; "
                f"it must be ({len(rows)},)."
            )
        bad = np.isnan(scores) | (scores == np.inf)
        if bad.any():
            where = named(rows[bad], pair_ids, "pairs")
            raise ScoreError(f"reranker {label!r} gave scores that are not finite for {where}.")

    if not queries:  # models need not know what to do with no pairs at all
        return np.empty(0)
    if store is not None:
        return score_once(store, reranker, label, queries, documents, check, advance, engine)
    scores = reranker.score(queries, documents, advance)
    check(scores, np.arange(len(queries)))
    return scores


def zero_rows(vectors: VectorRows) -> IntArray:
    """Return rows that are all zero: int64 of shape (n_zero,)."""
    blocks = [
        start + np.flatnonzero(_zero(vectors[start : start + ROWS_AT_ONCE]))
        for start in range(0, vectors.shape[0], ROWS_AT_ONCE)
    ]
    return np.concatenate([np.empty(0, dtype=np.int64), *blocks])


def _zero(vectors: Vectors) -> np.ndarray:
    entries = vectors.getnnz(axis=1) if issparse(vectors) else np.count_nonzero(vectors, axis=1)
    return np.asarray(entries == 0)


def named(rows: IntArray, ids: Sequence[str], what: str = "texts") -> str:
    """Return the first few ids at `rows`, for a message, and how many there are."""
    shown = ", ".join(repr(ids[row]) for row in sorted(rows)[:SHOWN])
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return f"{len(rows)} of {len(ids)} {what}: {shown}{more}"


def encode_task(
    embedder: Embedder, label: str, task_name: str, texts: Texts, context: RunContext
) -> tuple[VectorRows, VectorRows]:
    """Return vectors of the queries, and of the corpus."""
    learned = partial(learned_from, embedder, task_name, texts.contents)
    with context.progress.step(f"{task_name}: {label}", len(texts.contents) + len(texts.questions)) as advance:
        how = context.store, advance, context.engine, learned
        corpus = encode(embedder, label, texts.contents, texts.document_ids, "document", *how)
        queries = encode(embedder, label, texts.questions, texts.query_ids, "query", *how)
    return queries, corpus
