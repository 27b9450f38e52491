"""A folder of documents: reading its files, and cutting them into chunks that know where they came from."""

from evalkit.picking.documents._chunking import Chunk, Chunking, chunk_statistics, split
from evalkit.picking.documents._folder import Folder, Skipped, SourceFile, read_folder, with_texts

__all__ = [
    "Chunk",
    "Chunking",
    "Folder",
    "Skipped",
    "SourceFile",
    "chunk_statistics",
    "read_folder",
    "split",
    "with_texts",
]
