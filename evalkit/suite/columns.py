"""What columns are called, in the files that people have, and which fields of ours they are."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

_PLAIN = re.compile(r"[\s_\-.]+")
Columns = Mapping[str, tuple[str, ...]]
"""The columns that can be each field: one, or several where it is not clear which."""
SHOWN = 12


@dataclass(frozen=True)
class Fields:
    """The fields of a kind of row, each with the names that its column may have beside the field's own.

    Case, blanks, hyphens and underscores in names make no difference. A column that has a field's own name is that
    field, whatever others there are; where `number` is concerned, two columns that could be it are never chosen from.
    """

    needed: Mapping[str, tuple[str, ...]]
    optional: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    number: str = ""

    @property
    def all(self) -> dict[str, tuple[str, ...]]:
        """All fields with their further names, those that are needed first."""
        return {**self.needed, **self.optional}

    def match(self, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The columns that can be each field; fields without one are left out."""
        plain = {column: _plain(column) for column in columns}
        matched: dict[str, tuple[str, ...]] = {}
        for name, others in self.all.items():
            allowed = {_plain(name), *others}
            candidates = tuple(column for column in columns if plain[column] in allowed)
            if name in candidates and name != self.number:
                candidates = (name,)
            if candidates:
                matched[name] = candidates
        return matched

    def missing(self, columns: Sequence[str]) -> list[str]:
        """The needed fields that no column can be."""
        matched = self.match(columns)
        return [name for name in self.needed if name not in matched]

    def explain(self, name: str, columns: Sequence[str]) -> str:
        """Say that a field is missing, which columns are there and needed, and which one may be meant."""
        listed = ", ".join(map(repr, columns[:SHOWN])) + (", …" if len(columns) > SHOWN else "")
        taken = {column for candidates in self.match(columns).values() for column in candidates}
        plain = {_plain(column): column for column in columns if column not in taken}
        near = [match for other in (_plain(name), *self.all[name]) for match in get_close_matches(other, plain, 1)]
        meant = f". Is {plain[near[0]]!r} meant? Call it {name!r}" if near else ""
        needed = ", ".join(dict.fromkeys((*self.needed, name)))
        return f"no field {name!r}; the columns are {listed or 'none'}; needed: {needed}{meant}"


def _plain(column: str) -> str:
    return _PLAIN.sub("", column).casefold()


_TEXT = ("text", "contents", "content", "body")
_QUERY_ID = ("queryid", "qid", "topicid", "topicno")
_DOCUMENT_ID = ("corpusid", "docid", "documentid", "docno", "did", "pid", "passageid")

PAIRS = Fields(
    {
        "sentence1": ("text1", "sent1", "s1", "sentencea", "texta", "senta", "string1"),
        "sentence2": ("text2", "sent2", "s2", "sentenceb", "textb", "sentb", "string2"),
        "score": (
            "similarity", "similarityscore", "sim", "relatedness", "relatednessscore", "label", "labels", "gold",
            "goldscore", "goldlabel", "rating", "relevance",
        ),
    },
    number="score",
)  # fmt: skip
CORPUS = Fields(
    {"_id": ("id", *_DOCUMENT_ID), "text": (*_TEXT, "passage", "passagetext", "document", "documenttext", "doctext")},
    {"title": ()},
)
QUERIES = Fields(
    {"_id": ("id", *_QUERY_ID, "questionid"), "text": (*_TEXT, "query", "question", "querytext", "questiontext")},
    {"metadata": ()},
)
QRELS = Fields(
    {
        "query-id": (*_QUERY_ID, "query", "topic", "questionid"),
        "corpus-id": (*_DOCUMENT_ID, "doc", "document", "passage"),
    },
    {
        "score": ("relevance", "rel", "grade", "label", "judgment", "judgement", "relevancelabel", "relevancescore"),
        "iteration": ("iter", "q0"),
        "index": ("indexlevel0", "unnamed:0"),  # pandas'
    },
    number="score",
)
QUESTIONS = Fields(
    {"question": ("userinput", "query", "input")},
    {
        "id": ("questionid", "qid"),
        "passage": ("referencecontexts", "referencecontext", "context"),  # Ragas'; SQuAD's
        "quote": (),
        "file": ("filename",),
        "reference": ("groundtruth", "groundtruths"),  # Ragas' answers, which are in no document and not read
    },
)
PUBLISHED = Fields(dict.fromkeys(("task", "split", "model", "reranker", "metric", "score", "n", "source"), ()))
