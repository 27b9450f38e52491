"""The store: a folder with a table for each model that computed something."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

from platformdirs import user_cache_path

from evalkit.errors import StoreError
from evalkit.store.folder import Folder, first_line
from evalkit.store.keys import fingerprint
from evalkit.store.table import Table, damage_named, opened

SCHEMA = "v1"
TABLE = ".lance"
USED = "used"
"""A file in a table's folder, as old as the last use of it."""
TableKind = Literal["vectors", "scores"]


def default_root() -> str:
    """Return the store under the user's cache folder, or $EVALKIT_STORE."""
    return os.environ.get("EVALKIT_STORE") or str(user_cache_path("evalkit") / "store")


@dataclass(frozen=True)
class TableInfo:
    """What is known of a table: sizes in bytes, `used` the last time it was opened."""

    kind: TableKind
    model: str
    folder: Folder
    rows: int
    bytes: int
    used: datetime


class Store:
    """Tables of vectors and of pair scores, by fingerprint, in a folder or in an object store (s3://bucket/folder).

    Raises StoreError if nothing can be written there. `reused` and `computed` count texts and pairs since the store
    was opened.
    """

    def __init__(self, root: str | Path | Folder) -> None:
        self.root = Folder(str(root))
        self._tables = self.root / SCHEMA
        self.reused = 0
        self.computed = 0
        self.check_writable()

    def check_writable(self) -> None:
        """Raise StoreError if nothing can be written, before anything is computed that could not be kept."""
        try:
            self._tables.check_writable()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else first_line(error)
            raise StoreError(
                f"the store at {self.root} cannot be written: {reason}. Choose another with --store, "
                "or run with --no-store."
            ) from error

    def table(self, kind: TableKind, model: str, identity: Mapping[str, object]) -> Table:
        """Return the table of what the model with this identity computed; `model` is a name for people."""
        folder = self._tables / kind / f"{fingerprint(identity)}{TABLE}"
        table = Table(folder, {"model": model.partition("?")[0], "identity": dict(identity)})
        if table.exists:
            with suppress(OSError):  # another user's
                folder.write(USED)
        return table

    def ls(self) -> Iterator[TableInfo]:
        """Yield all tables, the last used first."""
        yield from sorted(self._infos(), key=lambda info: info.used, reverse=True)

    def _infos(self) -> Iterator[TableInfo]:
        for kind in get_args(TableKind):
            for folder in (self._tables / kind).folders():
                if not folder.name.endswith(TABLE) or not (files := folder.files()):
                    continue
                size = sum(file.size for file in files)
                used = max((file.base_name == USED, file.mtime) for file in files)[1]
                try:
                    with damage_named(folder):
                        dataset = opened(folder)
                        if dataset is None:
                            continue
                        model = json.loads(dataset.schema.metadata[b"facts"])["model"]
                        rows = dataset.count_rows()
                except StoreError:
                    model, rows = "unreadable: run `evalkit store verify`", 0
                yield TableInfo(kind, model, folder, rows, size, used)

    def verify(self) -> Iterator[tuple[TableInfo, str]]:
        """Check every row of every table; altered rows are removed, and an unreadable table is set aside."""
        for info in self.ls():
            try:
                table = Table(info.folder, {})
                altered = table.altered()
                if altered.size:
                    table.drop(altered)
                    yield info, f"{altered.size} of {info.rows} rows were altered and are removed"
                else:
                    yield info, "sound"
            except StoreError:
                aside = info.folder.parent / f"{info.folder.name.removesuffix(TABLE)}.damaged"
                aside.delete()
                info.folder.move(aside)
                yield info, f"could not be read and is set aside as {aside.name}"

    def other_versions(self) -> list[Folder]:
        """Return folders that other versions of evalkit keep their tables in; nothing is read from them."""
        return [folder for folder in self.root.folders() if folder.name != SCHEMA]

    def prune(
        self, older_than: timedelta | None = None, model: str | None = None, max_size: int | None = None
    ) -> Iterator[TableInfo]:
        """Remove tables: not used for so long; of models whose name contains this; the least recently used
        until at most `max_size` bytes are left. Conditions on age and model apply together.
        """
        kept = []
        for info in self.ls():
            old = older_than is None or datetime.now(UTC) - info.used > older_than
            named = model is None or model in info.model
            if (older_than, model) != (None, None) and old and named:
                yield self._remove(info)
            else:
                kept.append(info)
        total = sum(info.bytes for info in kept)
        while max_size is not None and kept and total > max_size:
            info = kept.pop()
            total -= info.bytes
            yield self._remove(info)

    def _remove(self, info: TableInfo) -> TableInfo:
        info.folder.delete()
        return info
