"""Chunks of documents, by LlamaIndex's node parsers, each with the characters it covers in its file."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from evalkit.errors import ConfigError, OptionalDependencyError
from evalkit.picking.documents._chunkers import (
    LATE,
    SENTENCE,
    HierarchicalOptions,
    headings_above,
    parse_chunker,
    sections_by,
)
from evalkit.picking.documents._folder import Folder, SourceFile
from evalkit.picking.documents._places import places
from evalkit.runner.context import RunContext
from evalkit.token_counts import count_tokens
from evalkit.types import Document

if TYPE_CHECKING:
    import pandas as pd
    from llama_index.core.node_parser import SentenceSplitter


@dataclass(frozen=True, slots=True)
class Chunking:
    """How files are cut: `size` and `overlap` in tokens; without a size (`Chunking.whole`) each file is one chunk.

    `chunker` is `NAME?option=value`:

    - `sentence`: LlamaIndex's SentenceSplitter.
    - `markdown`: the sections of its MarkdownNodeParser, and what is longer than `size` cut by the SentenceSplitter.
    - `headings`: the chunks of `sentence`, each read after the headings that it stands under.
    - `semantic?model=SPEC`: the pieces of its SemanticSplitterNodeParser with an embedder of evalkit, and what is
      longer cut likewise.
    - `hierarchical?leaf=128`: the chunks of `sentence`, cut again into leaves of so many tokens and the same overlap,
      as by its HierarchicalNodeParser. Leaves are searched, and the chunk of the best one is what is found.
    - `late`: the chunks of `sentence`, whose vectors are means of those of their tokens, made with the whole file in
      view (late chunking), by transformers with mean pooling; whatever has no vectors reads the chunks.

    A token is one of LlamaIndex's tokenizer (cl100k_base of tiktoken, which it brings along; another one if
    `llama_index.core.set_global_tokenizer` was called), so that a size means here what it means in a pipeline.
    Raises ConfigError for values that no splitter could use, and what `parse_chunker` raises.
    """

    size: int | None
    overlap: int = 0
    chunker: str = SENTENCE

    whole: ClassVar["Chunking"]

    def __post_init__(self) -> None:
        if self.size is None and (self.overlap or self.chunker != SENTENCE):
            raise ConfigError(
                f"chunker {self.chunker} with an overlap of {self.overlap}, without a size: whole files are not cut. "
                "Give a size, such as 512."
            )
        if self.size is not None and not 0 <= self.overlap < self.size:
            raise ConfigError(
                f"chunk size {self.size} with overlap {self.overlap}: a size is at least 1 token, and an overlap at "
                "least 0 and less than the size."
            )
        _, options = parse_chunker(self.chunker)
        leaf = options.leaf if isinstance(options, HierarchicalOptions) else None
        if self.size is not None and leaf is not None and not self.overlap < leaf < self.size:
            raise ConfigError(
                f"leaves of {leaf} tokens in chunks of {self.size}/{self.overlap}: a leaf is larger than the overlap "
                "and smaller than the chunk. Say it with hierarchical?leaf=TOKENS."
            )

    @property
    def label(self) -> str:
        """The name of the chunking in tables: "512/64", "markdown 512/64", or "whole"."""
        size = "whole" if self.size is None else f"{self.size}/{self.overlap}"
        return size if self.chunker == SENTENCE else f"{self.chunker} {size}"

    @property
    def has_leaves(self) -> bool:
        """Whether parts of the chunks are searched in their place."""
        return isinstance(parse_chunker(self.chunker)[1], HierarchicalOptions)

    @property
    def is_late(self) -> bool:
        """Whether embedders read each chunk with its whole file in view."""
        return self.chunker == LATE

    @classmethod
    def labelled(cls, label: str) -> "Chunking":
        """Return the chunking of a label."""
        chunker, _, size = label.rpartition(" ")
        tokens, _, overlap = size.partition("/")
        return cls(int(tokens), int(overlap), chunker or SENTENCE) if overlap else cls.whole


Chunking.whole = Chunking(None)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a file: `text` is the file's text from character `start` to `end` (exclusive).

    `headings` are read before it: those that it stands under, the highest first, with ` > ` between them. Where there
    are `leaves`, these are searched in its place.
    """

    id: str
    file: str
    start: int
    end: int
    text: str
    headings: str = ""
    leaves: tuple["Chunk", ...] = ()

    @property
    def document(self) -> Document:
        """The chunk as what is searched; its headings are the title."""
        return Document(self.id, self.text, self.headings)

    @property
    def content(self) -> str:
        """What models read of it, and what is handed on."""
        return self.document.content


def split(folder: Folder, chunking: Chunking, context: RunContext | None = None) -> tuple[Chunk, ...]:
    """Return the chunks of all files, in order. A chunk's id is FILE#START-END; that of a whole file is FILE.

    A parser drops some blanks, so a piece of its need not be in the file as it stands: the chunk is what the file has
    between the piece's first and last character. A model that takes part is loaded by the `context`; without one on
    the CPU. Raises ConfigError if the size is too small for a character, and OptionalDependencyError.
    """
    if chunking.size is None:
        return tuple(Chunk(file.name, file.name, 0, len(file.text), file.text) for file in folder.files)
    try:
        from llama_index.core.node_parser import SentenceSplitter
    except ImportError:
        raise OptionalDependencyError("chunking", "llama_index.core", "pick") from None
    name, options = parse_chunker(chunking.chunker)
    sections = sections_by(name, options, context or RunContext())
    splitter = SentenceSplitter(chunk_size=chunking.size, chunk_overlap=chunking.overlap)
    smaller = None
    if isinstance(options, HierarchicalOptions):
        smaller = SentenceSplitter(chunk_size=options.leaf, chunk_overlap=chunking.overlap)
    chunks: list[Chunk] = []
    for file in folder.files:
        cut = _cut(splitter, sections(file), file.text, file.name)
        found = [_chunk(file, *place) for place in cut]
        if name == "headings":
            found = _under_headings(file, found)
        if smaller is not None:
            pieces = zip(found, cut.values(), strict=True)
            found = [_with_leaves(chunk, _cut(smaller, [piece], chunk.text, file.name)) for chunk, piece in pieces]
        chunks += found
    return tuple(chunks)


def _chunk(file: SourceFile, start: int, end: int) -> Chunk:
    return Chunk(f"{file.name}#{start}-{end}", file.name, start, end, file.text[start:end])


def _cut(splitter: "SentenceSplitter", parts: Sequence[str], whole: str, name: str) -> dict[tuple[int, int], str]:
    """Return the pieces of parts, by their places in the whole; those that differ in blanks only are one."""
    try:
        pieces = [piece for part in parts for piece in splitter.split_text(part) if piece.strip()]
    except ValueError as error:  # "Single token exceeded chunk size"
        raise ConfigError(
            f"chunk size {splitter.chunk_size} is too small for {name}: a single character has more tokens. "
            "Give a larger size."
        ) from error
    found: dict[tuple[int, int], str] = {}
    for place, piece in zip(places(whole, pieces, name), pieces, strict=True):
        found.setdefault(place, piece)
    return found


def _with_leaves(chunk: Chunk, leaves: Iterable[tuple[int, int]]) -> Chunk:
    """Return the chunk with leaves at places in it. Chunks overlap, so a leaf's id has the chunk's before it."""
    found = [
        Chunk(f"{chunk.id}/{start}-{end}", chunk.file, chunk.start + start, chunk.start + end, chunk.text[start:end])
        for start, end in leaves
    ]
    return replace(chunk, leaves=tuple(found))


def _under_headings(file: SourceFile, chunks: Sequence[Chunk]) -> list[Chunk]:
    above = headings_above(file, [chunk.start for chunk in chunks])
    return [replace(chunk, headings=" > ".join(path)) for chunk, path in zip(chunks, above, strict=True)]


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
                **_spread("tokens", count_tokens(chunk.content for chunk in chunks)),
            }
        )
    return pd.DataFrame(rows)


def _spread(name: str, counts: Sequence[int]) -> dict[str, object]:
    middle, high = np.percentile(counts, [50, 95])
    return {f"{name}_p50": float(middle), f"{name}_p95": float(high), f"{name}_max": max(counts)}
