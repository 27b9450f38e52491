"""The grid: every embedder on every task, and every reranker behind every embedder, from shared work."""

from evalkit.runner.grid._grid import run_grid
from evalkit.runner.grid.plan import Failure, GridPlan, Outcome

__all__ = ["Failure", "GridPlan", "Outcome", "run_grid"]
