"""The store: a folder with a table for each model that computed something."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path

from evalkit.errors import StoreError
from evalkit.store.keys import fingerprint
from evalkit.store.table import Table, damage_named

SCHEMA = "v1"
TableKind = Literal["vectors", "scores"]


def default_root() -> Path:
    """The store under the user's cache folder, or $EVALKIT_STORE."""
    chosen = os.environ.get("EVALKIT_STORE")
    return Path(chosen) if chosen else user_cache_path("evalkit") / "store"


@dataclass(frozen=True)
class TableInfo:
    """What is known of a table: sizes in bytes, `used` the last time it was opened."""

    kind: TableKind
    model: str
    path: Path
    rows: int
    bytes: int
    used: datetime


class Store:
    """Tables of vectors and of pair scores, by fingerprint. Raises StoreError if the folder cannot be written.

    `reused` and `computed` count texts and pairs since the store was opened.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._tables = root / SCHEMA
        self.reused = 0
        self.computed = 0
        self.check_writable()

    def check_writable(self) -> None:
        """Raise StoreError if nothing can be written, before anything is computed that could not be kept."""
        try:
            self._tables.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._tables) as probe:
                probe.write(b"x")
        except OSError as error:
            raise StoreError(
                f"the store at {self.root} cannot be written: {error.strerror}. Choose another with --store, "
                "or run with --no-store."
            ) from error

    def table(self, kind: TableKind, model: str, identity: Mapping[str, object]) -> Table:
        """The table of what the model with this identity computed; `model` is a name for people."""
        path = self._tables / kind / f"{fingerprint(identity)}.lance"
        with suppress(OSError):  # not there yet, or another user's
            os.utime(path)
        return Table(path, {"model": model.partition("?")[0], "identity": dict(identity)})

    def ls(self) -> Iterator[TableInfo]:
        """All tables, the last used first."""
        import lance

        infos = []
        for path in self._tables.glob("*/*.lance"):
            kind: TableKind = "vectors" if path.parent.name == "vectors" else "scores"
            size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            used = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            try:
                with damage_named(path):
                    dataset = lance.dataset(str(path))
                    model = json.loads(dataset.schema.metadata[b"facts"])["model"]
                    infos.append(TableInfo(kind, model, path, dataset.count_rows(), size, used))
            except StoreError:
                infos.append(TableInfo(kind, "unreadable: run `evalkit store verify`", path, 0, size, used))
        yield from sorted(infos, key=lambda info: info.used, reverse=True)

    def verify(self) -> Iterator[tuple[TableInfo, str]]:
        """Check every row of every table; altered rows are removed, and an unreadable table is set aside."""
        for info in self.ls():
            try:
                table = Table(info.path, {})
                altered = table.altered()
                if altered.size:
                    table.drop(altered)
                    yield info, f"{altered.size} of {info.rows} rows were altered and are removed"
                else:
                    yield info, "sound"
            except StoreError:
                aside = info.path.with_suffix(".damaged")
                shutil.rmtree(aside, ignore_errors=True)
                info.path.rename(aside)
                yield info, f"could not be read and is set aside as {aside.name}"

    def other_versions(self) -> list[Path]:
        """Folders that other versions of evalkit keep their tables in; nothing is read from them."""
        return sorted(path for path in self.root.iterdir() if path.is_dir() and path.name != SCHEMA)

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
        shutil.rmtree(info.path)
        return info
