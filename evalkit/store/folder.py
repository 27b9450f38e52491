"""A folder on this machine or in an object store: what a store does with files, beside Lance's tables."""

import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, cast
from uuid import uuid4

from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType, LocalFileSystem

from evalkit.errors import StoreError

_IN_A_BUCKET = r"(\w{2,}://[^/]+)/*(.*?)/*"


@dataclass(frozen=True)
class Folder:
    """A folder by its path, or its address in an object store, such as s3://bucket/name.

    An object store has no empty folders: there, a folder is the files that it holds. Raises StoreError for an address
    without a bucket.
    """

    address: str

    def __post_init__(self) -> None:
        if re.match(r"\w{2,}://", self.address) and not re.fullmatch(_IN_A_BUCKET, self.address):
            raise _no_place(self.address, "it names no bucket")

    def __str__(self) -> str:
        return self.address

    def __truediv__(self, name: str) -> "Folder":
        return Folder(f"{self.address.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.address.rstrip("/").rpartition("/")[2]

    @property
    def parent(self) -> "Folder":
        """The folder that it is in."""
        return Folder(self.address.rstrip("/").rpartition("/")[0])

    def files(self) -> list[FileInfo]:
        """Return all files in it and in folders below; none if it is not there."""
        return [info for info in self._listed(recursive=True) if info.type == FileType.File]

    def folders(self) -> list["Folder"]:
        """Return the folders directly in it, by name."""
        found = self._listed(recursive=False)
        return [self / name for name in sorted(info.base_name for info in found if info.type == FileType.Directory)]

    def open(self, name: str) -> BinaryIO:
        """Return a file in it, for reading from any place."""
        return cast(BinaryIO, self._system.open_input_file(f"{self._path}/{name}"))

    def write(self, name: str, content: bytes = b"x") -> None:
        """Write a file in this folder, which is made if need be; of an older one content and time become new."""
        self._make(self._path)
        with self._system.open_output_stream(f"{self._path}/{name}") as file:
            file.write(content)

    def check_writable(self) -> None:
        """Raise OSError if no file can be written."""
        probe = f"probe-{uuid4().hex}"
        try:
            self.write(probe)
        finally:
            with suppress(OSError):  # it was not written
                self._system.delete_file(f"{self._path}/{probe}")

    def delete(self) -> None:
        """Delete it with all that is in it, if it is there."""
        if self._system.get_file_info(self._path).type == FileType.Directory:
            self._system.delete_dir(self._path)

    def move(self, to: "Folder") -> None:
        """Move each file; an object store can move no more at once."""
        for info in self.files():
            new = to._path + info.path.removeprefix(self._path)
            self._make(new.rpartition("/")[0])
            self._system.move(info.path, new)
        self.delete()

    def _listed(self, *, recursive: bool) -> list[FileInfo]:
        found: list[FileInfo] = self._system.get_file_info(
            FileSelector(self._path, recursive=recursive, allow_not_found=True)
        )
        return found

    def _make(self, path: str) -> None:
        if isinstance(self._system, LocalFileSystem):
            self._system.create_dir(path, recursive=True)

    @property
    def _system(self) -> FileSystem:
        return self._place[0]

    @property
    def _path(self) -> str:
        return self._place[1]

    @property
    def _place(self) -> tuple[FileSystem, str]:
        found = re.fullmatch(_IN_A_BUCKET, self.address)
        if not found:
            return _LOCAL, str(Path(self.address).absolute())
        system, root = _system_of(found[1])
        return system, f"{root}/{found[2]}".rstrip("/")


_LOCAL = LocalFileSystem()


@lru_cache(maxsize=16)
def _system_of(bucket: str) -> tuple[FileSystem, str]:
    """Return the object store of an address, by what the environment says of keys and end points, and the bucket's
    path.
    """
    try:
        system, path = FileSystem.from_uri(bucket)
    except (ValueError, OSError) as error:
        raise _no_place(bucket, first_line(error)) from error
    return system, path


def _no_place(address: str, why: str) -> StoreError:
    return StoreError(
        f"{address} is no place for a store: {why}. Give a folder, or an address such as s3://bucket/folder."
    )


def first_line(error: BaseException) -> str:
    """Tell what an error says, without the places in libraries' sources that follow."""
    return str(error).partition("\n")[0].partition(", /")[0]
