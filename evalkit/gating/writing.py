"""A gate's verdict for people and machines: tables, Markdown, JUnit XML and JSON."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

from evalkit.gating._margins import LOSSES
from evalkit.gating.verdict import Check, Retrieved, Verdict
from evalkit.reporting.changes import change_tables, headline, shortened
from evalkit.reporting.table import Table, TableCell, to_markdown

WORDS = {"pass": "pass", "note": "note", "warn": "cannot be told", "fail": "FAIL", "undecided": "CANNOT DECIDE"}
SUMMARY, JUNIT, DATA = "gate.md", "gate.xml", "gate.json"


def verdict_tables(verdict: Verdict) -> list[Table]:
    """Return the checks, what they can catch, what was retrieved then and now, and what changed."""
    changes = change_tables(verdict.changes, "baseline", "now")
    return [_checks(verdict), *retrieved_table(verdict), *_chances(verdict), *changes]


def verdict_sentences(verdict: Verdict) -> list[str]:
    """Tell what did not pass, and why, a sentence or two each; how much passed; what changed."""
    passed = sum(check.outcome == "pass" for check in verdict.checks)
    return [
        *_reasons(verdict),
        f"{passed} of {len(verdict.checks)} checks passed.",
        *headline(verdict.changes),
    ]


def to_summary(verdict: Verdict) -> str:
    """Return Markdown for a job's page: the verdict, what did not pass and why, then everything."""
    lines = [f"## Gate: {verdict.word}", "", *(f"- {sentence}" for sentence in verdict_sentences(verdict))]
    return "\n".join(lines) + "\n\n" + to_markdown(verdict_tables(verdict))


def to_junit(verdict: Verdict) -> str:
    """Return JUnit XML: a test case a check; what cannot be told is skipped, what cannot be decided an error."""
    checks = verdict.checks
    counts = {outcome: sum(check.outcome == outcome for check in checks) for outcome in WORDS}
    suite = ElementTree.Element(
        "testsuite", name="evalkit gate", tests=str(len(checks)), failures=str(counts["fail"]),
        errors=str(counts["undecided"]), skipped=str(counts["warn"]),
    )  # fmt: skip
    elements = {"fail": "failure", "warn": "skipped", "undecided": "error"}
    for check in checks:
        case = ElementTree.SubElement(suite, "testcase", classname="evalkit.gate", name=_plain(check.name))
        if check.outcome == "note":
            ElementTree.SubElement(case, "system-out").text = _plain(told(check))
        elif check.outcome in elements:
            ElementTree.SubElement(case, elements[check.outcome], message=_plain(told(check)))
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def to_data(verdict: Verdict) -> str:
    """Return JSON: status, checks, what was retrieved, scores then and now, queries that changed, inputs that
    differ.
    """
    changes = verdict.changes
    frames = {"cells": changes.cells, "queries": changes.queries, "inputs": changes.inputs}
    content = {
        "verdict": verdict.word,
        "status": verdict.status,
        "strict": verdict.strict,
        "checks": [_check_data(check) for check in verdict.checks],
        "retrieved": [asdict(each) for each in verdict.retrieved],
        **{name: json.loads(frame.to_json(orient="records", double_precision=15)) for name, frame in frames.items()},
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_verdict(verdict: Verdict, folder: Path) -> None:
    """Write summary, JUnit XML and JSON into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in ((SUMMARY, to_summary(verdict)), (JUNIT, to_junit(verdict)), (DATA, to_data(verdict))):
        (folder / name).write_text(text, encoding="utf-8")


def told(check: Check) -> str:
    """Tell why a check came out as it did, and which queries got worst."""
    worst = f" Worst: {', '.join(check.queries)}." if check.queries else ""
    return check.reason + worst


def failure_text(verdict: Verdict, checks: Sequence[Check]) -> str:
    """Tell why these checks did not pass, and what their worst queries retrieved then and now, a line each."""
    lines = []
    for check in checks:
        lines.append(f"{WORDS[check.outcome]}: {check.name}: {told(check)}")
        lines += [
            f"  {each.query}: {shortened(each.text)}\n    then: {_documents(each, each.then)}\n"
            f"    now:  {_documents(each, each.now)}"
            for each in verdict.retrieved
            if each.place == check.place and each.query in check.queries
        ]
    return "\n".join(lines)


def _reasons(verdict: Verdict) -> Iterator[str]:
    for outcome in ("fail", "undecided", "warn", "note"):
        for check in verdict.checks:
            if check.outcome == outcome:
                yield f"{WORDS[outcome]}: {check.name}: {told(check)}"


def _check_data(check: Check) -> dict[str, object]:
    chances = {str(loss): None if math.isnan(chance) else chance for loss, chance in check.chances.items()}
    return {**asdict(check), "chances": chances}


def _checks(verdict: Verdict) -> Table:
    rows = tuple(
        (
            TableCell(check.name),
            TableCell(WORDS[check.outcome]),
            TableCell(told(check)),
        )
        for check in verdict.checks
    )
    return Table("Checks", ("Check", "Outcome", "Why"), rows, text_columns=3)


def _chances(verdict: Verdict) -> Iterator[Table]:
    checks = [check for check in verdict.checks if check.chances]
    if checks:
        rows = tuple(
            (TableCell(check.name), *(TableCell(_percent(check.chances[loss])) for loss in LOSSES))
            for check in checks
        )
        head = ("Check", *(f"loss of {loss:g}" for loss in LOSSES))
        note = "The chance that a true loss of so much would have failed, with so many queries that vary as these do."
        yield Table("What this gate can catch", head, rows, note)


def retrieved_table(verdict: Verdict, most: int | None = None) -> Iterator[Table]:
    """Tell what the worst queries retrieved then and now, or at most so many of them; nothing if nothing failed."""
    shown = verdict.retrieved[:most]
    if shown:
        rows = tuple(
            (
                TableCell(f"{each.query}: {shortened(each.text)}"),
                TableCell(str(each.place)),
                TableCell(_documents(each, each.then)),
                TableCell(_documents(each, each.now)),
            )
            for each in shown
        )
        left_out = len(verdict.retrieved) - len(shown)
        head = ("Query", "Cell", "then", "now")
        note = "The first documents retrieved, best first; * is relevant."
        note += f" {left_out} more are in {SUMMARY}." if left_out else ""
        yield Table("What the worst queries retrieved", head, rows, note, text_columns=4)


def _documents(retrieved: Retrieved, documents: tuple[str, ...]) -> str:
    return ", ".join(f"{each}*" if each in retrieved.relevant else each for each in documents) or "–"


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{share:.0%}"


def _plain(text: str) -> str:
    """Return text without characters that XML has no way to say."""
    return "".join(character if character >= " " and character not in "￾￿" else " " for character in text)
