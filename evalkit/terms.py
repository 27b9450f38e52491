"""Words of the field that options are chosen from. Imports nothing, so that the command line answers at once."""

from typing import Literal

Role = Literal["query", "document", "sentence"]
"""What a text is to the model: a search query, a document, or one side of a symmetric pair (STS)."""
ROLES: tuple[Role, ...] = ("query", "document", "sentence")

Similarity = Literal["cosine", "dot", "euclidean", "manhattan"]
SIMILARITIES: tuple[Similarity, ...] = ("cosine", "dot", "euclidean", "manhattan")

Device = Literal["cpu", "cuda", "mps", "meta"]
"""Networks are on one of these; on PyTorch's `meta` they have shapes and no numbers, and cannot be run."""

EngineName = Literal["local", "ray"]
"""Where models are called: in this process, or on the workers of a Ray cluster."""

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""What a file begins with that Git has left in the place of a large one."""
