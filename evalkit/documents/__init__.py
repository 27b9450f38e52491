"""A folder of documents: reading its files, and cutting them into chunks that know where they came from."""

from evalkit.documents.chunking import Chunk, Chunking, split
from evalkit.documents.folder import Folder, Skipped, SourceFile, read_folder
from evalkit.documents.statistics import chunk_statistics

__all__ = ["Chunk", "Chunking", "Folder", "Skipped", "SourceFile", "chunk_statistics", "read_folder", "split"]
