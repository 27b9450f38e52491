"""Where models are called: in this process, or on the workers of a Ray cluster."""

from evalkit.engine.local import LOCAL, LocalEngine
from evalkit.engine.opening import open_engine, require

__all__ = ["LOCAL", "LocalEngine", "open_engine", "require"]
