"""A set of questions that was made, kept as a file that people may edit, and used again."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from evalkit.errors import ConfigError
from evalkit.picking.documents import Folder
from evalkit.picking.questions._from_csv import read_questions
from evalkit.picking.questions._question import Origin, QuestionSet, write_questions


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
