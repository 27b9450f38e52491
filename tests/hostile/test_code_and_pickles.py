"""No code of a model's repository is run, and no pickle read, unless the user allows it: each case leaves a mark."""

import pickle
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from planted import Harm, copy_of, pickle_weights, plant_code, plant_pickle

import evalkit as package
from evalkit.compute import Compute
from evalkit.errors import ConfigError, ModelNotFoundError, UntrustedError
from evalkit.models.registry import build, parse_spec
from evalkit.runner.config import read_suite

TRUST, PICKLES = Compute(trust_remote_code=True), Compute(allow_pickle=True)
KINDS = {"bert": "bert", "sbert": "bert", "splade": "masked", "ce": "one-label", "maxsim": "bert"}


@pytest.fixture(autouse=True)
def _modules_of_repositories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code of repositories is copied here where it may be run, not into the user's cache."""
    from transformers import dynamic_module_utils

    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))


def use(spec: str, compute: Compute) -> np.ndarray:
    """Two vectors or two scores by the model."""
    model = build(parse_spec(spec), compute)
    if hasattr(model, "encode"):
        return model.encode(["a cat", "dog"], "sentence")
    return model.score(["a cat", "dog"], ["the cat", "zebras"])


CODE = [(family, place) for family in KINDS for place in ("model", "tokenizer")]
CODE += [("sbert", "modules")]


@pytest.mark.parametrize(("family", "place"), CODE)
def test_code_of_a_repository_is_run_only_if_it_is_trusted(family, place, tiny, mark, tmp_path):
    folder = plant_code(copy_of(tiny(KINDS[family]), tmp_path / "model"), mark, place)
    # transformers takes its own tokenizer for BERT, where it may not take the repository's.
    refused = UntrustedError if place != "tokenizer" else ()
    with pytest.raises(refused, match=r"code of its own.* --trust-remote-code\.") if refused else nullcontext():
        use(f"{family}:{folder}", Compute())
    assert not mark.exists()
    use(f"{family}:{folder}", TRUST)
    assert mark.exists(), "the bait does not work"


def test_code_that_is_trusted_is_part_of_what_a_model_is(tiny, mark, tmp_path):
    folder = plant_code(copy_of(tiny("bert"), tmp_path / "model"), mark, "model")
    spec = parse_spec(f"bert:{folder}")
    before = build(spec, TRUST).identity
    (folder / "harm.py").write_text((folder / "harm.py").read_text() + "\n# changed\n")
    assert build(spec, TRUST).identity != before


@pytest.mark.parametrize("family", KINDS)
def test_pickled_weights_are_read_only_if_that_is_allowed(family, tiny, tmp_path):
    plain, pickled = tiny(KINDS[family]), pickle_weights(copy_of(tiny(KINDS[family]), tmp_path / "model"))
    with pytest.raises(UntrustedError, match=r"pytorch_model\.bin is pickled.* --allow-pickle\."):
        use(f"{family}:{pickled}", Compute())
    np.testing.assert_array_equal(
        dense(use(f"{family}:{pickled}", PICKLES)), dense(use(f"{family}:{plain}", PICKLES))
    )


def dense(values):
    return values.toarray() if hasattr(values, "toarray") else values


@pytest.mark.parametrize("compute", [Compute(), PICKLES], ids=["refused", "allowed"])
@pytest.mark.parametrize("family", KINDS)
def test_a_harmful_pickle_does_nothing_even_where_pickles_are_allowed(family, compute, tiny, mark, tmp_path):
    folder = plant_pickle(copy_of(tiny(KINDS[family]), tmp_path / "model"), mark)
    with pytest.raises((UntrustedError, ModelNotFoundError, pickle.UnpicklingError)):
        use(f"{family}:{folder}", compute)
    assert not mark.exists()
    pickle.loads((folder / "pytorch_model.bin").read_bytes())
    assert mark.exists(), "the bait does not work"


def test_a_pickled_part_beside_safetensors_is_refused_too(tiny, mark, tmp_path):
    folder = copy_of(tiny("bert"), tmp_path / "model")
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense" / "pytorch_model.bin").write_bytes(pickle.dumps(Harm(mark)))
    with pytest.raises(UntrustedError, match=r"2_Dense/pytorch_model\.bin is pickled"):
        use(f"sbert:{folder}", Compute())


def test_pickles_that_nothing_reads_are_no_matter(tiny, mark, tmp_path):
    folder = copy_of(tiny("bert"), tmp_path / "model")
    (folder / "training_args.bin").write_bytes(pickle.dumps(Harm(mark)))
    (folder / "openvino").mkdir()
    (folder / "openvino" / "openvino_model.bin").write_bytes(b"no pickle")
    use(f"sbert:{folder}", Compute())
    assert not mark.exists()


@pytest.mark.parametrize("family", ["glove", "word2vec", "fasttext"])
def test_gensim_s_pickles_are_no_word_vectors(family, mark, tmp_path):
    (tmp_path / "vectors.model").write_bytes(pickle.dumps(Harm(mark)))
    with pytest.raises(ModelNotFoundError, match="cannot read"):
        use(f"{family}:{tmp_path / 'vectors.model'}", Compute(trust_remote_code=True, allow_pickle=True))
    assert not mark.exists()


@pytest.mark.parametrize("compute", [Compute(), PICKLES], ids=["refused", "allowed"])
def test_cove_s_pickle(compute, mark, tmp_path):
    (tmp_path / "glove.txt").write_text("cat 1 2\n")
    (tmp_path / "wmtlstm.pth").write_bytes(pickle.dumps({"weight_ih_l0": Harm(mark)}, protocol=2))
    with pytest.raises(UntrustedError if compute == Compute() else ModelNotFoundError):
        use(f"cove:{tmp_path}", compute)
    assert not mark.exists()


def test_elmo_s_file_is_data_alone(mark, tmp_path):
    (tmp_path / "options.json").write_text(
        '{"char_cnn": {"embedding": {"dim": 2}, "filters": [[1, 2]], "n_highway": 0, "activation": "relu",'
        ' "max_characters_per_token": 8}, "lstm": {"dim": 2, "projection_dim": 2, "n_layers": 1,'
        ' "use_skip_connections": false}}'
    )
    (tmp_path / "weights.hdf5").write_bytes(pickle.dumps(Harm(mark)))
    with pytest.raises(ModelNotFoundError, match="cannot read"):
        use(f"elmo:{tmp_path}", Compute())
    assert not mark.exists()


def test_a_static_model_is_data_alone(mark, tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Harm(mark)))
    with pytest.raises(UntrustedError):
        use(f"static:{tmp_path}", Compute())
    with pytest.raises(ModelNotFoundError):
        use(f"static:{tmp_path}", PICKLES)
    assert not mark.exists()


class AsItLikes:
    """A loader of mteb's that trusts everything, as many in its registry do."""

    def __init__(self, folder: str, **_: object) -> None:
        from transformers import AutoModel

        self.model = AutoModel.from_pretrained(folder, trust_remote_code=True, use_safetensors=False)


@pytest.mark.parametrize(("planted", "allowed"), [("code", TRUST), ("pickle", PICKLES)])
def test_models_of_mteb_s_registry(planted, allowed, tiny, mark, tmp_path, monkeypatch):
    from mteb.models.model_implementations import MODEL_REGISTRY

    folder = copy_of(tiny("bert"), tmp_path / "model")
    if planted == "code":
        plant_code(pickle_weights(folder), mark, "model")
        allowed = Compute(trust_remote_code=True, allow_pickle=True)
    else:
        pickle_weights(folder)
    name = "intfloat/e5-base-v2"

    def load(*_: object, **__: object) -> AsItLikes:
        return AsItLikes(str(folder))

    monkeypatch.setitem(MODEL_REGISTRY, name, MODEL_REGISTRY[name].model_copy(update={"loader": load}))
    spec = parse_spec(f"mteb:{name}")
    with pytest.raises(UntrustedError, match=f"^mteb's '{name}' "):
        build(spec, Compute())
    assert not mark.exists()
    with pytest.raises(ModelNotFoundError, match="AsItLikes, which neither"):
        build(spec, allowed)
    assert mark.exists() is (planted == "code")


def test_components_of_llamaindex(tiny, mark, tmp_path):
    folder = plant_code(copy_of(tiny("bert"), tmp_path / "model"), mark, "model")
    name = "llama_index.embeddings.huggingface.HuggingFaceEmbedding"
    spec = parse_spec(f"llamaindex:{name}?model_name={folder}&trust_remote_code=true")
    with pytest.raises(UntrustedError, match=f"^{name} brings code"):
        build(spec, Compute())
    assert not mark.exists()
    build(spec, TRUST)
    assert mark.exists(), "the bait does not work"


@pytest.mark.parametrize("key", ["trust_remote_code", "allow_pickle"])
def test_no_suite_file_can_allow_it(key, tmp_path):
    (tmp_path / "suite.yaml").write_text(f"models: [bm25]\ntasks: [rag-mini]\n{key}: true\n")
    with pytest.raises(ConfigError, match=f"sets {key}. Only who runs a suite can allow that"):
        read_suite(tmp_path / "suite.yaml")


def test_the_command_line_says_it(tiny, mark, tmp_path, evalkit):
    folder = plant_code(copy_of(tiny("bert"), tmp_path / "model"), mark, "model")
    asked = ("run", "--models", f"bert:{folder}", "--tasks", "sts-mini", "--max-queries", 3, "--no-store")
    status, out, _ = evalkit(*asked, "--out", tmp_path / "a")
    assert (status, mark.exists()) == (1, False)
    assert "--trust-remote-code" in " ".join(out.replace("│", " ").split())
    status, *_ = evalkit(*asked, "--out", tmp_path / "b", "--trust-remote-code")
    assert (status, mark.exists()) == (0, True)


def test_python_says_it(tiny, tmp_path):
    folder = pickle_weights(copy_of(tiny("bert"), tmp_path / "model"))
    how = {"models": f"bert:{folder}", "tasks": "sts-mini", "max_queries": 3, "no_store": True, "device": "cpu"}
    assert "--allow-pickle" in package.run(**how).failures[0]["reason"]
    assert not package.run(**how, allow_pickle=True).failures


REVISIONS = ["../../x", "/etc", "a/../b", "..", "", "a\0b", ".hidden", "a//b", "a b"]


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_revision_is_no_path(revision, tmp_path):
    from evalkit.models.weights import locate

    with pytest.raises(ModelNotFoundError, match="can have no revision"):
        locate("org/name", revision)


NAMES = [
    "../up",
    "org/../../up",
    "/no/such/place",
    "~nobody/x",
    "a/b/c",
    "..",
    "org/..",
    "a\0b",
    "org/na\nme",
    "%2e%2e/x",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_hub_name_is_no_path(name, tmp_path: Path, monkeypatch):
    import huggingface_hub.constants

    from evalkit.models.weights import locate

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache" / "hub"))
    (tmp_path / "cache").mkdir()
    monkeypatch.chdir(tmp_path / "cache")
    with pytest.raises(ModelNotFoundError):
        locate(f"x{name}" if name == ".." else name)
    assert [path for path in tmp_path.rglob("*") if "cache" not in path.parts] == []
