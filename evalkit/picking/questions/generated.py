"""Questions that a language model writes, each with the words of a passage that answer it; and sets that are kept."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.contracts import Advance, no_progress
from evalkit.errors import ApiError, ConfigError
from evalkit.models.components import describe, secrets_of
from evalkit.picking.documents import Chunk, Chunking, Folder, split
from evalkit.picking.questions._filters import Candidate, Reasons, copies, filtered, names_the_context
from evalkit.picking.questions._from_csv import read_questions
from evalkit.picking.questions._question import Origin, Question, QuestionSet, Span, write_questions
from evalkit.secrets import hide

if TYPE_CHECKING:
    from llama_index.core.llms import LLM


VERSION = 1
"""Of how answers are read, and of the filters; part of the provenance."""
PASSAGE = Chunking(512)
"""What the model is shown of a document at once."""
PER_PASSAGE = 2
"""Questions asked for on each passage if not said otherwise."""
PROMPT = '''Write {count} questions that somebody who has not seen the passage below might ask, and that it answers.

- Each question makes sense by itself. Name the thing it is about; do not speak of "the passage" or "the text".
- Use other words than the passage where you can.
- After each question, quote the words of the passage that answer it, exactly as they stand there.

Write nothing else, and in this form:

Q: the question
A: the words of the passage

Passage:
"""
{passage}
"""'''
LINE = re.compile(r"[\s>*_#\d.)-]*(?P<what>Q|A|Question|Answer)[\s*_\d]*:", re.IGNORECASE)
"""How a line with a question or its answer begins, also where a model numbers or decorates it."""
LONGEST_ANSWER = 100_000
"""Characters that are read of what a model says to one passage."""
SHOWN = 200
"""Characters of an answer in a message."""
REASONS: Reasons = {
    "not a question": lambda each: not each.text.rstrip("\"'”’)").endswith("?"),
    "names the context": names_the_context,
    "copies the passage": copies,
}


def generate_questions(
    folder: Folder,
    llm: "LLM",
    *,
    passages: int = 50,
    per_passage: int = PER_PASSAGE,
    seed: int = 0,
    answers: Path | None = None,
    advance: Advance = no_progress,
) -> QuestionSet:
    """Questions that any LlamaIndex language model writes on passages of the documents; origin "generated".

    `passages` of 512 tokens are drawn with `seed`, evenly over the files. The model is asked for `per_passage`
    questions on each, with the words that answer them: these become the span. What it writes is filtered, and `drops`
    counts what was left out, by reason. What it said is kept in the file `answers`, line by line as it comes: it is
    not asked again for what is there already. LlamaIndex's models retry by themselves; nothing is retried here.

    Raises ConfigError if nothing usable is left, with the reasons, and ApiError for a call that fails.
    """
    chunks = _drawn(split(folder, PASSAGE), passages, seed)
    said = _ask(llm, chunks, per_passage, answers, advance)
    drops: Counter[str] = Counter()
    candidates = [each for chunk, answer in zip(chunks, said, strict=True) for each in _read(chunk, answer, drops)]
    kept = filtered(candidates, folder, REASONS, drops)
    if not kept:
        why = "; ".join(f"{number} {reason}" for reason, number in drops.items())
        first = " ".join(said[0].split())[:SHOWN]
        raise ConfigError(
            f"nothing that the language model wrote on {len(chunks)} passage(s) is a usable question: "
            f"{why or 'it wrote nothing'}. It began: {first!r}. Try another model, or give --questions."
        )
    questions = [Question(f"q{number}", each.text, (each.span,)) for number, each in enumerate(kept, start=1)]
    return QuestionSet(
        tuple(questions), Origin.GENERATED, made_from(folder, llm, passages, per_passage, seed), dict(drops)
    )


def made_from(folder: Folder, llm: "LLM", passages: int, per_passage: int, seed: int) -> dict[str, object]:
    """Return all that decides what is generated, as plain data and without keys."""
    return {
        "version": VERSION,
        "llm": {"model": llm.metadata.model_name, **described(llm)},
        "prompt": PROMPT,
        "passages": passages,
        "per_passage": per_passage,
        "seed": seed,
        "documents": folder.content_hash,
    }


def described(llm: "LLM") -> dict[str, object]:
    """Return the language model as plain data: what its class is made with. Nothing that changes from call to
    call.
    """
    values = describe(llm, leave_out=tuple(llm.__pydantic_private__ or ()))
    return {"class": values["class"], "values": values["values"]}


def _drawn(chunks: tuple[Chunk, ...], count: int, seed: int) -> list[Chunk]:
    """So many chunks by turns over the files, in a seeded order; then in the documents' order."""
    order = np.random.default_rng(seed).permutation(len(chunks)).tolist()
    turn: Counter[str] = Counter()
    by_turn = []
    for place, row in enumerate(order):
        by_turn.append((turn[chunks[row].file], place, row))
        turn[chunks[row].file] += 1
    return [chunks[row] for row in sorted(row for _, _, row in sorted(by_turn)[:count])]


def _ask(llm: "LLM", chunks: list[Chunk], per_passage: int, answers: Path | None, advance: Advance) -> list[str]:
    """Tell what the model says to each passage, in order."""
    known = _known(answers)
    asked = json.dumps(described(llm), sort_keys=True)
    said = []
    for chunk in chunks:
        prompt = PROMPT.format(count=per_passage, passage=chunk.text)
        key = sha256(f"{asked}\0{prompt}".encode("utf-8", "surrogatepass")).hexdigest()
        if key not in known:
            known[key] = _complete(llm, prompt, chunk.id, answers)
            if answers is not None:
                answers.parent.mkdir(parents=True, exist_ok=True)
                with answers.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": key, "passage": chunk.id, "answer": known[key]}) + "\n")
        said.append(known[key])
        advance(1)
    return said


def _complete(llm: "LLM", prompt: str, passage: str, answers: Path | None) -> str:
    try:
        return str(llm.complete(prompt).text or "")[:LONGEST_ANSWER]
    except Exception as error:  # whatever a client raises; it may hold the key, and must not be chained
        told = hide(f"{type(error).__name__}: {error}", secrets_of(llm))
    kept = "" if answers is None else f" What it said before is in {answers}; the next run asks for the rest only."
    raise ApiError(f"the language model {llm.metadata.model_name!r} failed on the passage {passage}: {told}.{kept}")


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


def _read(chunk: Chunk, answer: str, drops: Counter[str]) -> Iterator[Candidate]:
    """Yield pairs of Q: and A: lines, as candidates."""
    question: str | None = None
    for line in filter(str.strip, answer.splitlines()):
        found = LINE.match(line)
        text = line[found.end() :].strip(" \t*_") if found else ""
        if found is None:
            drops["preamble, or other text"] += 1
        elif found["what"].upper().startswith("Q"):
            drops["without the words that answer it"] += question is not None
            question = text
        elif question is not None:
            span = _quoted(chunk, text)
            if span is None:
                drops["its answer is not in the passage"] += 1
            else:
                words = chunk.text[span.start - chunk.start : span.end - chunk.start]
                yield Candidate("generated", question, span, words, chunk.text)
            question = None
        else:
            drops["preamble, or other text"] += 1
    drops["without the words that answer it"] += question is not None
    for reason in [reason for reason, number in drops.items() if not number]:
        del drops[reason]


def _quoted(chunk: Chunk, quote: str) -> Span | None:
    """Tell where the passage has the quote, whatever blanks are between its words and quotation marks around it."""
    words = quote.strip("\"'“”‘’ ").removesuffix("…").removesuffix("...").split()
    if not words:
        return None
    hit = re.search(r"\s+".join(map(re.escape, words)), chunk.text, re.IGNORECASE)
    return None if hit is None else Span(chunk.file, chunk.start + hit.start(), chunk.start + hit.end())


def saved_or_made(
    path: Path, folder: Folder, origin: Origin, made_from: Mapping[str, object], make: Callable[[], QuestionSet]
) -> QuestionSet:
    """Return the questions in the file, if they were made from the same; else new ones, which are written there.

    Beside questions.jsonl, questions.made.json says what they were made from. If the file was edited since, the
    questions are those of the file, and their provenance has, under `edited`, how many were added, removed and
    changed. Raises ConfigError rather than write over an edited file, and what `read_questions` raises.
    """
    record = path.with_suffix(".made.json")
    before = _record(record)
    made_from = {"origin": origin, **json.loads(json.dumps(made_from))}
    if before is None and path.is_file():
        raise ConfigError(
            f"{path} is there, and nothing says how it was made. Give it with --questions, or choose another --out."
        )
    if before is not None and path.is_file():
        edited = _edited(before["lines"], _lines(path))
        if before["made_from"] == made_from:
            found = read_questions(path, folder)
            more: dict[str, Any] = {"edited": edited} if any(edited.values()) else {}
            kept = {key: value for key, value in made_from.items() if key != "origin"}
            return replace(found, origin=Origin(before["origin"]), provenance={**kept, **more}, drops=before["drops"])
        if any(edited.values()):
            then = before["made_from"]
            other = sorted(key for key in then.keys() | made_from.keys() if then.get(key) != made_from.get(key))
            raise ConfigError(
                f"{path} was edited, and what it was made from is not what it would be made from now: "
                f"{', '.join(other)} differ. To use it, give it with --questions; to make new ones, choose "
                "another --out or move it away."
            )
    questions = make()
    write_questions(questions, folder, path)
    content = {
        "origin": questions.origin,
        "made_from": made_from,
        "drops": dict(questions.drops),
        "lines": _lines(path),
    }
    record.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return questions


def _record(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {key: found[key] for key in ("origin", "made_from", "drops", "lines")}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error!r}). Give the questions beside it with --questions, or choose another "
            "--out."
        ) from None


def _lines(path: Path) -> dict[str, str]:
    """Return a hash of each line of the file, by the question's id, or its own number where it has none."""
    found = {}
    for number, line in enumerate(filter(str.strip, path.read_text(encoding="utf-8").splitlines()), start=1):
        try:
            row = json.loads(line)
            identifier = str(row["id"])
        except (ValueError, KeyError, TypeError):  # `read_questions` says what is wrong with it
            row, identifier = line, str(number)
        found[identifier] = sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()
    return found


def _edited(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, int]:
    return {
        "added": len(now.keys() - before.keys()),
        "removed": len(before.keys() - now.keys()),
        "changed": sum(before[key] != now[key] for key in before.keys() & now.keys()),
    }
