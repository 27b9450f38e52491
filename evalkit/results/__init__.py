"""What a run leaves behind: per-query records, what they were made from, and everything derived from them."""

from evalkit.results.results import Results

__all__ = ["Results"]
