"""The text of a file as it is: compressed or not, in UTF-8, or in UTF-16 or UTF-32 that says so."""

import bz2
import codecs
import gzip
import io
import lzma
import re
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from evalkit.tasks.checks import Problems
from evalkit.terms import LFS_POINTER

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What reading a file, compressed or not, may raise."""
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NOT_UTF8 = re.compile(r"[\udc80-\udcff]")
"""What Python puts in the place of bytes that are not UTF-8."""
WINDOWS = (
    'not UTF-8 (if a spreadsheet on Windows wrote it: save it as "CSV UTF-8", or iconv -f WINDOWS-1252 -t UTF-8)'
)


def no_file(path: Path) -> str:
    """Say why a path is no file that can be read, twice if need be; empty if it is one."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "no such file"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if stat.S_ISREG(mode):
        return ""
    if stat.S_ISDIR(mode):
        return "a folder, not a file; name a file in it"
    what = "a pipe" if stat.S_ISFIFO(mode) else "a device" if stat.S_ISCHR(mode) else "no regular file"
    return f"{what}, which cannot be read twice; write its content to a file, and give that"


def no_data(path: Path) -> str:
    """Say why a file holds no data in text or parquet, where its first bytes tell; empty if they do not.

    Raises what `open_bytes` does.
    """
    start = first_bytes(path, 100)
    if start.startswith(LFS_POINTER):
        return "a Git LFS pointer, not the file that it stands for: run `git lfs pull` in its repository"
    if start.startswith(b"PK\x03\x04"):
        return "a zip archive or a spreadsheet (.xlsx): export it as CSV, or unpack it"
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "a web page, not data: the download went wrong"
    return ""


def open_bytes(path: Path) -> BinaryIO:
    """Open a file, or what is compressed in it: its first bytes say that, and not its name."""
    compression = compression_of(path)
    if compression == "gzip":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if compression == "bz2":
        return cast(BinaryIO, bz2.open(path, "rb"))
    if compression == "xz":
        return cast(BinaryIO, lzma.open(path, "rb"))
    if compression == "zstd":
        import pyarrow as pa

        return cast(BinaryIO, io.BufferedReader(pa.input_stream(str(path), compression="zstd")))
    return path.open("rb")


def compression_of(path: Path) -> str | None:
    """Return the compression of a file, by its first bytes."""
    with path.open("rb") as file:
        start = file.read(6)
    return next((name for magic, name in _MAGIC.items() if start.startswith(magic)), None)


def first_bytes(path: Path, count: int) -> bytes:
    """Return the first bytes of a file's content, uncompressed; fewer if it ends before."""
    with open_bytes(path) as file:
        return file.read(count)


def is_plain_utf8(path: Path) -> bool:
    """Tell whether a file is neither compressed nor in another encoding than UTF-8, by its first bytes."""
    return compression_of(path) is None and _encoding(path).startswith("utf-8")


def open_text(path: Path) -> io.TextIOWrapper:
    """Open a file's text; line ends stay what they are, and bytes that are not UTF-8 are half surrogates."""
    encoding = _encoding(path)
    errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
    return io.TextIOWrapper(open_bytes(path), encoding=encoding, errors=errors, newline="")


def read_lines(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """Read a file's lines, with their ends, numbered from 1; notes what is no text."""
    where = problems.place(path)
    try:
        with open_text(path) as file:
            for number, line in enumerate(file, start=1):
                if not line.isascii() and _NOT_UTF8.search(line):
                    problems.add(f"{where}: {WINDOWS}", f"line {number}", fatal=True)
                    # Going on with a stand-in finds the other problems, and keeps the line numbers right.
                    line = line.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")
                if "\0" in line:
                    problems.add(f"{where}: NUL characters: no text, or UTF-16 without a mark (save as UTF-8)",
                                 f"line {number}", fatal=True)  # fmt: skip
                yield number, line
    except UnicodeError as error:
        problems.add(f"{where}: its first bytes say {file.encoding}, and it is not: {error}", fatal=True)
    except UNREADABLE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        problems.add(f"{where}: cannot be read: {reason}", fatal=True)


def _encoding(path: Path) -> str:
    start = first_bytes(path, 4)
    return next((name for mark, name in _MARKS.items() if start.startswith(mark)), "utf-8")
