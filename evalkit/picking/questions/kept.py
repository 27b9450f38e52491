"""The questions about a folder: given, or made; what was made is kept in a file, and used again as it was edited."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import ConfigError
from evalkit.models.language_models import load_llm
from evalkit.picking.documents import Folder
from evalkit.picking.questions import _from_documents, _generated
from evalkit.picking.questions._from_csv import read_questions
from evalkit.picking.questions._question import Origin, QuestionSet, write_questions
from evalkit.progress import Progress
from evalkit.tasks.checks import Problems
from evalkit.tasks.reading import read_rows
from evalkit.tasks.rows import QUESTIONS

if TYPE_CHECKING:
    from llama_index.core.llms import LLM


def get_questions(
    folder: Folder,
    given: str | Path | None,
    llm: "str | LLM | None",
    *,
    passages: int = 50,
    seed: int = 0,
    path: Path | None = None,
) -> QuestionSet:
    """Return the questions: read from a file, written by a language model, or made from the documents.

    Of a file that was made, their provenance says from what, if the record of it is still beside it.
    What is made is kept in `path` (see `saved_or_made`), and what a language model said in …answers.jsonl beside it.
    Raises ConfigError for a file and a language model at once, and what reading and making raise.
    """
    if given is not None:
        if llm is not None:
            raise ConfigError("both questions and a language model to write them: give one of the two.")
        found, before = read_questions(Path(given), folder), _record(Path(given).with_suffix(".made.json"))
        # All questions in it may be others by now.
        return found if before is None or found.origin != before["origin"] else _as_made(found, before, Path(given))
    make: Callable[[], QuestionSet]
    if llm is None:
        origin, made_from = Origin.FROM_DOCUMENTS, _from_documents.made_from(folder, _from_documents.COUNT, seed)
        make = partial(_from_documents.questions_from_documents, folder, seed=seed)
    else:
        model = load_llm(llm) if isinstance(llm, str) else llm
        origin = Origin.GENERATED
        made_from = _generated.made_from(folder, model, passages, _generated.PER_PASSAGE, seed)

        def make() -> QuestionSet:
            by = f"questions by {_generated.named(model)}"
            answers = None if path is None else path.with_suffix(".answers.jsonl")
            with Progress() as progress, progress.step(by, passages, "passages") as advance:
                return _generated.generate_questions(
                    folder, model, passages=passages, seed=seed, answers=answers, advance=advance
                )

    return make() if path is None else saved_or_made(path, folder, origin, made_from, make)


def saved_or_made(
    path: Path, folder: Folder, origin: Origin, made_from: Mapping[str, object], make: Callable[[], QuestionSet]
) -> QuestionSet:
    """Return the questions in the file, if they were made from the same; else new ones, which are written there.

    Beside questions.jsonl (or .csv), questions.made.json says what they were made from. If the file was edited since,
    the questions are those of the file, and their provenance has, under `edited`, how many were added, removed and
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
        if before["made_from"] == made_from:
            return _as_made(read_questions(path, folder), before, path)
        if any(_edited(before["lines"], _lines(path)).values()):
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


def _as_made(found: QuestionSet, before: Mapping[str, Any], path: Path) -> QuestionSet:
    """Return the questions of a file with what the record beside it says of their making, and what was edited."""
    edited = _edited(before["lines"], _lines(path))
    provenance = {key: value for key, value in before["made_from"].items() if key != "origin"}
    if any(edited.values()):
        provenance["edited"] = edited
    return replace(found, origin=Origin(before["origin"]), provenance=provenance, drops=before["drops"])


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
    """Return a hash of each question's rows in the file, by its id, or the line's number where it has none."""
    found: dict[str, str] = {}
    # `read_questions` says what is wrong with the file.
    for row in read_rows(path, QUESTIONS, Problems(path)):
        identifier = str(row.get("id") or row.line)
        cells = found.get(identifier, "") + json.dumps(row.values, sort_keys=True, default=str)
        found[identifier] = sha256(cells.encode()).hexdigest()
    return found


def _edited(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, int]:
    return {
        "added": len(now.keys() - before.keys()),
        "removed": len(before.keys() - now.keys()),
        "changed": sum(before[key] != now[key] for key in before.keys() & now.keys()),
    }
