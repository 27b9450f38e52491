"""A folder of documents: reading its files, and cutting them into chunks that know where they came from."""

from evalkit.picking.documents.chunking import Chunk, Chunking, count_tokens, split
from evalkit.picking.documents.folder import Folder, Skipped, SourceFile, read_folder, with_texts
from evalkit.picking.documents.statistics import chunk_statistics

__all__ = [
    "Chunk",
    "Chunking",
    "Folder",
    "Skipped",
    "SourceFile",
    "chunk_statistics",
    "count_tokens",
    "read_folder",
    "split",
    "with_texts",
]
