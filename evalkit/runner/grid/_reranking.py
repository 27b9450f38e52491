"""Rerank the first documents of rankings: pairs scored alone, or each query's list as a whole."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from evalkit.contracts import Embedder, ListReranker, Reranker
from evalkit.runner.context import RunContext
from evalkit.runner.grid._company import Company, ListScores, ask, in_context
from evalkit.runner.grid._searching import similarities
from evalkit.runner.grid.encoding import Texts, encode_task, prepared, score_pairs
from evalkit.search.ranking import reordered
from evalkit.types import FloatArray, IntArray, RetrievalTask, Run


def ask_company(
    reranker: Embedder | Reranker | ListReranker,
    label: str,
    runs_by_task: Sequence[tuple[RetrievalTask, Mapping[str, Run]]],
    candidates: int,
    context: RunContext,
) -> Company:
    """Find out whether a reranker scores each pair by itself; see `_company.ask`."""
    if isinstance(reranker, Embedder):
        return Company(True)

    def lists() -> Iterator[tuple[str, list[str]]]:
        for task, runs in runs_by_task:
            contents = task.contents
            for run in runs.values():
                for query, rows in zip(task.queries, run.cut(candidates).documents, strict=True):
                    yield query.text, [contents[row] for row in rows[rows >= 0].tolist()]

    task = runs_by_task[0][0]
    with context.progress.step(f"{label}: a pair alone and in company", 1, "pairs"):
        return ask(prepared(reranker, task.name, task.contents), label, lists(), context.compute.dtype, context.store)


def rerank(
    reranker: Embedder | Reranker | ListReranker,
    label: str,
    task: RetrievalTask,
    runs: Mapping[str, Run],
    candidates: int,
    context: RunContext,
) -> dict[str, Run]:
    """Return the second stage by a reranker that is fitted already, where it is one that learns."""
    texts = Texts.from_task(task)
    tops = {model: run.cut(candidates) for model, run in runs.items()}
    if isinstance(reranker, ListReranker):
        scores = _scores_of_lists(reranker, label, task.name, texts, tops, context)
    else:
        scores = scores_of_pairs(reranker, label, task.name, texts, tops, context)
    return {model: reordered(top, scores[model]) for model, top in tops.items()}


def scores_of_pairs(
    reranker: Embedder | Reranker,
    label: str,
    task_name: str,
    texts: Texts,
    tops: Mapping[str, Run],
    context: RunContext,
) -> dict[str, FloatArray]:
    """Return scores of each run's documents, NaN where there is none: float64 in the shape of the run."""
    contents, document_ids = texts.contents, texts.document_ids
    pairs = {model: _pairs(top, len(contents)) for model, top in tops.items()}
    there = {model: top.documents >= 0 for model, top in tops.items()}
    distinct = distinct_pairs(tops.values(), len(contents))
    pair_queries, pair_documents = np.divmod(distinct, len(contents))
    content_of = {row: contents[row] for row in np.unique(pair_documents).tolist()}  # in order: they may be on disk
    if isinstance(reranker, Embedder):
        scores = _similarities_of_pairs(reranker, label, task_name, texts, pair_queries, pair_documents, context)
    else:
        with context.progress.step(f"{task_name}: {label}", len(distinct), "pairs") as advance:
            scores = score_pairs(
                reranker,
                label,
                [texts.questions[row] for row in pair_queries],
                [content_of[row] for row in pair_documents],
                [
                    f"{texts.query_ids[query]} × {document_ids[document]}"
                    for query, document in zip(pair_queries, pair_documents, strict=True)
                ],
                context.store,
                advance,
                context.engine,
            )
    by_model = {model: np.full(top.documents.shape, np.nan) for model, top in tops.items()}
    for model, found in by_model.items():
        found[there[model]] = scores[np.searchsorted(distinct, pairs[model][there[model]])]
    return by_model


def _pairs(run: Run, documents: int) -> IntArray:
    """Return a number for each pair of a query and a document of a corpus of so many, in the shape of the run."""
    return np.arange(len(run.documents))[:, None] * documents + run.documents


def distinct_pairs(runs: Iterable[Run], documents: int) -> IntArray:
    """Return the numbers of the pairs that there are in runs, each once, in order."""
    return np.unique(np.concatenate([_pairs(run, documents)[run.documents >= 0] for run in runs]))


def _scores_of_lists(
    reranker: ListReranker, label: str, task_name: str, texts: Texts, tops: Mapping[str, Run], context: RunContext
) -> dict[str, FloatArray]:
    """Return places of each run's documents as scores, NaN where there is no result: float64 in the shape of the
    run.
    """
    by_model = {model: np.full(top.documents.shape, np.nan) for model, top in tops.items()}
    asked: list[str] = []
    places: list[tuple[FloatArray, int, int, int]] = []
    for model, top in tops.items():
        for query, (rows, scores) in enumerate(zip(top.documents, top.scores, strict=True)):
            listed = rows[rows >= 0]
            in_list = in_context(
                texts.questions[query], [texts.contents[row] for row in listed], scores[: len(listed)]
            )
            asked += [in_list] * len(listed)
            places += [(by_model[model], query, column, row) for column, row in enumerate(listed)]
    with context.progress.step(f"{task_name}: {label}", len(places), "pairs") as advance:
        found = score_pairs(
            ListScores(reranker),
            label,
            asked,
            [texts.contents[row] for _, _, _, row in places],
            [f"{texts.query_ids[query]} × {texts.document_ids[row]}" for _, query, _, row in places],
            context.store,
            advance,
            context.engine,
        )
    for (scored, query, column, _), score in zip(places, found, strict=True):
        scored[query, column] = np.nan if score == -np.inf else score
    return by_model


def _similarities_of_pairs(
    embedder: Embedder,
    label: str,
    task_name: str,
    texts: Texts,
    query_rows: IntArray,
    document_rows: IntArray,
    context: RunContext,
) -> FloatArray:
    """Compute similarities of (query, document) pairs by row, float64; -inf where a text has no representation."""
    queries, corpus = encode_task(embedder, label, task_name, texts, context)
    scores = similarities(queries, corpus, query_rows, document_rows, embedder.similarity)
    return np.where(np.isnan(scores), -np.inf, scores)
