"""The two stages of retrieval, and pairs of sentences: one task and one model at a time."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from evalkit.compute import Compute
from evalkit.contracts import Embedder, HasVocabulary, Reranker, Retriever, VectorRows
from evalkit.grid.cells import ModelFacts
from evalkit.grid.encoding import encode, fitted, score_pairs, zero_rows
from evalkit.metrics.similarity import paired_similarities
from evalkit.progress import Progress
from evalkit.search.exact import search
from evalkit.search.ranking import id_ranks, rank
from evalkit.store import Store
from evalkit.store.keys import fingerprint
from evalkit.types import FloatArray, IntArray, RetrievalTask, Run, Similarity, StsTask

PAIRS_AT_ONCE = 16_384


@dataclass(frozen=True)
class Means:
    """What the stages work with: where to compute, what was computed before, where to show progress."""

    compute: Compute
    store: Store | None
    progress: Progress


@dataclass(frozen=True)
class _Texts:
    """A retrieval task's texts and ids, as lists."""

    contents: list[str]
    document_ids: list[str]
    questions: list[str]
    query_ids: list[str]

    @classmethod
    def of(cls, task: RetrievalTask) -> "_Texts":
        return cls(
            [document.content for document in task.corpus],
            [document.id for document in task.corpus],
            [query.text for query in task.queries],
            [query.id for query in task.queries],
        )


def first_stage(
    model: Embedder | Retriever, label: str, task: RetrievalTask, depth: int, means: Means
) -> tuple[Run, ModelFacts]:
    """The `depth` best documents of each query by one model, exactly."""
    started = time.perf_counter()
    texts = _Texts.of(task)
    model = fitted(model, texts.contents)
    if not isinstance(model, Embedder):
        with means.progress.step(f"{task.name}: {label}", len(texts.contents), "documents") as advance:
            run = model.search(texts.questions, texts.document_ids, depth, advance)
        return run, _facts(model, [], (), started)
    queries, corpus = _encode_task(model, label, task.name, texts, means)
    run = search(queries, corpus, texts.document_ids, model.similarity, depth, means.compute.device)
    blank: list[str] = []
    if isinstance(model, HasVocabulary):
        blank += [texts.document_ids[row] for row in zero_rows(corpus)]
        blank += [texts.query_ids[row] for row in zero_rows(queries)]
    return run, _facts(model, [*texts.contents, *texts.questions], tuple(blank), started)


def _encode_task(
    embedder: Embedder, label: str, task_name: str, texts: _Texts, means: Means
) -> tuple[VectorRows, VectorRows]:
    """Vectors of the queries, and of the corpus."""
    with means.progress.step(f"{task_name}: {label}", len(texts.contents) + len(texts.questions)) as advance:
        corpus = encode(embedder, label, texts.contents, texts.document_ids, "document", means.store, advance)
        queries = encode(embedder, label, texts.questions, texts.query_ids, "query", means.store, advance)
    return queries, corpus


def pair_similarities(
    embedder: Embedder, label: str, task: StsTask, means: Means
) -> tuple[dict[Similarity, FloatArray], ModelFacts]:
    """Similarities of a task's sentence pairs, float64 of shape (n_pairs,) each; see `paired_similarities`."""
    started = time.perf_counter()
    sentences = list(dict.fromkeys((*task.sentences1, *task.sentences2)))
    row_of = {sentence: row for row, sentence in enumerate(sentences)}
    embedder = fitted(embedder, sentences)
    with means.progress.step(f"{task.name}: {label}", len(sentences)) as advance:
        vectors = encode(embedder, label, sentences, sentences, "sentence", means.store, advance)
    similarities = paired_similarities(
        vectors[np.array([row_of[sentence] for sentence in task.sentences1])],
        vectors[np.array([row_of[sentence] for sentence in task.sentences2])],
    )
    blank = tuple(sentences[row] for row in zero_rows(vectors)) if isinstance(embedder, HasVocabulary) else ()
    return similarities, _facts(embedder, sentences, blank, started)


def second_stage(
    reranker: Embedder | Reranker,
    label: str,
    task: RetrievalTask,
    runs: Mapping[str, Run],
    candidates: int,
    means: Means,
) -> tuple[dict[str, Run], ModelFacts]:
    """Each run's first `candidates` documents in the reranker's order.

    The pairs of all runs are pooled, and each distinct pair is scored once. An embedder scores a pair by the
    similarity of its two vectors.
    """
    started = time.perf_counter()
    texts = _Texts.of(task)
    contents, document_ids = texts.contents, texts.document_ids
    reranker = fitted(reranker, contents)
    query_rows = np.arange(len(task.queries))[:, None]
    tops = {model: run.documents[:, :candidates] for model, run in runs.items()}
    pairs = {model: query_rows * len(contents) + top for model, top in tops.items()}
    distinct = np.unique(np.concatenate([pairs[model][tops[model] >= 0] for model in runs]))
    pair_queries, pair_documents = np.divmod(distinct, len(contents))
    if isinstance(reranker, Embedder):
        scores = _similarities_of_pairs(reranker, label, task.name, texts, pair_queries, pair_documents, means)
    else:
        with means.progress.step(f"{task.name}: {label}", len(distinct), "pairs") as advance:
            scores = score_pairs(
                reranker,
                label,
                [texts.questions[row] for row in pair_queries],
                [contents[row] for row in pair_documents],
                [
                    f"{texts.query_ids[query]} × {document_ids[document]}"
                    for query, document in zip(pair_queries, pair_documents, strict=True)
                ],
                means.store,
                advance,
            )
    id_rank = id_ranks(document_ids)
    reranked = {}
    for model, top in tops.items():
        top_scores = np.full(top.shape, np.nan)
        top_scores[top >= 0] = scores[np.searchsorted(distinct, pairs[model][top >= 0])]
        reranked[model] = rank(top, top_scores, id_rank, candidates)
    return reranked, ModelFacts(fingerprint(reranker.identity), time.perf_counter() - started)


def _similarities_of_pairs(
    embedder: Embedder,
    label: str,
    task_name: str,
    texts: _Texts,
    query_rows: IntArray,
    document_rows: IntArray,
    means: Means,
) -> FloatArray:
    """Similarities of (query, document) pairs by row, float64; -inf where a text has no representation."""
    queries, corpus = _encode_task(embedder, label, task_name, texts, means)
    scores = np.concatenate(
        [
            paired_similarities(queries[query_rows[part]], corpus[document_rows[part]])[embedder.similarity]
            for part in np.array_split(np.arange(len(query_rows)), len(query_rows) // PAIRS_AT_ONCE + 1)
        ]
    )
    return np.where(np.isnan(scores), -np.inf, scores)


def _facts(model: Embedder | Retriever, texts: list[str], blank: tuple[str, ...], started: float) -> ModelFacts:
    coverage = model.coverage(texts) if isinstance(model, HasVocabulary) else None
    return ModelFacts(fingerprint(model.identity), time.perf_counter() - started, coverage, blank)
