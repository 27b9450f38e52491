"""How much of a folder was read."""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from evalkit.picking.documents._listing import HIDDEN, Entry

ENOUGH = 0.8
"""The share of files, and of bytes, below which a recommendation says first what it was made from."""
_KINDS_TOLD = 3


@dataclass(frozen=True, slots=True)
class Coverage:
    """The files and bytes that were read, of those that are there, and how many were not, by suffix.

    There is every file, of whatever kind, but hidden and empty ones; a symbolic link, and a folder that cannot be
    opened, is one that was not read.
    """

    files: int = 0
    files_there: int = 0
    bytes: int = 0
    bytes_there: int = 0
    unread: Mapping[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The smaller of the two shares that were read, of the files and of the bytes; 1 if nothing is there."""
        shares = ((self.files, self.files_there), (self.bytes, self.bytes_there))
        return min(read / there if there else 1.0 for read, there in shares)

    @property
    def warning(self) -> str:
        """What a reader of a recommendation has to know first, without a full stop; "" if enough was read."""
        if self.share >= ENOUGH:
            return ""
        percent = int(100 * self.bytes / self.bytes_there) if self.bytes_there else 100
        share = f"{percent} %" if percent else "less than 1 %"
        kinds = sorted(self.unread.items(), key=lambda each: -each[1])
        told = [f"{count} {suffix or 'without suffix'}" for suffix, count in kinds[:_KINDS_TOLD]]
        if others := sum(count for _, count in kinds[_KINDS_TOLD:]):
            told.append(f"{others} other{'s' if others > 1 else ''}")
        were = "was" if self.files == 1 else "were"
        return (
            f"Only {self.files} of {self.files_there} files ({share} of the bytes) {were} read: not {', '.join(told)}"
        )


def coverage_of(entries: Sequence[Entry], read: Container[str]) -> Coverage:
    """Return how much of a folder's entries was read, by the names of those that were."""
    there = {each.name: each.size or 0 for each in entries if each.reason != HIDDEN and each.size != 0}
    sizes = [size for name, size in there.items() if name in read]
    unread = Counter(PurePath(name).suffix.lower() for name in there if name not in read)
    return Coverage(len(sizes), len(there), sum(sizes), sum(there.values()), dict(unread))
