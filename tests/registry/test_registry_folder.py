"""A model given by its folder alone: run as its files say, or told what to write."""

import json
import os
import re
from pathlib import Path

import pytest

from evalkit.errors import ModelNotFoundError, SpecError, UnknownNameError
from evalkit.models.registry import parse_spec, resolve

ST = {"modules.json": []}


def settings(model_type: str) -> dict[str, object]:
    return {**ST, "config_sentence_transformers.json": {"model_type": model_type}}


def config(**keys: object) -> dict[str, object]:
    return {"config.json": keys}


TOLD = {
    "sentence-transformers": (settings("SentenceTransformer"), "sbert"),
    "sentence-transformers, old": (ST, "sbert"),
    "sparse": (settings("SparseEncoder"), "splade"),
    "cross-encoder with modules": (settings("CrossEncoder"), "ce"),
    "multi-vector": (settings("MultiVectorEncoder"), "maxsim"),
    "pylate": (settings("ColBERT"), "maxsim"),
    "cross-encoder": (config(architectures=["XLMRobertaForSequenceClassification"]), "ce"),
    "colbert": (config(architectures=["HF_ColBERT"]), "maxsim"),
    "colbert of stanford": ({**config(architectures=["BertModel"]), "artifact.metadata": {}}, "maxsim"),
    "model2vec": (config(model_type="model2vec", architectures=["StaticModel"]), "static"),
    "model2vec, as it is released": ({**ST, **config(model_type="model2vec")}, "static"),
    "elmo": ({"elmo_options.json": {}, "elmo_weights.hdf5": {}}, "elmo"),
}
NOT_TOLD = {
    "plain": config(architectures=["BertModel"], model_type="bert"),
    "language model": config(architectures=["Qwen3ForCausalLM"]),
    "no architecture": config(model_type="bert"),
    "adapter": {"adapter_config.json": {}},
}


def write(folder: Path, files: dict[str, object]) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working folder is a folder beside the models'; home is above both."""
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(("files", "family"), TOLD.values(), ids=TOLD)
def test_a_folder_is_run_as_its_files_say(files: dict[str, object], family: str, tmp_path: Path):
    write(tmp_path / "mine", files)
    assert resolve("../mine") == parse_spec(f"{family}:../mine")


@pytest.mark.parametrize(
    "way", ["./mine", "../desk/mine", "{top}/desk/mine", "~/desk/mine", "mine", "./a b, c", "./."]
)
def test_every_way_to_write_a_path(way: str, tmp_path: Path):
    name = way.replace("{top}", str(tmp_path))
    if name != "./.":
        write(tmp_path / "desk" / ("mine" if "mine" in name else "a b, c"), ST)
    else:
        (tmp_path / "desk" / "modules.json").write_text("[]")
    escaped = name.replace(",", "%2C")
    assert resolve(escaped) == parse_spec(f"sbert:{escaped}")
    assert resolve(f"{escaped}?dim=2&query_prompt=q: ") == parse_spec(f"sbert:{escaped}?dim=2&query_prompt=q:%20")
    assert parse_spec(str(resolve(escaped))) == resolve(escaped)


def test_names_of_the_catalogue_and_families_win_over_folders_here(tmp_path: Path):
    for name in ("bm25", "all-MiniLM-L6-v2"):
        write(tmp_path / "desk" / name, ST)
        assert resolve(f"./{name}").family == "sbert"
    assert resolve("bm25").family == "bm25"
    assert resolve("all-MiniLM-L6-v2").name == "sentence-transformers/all-MiniLM-L6-v2"


@pytest.mark.parametrize("files", NOT_TOLD.values(), ids=NOT_TOLD)
def test_where_the_files_do_not_tell_it_is_said_what_to_write(files: dict[str, object], tmp_path: Path):
    write(tmp_path / "mine", files)
    with pytest.raises(SpecError, match=r"has no modules\.json") as caught:
        resolve("../mine")
    advised = re.findall(r"(\w+:\.\./mine\S*)", str(caught.value))
    assert [spec.partition(":")[0] for spec in advised] == ["bert", "ce", "maxsim"]
    for spec in advised:  # all of it can be typed
        assert resolve(spec.replace("POOLING", "cls")).name == "../mine"


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("../absent", ModelNotFoundError, "no folder '../absent' in "),
        ("../desk/nine", ModelNotFoundError, "Did you mean '../desk/mine'"),
        ("/no/such/folder", ModelNotFoundError, "no folder '/no/such/folder' in "),
        ("~/absent", ModelNotFoundError, "no folder '~/absent' in "),
        ("./empty", ModelNotFoundError, "no model in the folder './empty'"),
        ("./words.txt", SpecError, "write glove:./words.txt, word2vec:./words.txt or fasttext:./words.txt"),
        ("./broken", ModelNotFoundError, "config.json cannot be read"),
        ("BAAI/bge-unheard-of", UnknownNameError, "A model of the hub is written FAMILY:BAAI/bge-unheard-of"),
    ],
)
def test_what_is_no_model_says_what_it_is(name: str, error: type[Exception], message: str, tmp_path: Path):
    write(tmp_path / "desk" / "mine", ST)
    write(tmp_path / "desk" / "empty", {})
    (write(tmp_path / "desk" / "broken", {}) / "config.json").write_text("{")
    Path("words.txt").write_text("a 1 2\n")
    with pytest.raises(error, match=re.escape(message)):
        resolve(name)


def test_paths_are_models_in_python_too(tmp_path: Path):
    from evalkit.runner.config import read_config

    keys = {"tasks": Path("data"), "models": Path("../mine"), "rerankers": [Path("../other"), "none"]}
    config = read_config(keys)
    assert (config.models, config.rerankers, config.tasks) == (("../mine",), ("../other", "none"), ("data",))
    assert os.fspath(config.models[0]) == "../mine"
