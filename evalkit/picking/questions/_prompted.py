"""What a language model is asked to write on passages of documents, and reading what it wrote: questions by kind."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import cycle, islice
from typing import TYPE_CHECKING

from evalkit.models.components import describe, secrets_of
from evalkit.picking.documents import Chunk
from evalkit.picking.questions._filters import Candidate, Reasons, copies, is_question, names_the_context, words
from evalkit.picking.questions._question import Span
from evalkit.secrets import hide

if TYPE_CHECKING:
    from llama_index.core.llms import LLM


@dataclass(frozen=True)
class Kind:
    """A kind of questions: its tag, what the model is told of it, and how many passages answer one."""

    name: str
    told: str
    answers: int = 1


FACT = Kind("fact", "asks for a single fact that the passage states.")
HOW_TO = Kind("how-to", "asks how something is done, and the passage says how.")
IN_USERS_WORDS = Kind(
    "user's words",
    "what somebody with the problem would type, who does not know the passage's terms: short, in everyday words, and "
    "with none of the passage's own words where that can be.",
)
COMPARISON = Kind("comparison", "asks how two things that the passage speaks of differ, or which of them is more so.")
TWO_PASSAGES = Kind(
    "two passages", "needs both passages to be answered. Quote the words of each, in two lines that begin with A:.", 2
)
NO_ANSWER = Kind(
    "no answer",
    "is about the passage's subject, and the passage does not answer it. Write no line that begins with A: after it.",
    0,
)
KINDS = (FACT, HOW_TO, IN_USERS_WORDS, COMPARISON, TWO_PASSAGES, NO_ANSWER)
"""Passages are asked for these by turns."""
PROMPT = """Write {count} questions that somebody who has not seen the text below might ask, one of each kind:

{kinds}

If there is nothing in the text for a kind, write a question of the kind "fact" in its place.

- Each question is in the language of the text, and makes sense by itself. Name the thing it is about; do not speak \
of "the passage" or "the text".
- Use other words than the text where you can.
- After each question, quote the words that answer it, exactly as they stand there.

Write nothing else, and in this form:

Kind: the kind
Q: the question
A: the words that answer it

{passages}"""
LINE = re.compile(r"[\s>*_#\d.)-]*(?P<what>Kind|Q|A|Question|Answer)[\s*_\d]*[:：]", re.IGNORECASE)
"""How a line with a kind, a question or its answer begins, also where a model numbers or decorates it."""
THOUGHTS = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
"""What some models write before they answer, also where they came to no end."""
OTHER_TEXT = "preamble, or other text"
REASONS: Reasons = {
    "not a question": lambda each: each.kind != IN_USERS_WORDS.name and not is_question(each.text),
    "names the context": lambda each: names_the_context(each.text),
    "copies the passage": lambda each: copies(each.text, each.passage),
}


@dataclass(frozen=True)
class Request:
    """The kinds of questions that are asked for at once, on the passages that are shown: one, or two."""

    kinds: tuple[Kind, ...]
    passages: tuple[Chunk, ...]

    @property
    def prompt(self) -> str:
        """What the model is told."""
        kinds = "\n".join(f"- {kind.name}: {kind.told}" for kind in self.kinds)
        shown = "\n\n".join(f'Passage:\n"""\n{passage.text}\n"""' for passage in self.passages)
        return PROMPT.format(count=len(self.kinds), kinds=kinds, passages=shown)


class Prompted:
    """Asks any language model of LlamaIndex for questions."""

    reasons: Reasons = REASONS

    def __init__(self, llm: "LLM") -> None:
        self._llm = llm
        self.name = llm.metadata.model_name
        # Nothing that changes from call to call.
        values = describe(llm, leave_out=tuple(llm.__pydantic_private__ or ()))
        self.identity: Mapping[str, object] = {"class": values["class"], "values": values["values"]}
        self.asks: Mapping[str, object] = {"prompt": PROMPT, "kinds": {kind.name: kind.told for kind in KINDS}}

    def requests(self, chunks: Sequence[Chunk], per_passage: int) -> list[Request]:
        """Return what is asked for on each passage: so many kinds, by turns. Two passages are two that are near."""
        near = _nearest(chunks)
        turns = cycle(KINDS if near else [kind for kind in KINDS if kind.answers < 2])
        asked = []
        for chunk in chunks:
            kinds = tuple(dict.fromkeys(islice(turns, per_passage)))
            both = any(kind.answers == 2 for kind in kinds)
            asked.append(Request(kinds, (chunk, near[chunk]) if both else (chunk,)))
        return asked

    def key(self, request: Request) -> str:
        """Return what decides the answer, as a hash."""
        asked = json.dumps(self.identity, sort_keys=True)
        return sha256(f"{asked}\0{request.prompt}".encode("utf-8", "surrogatepass")).hexdigest()

    def ask(self, request: Request) -> str:
        """Return what the model says. Raises what its client raises."""
        return str(self._llm.complete(request.prompt).text or "")

    def hide(self, text: str) -> str:
        """Return a text without the model's key."""
        return hide(text, secrets_of(self._llm))

    def read(self, request: Request, answer: str, drops: Counter[str]) -> Iterator[Candidate]:
        """Yield the questions of an answer; what cannot be read is counted by its reason."""
        allowed = {kind.name: kind for kind in (*request.kinds, FACT)}
        for name, question, quotes in _written(THOUGHTS.sub("", answer), drops):
            kind = allowed.get(name)
            if kind is None:
                drops["of no kind that was asked for"] += 1
                continue
            found = [_quoted(quote, request.passages) for quote in quotes]
            if reason := _fault(kind, found):
                drops[reason] += 1
                continue
            places = [each for each in found if each is not None]
            yield Candidate(
                kind.name,
                question,
                tuple(each.span for each in places),
                tuple(each.words for each in places),
                "\n".join(each.text for each in request.passages),
            )


@dataclass(frozen=True)
class _Quote:
    """Where a quote stands, its words there, and in which passage."""

    passage: str
    span: Span
    words: str


def _fault(kind: Kind, quotes: Sequence[_Quote | None]) -> str:
    """Say why the quotes after a question do not answer it as its kind asks for; "" if they do."""
    if kind is NO_ANSWER:  # some models write an answer such as "none"
        return "answered, and was to have no answer" if any(quotes) else ""
    if not quotes:
        return "without the words that answer it"
    if not all(quotes):
        return "its answer is not in the passage"
    apart = {each.passage for each in quotes if each is not None}
    return (
        "" if len(quotes) == len(apart) == kind.answers else "not answered by as many passages as its kind asks for"
    )


def _written(answer: str, drops: Counter[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield kind, question and quotes, as they stand in the lines of an answer."""
    kind, question, quotes = "", "", list[str]()
    for line in filter(str.strip, answer.splitlines()):
        found = LINE.match(line)
        text = line[found.end() :].strip(" \t*_") if found else ""
        what = found["what"][0].upper() if found else ""
        if what in ("K", "Q") and question:
            yield kind, question, quotes
            # Each question has its kind before it.
            kind, question, quotes = "", "", []
        if what == "K":
            kind = text.casefold().strip(".\"'`“”‘’").replace("’", "'")
        elif what == "Q":
            question = text
        elif what == "A" and question:
            quotes.append(text)
        else:
            drops[OTHER_TEXT] += 1
    if question:
        yield kind, question, quotes


def _quoted(quote: str, passages: Sequence[Chunk]) -> _Quote | None:
    """Tell where a passage has the quote, whatever blanks are between its words and quotation marks around it."""
    wanted = quote.strip("\"'“”‘’„«»「」 ").removesuffix("…").removesuffix("...").split()
    if not wanted:
        return None
    pattern = re.compile(r"\s+".join(map(re.escape, wanted)), re.IGNORECASE)
    for chunk in passages:
        if hit := pattern.search(chunk.text):
            return _Quote(chunk.id, Span(chunk.file, chunk.start + hit.start(), chunk.start + hit.end()), hit[0])
    return None


def _nearest(chunks: Sequence[Chunk]) -> dict[Chunk, Chunk]:
    """Return for each passage the one whose words are most like its own (TF-IDF); empty if there are not two."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]

    found = [words(chunk.text) for chunk in chunks]
    if len(chunks) < 2 or not any(found):
        return {}
    vectors = TfidfVectorizer(analyzer=list).fit_transform(found)
    alike = (vectors @ vectors.T).toarray()
    np.fill_diagonal(alike, -1)
    return {chunk: chunks[other] for chunk, other in zip(chunks, alike.argmax(axis=1).tolist(), strict=True)}
