"""Queries that stand in the corpus under their own id, as in Quora and ArguAna: are they results of themselves?"""

import re
from collections.abc import Iterable, Sequence

from evalkit.tasks.blocks import BlockCorpus, rows_of_ids
from evalkit.tasks.checks import Problems
from evalkit.types import Document, Qrels, Query

_WORD = re.compile(r"\w+")


def not_for_themselves(
    corpus: Sequence[Document], queries: Sequence[Query], qrels: Qrels, declared: bool | None, problems: Problems
) -> frozenset[str]:
    """The ids of the queries that are no results of themselves; the rule, and what it did, are noted.

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
    """What is the same in two copies of a text: its words, but not capitals, punctuation and blanks."""
    return " ".join(_WORD.findall(text.casefold()) or text.split())
