"""The two stages of retrieval, and pairs of sentences: one task and one model at a time."""

import time
from collections.abc import Mapping
from typing import cast

import numpy as np

from evalkit.contracts import Coverage, Embedder, HasVocabulary, Reranker, Retriever
from evalkit.errors import ScoreError
from evalkit.grid.cells import ModelFacts
from evalkit.grid.encoding import encode, fingerprint, fitted, named, zero_rows
from evalkit.metrics.similarity import paired_similarities
from evalkit.progress import Progress
from evalkit.search.exact import id_ranks, search
from evalkit.types import FloatArray, RetrievalTask, Run, Similarity, StsTask


def first_stage(
    model: Embedder | Retriever, label: str, task: RetrievalTask, depth: int, progress: Progress
) -> tuple[Run, ModelFacts]:
    """The `depth` best documents of each query by one model, exactly."""
    started = time.perf_counter()
    contents = [document.content for document in task.corpus]
    document_ids = [document.id for document in task.corpus]
    questions = [query.text for query in task.queries]
    query_ids = [query.id for query in task.queries]
    model = fitted(model, contents)
    with progress.step(f"{task.name}: {label}", len(contents) + len(questions)) as advance:
        if not isinstance(model, Embedder):
            run = model.search(questions, document_ids, depth)
            blank: tuple[str, ...] = ()
        else:
            corpus = encode(model, label, contents, document_ids, "document", advance)
            queries = encode(model, label, questions, query_ids, "query", advance)
            run = search(queries, corpus, document_ids, model.similarity, depth)
            blank = tuple(
                [document_ids[row] for row in zero_rows(corpus)] + [query_ids[row] for row in zero_rows(queries)]
            )
    return run, _facts(model, [*contents, *questions], blank, started)


def pair_similarities(
    embedder: Embedder, label: str, task: StsTask, progress: Progress
) -> tuple[dict[Similarity, FloatArray], ModelFacts]:
    """Similarities of a task's sentence pairs, float64 of shape (n_pairs,) each; see `paired_similarities`."""
    started = time.perf_counter()
    sentences = list(dict.fromkeys((*task.sentences1, *task.sentences2)))
    row_of = {sentence: row for row, sentence in enumerate(sentences)}
    embedder = fitted(embedder, sentences)
    with progress.step(f"{task.name}: {label}", len(sentences)) as advance:
        vectors = encode(embedder, label, sentences, sentences, "sentence", advance)
    similarities = paired_similarities(
        vectors[[row_of[sentence] for sentence in task.sentences1]],
        vectors[[row_of[sentence] for sentence in task.sentences2]],
    )
    blank = tuple(sentences[row] for row in zero_rows(vectors))
    return similarities, _facts(embedder, sentences, blank, started)


def second_stage(
    reranker: Reranker,
    label: str,
    task: RetrievalTask,
    runs: Mapping[str, Run],
    candidates: int,
    progress: Progress,
) -> tuple[dict[str, Run], ModelFacts]:
    """Each run's first `candidates` documents in the reranker's order.

    The pairs of all runs are pooled, and each distinct pair is scored once. Raises ScoreError, naming the
    reranker and the pairs, for scores that are NaN or +inf, or of the wrong count; -inf ranks last.
    """
    started = time.perf_counter()
    contents = [document.content for document in task.corpus]
    reranker = fitted(reranker, contents)
    tops = {model: run.documents[:, :candidates] for model, run in runs.items()}
    n_documents = len(contents)
    query_rows = np.arange(len(task.queries))[:, None]
    keys = np.unique(np.concatenate([(query_rows * n_documents + top)[top >= 0] for top in tops.values()]))
    pair_queries, pair_documents = np.divmod(keys, n_documents)
    with progress.step(f"{task.name}: {label}", len(keys), "pairs") as advance:
        scores = reranker.score(
            [task.queries[row].text for row in pair_queries],
            [contents[row] for row in pair_documents],
            advance,
        )
    if scores.shape != keys.shape:
        raise ScoreError(f"reranker {label!r} gave {scores.shape} scores for {len(keys)} pairs.")
    bad = np.flatnonzero(np.isnan(scores) | (scores == np.inf))
    if bad.size:
        pair_ids = [
            f"{task.queries[query].id} × {task.corpus[document].id}"
            for query, document in zip(pair_queries, pair_documents, strict=True)
        ]
        raise ScoreError(f"reranker {label!r} gave scores that are not finite for {named(bad, pair_ids)}.")
    id_rank = id_ranks([document.id for document in task.corpus])
    reranked = {}
    for model, top in tops.items():
        known = top >= 0
        top_scores = np.full(top.shape, np.nan)
        top_scores[known] = scores[np.searchsorted(keys, (query_rows * n_documents + top)[known])]
        # Ties as in the first stage: score, then document id, both descending; places without a result last.
        order = np.lexsort((-id_rank[top], -top_scores, ~known))
        reranked[model] = Run(np.take_along_axis(top, order, 1), np.take_along_axis(top_scores, order, 1))
    return reranked, ModelFacts(fingerprint(reranker.identity), time.perf_counter() - started)


def _facts(model: Embedder | Retriever, texts: list[str], blank: tuple[str, ...], started: float) -> ModelFacts:
    coverage: Coverage | None = None
    if isinstance(model, HasVocabulary):
        coverage = cast(HasVocabulary, model).coverage(texts)
    return ModelFacts(fingerprint(model.identity), time.perf_counter() - started, coverage, blank)
