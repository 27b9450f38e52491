"""A folder of documents: reading its files, and cutting them into chunks that know where they came from."""

from evalkit.picking.documents._chunkers import SENTENCE
from evalkit.picking.documents._chunking import Chunk, Chunking, chunk_statistics, split
from evalkit.picking.documents._folder import Folder, Skipped, SourceFile, read_folder, told_tables, with_texts
from evalkit.picking.documents._listing import Coverage
from evalkit.picking.documents._reading import FORMATS

__all__ = [
    "FORMATS",
    "SENTENCE",
    "Chunk",
    "Chunking",
    "Coverage",
    "Folder",
    "Skipped",
    "SourceFile",
    "chunk_statistics",
    "read_folder",
    "split",
    "told_tables",
    "with_texts",
]
