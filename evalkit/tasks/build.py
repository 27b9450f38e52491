"""From texts, scores and judgements, wherever they were read, to a checked task."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from evalkit.tasks._blocks import BlockCorpus, known_ids, rows_of_ids
from evalkit.tasks._hashing import hash_retrieval, hash_rows, hash_sts
from evalkit.tasks.checks import (
    Judgement,
    OnBadData,
    Problems,
    check_gold,
    check_judgements,
    is_judged,
    keep_first,
    keep_highest,
)
from evalkit.types import Document, Part, Qrels, Query, RetrievalTask, StsTask

Item = TypeVar("Item")
_WORD = re.compile(r"\w+")


def not_for_themselves(
    corpus: Sequence[Document], queries: Sequence[Query], qrels: Qrels, declared: bool | None, problems: Problems
) -> frozenset[str]:
    """Return the ids of the queries that are no results of themselves; the rule, and what it did, are noted.

    Declared, it holds for every query whose id the corpus has, or for none. Otherwise for those whose words are the
    document's too, as BEIR and mteb have it for these data sets: ids can also be the same by chance. A query that is
    judged relevant for itself then stays.
    """
    shared = {document.id: document for document in _documents(corpus, [query.id for query in queries])}
    same = {query.id for query in queries if query.id in shared and _words(query.text) in _readings(shared[query.id])}
    judged = {query for query in shared if qrels.get(query, {}).get(query, 0) > 0}
    left_out = frozenset(shared if declared else same - judged if declared is None else ())
    standing = f"of {len(queries)} queries stand in the corpus under their own id"
    if declared is None and left_out:
        problems.note(
            f"{len(left_out)} {standing}, with the same text, and are no results of themselves, as in BEIR and mteb "
            "(ignore_identical_ids in task.yaml decides otherwise)."
        )
    elif declared and left_out:
        problems.note(f"{len(left_out)} {standing}, and are no results of themselves (ignore_identical_ids).")
    elif declared is False and same:
        problems.note(f"{len(same)} {standing}, and are results of themselves (ignore_identical_ids: false).")
    if declared and judged:
        problems.note(f"{len(judged)} of {len(queries)} queries are judged relevant for themselves: none finds that.")
    elif declared is None and same & judged:
        problems.note(f"{len(same & judged)} {standing}, are judged relevant for themselves, and so stay results.")
    return left_out


def _documents(corpus: Sequence[Document], ids: Iterable[str]) -> Iterable[Document]:
    if isinstance(corpus, BlockCorpus):
        return (corpus[row] for row in rows_of_ids(corpus, ids))
    asked = set(ids)
    return (document for document in corpus if document.id in asked)


def _readings(document: Document) -> tuple[str, str]:
    return _words(document.text), _words(document.content)


def _words(text: str) -> str:
    """Tell what is the same in two copies of a text: its words, but not capitals, punctuation and blanks."""
    return " ".join(_WORD.findall(text.casefold()) or text.split())


Pair = tuple[str, str, float]
"""Two sentences and their gold similarity."""


def make_sts(
    name: str,
    split: str,
    pairs: Iterable[Pair],
    score_range: tuple[float, float] | None,
    source: str,
    problems: Problems,
    on_bad_data: OnBadData,
    max_pairs: int | None,
    seed: int,
) -> StsTask:
    """Return a task of the pairs with a finite score; `source` names what they came from.

    Problems found earlier are settled here with those found now: raises DataError, or warns.
    """
    kept = [pair for pair in pairs if math.isfinite(pair[2])]
    if not kept and not problems.fatal:
        problems.add(f"{source}: no sentence pair with a score", fatal=True)
    taken, drawn_from = sample(kept, max_pairs, seed)
    check_gold([pair[2] for pair in kept], [pair[2] for pair in taken], source, problems)
    problems.settle(on_bad_data)
    sentences1, sentences2, scores = zip(*taken, strict=True)
    gold = np.array(scores, dtype=np.float64)
    return StsTask(
        name=name,
        split=split,
        sentences1=sentences1,
        sentences2=sentences2,
        gold=gold,
        content_hash=hash_sts(sentences1, sentences2, gold),
        score_range=score_range,
        notes=problems.notes,
        sampled_from=drawn_from,
    )


def make_retrieval(
    name: str,
    split: str,
    documents: Iterable[Document],
    queries: Iterable[Query],
    judgements: Iterable[Judgement],
    sources: tuple[str, str, str],
    problems: Problems,
    on_bad_data: OnBadData | None,
    max_queries: int | None,
    seed: int,
    ignore_identical_ids: bool | None = None,
) -> RetrievalTask:
    """Return a task of the judged queries; `sources` names what documents, queries and judgements came from.

    `ignore_identical_ids` is the rule of `not_for_themselves`. Problems found earlier are settled here with
    those found now: raises DataError, or warns.
    """
    of_documents, of_queries, of_judgements = sources
    corpus: Sequence[Document]
    if isinstance(documents, BlockCorpus):
        corpus = documents
    else:
        corpus = tuple(keep_first(documents, of_documents, problems).values())
    kept_queries = keep_first(queries, of_queries, problems)
    qrels = keep_highest(judgements, of_judgements, problems)
    judged_ids = {document for grades in qrels.values() for document in grades}
    known = known_ids(corpus, judged_ids) if isinstance(corpus, BlockCorpus) else {each.id for each in corpus}
    check_judgements(known, kept_queries, qrels, of_judgements, problems)
    if not corpus and not problems.fatal:  # what could not be read already explains what is missing
        problems.add("the corpus has no documents", fatal=True)
    problems.settle(on_bad_data)
    judged = [query for query in kept_queries.values() if is_judged(query.id, qrels)]
    sampled, drawn_from = sample(judged, max_queries, seed)
    sampled_qrels = {query.id: qrels[query.id] for query in sampled}
    left_out = not_for_themselves(corpus, sampled, sampled_qrels, ignore_identical_ids, problems)
    return RetrievalTask(
        name=name,
        split=split,
        corpus=corpus,
        queries=tuple(sampled),
        qrels=sampled_qrels,
        content_hash=hash_retrieval(corpus, sampled, sampled_qrels, bool(ignore_identical_ids) or left_out),
        excluded=len(kept_queries) - len(judged),
        not_for_themselves=left_out,
        notes=problems.notes,
        sampled_from=drawn_from,
    )


def with_passages(task: RetrievalTask, passages: Sequence[Document]) -> RetrievalTask:
    """Return the task with parts of its documents that are searched in their place; see `RetrievalTask`."""
    content = ({"document": passage.id, "content": passage.content} for passage in passages)
    return replace(task, passages=tuple(passages), content_hash=hash_rows({"task": task.content_hash}, content))


def with_parts(task: RetrievalTask, parts: Sequence[Part]) -> RetrievalTask:
    """Return the task with what tells where each document stands in a whole text, in the documents' order."""
    number = {text: row for row, text in enumerate(dict.fromkeys(part.text for part in parts))}
    content = ({"whole": number[part.text], "start": part.start, "end": part.end} for part in parts)
    settings = {"task": task.content_hash, "wholes": list(number)}
    return replace(task, parts=tuple(parts), content_hash=hash_rows(settings, content))


def sample(rows: Sequence[Item], size: int | None, seed: int) -> tuple[list[Item], int | None]:
    """Draw so many rows by a seed, in their order, and tell of how many; where there are no more, all rows and
    None.
    """
    if size is None or size >= len(rows):
        return list(rows), None
    drawn = np.sort(np.random.default_rng(seed).choice(len(rows), size, replace=False))
    return [rows[row] for row in drawn], len(rows)
