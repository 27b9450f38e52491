"""The grid: every embedder on every task, and every reranker behind every embedder, from shared work."""

from evalkit.grid.cells import Entrant, Failure, FusedEntrant, Outcome
from evalkit.grid.grid import run_grid
from evalkit.grid.stages import Means

__all__ = ["Entrant", "Failure", "FusedEntrant", "Means", "Outcome", "run_grid"]
