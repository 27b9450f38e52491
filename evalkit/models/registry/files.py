"""A model's files as they came here, looked at before a library reads them, so that an error names the file."""

import json
from pathlib import Path
from typing import Any

from evalkit.errors import ModelNotFoundError
from evalkit.terms import LFS_POINTER


def refuse_pointer(path: Path) -> None:
    """Raise ModelNotFoundError if a file is not itself here, but only what Git LFS would fetch it by."""
    with path.open("rb") as file:
        start = file.read(len(LFS_POINTER))
    if start == LFS_POINTER:
        raise ModelNotFoundError(
            f"{path} is a Git LFS pointer, not the file that it stands for. Run `git lfs pull` in its repository, or "
            "download the file."
        )


def read_json(path: Path, kind: type = dict) -> Any:
    """Read a JSON file of a model. Raises ModelNotFoundError, naming it, if it cannot be read or is no `kind`."""
    refuse_pointer(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelNotFoundError(
            f"{path} cannot be read: {error}. It is cut off or was written wrongly: download it, or save the model, "
            "again."
        ) from error
    if not isinstance(content, kind):
        wanted = "settings by name" if kind is dict else f"a {kind.__name__}"
        raise ModelNotFoundError(f"{path} holds a {type(content).__name__}, not {wanted}. Save the model again.")
    return content
