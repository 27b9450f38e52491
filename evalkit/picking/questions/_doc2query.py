"""Questions that a network of doc2query's kind makes of passages: the answer is as much of each as it reads."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from evalkit.models.language_models import Seq2Seq
from evalkit.picking.documents import Chunk
from evalkit.picking.questions._filters import Candidate, Reasons, copies, names_the_context
from evalkit.picking.questions._question import Span

KIND = "query"


@dataclass(frozen=True)
class Passage:
    """A passage, and how many questions are made of it."""

    passages: tuple[Chunk]
    count: int


REASONS: Reasons = {
    "names the context": lambda each: names_the_context(each.text),
    "copies the passage": lambda each: copies(each.text, each.passage),
}
"""Such networks learned from searches, which need not be whole questions."""


class Doc2Query:
    """Asks a network for the likeliest questions on passages."""

    reasons = REASONS

    def __init__(self, network: Seq2Seq) -> None:
        self._network = network
        self.name = network.name
        self.identity: Mapping[str, object] = network.identity
        self.asks: Mapping[str, object] = {"kinds": {KIND: "the likeliest by beam search"}}

    def requests(self, chunks: Sequence[Chunk], per_passage: int) -> list[Passage]:
        """Return what is asked for on each passage."""
        return [Passage((chunk,), per_passage) for chunk in chunks]

    def key(self, request: Passage) -> str:
        """Return what decides the answer, as a hash."""
        (chunk,) = request.passages
        return sha256(f"{self.identity}\0{request.count}\0{chunk.text}".encode("utf-8", "surrogatepass")).hexdigest()

    def ask(self, request: Passage) -> str:
        """Return the questions, a line each."""
        return "\n".join(self._network.ask(request.passages[0].text, request.count))

    def hide(self, text: str) -> str:
        """Return a text as it is: there is no key."""
        return text

    def read(self, request: Passage, answer: str, drops: Counter[str]) -> Iterator[Candidate]:
        """Yield the questions, each answered by what the network reads of its passage."""
        (chunk,) = request.passages
        read = chunk.text[: self._network.read(chunk.text)]
        span = Span(chunk.file, chunk.start, chunk.start + len(read))
        for line in answer.splitlines():
            yield Candidate(KIND, line, (span,), (read,), read)
