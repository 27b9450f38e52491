"""A gate's verdict for people and machines: tables, Markdown, JUnit XML and JSON."""

import json
from pathlib import Path
from xml.etree import ElementTree

from evalkit.gate.checks import Check
from evalkit.gate.verdict import Verdict
from evalkit.report.changes import change_tables, headline
from evalkit.report.markdown import to_markdown
from evalkit.report.table import Table, TableCell

WORDS = {"pass": "pass", "fail": "FAIL", "warn": "cannot be told", "undecided": "CANNOT DECIDE"}
SUMMARY, JUNIT, DATA = "gate.md", "gate.xml", "gate.json"


def verdict_tables(verdict: Verdict) -> list[Table]:
    """The checks, and what changed."""
    rows = tuple(
        (TableCell(check.name), TableCell(WORDS[check.outcome], best=check.outcome == "fail"), TableCell(_told(check)))
        for check in verdict.checks
    )
    checks = Table(f"Gate: {verdict.word}", ("Check", "Outcome", "Why"), rows, text_columns=3)
    return [checks, *change_tables(verdict.changes, "baseline", "now")]


def to_summary(verdict: Verdict) -> str:
    """Markdown for a job's page: the verdict, what failed and why, then everything."""
    lines = [f"## Gate: {verdict.word}", ""]
    lines += [f"- {WORDS[check.outcome]}: {check.name}: {_told(check)}" for check in verdict.checks if _told_first(check)]
    lines += [f"- {sentence}" for sentence in headline(verdict.changes)]
    return "\n".join(lines) + "\n\n" + to_markdown(verdict_tables(verdict))


def to_junit(verdict: Verdict) -> str:
    """JUnit XML: a test case a check; what cannot be told is skipped, what cannot be decided an error."""
    checks = verdict.checks
    counts = {outcome: sum(check.outcome == outcome for check in checks) for outcome in WORDS}
    suite = ElementTree.Element(
        "testsuite", name="evalkit gate", tests=str(len(checks)), failures=str(counts["fail"]),
        errors=str(counts["undecided"]), skipped=str(counts["warn"]),
    )  # fmt: skip
    tags = {"fail": "failure", "warn": "skipped", "undecided": "error"}
    for check in checks:
        case = ElementTree.SubElement(suite, "testcase", classname="evalkit.gate", name=_plain(check.name))
        if check.outcome in tags:
            ElementTree.SubElement(case, tags[check.outcome], message=_plain(_told(check)))
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def to_data(verdict: Verdict) -> str:
    """JSON: status, checks, scores then and now, queries that changed, inputs that differ."""
    changes = verdict.changes
    frames = {"cells": changes.cells, "queries": changes.queries, "inputs": changes.inputs}
    content = {
        "verdict": verdict.word,
        "status": verdict.status,
        "strict": verdict.strict,
        "checks": [{**vars(check), "queries": list(check.queries)} for check in verdict.checks],
        **{name: json.loads(frame.to_json(orient="records", double_precision=15)) for name, frame in frames.items()},
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def write_verdict(verdict: Verdict, folder: Path) -> None:
    """Write summary, JUnit XML and JSON into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in ((SUMMARY, to_summary(verdict)), (JUNIT, to_junit(verdict)), (DATA, to_data(verdict))):
        (folder / name).write_text(text, encoding="utf-8")


def _told(check: Check) -> str:
    worst = f" Worst: {', '.join(check.queries)}." if check.queries else ""
    return check.reason + worst


def _told_first(check: Check) -> bool:
    return check.outcome != "pass"


def _plain(text: str) -> str:
    """Text without characters that XML has no way to say."""
    return "".join(character if character >= " " and character not in "￾￿" else " " for character in text)
