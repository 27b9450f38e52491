"""The two stages of retrieval, pairs of sentences, and evaluators of tasks: one task and one model at a time."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import chain

import numpy as np

from evalkit.contracts import Embedder, ListReranker, Reranker, Retriever, VectorRows
from evalkit.errors import ConfigError
from evalkit.runner.context import RunContext
from evalkit.runner.grid.company import Company, InCompany, ListScores, ask, in_context
from evalkit.runner.grid.description import (
    Description,
    Vocabulary,
    describe,
    known_by_tokens,
    known_by_vectors,
    known_by_words,
)
from evalkit.runner.grid.encoding import encode, learned_from, prepared, score_pairs
from evalkit.runner.grid.notes import fitted_on, of_first_stage, of_second_stage
from evalkit.runner.grid.plan import CellFacts
from evalkit.runner.grid.searching import reader, search_by, similarities
from evalkit.runner.grid.truncation import Reading, read_documents, read_pairs, read_texts, sampled
from evalkit.search.ranking import id_ranks, rank, reordered, without_documents
from evalkit.store.keys import fingerprint
from evalkit.tasks.kinds import kind_of
from evalkit.terms import Role
from evalkit.types import FloatArray, IntArray, RetrievalTask, Run, Task


@dataclass(frozen=True)
class _Texts:
    """A retrieval task's texts and ids."""

    contents: Sequence[str]
    document_ids: Sequence[str]
    questions: list[str]
    query_ids: list[str]

    @classmethod
    def of(cls, task: RetrievalTask) -> "_Texts":
        return cls(
            task.contents,
            task.document_ids,
            [query.text for query in task.queries],
            [query.id for query in task.queries],
        )


def first_stage(
    model: Embedder | Retriever, label: str, task: RetrievalTask, depth: int, context: RunContext
) -> tuple[Run, CellFacts]:
    """Return the `depth` best documents of each query by one model, exactly."""
    started = time.perf_counter()
    texts = _Texts.of(task)
    model = prepared(model, task.name, texts.contents)
    searched = depth + bool(task.not_for_themselves)
    among = _candidates(task, texts)
    tokens = partial(_known_of, model, texts)
    if not isinstance(model, Embedder):
        if among is None:
            with context.progress.step(f"{task.name}: {label}", len(texts.contents), "documents") as advance:
                run = model.search(texts.questions, texts.document_ids, searched, advance)
        else:
            run = _best_of(model, label, task, texts, among, searched, context)
        run = _results(run, task, texts, depth)
        known = known_by_words(model, [(texts.document_ids, texts.contents), (texts.query_ids, texts.questions)])
        described = describe(
            model, label, task.content_hash, context.store, lambda: read_documents(model, task), tokens
        )
        return run, _facts(model, described, "documents", started, known=known, notes=of_first_stage(run))
    queries, corpus = _encode_task(reader(model), label, task.name, texts, context)
    run = search_by(
        model, queries, corpus, texts.document_ids, searched, context.compute, among=among, engine=context.engine
    )
    run = _results(run, task, texts, depth)
    documents, questions = (texts.document_ids, texts.contents, corpus), (texts.query_ids, texts.questions, queries)
    known = known_by_vectors(model, [documents, questions])
    sent = chain(texts.contents, texts.questions)
    described = describe(
        model, label, task.content_hash, context.store, lambda: read_documents(model, task), tokens, sent
    )
    return run, _facts(model, described, "documents", started, corpus.shape[1], known, of_first_stage(run))


def _candidates(task: RetrievalTask, texts: _Texts) -> IntArray | None:
    """Return rows of each query's candidates: int64 of shape (n_queries, most), -1 at the end of a row; None without
    any.
    """
    if task.candidates is None:
        return None
    listed = [task.candidates.get(query, ()) for query in texts.query_ids]
    known = set(chain.from_iterable(listed))
    row_of = {identifier: row for row, identifier in enumerate(texts.document_ids) if identifier in known}
    rows = np.full((len(listed), max(map(len, listed), default=0)), -1, dtype=np.int64)
    for row, of_query in zip(rows, listed, strict=True):
        row[: len(of_query)] = [row_of[identifier] for identifier in of_query]
    return rows


def _best_of(
    model: Retriever, label: str, task: RetrievalTask, texts: _Texts, among: IntArray, depth: int, context: RunContext
) -> Run:
    """Return the best of each query's candidates by a retriever that scores pairs too. Raises ConfigError for
    another.
    """
    if not isinstance(model, Reranker):
        raise ConfigError(
            f"{label} searches a whole corpus and scores no pairs, so that it cannot rank the candidates that the "
            f"queries of {task.name} have. Leave it out of this task, or give it a method `score` "
            "(evalkit.contracts.Reranker)."
        )
    scores = _scores_of_pairs(model, label, task.name, texts, {label: Run(among, np.zeros(among.shape))}, context)
    return rank(among, scores[label], id_ranks(texts.document_ids), depth)


def _known_of(model: object, texts: _Texts) -> Vocabulary:
    """Tell what a model's tokenizer knows of a task's documents and queries."""
    return known_by_tokens(
        model, [(texts.document_ids, texts.contents, "document"), (texts.query_ids, texts.questions, "query")]
    )


def _results(run: Run, task: RetrievalTask, texts: _Texts, depth: int) -> Run:
    if not task.not_for_themselves:
        return run
    own = [query if query in task.not_for_themselves else None for query in texts.query_ids]
    return without_documents(run, own, texts.document_ids, depth)


def _encode_task(
    embedder: Embedder, label: str, task_name: str, texts: _Texts, context: RunContext
) -> tuple[VectorRows, VectorRows]:
    """Return vectors of the queries, and of the corpus."""
    learned = partial(learned_from, embedder, task_name, texts.contents)
    with context.progress.step(f"{task_name}: {label}", len(texts.contents) + len(texts.questions)) as advance:
        how = context.store, advance, context.engine, learned
        corpus = encode(embedder, label, texts.contents, texts.document_ids, "document", *how)
        queries = encode(embedder, label, texts.questions, texts.query_ids, "query", *how)
    return queries, corpus


def observe(
    embedder: Embedder, label: str, task: Task, context: RunContext
) -> tuple[Mapping[str, FloatArray], CellFacts]:
    """Make the values of each item of a task that is not scored by rankings; see `TaskKind.observe`."""
    started = time.perf_counter()
    kind = kind_of(task)
    texts = kind.texts(task)
    embedder = prepared(embedder, task.name, texts)
    encoded: list[tuple[Sequence[str], Sequence[str], VectorRows]] = []

    def encode_texts(wanted: Sequence[str], role: Role) -> VectorRows:
        with context.progress.step(f"{task.name}: {label}", len(wanted)) as advance:
            learned = partial(learned_from, embedder, task.name, texts)
            vectors = encode(embedder, label, wanted, wanted, role, context.store, advance, context.engine, learned)
        encoded.append((wanted, wanted, vectors))
        return vectors

    values = kind.observe(task, encode_texts, embedder.similarity)
    known = known_by_vectors(embedder, encoded)
    tokens = partial(known_by_tokens, embedder, [(texts, texts, "sentence")])
    described = describe(
        embedder, label, task.content_hash, context.store, lambda: read_texts(embedder, texts), tokens, texts
    )
    notes = (*fitted_on(embedder, len(texts), kind.texts_are), *kind.notes(values))
    dim = encoded[0][2].shape[1] if encoded else None
    return values, _facts(embedder, described, kind.texts_are, started, dim, known, notes)


def second_stage(
    reranker: Embedder | Reranker | ListReranker,
    label: str,
    task: RetrievalTask,
    runs: Mapping[str, Run],
    candidates: int,
    context: RunContext,
    company: Company,
) -> tuple[dict[str, Run], CellFacts]:
    """Return each run's first `candidates` documents in the reranker's order; where it scores two alike, in the
    run's.

    The pairs of all runs are pooled, and each distinct pair is scored once. An embedder scores a pair by the
    similarity of its two vectors. A list reranker gets each run's lists; what it leaves out is no result. So does one
    of which `company` says that its scores hold within a list only.
    """
    started = time.perf_counter()
    reranker = prepared(reranker, task.name, task.contents)
    in_lists = InCompany(reranker) if isinstance(reranker, Reranker) and not company.alone else reranker
    reranked = rerank(in_lists, label, task, runs, candidates, context)
    pairs = _distinct_pairs([run.cut(candidates) for run in runs.values()], len(task.corpus))
    pairs_hash = fingerprint({"task": task.content_hash, "pairs": sha256(pairs.tobytes()).hexdigest()})

    def read() -> Reading | None:
        if not len(pairs):  # no first stage found anything
            return None
        rows = [divmod(pair, len(task.corpus)) for pair in pairs[sampled(len(pairs))].tolist()]
        contents = task.contents
        return read_pairs(reranker, task, [(task.queries[query].text, contents[row]) for query, row in rows])

    sent = (task.contents[row] for row in np.unique(pairs % len(task.corpus)).tolist())
    tokens = partial(_known_of, reranker, _Texts.of(task))
    described = describe(reranker, label, pairs_hash, context.store, read, tokens, sent)
    said = of_second_stage([(runs[model].cut(candidates), reranked[model]) for model in runs])
    notes = (*_of_lists_cut(task, candidates), *said, *([company.note] if company.note else []))
    return reranked, _facts(reranker, described, "pairs", started, notes=notes)


def _of_lists_cut(task: RetrievalTask, candidates: int) -> tuple[str, ...]:
    """Say that queries have more candidates of their own than a reranker gets; no sentence where none has."""
    most = max(map(len, (task.candidates or {}).values()), default=0)
    if most <= candidates:
        return ()
    return (
        f"It gets the first {candidates:,} of up to {most:,} candidates of a query; with --candidates {most} it gets "
        "all.",
    )


def ask_company(
    reranker: Embedder | Reranker | ListReranker,
    label: str,
    runs_by_task: Sequence[tuple[RetrievalTask, Mapping[str, Run]]],
    candidates: int,
    context: RunContext,
) -> Company:
    """Find out whether a reranker scores each pair by itself; see `company.ask`."""
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
    texts = _Texts.of(task)
    tops = {model: run.cut(candidates) for model, run in runs.items()}
    if isinstance(reranker, ListReranker):
        scores = _scores_of_lists(reranker, label, task.name, texts, tops, context)
    else:
        scores = _scores_of_pairs(reranker, label, task.name, texts, tops, context)
    return {model: reordered(top, scores[model]) for model, top in tops.items()}


def _scores_of_pairs(
    reranker: Embedder | Reranker,
    label: str,
    task_name: str,
    texts: _Texts,
    tops: Mapping[str, Run],
    context: RunContext,
) -> dict[str, FloatArray]:
    """Return scores of each run's documents, NaN where there is none: float64 in the shape of the run."""
    contents, document_ids = texts.contents, texts.document_ids
    pairs = {model: _pairs(top, len(contents)) for model, top in tops.items()}
    there = {model: top.documents >= 0 for model, top in tops.items()}
    distinct = _distinct_pairs(tops.values(), len(contents))
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


def _distinct_pairs(runs: Iterable[Run], documents: int) -> IntArray:
    """Return the numbers of the pairs that there are in runs, each once, in order."""
    return np.unique(np.concatenate([_pairs(run, documents)[run.documents >= 0] for run in runs]))


def _scores_of_lists(
    reranker: ListReranker, label: str, task_name: str, texts: _Texts, tops: Mapping[str, Run], context: RunContext
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
    texts: _Texts,
    query_rows: IntArray,
    document_rows: IntArray,
    context: RunContext,
) -> FloatArray:
    """Compute similarities of (query, document) pairs by row, float64; -inf where a text has no representation."""
    queries, corpus = _encode_task(embedder, label, task_name, texts, context)
    scores = similarities(queries, corpus, query_rows, document_rows, embedder.similarity)
    return np.where(np.isnan(scores), -np.inf, scores)


def _facts(
    model: Embedder | Retriever | Reranker | ListReranker,
    described: Description,
    what: str,
    started: float,
    dim: int | None = None,
    known: Vocabulary = Vocabulary(),  # noqa: B008
    notes: tuple[str, ...] = (),
) -> CellFacts:
    """Tell what is known of a model on a task; `what` names the texts that it read, and `started` is when it began.

    `notes` are those of the stage, beside what is said of how the model is run. What is `known` of the texts is told
    by the model's tokens where it is not by its vocabulary.
    """
    known = described.known if known.coverage is None else known
    return CellFacts(
        fingerprint(model.identity),
        time.perf_counter() - started,
        known.coverage,
        known.blank,
        wordless=known.wordless,
        notes=(*notes, *described.notes(what)),
        described=described,
        dim=dim,
    )
