"""What evalkit is called where it is installed, and how to install what an extra of it needs."""

import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

DISTRIBUTION = "evalkit-embeddings"
"""The name of the distribution; `evalkit` is the import and the command. On PyPI `evalkit` is another project."""


def install_line(extra: str, module: str) -> str:
    """Write the command that installs what an extra needs, or `module` where nothing is known of the extra.

    The libraries are named themselves, each with its range, so that the line is right from a wheel, a clone or a
    package index alike.
    """
    return f"pip install {shlex.join(map(str, requirements(extra))) or module.replace('_', '-')}"


@cache
def requirements(extra: str) -> tuple[Requirement, ...]:
    """Read what an extra needs here: from the installed metadata, else from pyproject.toml in a source tree.

    Extras of evalkit itself are replaced by what they need; markers are left out. Empty for an unknown extra.
    """
    needed: dict[str, Requirement] = {}
    for requirement in _declared(extra):
        if canonicalize_name(requirement.name) == DISTRIBUTION:
            needed |= {str(part): part for inner in requirement.extras for part in requirements(inner)}
        else:
            requirement.marker = None
            needed[str(requirement)] = requirement
    return tuple(needed[name] for name in sorted(needed))


def _declared(extra: str) -> Iterator[Requirement]:
    try:
        for requirement in map(Requirement, requires(DISTRIBUTION) or ()):
            marker = requirement.marker
            # What is needed without an extra too is there already.
            if marker and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
                yield requirement
    except PackageNotFoundError:
        declaration = Path(__file__).resolve().parents[1] / "pyproject.toml"
        if declaration.is_file():
            project = tomllib.loads(declaration.read_text(encoding="utf-8"))["project"]
            yield from map(Requirement, project["optional-dependencies"].get(extra, ()))
