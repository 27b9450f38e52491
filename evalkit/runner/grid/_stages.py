"""The two stages of retrieval, pairs of sentences, and evaluators of tasks: one task and one model at a time."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from itertools import chain

import numpy as np

from evalkit.contracts import Embedder, ListReranker, Reranker, Retriever, VectorRows
from evalkit.errors import ConfigError
from evalkit.runner.context import RunContext
from evalkit.runner.grid._company import Company, InCompany
from evalkit.runner.grid._description import (
    Description,
    Vocabulary,
    describe,
    known_by_tokens,
    known_by_vectors,
    known_by_words,
)
from evalkit.runner.grid._reranking import distinct_pairs, rerank, scores_of_pairs
from evalkit.runner.grid._searching import reader, search_by
from evalkit.runner.grid.encoding import Texts, encode, encode_task, in_context, learned_from, prepared
from evalkit.runner.grid.plan import CellFacts, fitted_on, of_first_stage, of_second_stage
from evalkit.runner.grid.truncation import Reading, read_documents, read_pairs, read_texts, sampled
from evalkit.search.ranking import by_best_passage, documents_of, enough_passages, id_ranks, rank, without_documents
from evalkit.store.keys import fingerprint
from evalkit.tasks.kinds import kind_of
from evalkit.terms import Role
from evalkit.types import Document, FloatArray, IntArray, RetrievalTask, Run, Task


def first_stage(
    model: Embedder | Retriever, label: str, task: RetrievalTask, depth: int, context: RunContext
) -> tuple[Run, CellFacts]:
    """Return the `depth` best documents of each query by one model, exactly."""
    if task.passages is not None:
        return _by_passages(model, label, task, task.passages, depth, context)
    started = time.perf_counter()
    texts = Texts.from_task(task)
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
    reading, keyed = in_context(model, label, task)
    queries, corpus = encode_task(reader(reading), label, task.name, Texts.from_task(keyed), context)
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
    return run, _facts(reading, described, "documents", started, corpus.shape[1], known, of_first_stage(run))


def _by_passages(
    model: Embedder | Retriever,
    label: str,
    task: RetrievalTask,
    passages: Sequence[Document],
    depth: int,
    context: RunContext,
) -> tuple[Run, CellFacts]:
    """Return the documents with the best passages; the facts are of how the model reads these."""
    texts, wanted = Texts.from_task(task), depth + bool(task.not_for_themselves)
    documents = documents_of(passages, texts.document_ids)
    found, facts = first_stage(model, label, task.searched, enough_passages(documents, wanted), context)
    run = by_best_passage(found, documents, id_ranks(texts.document_ids), wanted)
    return _results(run, task, texts, depth), facts


def _candidates(task: RetrievalTask, texts: Texts) -> IntArray | None:
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
    model: Retriever, label: str, task: RetrievalTask, texts: Texts, among: IntArray, depth: int, context: RunContext
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
    scores = scores_of_pairs(model, label, task.name, texts, {label: Run(among, np.zeros(among.shape))}, context)
    return rank(among, scores[label], id_ranks(texts.document_ids), depth)


def _known_of(model: object, texts: Texts) -> Vocabulary:
    """Tell what a model's tokenizer knows of a task's documents and queries."""
    return known_by_tokens(
        model, [(texts.document_ids, texts.contents, "document"), (texts.query_ids, texts.questions, "query")]
    )


def _results(run: Run, task: RetrievalTask, texts: Texts, depth: int) -> Run:
    if not task.not_for_themselves:
        return run
    own = [query if query in task.not_for_themselves else None for query in texts.query_ids]
    return without_documents(run, own, texts.document_ids, depth)


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
    pairs = distinct_pairs([run.cut(candidates) for run in runs.values()], len(task.corpus))
    pairs_hash = fingerprint({"task": task.content_hash, "pairs": sha256(pairs.tobytes()).hexdigest()})

    def read() -> Reading | None:
        if not len(pairs):  # no first stage found anything
            return None
        rows = [divmod(pair, len(task.corpus)) for pair in pairs[sampled(len(pairs))].tolist()]
        contents = task.contents
        return read_pairs(reranker, task, [(task.queries[query].text, contents[row]) for query, row in rows])

    sent = (task.contents[row] for row in np.unique(pairs % len(task.corpus)).tolist())
    tokens = partial(_known_of, reranker, Texts.from_task(task))
    described = describe(reranker, label, pairs_hash, context.store, read, tokens, sent)
    said = of_second_stage([(runs[model].cut(candidates), reranked[model]) for model in runs])
    notes = (*_of_lists_cut(task, candidates), *said, *([company.note] if company.note else []))
    facts = _facts(reranker, described, "pairs", started, notes=notes)
    return reranked, replace(facts, in_lists=isinstance(in_lists, ListReranker))


def _of_lists_cut(task: RetrievalTask, candidates: int) -> tuple[str, ...]:
    """Say that queries have more candidates of their own than a reranker gets; no sentence where none has."""
    most = max(map(len, (task.candidates or {}).values()), default=0)
    if most <= candidates:
        return ()
    return (
        f"It gets the first {candidates:,} of up to {most:,} candidates of a query; with --candidates {most} it gets "
        "all.",
    )


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
