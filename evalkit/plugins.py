"""What other packages add through entry points."""

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import TypeVar

from evalkit.errors import ConfigError

T = TypeVar("T")


def plugins(group: str, kind: type[T]) -> Iterator[tuple[str, T]]:
    """Load the entry points of a group: the name of each, and the object that it gives.

    Raises ConfigError for one that cannot be imported, or that gives something else than a `kind`.
    """
    for entry in entry_points(group=group):
        try:
            found = entry.load()
        except Exception as error:  # whatever another package does when it is imported
            raise ConfigError(
                f"entry point {entry.name!r} in group {group!r} cannot be imported: "
                f"{type(error).__name__}: {error}; fix or uninstall that package."
            ) from error
        if not isinstance(found, kind):
            raise ConfigError(
                f"entry point {entry.name!r} in group {group!r} gave a {type(found).__name__}, not an "
                f"{kind.__module__}.{kind.__qualname__}; fix or uninstall that package."
            )
        yield entry.name, found
