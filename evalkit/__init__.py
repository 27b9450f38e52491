"""Pick, compare and regression-test embedding models and rerankers, on your own data.

`evalkit.run(models=..., tasks=..., rerankers=...)` does what `evalkit run` does and returns `Results`.
`evalkit.pick("docs/", questions=..., models=...)` does what `evalkit pick` does.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalkit.picking import pick
    from evalkit.pipeline import run
    from evalkit.results import Results

__version__ = "0.1.0"
__all__ = ["Results", "pick", "run"]


def __getattr__(name: str) -> Any:
    """Import the public functions when they are first used, so that `import evalkit` is instant."""
    if name == "run":
        from evalkit.pipeline import run

        return run
    if name == "pick":
        from evalkit.picking import pick

        return pick
    if name == "Results":
        from evalkit.results import Results

        return Results
    raise AttributeError(f"module 'evalkit' has no attribute {name!r}")
