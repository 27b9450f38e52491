"""mteb: its tasks as ours, our tasks and embedders as its own, and result files both ways.

mteb itself is imported when one of these is called, since that takes seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalkit.mteb.local import as_mteb_task
    from evalkit.mteb.model import as_mteb_model
    from evalkit.mteb.tasks import load_tasks

__all__ = ["as_mteb_model", "as_mteb_task", "load_tasks"]
_MODULES = {"as_mteb_model": "model", "as_mteb_task": "local", "load_tasks": "tasks"}


def __getattr__(name: str) -> Any:
    """Import what is asked for: whoever only reads mteb's registry needs none of it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
