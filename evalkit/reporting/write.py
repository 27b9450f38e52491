"""Write what a run leaves in its folder: first its results, then what people read of them.

The results are what nothing else can give again: records, evidence, measurements and run.json. All tables and pages
are made of them, so that a fault in one of these costs that one, and it can be made again.
"""

import os
import tempfile
import traceback
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from evalkit.errors import ConfigError, EvalkitError, ReportError
from evalkit.reporting._tables import make_tables
from evalkit.reporting.table import Table, to_latex, to_markdown
from evalkit.results import Results
from evalkit.results.folder import alone_in, replacing
from evalkit.results.records import CELLS, TRUNCATED
from evalkit.results.results import DERIVED, PROVENANCE, PUBLISHED

LEADERBOARD, PAPER, REPORT = "leaderboard.md", "leaderboard.tex", "report.html"
CHUNKINGS, RECOMMENDATION = "chunkings.csv", "recommendation.md"
POINTS, CURVES = "surface.csv", "surface.md"
PROGRAMS = MEASURED_CHUNKS, WORDS, SEARCH, SEARCH_LLAMAINDEX = (
    "chunks.jsonl", "words.py", "search.py", "search_llamaindex.py",
)  # fmt: skip
"""What a pick writes of a choice beside the recommendation: see `picking.programs`."""
CODE = "the code for the choice"
TABLES = (*DERIVED, LEADERBOARD, PAPER)
NOT_OF_ALL_RUNS = (
    PUBLISHED, CELLS, TRUNCATED, *TABLES, REPORT, CHUNKINGS, RECOMMENDATION, *PROGRAMS, POINTS, CURVES,
)  # fmt: skip


Made = TypeVar("Made")


class Reports:
    """What people read of a run, made one after the other: one that fails does not stop those after it.

    `failed` holds the reason by name. After Ctrl-C, `interrupted` is set and no other is begun.
    """

    def __init__(self, results: Results, failed: Mapping[str, str] | None = None) -> None:
        self.results = results
        self.failed: dict[str, str] = dict(failed or {})
        self.interrupted = False

    @cached_property
    def tables(self) -> list[Table]:
        """The tables of the run, made once for all that shows them."""
        return self.results.once("tables", lambda: make_tables(self.results))

    def with_seconds(self, seconds: Callable[[], float], **told: Any) -> Results:
        """Return the results with the time that all of it took, the making of the tables too.

        What fails in that is told when they are written.
        """
        Reports(self.results).make(LEADERBOARD, lambda: self.tables)
        return self.results.with_seconds(seconds(), **told)

    def make(self, name: str, make: Callable[[], Made]) -> Made | None:
        """Make one of them; what is raised meanwhile becomes its reason in `failed`."""
        if not self.interrupted:
            try:
                return make()
            except Exception as error:  # whatever it is, what was computed is written, and the others are made
                self.failed[name] = _reason(error)
                return None
            except KeyboardInterrupt:
                self.interrupted = True
        self.failed[name] = "interrupted by Ctrl-C"
        return None

    def write_tables(self, folder: Path) -> None:
        """Write scores.csv and the leaderboards into the folder of the run."""
        for name, text in DERIVED.items():
            self.write(folder, name, lambda text=text: text(self.results))  # type: ignore[misc]
        self.write(folder, LEADERBOARD, lambda: _opening(self.results) + to_markdown(self.tables))
        self.write(folder, PAPER, lambda: to_latex(self.tables))

    def write(self, folder: Path, name: str, text: Callable[[], str]) -> None:
        """Write a text as a file of the run's folder, where it is there whole or not at all."""
        self.make(name, lambda: _put(folder, name, text(), self.results))


def write_results(results: Results, folder: Path) -> None:
    """Write the results of a run, in place of all that a run before left in the folder.

    See `folder.replacing` for what a kill leaves. Raises ConfigError if they cannot be written there; they are then
    in another folder, which it names.
    """
    try:
        with alone_in(folder), replacing(folder, PROVENANCE, NOT_OF_ALL_RUNS) as new:
            results.write_sources(new)
    except OSError as error:
        raise ConfigError(
            f"the results cannot be written to {folder}: {error.strerror or error}. {_saved_elsewhere(results)}Free "
            "space there or allow writing, or choose another folder with --out; with a store, nothing is computed "
            "again."
        ) from error


def write_run(results: Results, folder: Path) -> Reports:
    """Write the results of a run, then its tables. Raises ConfigError as `write_results` does.

    What could not be made of them is in the `Reports`, for the caller to raise as `report_error`.
    """
    write_results(results, folder)
    reports = Reports(results)
    reports.write_tables(folder)
    return reports


def report_error(failed: Mapping[str, str], folder: Path, made: object) -> ReportError:
    """Return the error for what could not be made of results that are in the folder; `made` is what was computed."""
    return ReportError(failed_in_words(failed, folder), failed, made)


def failed_in_words(failed: Mapping[str, str], folder: Path) -> str:
    """Tell what could not be made, why, where the results are, and how to make it."""
    listed = "\n".join(f"  - {name}: {reason}" for name, reason in failed.items())
    commands = [f"`evalkit report {folder} --tables`"]
    if REPORT in failed:
        commands = [f"`evalkit report {folder} --out {folder / REPORT}`"] + commands * (len(failed) > 1)
    if failed.keys() & {CHUNKINGS, RECOMMENDATION, CODE, *PROGRAMS}:
        commands = ["the same `evalkit pick`, with its store"]
    if failed.keys() & {POINTS, CURVES}:
        commands = ["the same `evalkit surface`, with its store"]
    return (
        f"the results are written to {folder} (records, evidence and run.json), but this could not be made of them:\n"
        f"{listed}\nTo make it again, without computing anything: {' and '.join(commands)}."
    )


def _put(folder: Path, name: str, text: str, results: Results) -> None:
    with alone_in(folder):
        if (folder / PROVENANCE).read_text(encoding="utf-8") != results.provenance_text:
            return  # another process has put its run there meanwhile: the tables are to be those of that one
        part = folder / f".{name}.{os.getpid()}"
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(folder / name)
        finally:
            part.unlink(missing_ok=True)


def _saved_elsewhere(results: Results) -> str:
    """Write the results where there is room for them; a sentence that says where, empty if nowhere."""
    try:
        elsewhere = Path(tempfile.mkdtemp(prefix="evalkit-"))
        results.write_sources(elsewhere)
    except OSError:
        return ""
    return f"They are in {elsewhere} instead. "


def _opening(results: Results) -> str:
    """Tell what a pick recommends, or why it does not; empty for other runs."""
    told: list[str] = results.provenance.get("pick", {}).get("recommendation", [])
    return "".join(f"{sentence}\n\n" for sentence in told)


def _reason(error: Exception) -> str:
    if isinstance(error, EvalkitError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})"
