"""Sections that other packages add to the tables and the report of every run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evalkit.plugins import plugins
from evalkit.reporting.table import Table
from evalkit.results import Results

ENTRY_POINT_GROUP = "evalkit.sections"


@dataclass(frozen=True)
class Section:
    """A section: tables that are made of the results of a run; none where it has nothing to say."""

    tables: Callable[[Results], Sequence[Table]]


def added_tables(results: Results) -> list[Table]:
    """Make the tables of all sections that installed packages add through the entry points `evalkit.sections`."""
    return [table for _, section in plugins(ENTRY_POINT_GROUP, Section) for table in section.tables(results)]
