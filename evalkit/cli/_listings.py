"""Tables of what there is: families, catalogue, tasks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evalkit.models.registry import catalogue, families
from evalkit.reporting.table import Table, TableCell

if TYPE_CHECKING:
    from evalkit.store.store import TableInfo


def family_table(search: str) -> Table:
    """Return the families, each with how to write it, what it can be, and its options."""
    rows = [
        (
            family.name if family.name_help is None else f"{family.name}:NAME",
            ", ".join(sorted(family.kinds)),
            family.summary + (f"; NAME is a {family.name_help}" if family.name_help else ""),
            ", ".join(family.options.model_fields),
        )
        for family in families().values()
    ]
    return _table("Families", ("Spec", "Can be", "What it is", "Options (?option=value&…)"), rows, search)


def catalogue_table(search: str) -> Table:
    """Return the catalogue: short names that stand for specs."""
    rows = [
        (
            entry.name,
            entry.spec or "–",
            str(entry.dim or "–"),
            str(entry.max_length or "–"),
            entry.licence,
            "retired; use " + str(entry.superseded_by)
            if entry.retired
            else f"newer: {entry.superseded_by}"
            if entry.superseded_by
            else "",
        )
        for entry in catalogue().values()
    ]
    return _table("Catalogue", ("Name", "Spec", "dim", "max tokens", "Licence", "Note"), rows, search)


def registry_table(models: Iterable[Mapping[str, Any]], search: str) -> Table:
    """Return models of mteb's registry, from the facts of each."""
    rows = [
        (
            f"mteb:{facts['name']}",
            ", ".join(facts["kinds"]),
            _shown(facts["dim"]),
            _shown(facts["max_length"]),
            _shown(facts["licence"]),
            _shown(facts["revision"]),
            "; ".join(f"{what}: {prompt!r}" for what, prompt in facts["prompts"].items()) or "–",
        )
        for facts in models
    ]
    columns = ("Spec", "Kind", "dim", "max tokens", "Licence", "Revision", "Prompts")
    return _table("mteb's registry", columns, rows, search)


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "–" if value is None else str(value)


def task_table(search: str) -> Table:
    """Return the tasks on the search path."""
    from evalkit.tasks import list_tasks

    rows = [
        (
            task.name,
            task.type,
            ", ".join(task.splits),
            task.licence or "–",
            task.description or str(task.source),
        )
        for task in list_tasks()
    ]
    return _table("Tasks", ("Name", "Type", "Splits", "Licence", "Description"), rows, search)


def store_table(title: str, tables: Iterable["TableInfo"]) -> Table:
    """Return the tables of a store."""
    rows = [
        (info.model, info.kind, f"{info.rows:,}", f"{info.bytes / 1e6:,.1f} MB", f"{info.used:%Y-%m-%d %H:%M}")
        for info in tables
    ]
    return _table(title, ("Model", "Kind", "Rows", "Size", "Last used (UTC)"), rows, "")


def _table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], search: str) -> Table:
    found = [row for row in rows if search.lower() in " ".join(row).lower()]
    cells = tuple(tuple(TableCell(text) for text in row) for row in found)
    nothing = f"Nothing contains {search!r}." if search else "There is nothing yet."
    note = "" if found else nothing
    return Table(title, columns, cells, note, text_columns=len(columns))
