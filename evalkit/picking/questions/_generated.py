"""Questions that a language model writes on passages of the documents, filtered, each with what answers it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from evalkit.contracts import Advance, no_progress
from evalkit.errors import ApiError, ConfigError
from evalkit.models.language_models import Seq2Seq
from evalkit.picking.documents import Chunk, Chunking, Folder, split
from evalkit.picking.questions._doc2query import Doc2Query
from evalkit.picking.questions._filters import Candidate, Reasons, filtered
from evalkit.picking.questions._prompted import Prompted
from evalkit.picking.questions._question import Origin, Question, QuestionSet
from evalkit.secrets import public_url

if TYPE_CHECKING:
    from llama_index.core.llms import LLM


VERSION = 2
"""Of how answers are read, and of the filters; part of the provenance."""
PASSAGE = Chunking(512)
"""What the model is shown of a document at once."""
PER_PASSAGE = 2
"""Questions asked for on each passage if not said otherwise."""
LONGEST_ANSWER = 100_000
"""Characters that are read of what a model says to one passage."""
SHOWN = 200
"""Characters of an answer in a message."""


class Writer(Protocol):
    """Writes questions: `name` and `identity` say what it is, `asks` what it is asked, all plain data without keys.

    `reasons` to leave out what it wrote; a request has the `passages` it is about.
    """

    name: str
    identity: Mapping[str, object]
    asks: Mapping[str, object]
    reasons: Reasons

    def requests(self, chunks: Sequence[Chunk], per_passage: int) -> Sequence[Any]:
        """Return what is asked on each passage, in order."""

    def key(self, request: Any) -> str:
        """Return a hash of all that decides the answer."""

    def ask(self, request: Any) -> str:
        """Return the answer. Raises whatever a client raises."""

    def hide(self, text: str) -> str:
        """Return a text without the writer's keys."""

    def read(self, request: Any, answer: str, drops: Counter[str]) -> Iterator[Candidate]:
        """Yield the questions of an answer; what cannot be read is counted by its reason."""


def generate_questions(
    folder: Folder,
    llm: "LLM | Seq2Seq",
    *,
    passages: int = 50,
    per_passage: int = PER_PASSAGE,
    seed: int = 0,
    answers: Path | None = None,
    advance: Advance = no_progress,
) -> QuestionSet:
    """Questions that a language model writes on passages of the documents; origin "generated".

    `passages` of 512 tokens are drawn with `seed`, evenly over the files. Any language model of LlamaIndex is asked
    for `per_passage` questions on each, of the kinds by turns (at most one of each; see `_prompted.KINDS`), with the
    words that answer them: these become the spans. A `Seq2Seq` makes so many queries of each, whose span is the
    passage. The tag `kind` says which kind a question is. Those without an answer are kept as `unanswerable`.

    What it writes is filtered, and `drops` counts what was left out, by reason. What it said is kept in the file
    `answers`, line by line as it comes: it is not asked again for what is there already. LlamaIndex's models retry by
    themselves; nothing is retried here.

    Raises ConfigError if nothing usable is left, with the reasons, and ApiError for a call that fails.
    """
    writer = _writer(llm)
    requests = writer.requests(_drawn(split(folder, PASSAGE), passages, seed), per_passage)
    said = _ask(writer, requests, answers, advance)
    drops: Counter[str] = Counter()
    candidates = [
        each for request, answer in zip(requests, said, strict=True) for each in writer.read(request, answer, drops)
    ]
    kept = filtered(candidates, folder, writer.reasons, drops)
    questions = [
        Question(f"q{number}", each.text, each.spans, {"kind": each.kind})
        for number, each in enumerate(kept, start=1)
    ]
    answered = tuple(each for each in questions if each.spans)
    if not answered:
        why = "; ".join(f"{number} {reason}" for reason, number in drops.items())
        first = " ".join(said[0].split())[:SHOWN]
        raise ConfigError(
            f"nothing that the language model wrote on {len(requests)} passage(s) is a usable question: "
            f"{why or 'it wrote nothing'}. It began: {first!r}. Try another model, or give --questions."
        )
    unanswerable = tuple(each for each in questions if not each.spans)
    made = made_from(folder, llm, passages, per_passage, seed)
    return QuestionSet(answered, Origin.GENERATED, made, dict(drops), unanswerable=unanswerable)


def made_from(folder: Folder, llm: "LLM | Seq2Seq", passages: int, per_passage: int, seed: int) -> dict[str, object]:
    """Return all that decides what is generated, as plain data and without keys."""
    writer = _writer(llm)
    return {
        "version": VERSION,
        "llm": {"model": writer.name, **writer.identity},
        **writer.asks,
        "passages": passages,
        "per_passage": per_passage,
        "seed": seed,
        "documents": folder.content_hash,
    }


def named(llm: "LLM | Seq2Seq") -> str:
    """Return what a language model is called, with the server that it is asked at."""
    place = getattr(llm, "api_base", None)
    return _writer(llm).name + (f" at {public_url(place)}" if place else "")


def _writer(llm: "LLM | Seq2Seq") -> Writer:
    return Doc2Query(llm) if isinstance(llm, Seq2Seq) else Prompted(llm)


def _drawn(chunks: tuple[Chunk, ...], count: int, seed: int) -> list[Chunk]:
    """So many chunks by turns over the files, in a seeded order; then in the documents' order."""
    order = np.random.default_rng(seed).permutation(len(chunks)).tolist()
    turn: Counter[str] = Counter()
    by_turn = []
    for place, row in enumerate(order):
        by_turn.append((turn[chunks[row].file], place, row))
        turn[chunks[row].file] += 1
    return [chunks[row] for row in sorted(row for _, _, row in sorted(by_turn)[:count])]


def _ask(writer: Writer, requests: Sequence[Any], answers: Path | None, advance: Advance) -> list[str]:
    """Tell what the model says to each request, in order."""
    known = _known(answers)
    said = []
    for request in requests:
        key, passage = writer.key(request), request.passages[0].id
        if key not in known:
            known[key] = _answer(writer, request, passage, answers)
            if answers is not None:
                answers.parent.mkdir(parents=True, exist_ok=True)
                with answers.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": key, "passage": passage, "answer": known[key]}) + "\n")
        said.append(known[key])
        advance(1)
    return said


def _answer(writer: Writer, request: Any, passage: str, answers: Path | None) -> str:
    try:
        return writer.ask(request)[:LONGEST_ANSWER]
    except Exception as error:  # whatever a client raises; it may hold the key, and must not be chained
        told = writer.hide(f"{type(error).__name__}: {error}")
    kept = "" if answers is None else f" What it said before is in {answers}; the next run asks for the rest only."
    raise ApiError(f"the language model {writer.name!r} failed on the passage {passage}: {told}.{kept}")


def _known(answers: Path | None) -> dict[str, str]:
    """Tell what was said before, by key; a line that was cut off in the middle is asked again."""
    if answers is None or not answers.is_file():
        return {}
    found = {}
    for line in answers.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
            found[str(row["key"])] = str(row["answer"])
        except (ValueError, KeyError, TypeError):
            continue
    return found
