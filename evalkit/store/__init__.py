"""Vectors and pair scores, each computed once: kept by content, in Lance tables."""

from evalkit.store._reuse import StoredVectors, encode_once, score_once
from evalkit.store.store import Store, default_root

__all__ = ["Store", "StoredVectors", "default_root", "encode_once", "score_once"]
