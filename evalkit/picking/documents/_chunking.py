"""Chunks of documents, by LlamaIndex's SentenceSplitter, each with the characters it covers in its file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from evalkit.errors import ConfigError, OptionalDependencyError
from evalkit.picking.documents._folder import Folder, SourceFile
from evalkit.token_counts import count_tokens

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Chunking:
    """How files are cut: `size` and `overlap` in tokens; without a size (`Chunking.whole`) each file is one chunk.

    A token is one of LlamaIndex's tokenizer (cl100k_base of tiktoken, which it brings along; another one if
    `llama_index.core.set_global_tokenizer` was called), so that a size means here what it means in a pipeline.
    Raises ConfigError for values that no splitter could use.
    """

    size: int | None
    overlap: int = 0

    whole: ClassVar["Chunking"]

    def __post_init__(self) -> None:
        if self.size is None and self.overlap:
            raise ConfigError(f"an overlap of {self.overlap} without a size: whole files do not overlap.")
        if self.size is not None and not 0 <= self.overlap < self.size:
            raise ConfigError(
                f"chunk size {self.size} with overlap {self.overlap}: a size is at least 1 token, and an overlap at "
                "least 0 and less than the size."
            )

    @property
    def label(self) -> str:
        """The name of the chunking in tables: "512/64", or "whole"."""
        return "whole" if self.size is None else f"{self.size}/{self.overlap}"


Chunking.whole = Chunking(None)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a file: `text` is the file's text from character `start` to `end` (exclusive)."""

    id: str
    file: str
    start: int
    end: int
    text: str


def split(folder: Folder, chunking: Chunking) -> tuple[Chunk, ...]:
    """Return the chunks of all files, in order. A chunk's id is FILE#START-END; that of a whole file is FILE.

    The pieces are those of `SentenceSplitter(chunk_size, chunk_overlap)`. It drops some blanks between sentences, so
    a piece need not be in the file as it stands: the chunk is what the file has between the piece's first and last
    character. Raises ConfigError if the size is too small for a character, and OptionalDependencyError.
    """
    if chunking.size is None:
        return tuple(Chunk(file.name, file.name, 0, len(file.text), file.text) for file in folder.files)
    try:
        from llama_index.core.node_parser import SentenceSplitter
    except ImportError:
        raise OptionalDependencyError("chunking", "llama_index.core", "pick") from None
    splitter = SentenceSplitter(chunk_size=chunking.size, chunk_overlap=chunking.overlap)
    chunks: list[Chunk] = []
    for file in folder.files:
        try:
            pieces = splitter.split_text(file.text)
        except ValueError as error:  # "Single token exceeded chunk size"
            raise ConfigError(
                f"chunk size {chunking.size} is too small for {file.name}: a single character has more tokens. "
                "Give a larger size."
            ) from error
        chunks += _placed(file, pieces)
    return tuple(chunks)


def _placed(file: SourceFile, pieces: Sequence[str]) -> list[Chunk]:
    # Compared without blanks, for the splitter drops some.
    places = [place for place, character in enumerate(file.text) if not character.isspace()]
    squeezed = ["".join(piece.split()) for piece in pieces]
    starts = _starts("".join(file.text.split()), squeezed, file.name)
    spans = (
        (places[first], places[first + len(piece) - 1] + 1) for first, piece in zip(starts, squeezed, strict=True)
    )
    # Pieces that differ in blanks only are one chunk.
    return [
        Chunk(f"{file.name}#{start}-{end}", file.name, start, end, file.text[start:end])
        for start, end in dict.fromkeys(spans)
    ]


def _starts(text: str, pieces: Sequence[str], name: str) -> list[int]:
    """Tell where each piece starts, such that together they cover the text, in order and without a gap.

    LlamaIndex searches each piece on its own, and finds the wrong place where a text repeats itself. Here a place
    counts only if the pieces before lead there, and from it the rest leads to the end.
    """
    # A piece starts after the one before; at the same place only where the splitter repeats one but for blanks.
    path = _path(text, pieces, 1) or _path(text, pieces, 0)
    if len(path) != len(pieces):
        raise ConfigError(f"{name}: the node parser gave text that the file does not have. Chunk it another way.")
    return path


def _path(text: str, pieces: Sequence[str], advance: int) -> list[int]:
    """Starts that are at least `advance` apart; none if there is no such path."""
    came_from: list[dict[int, int]] = []
    ends = {0: -advance}
    for piece in pieces:
        found: dict[int, int] = {}
        for end, start in ends.items():
            place = text.find(piece, start + advance, end + len(piece))
            while place >= 0:
                found.setdefault(place, start)
                place = text.find(piece, place + 1, end + len(piece))
        came_from.append(found)
        ends = {start + len(piece): start for start in found}
    if len(text) not in ends or not pieces:
        return []
    path = [ends[len(text)]]
    for found in reversed(came_from[1:]):
        path.append(found[path[-1]])
    return path[::-1]


def chunk_statistics(folder: Folder, chunkings: Mapping[Chunking, Sequence[Chunk]]) -> "pd.DataFrame":
    """Return a row a chunking: its label, files, skipped, chunks, and p50, p95 and max of chunks a file and tokens a
    chunk.

    Percentiles are float64 (linear between two values), all else int64. Tokens are counted as `Chunking` says.
    """
    import pandas as pd

    rows: list[dict[str, object]] = []
    for chunking, chunks in chunkings.items():
        per_file = Counter(chunk.file for chunk in chunks)
        rows.append(
            {
                "chunking": chunking.label,
                "files": len(folder.files),
                "skipped": len(folder.skipped),
                "chunks": len(chunks),
                **_spread("chunks_per_file", [per_file[file.name] for file in folder.files]),
                **_spread("tokens", count_tokens(chunk.text for chunk in chunks)),
            }
        )
    return pd.DataFrame(rows)


def _spread(name: str, counts: Sequence[int]) -> dict[str, object]:
    middle, high = np.percentile(counts, [50, 95])
    return {f"{name}_p50": float(middle), f"{name}_p95": float(high), f"{name}_max": max(counts)}
