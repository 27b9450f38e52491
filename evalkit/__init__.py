"""Pick, compare and regression-test embedding models and rerankers, on your own data.

`evalkit.run(models=..., tasks=..., rerankers=...)` does what `evalkit run` does and returns `Results`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalkit.pipeline import run
    from evalkit.results import Results

__all__ = ["Results", "run"]


def __getattr__(name: str) -> Any:
    """Import the public functions when they are first used, so that `import evalkit` is instant."""
    if name == "run":
        from evalkit.pipeline import run

        return run
    if name == "Results":
        from evalkit.results import Results

        return Results
    raise AttributeError(f"module 'evalkit' has no attribute {name!r}")
