"""Files that are broken, or are not the files themselves: one error that names the file, whatever family reads it."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from recurrent_data import encoder_arrays, save_cove
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.sparse_encoder.modules import SpladePooling
from tiny_models import MakeModel

from evalkit.compute import Compute
from evalkit.errors import ModelNotFoundError, VectorError
from evalkit.models._dense import quantize, unit_length
from evalkit.models.registry import build, resolve

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 91\n"
FAMILIES = ("sbert", "bert", "splade", "ce", "maxsim", "static")
SETTINGS = {
    "sbert": (
        "modules.json", "config.json", "sentence_bert_config.json", "1_Pooling/config.json", "tokenizer.json",
        "tokenizer_config.json", "config_sentence_transformers.json",
    ),
    "bert": ("config.json", "tokenizer.json", "tokenizer_config.json"),
    "splade": (
        "modules.json", "config.json", "sentence_bert_config.json", "1_SpladePooling/config.json", "tokenizer.json",
        "config_sentence_transformers.json",
    ),
    "ce": ("modules.json", "config.json", "tokenizer.json", "config_sentence_transformers.json"),
    "maxsim": ("modules.json", "config.json", "1_Dense/config.json", "tokenizer.json"),
    "static": ("modules.json", "config.json", "tokenizer.json"),
}  # fmt: skip
WEIGHTS = dict.fromkeys(FAMILIES, "model.safetensors")


@pytest.fixture(scope="module")
def whole(tiny: MakeModel, tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> dict[str, Path]:
    """A checkpoint of each family."""
    folders = {family: tmp_path_factory.mktemp("whole") / family for family in FAMILIES}
    encoder = Transformer(str(tiny("bert")))
    SentenceTransformer(modules=[encoder, Pooling(16), Normalize()], device="cpu").save(str(folders["sbert"]))
    shutil.copytree(tiny("bert"), folders["bert"])
    masked = Transformer(str(tiny("masked")), transformer_task="fill-mask")
    SparseEncoder(modules=[masked, SpladePooling("max")], device="cpu").save(str(folders["splade"]))
    CrossEncoder(str(tiny("one-label")), device="cpu").save(str(folders["ce"]))
    late = [encoder, Dense(16, 8, module_input_name="token_embeddings"), MultiVectorMask()]
    MultiVectorEncoder(modules=late, device="cpu").save(str(folders["maxsim"]))
    shutil.copytree(data_dir / "potion-base-4m-int8", folders["static"])
    return folders


def use(spec: str) -> np.ndarray:
    model = build(resolve(spec), Compute(allow_pickle=True))
    if hasattr(model, "encode"):
        vectors = model.encode(["a cat", "dog"], "document")
        return vectors.toarray() if hasattr(vectors, "toarray") else vectors
    return model.score(["a cat", "dog"], ["the cat", "zebras"])


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BREAKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (halved, "cannot be read: .*cut off"),
    "wrong": (
        lambda path: path.write_text("{'single': quotes}" + path.read_text()),
        "cannot be read: .*save the model",
    ),
    "of another shape": (lambda path: path.write_text('"a text"'), "holds a str, not "),
    "pointer": (lambda path: path.write_text(POINTER), "is a Git LFS pointer, .*git lfs pull"),
}


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("family", FAMILIES)
def test_settings_that_cannot_be_read_are_named(
    family: str, how: str, whole: dict[str, Path], tmp_path: Path
) -> None:
    for name in SETTINGS[family]:
        folder = shutil.copytree(whole[family], tmp_path / name.replace("/", "-"))
        spoil, said = BREAKS[how]
        spoil(folder / name)
        with pytest.raises(ModelNotFoundError, match=f"^{folder / name} {said}"):
            use(f"{family}:{folder}")


@pytest.mark.parametrize("name", ["config.json", "modules.json", "config_sentence_transformers.json"])
@pytest.mark.parametrize("how", BREAKS)
def test_a_folder_alone_names_them_too(name: str, how: str, whole: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(whole["sbert"], tmp_path / "model")
    spoil, said = BREAKS[how]
    spoil(folder / name)
    with pytest.raises(ModelNotFoundError, match=f"^{folder / name} {said}"):
        use(str(folder))


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_that_are_not_here_or_cut_off_are_called_so(
    family: str, whole: dict[str, Path], tmp_path: Path
) -> None:
    assert np.isfinite(use(f"{family}:{whole[family]}")).all()
    for number, (content, said) in enumerate(
        [
            (lambda raw: POINTER.encode(), "is a Git LFS pointer, .*git lfs pull"),
            (lambda raw: raw[:-1], r"is cut off, with [\d,]+ bytes of [\d,]+\. Download"),
            (lambda raw: raw[:100], "is cut off, with 100 bytes of "),
            (lambda raw: raw[:3], "is cut off, with 3 bytes of "),
            (lambda raw: b"", "is cut off, with 0 bytes of "),
        ]
    ):
        folder = shutil.copytree(whole[family], tmp_path / str(number))
        file = folder / "model.safetensors"
        file.write_bytes(content(file.read_bytes()))
        with pytest.raises(ModelNotFoundError, match=f"^{file} .*{said}"):
            use(f"{family}:{folder}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda raw: POINTER.encode(), "is a Git LFS pointer"),
        (lambda raw: raw[: len(raw) // 2], "is cut off, with .* has no end"),
    ],
)
def test_pickled_weights_too(
    content: Callable[[bytes], bytes], said: str, whole: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(whole["bert"], tmp_path / "model")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert np.isfinite(use(f"bert:{folder}")).all()
    file = folder / "pytorch_model.bin"
    file.write_bytes(content(file.read_bytes()))
    with pytest.raises(ModelNotFoundError, match=f"^{file} .*{said}"):
        use(f"bert:{folder}")


@pytest.mark.parametrize("kept", [0, 3, 20, 1_000, -1_000, -1])
def test_an_old_pickle_that_is_cut_off_is_an_error_of_the_folder(
    kept: int, whole: dict[str, Path], tmp_path: Path
) -> None:
    """It has no end that could be looked for."""
    folder = shutil.copytree(whole["bert"], tmp_path / "model")
    file = folder / "pytorch_model.bin"
    torch.save(load_file(folder / "model.safetensors"), file, _use_new_zipfile_serialization=False)
    (folder / "model.safetensors").unlink()
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ModelNotFoundError, match=f"^{folder} holds no transformers model"):
        use(f"bert:{folder}")


@pytest.mark.parametrize("family", ["glove", "word2vec", "fasttext", "cove", "bm25"])
def test_files_of_words_that_are_pointers_are_called_so(family: str, tmp_path: Path) -> None:
    file = tmp_path / "vectors.txt"
    spec = f"{family}:{file}"
    if family == "cove":
        save_cove(tmp_path, encoder_arrays())
        file, spec = tmp_path / "glove.840B.300d.txt", f"cove:{tmp_path}"
    elif family == "bm25":
        file, spec = tmp_path / "tokenizer.json", f"bm25?tokenizer={tmp_path}"
    file.write_text(POINTER)
    with pytest.raises(ModelNotFoundError, match=f"^{file} is a Git LFS pointer, .*git lfs pull"):
        use(spec)


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize(
    ("family", "part"), [("sbert", "1_Pooling"), ("splade", "1_SpladePooling"), ("maxsim", "1_Dense")]
)
def test_a_module_without_its_folder_is_named(
    family: str, part: str, empty: bool, whole: dict[str, Path], tmp_path: Path
) -> None:
    """sentence-transformers would take its defaults where there are any."""
    folder = shutil.copytree(whole[family], tmp_path / "model")
    shutil.rmtree(folder / part)
    if empty:
        (folder / part).mkdir()
    with pytest.raises(
        ModelNotFoundError, match=rf"modules.json names the module '{part}' .*nothing in {folder / part}"
    ):
        use(f"{family}:{folder}")


def test_scaling_needs_no_folder(whole: dict[str, Path], tmp_path: Path) -> None:
    """Git keeps no empty ones, and older versions saved nothing there."""
    folder = shutil.copytree(whole["sbert"], tmp_path / "model")
    shutil.rmtree(folder / "2_Normalize")
    np.testing.assert_array_equal(use(f"sbert:{folder}"), use(f"sbert:{whole['sbert']}"))


@pytest.mark.parametrize("modules", ["[3]", '[{"idx": 0}]', '[{"type": "x.Pooling", "path": null}]'])
def test_modules_without_type_and_path_are_an_error(modules: str, whole: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(whole["sbert"], tmp_path / "model")
    (folder / "modules.json").write_text(modules)
    with pytest.raises(ModelNotFoundError, match=r"modules.json does not say type and path of each module"):
        use(f"sbert:{folder}")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("family", FAMILIES)
def test_weights_that_are_no_numbers_are_called_so(
    family: str, value: float, whole: dict[str, Path], tmp_path: Path
) -> None:
    """Before a module that scales to length 1 too."""
    folder = shutil.copytree(whole[family], tmp_path / "model")
    state = load_file(folder / "model.safetensors")
    name = "embeddings" if family == "static" else next(name for name in state if "query.weight" in name)
    state[name] = state[name].float()
    state[name][:, 0] = value
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    if family == "static":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert not np.isfinite(use(f"static:{folder}")).all(axis=1).any()
        return
    with pytest.raises(
        ModelNotFoundError, match=r"are NaN or infinite, .*1 hold such numbers: .*query\.weight\. Save"
    ):
        use(f"{family}:{folder}")


@pytest.mark.parametrize("family", ["sbert", "maxsim"])
def test_a_layer_of_the_librarys_own_gives_no_vectors_that_are_taken_for_zero(
    family: str, tiny: MakeModel, tmp_path: Path
) -> None:
    read = "token_embeddings" if family == "maxsim" else "sentence_embedding"
    layer = Dense(16, 8, module_input_name=read, init_weight=torch.full((8, 16), torch.nan))
    encoder = Transformer(str(tiny("bert")))
    if family == "maxsim":
        MultiVectorEncoder(modules=[encoder, layer, MultiVectorMask()], device="cpu").save(str(tmp_path))
        with pytest.raises(VectorError, match="not finite"):
            use(f"maxsim:{tmp_path}")
    else:
        SentenceTransformer(modules=[encoder, Pooling(16), layer, Normalize()], device="cpu").save(str(tmp_path))
        assert np.isnan(use(f"sbert:{tmp_path}")).all()


@pytest.mark.parametrize("precision", ["float32", "int8", "binary"])
def test_what_is_not_finite_stays_so(precision: str) -> None:
    spoilt = np.array([[np.nan, 1], [0, 0], [3, 4]], dtype=np.float32)
    for derived in (quantize(unit_length(spoilt), precision), unit_length(quantize(spoilt, precision))):
        assert np.isnan(derived[0]).any()
        assert not derived[1].any()
        assert np.isfinite(derived[2]).all()
    assert np.isnan(unit_length(np.array([[np.inf, 1]], dtype=np.float32))).any()
