"""The grid: every embedder on every task, and every reranker behind every embedder, from shared work."""

from evalkit.grid.cells import Cell, Entrant, Failure, Outcome
from evalkit.grid.grid import run_grid

__all__ = ["Cell", "Entrant", "Failure", "Outcome", "run_grid"]
