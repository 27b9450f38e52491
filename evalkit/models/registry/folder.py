"""A model's folder as it came: its files, looked at before a library reads them, and the family that they tell."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

from evalkit.errors import ModelNotFoundError, SpecError, did_you_mean
from evalkit.models.registry.options import Pooling
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


MODULES, SETTINGS, CONFIG = "modules.json", "config_sentence_transformers.json", "config.json"
FAMILY_OF = {
    "SentenceTransformer": "sbert", "SparseEncoder": "splade", "CrossEncoder": "ce", "MultiVectorEncoder": "maxsim",
    "ColBERT": "maxsim",
}  # fmt: skip
"""The family that runs what sentence-transformers, or PyLate before it, saved as a model of this type."""
_BY_FILES = (
    ("maxsim", ("artifact.metadata",)),
    ("elmo", ("*options.json", "*.hdf5")),
    ("cove", ("wmtlstm-*.pth", "glove*.txt")),
)
"""Files that only one family's releases have."""


def begins_as_path(name: str) -> bool:
    """Tell whether a name can only be that of a folder or file."""
    return name in (".", "..") or name.startswith(("/", "./", "../", "~"))


def family_of(name: str) -> str:
    """Read which family runs the model in a folder. `name` may have escapes, as in a spec.

    Raises ModelNotFoundError if there is no such folder, or no model in it; SpecError, with what to write, for a file
    and where the files do not tell.
    """
    folder = Path(unquote(name)).expanduser()
    if folder.is_file():
        raise SpecError(
            f"{name!r} is a file. For word vectors write glove:{name}, word2vec:{name} or fasttext:{name}; for any "
            "other model give its folder."
        )
    if not folder.is_dir():
        raise ModelNotFoundError(f"no folder {name!r} in {Path.cwd()}.{_nearest(folder)}")
    config = _json(folder / CONFIG)
    if config.get("model_type") == "model2vec":  # before its modules.json, by which other libraries read it
        return "static"
    if (folder / MODULES).is_file():
        model_type = _json(folder / SETTINGS).get("model_type", "SentenceTransformer")
        if model_type in FAMILY_OF:
            return FAMILY_OF[model_type]
    for family, patterns in _BY_FILES:
        if all(any(folder.glob(pattern)) for pattern in patterns):
            return family
    kind = str(next(iter(config.get("architectures") or ()), config.get("model_type", "")))
    if kind.endswith("ForSequenceClassification"):
        return "ce"
    if kind == "HF_ColBERT":
        return "maxsim"
    if config or (folder / "adapter_config.json").is_file():
        raise SpecError(
            f"{name!r} has no {MODULES}, so its files do not say how it is used{f' ({kind})' if kind else ''}. Write "
            f"bert:{name}?pooling=POOLING ({', '.join(get_args(Pooling))}) for an embedder, ce:{name} for a "
            f"cross-encoder, maxsim:{name} for late interaction."
        )
    there = ", ".join(sorted(path.name for path in folder.iterdir())[:10])
    raise ModelNotFoundError(
        f"no model in the folder {name!r}: neither {MODULES} nor {CONFIG} is in it. It holds: {there or 'nothing'}."
    )


def _json(path: Path) -> Mapping[str, Any]:
    """Return the settings in a file; empty without the file. Raises ModelNotFoundError if they cannot be read."""
    return read_json(path) if path.is_file() else {}


def _nearest(folder: Path) -> str:
    """Return a closing sentence: the folders beside it, if any has a like name, else where the path ends."""
    parent = next(path for path in folder.parents if path.is_dir())
    beside = [str(parent / path.name) for path in parent.iterdir() if path.is_dir()]
    return f" {did_you_mean(str(folder), beside)}" if 0 < len(beside) <= 20 else f" {str(parent)!r} is there."
