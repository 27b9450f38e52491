"""What columns are called, in the files that people have, and which fields of ours they are."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

_PLAIN = re.compile(r"[\s_\-.]+")
Columns = Mapping[str, tuple[str, ...]]
"""The columns that can be each field: one, or several where it is not clear which."""
SHOWN = 12
NEAR = 0.75
"""How like a name another must be to be pointed at, from 0 to 1 (difflib's ratio)."""


@dataclass(frozen=True)
class Fields:
    """The fields of a kind of row, each with the names that its column may have beside the field's own.

    Case, blanks, hyphens and underscores in names make no difference. A column that has a field's own name is that
    field, whatever others there are; where `number` is concerned, two columns that could be it are never chosen from.
    Of the optional fields in `one_of` at least one is needed. `hints` are names that may mean a field and may not: an
    error points at them, and nothing is read from them.
    """

    needed: Mapping[str, tuple[str, ...]]
    optional: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    number: str = ""
    one_of: tuple[str, ...] = ()
    hints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def all(self) -> dict[str, tuple[str, ...]]:
        """All fields with their further names, those that are needed first."""
        return {**self.needed, **self.optional}

    def match(self, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the columns that can be each field; fields without one are left out."""
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

    def missing(self, columns: Sequence[str]) -> list[tuple[str, ...]]:
        """Return the needed fields that no column can be: each alone, or those of which one is needed together."""
        matched = self.match(columns)
        groups = [(name,) for name in self.needed] + ([self.one_of] if self.one_of else [])
        return [group for group in groups if not matched.keys() & set(group)]

    def explain(self, names: Sequence[str], columns: Sequence[str]) -> str:
        """Say that a field, or any of several, is missing, which columns are there and needed, and which is meant."""
        listed = ", ".join(map(repr, columns[:SHOWN])) + (", …" if len(columns) > SHOWN else "")
        meant = next((f". Is {column!r} meant? Call it {name!r}" for name, column in self._near(names, columns)), "")
        needed = ", ".join(dict.fromkeys((*self.needed, *(names if len(names) == 1 else ()))))
        one_of = f" and one of {', '.join(self.one_of)}" if self.one_of else ""
        fields = " or ".join(map(repr, names))
        return f"no field {fields}; the columns are {listed or 'none'}; needed: {needed}{one_of}{meant}"

    def _near(self, names: Sequence[str], columns: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield fields with the column that is most like a name that each may have."""
        taken = {column for candidates in self.match(columns).values() for column in candidates}
        plain = {_plain(column): column for column in columns if column not in taken}
        for name in names:
            for other in (_plain(name), *self.all[name], *self.hints.get(name, ())):
                yield from ((name, plain[match]) for match in get_close_matches(other, plain, 1, NEAR))


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
_GOLD_PASSAGE = tuple(
    f"{which}{what}{many}"
    for which in ("reference", "relevant", "expected", "gold", "positive", "answer")
    for what in ("context", "passage", "chunk")
    for many in ("", "s")
)
QUESTIONS = Fields(
    {"question": ("userinput", "query", "input", "querytext", "questiontext")},
    {
        "id": ("questionid", "queryid", "qid"),
        "passage": ("context", "passages", *_GOLD_PASSAGE),  # SQuAD's; Ragas' reference_contexts
        "quote": (),
        "file": ("filename",),
        "taken_out": (),  # a question that was made from the documents
        "reference": ("groundtruth", "groundtruths", "referenceanswer"),  # Ragas' answers, which are in no document
        "retrieved": ("retrievedcontexts",),  # what a system found, which need not be the answer: not read
    },
    one_of=("passage", "quote", "file"),
    hints={
        "passage": ("contexts", "text", "chunk", "evidence", "excerpt", "snippet"),
        "file": ("source", "document", "doc", "path", "filepath", "sourcefile", "docid", "documentid"),
    },
)
PUBLISHED = Fields(dict.fromkeys(("task", "split", "model", "reranker", "metric", "score", "n", "source"), ()))
