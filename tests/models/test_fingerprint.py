"""The fingerprint of a model covers every file that it is loaded from, and no other."""

import json
import shutil
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
import transformers
from tiny_models import MakeModel, save_tiny

from evalkit.compute import Compute
from evalkit.errors import ModelNotFoundError
from evalkit.models import _loading as loading
from evalkit.models.registry import build, parse_spec
from evalkit.models.weights import weights_hash

TOKENIZER = [
    "tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model",
    "tokenizer.model", "tokenizer.model.v3", "bpe.codes", "qwen.tiktoken", "source.spm", "vocab.bpe", "dict.txt",
    "added_tokens.json", "special_tokens_map.json", "tokenizer_config.json", "chat_template.jinja",
    "additional_chat_templates/other.jinja",
]  # fmt: skip
LOADED = [
    *TOKENIZER, "config.json", "modules.json", "config_sentence_transformers.json", "model.safetensors",
    "2_Dense/model.safetensors", "1_Pooling/config.json", "artifact.metadata",
]  # fmt: skip
NOT_LOADED = [
    "README.md", "LICENSE", ".gitattributes", "onnx/config.json", "openvino/model.json", "tf_model.h5", "card.png",
    ".cache/huggingface/download/model.safetensors.metadata",
]  # fmt: skip


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("file", LOADED)
def test_what_is_loaded_counts(file: str, tmp_path: Path) -> None:
    hashes = []
    for content in (None, "one", "two"):
        if content:
            write(tmp_path / file, content)
        hashes.append(weights_hash(tmp_path))
    assert len(set(hashes)) == 3


@pytest.mark.parametrize("file", NOT_LOADED)
def test_what_is_not_loaded_does_not(file: str, tmp_path: Path) -> None:
    before = weights_hash(tmp_path)
    write(tmp_path / file, "text")
    assert weights_hash(tmp_path) == before


@pytest.mark.parametrize("trusted", [True, False])
def test_code_counts_where_it_is_run(trusted: bool, tmp_path: Path) -> None:
    write(tmp_path / "modeling.py", "one")
    before = weights_hash(tmp_path, trusted)
    write(tmp_path / "modeling.py", "two")
    assert (weights_hash(tmp_path, trusted) != before) is trusted


def test_code_of_another_repository_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.models.weights.at_hand", lambda name, revision=None: tmp_path / name)
    write(tmp_path / "org/code/modeling.py", "one")
    write(tmp_path / "model/config.json", json.dumps({"auto_map": {"AutoModel": "org/code--modeling.Model"}}))
    before, plain = weights_hash(tmp_path / "model", True), weights_hash(tmp_path / "model")
    write(tmp_path / "org/code/modeling.py", "two")
    assert weights_hash(tmp_path / "model", True) != before
    assert weights_hash(tmp_path / "model") == plain


@pytest.fixture
def adapted(tmp_path: Path, tiny: MakeModel) -> Path:
    """A folder with an adapter, whose base model is in a folder beside it."""
    base = shutil.copytree(tiny("bert"), tmp_path / "base")
    torch.manual_seed(1)
    config = peft.LoraConfig(target_modules=["query", "dense"], r=2, init_lora_weights=False)
    adapter = peft.get_peft_model(transformers.AutoModel.from_pretrained(base), config)
    adapter.save_pretrained(str(tmp_path / "adapter"))
    transformers.AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.mark.parametrize("family", ["bert", "sbert"])
def test_an_adapters_base_model_counts(family: str, adapted: Path, tmp_path: Path) -> None:
    spec = parse_spec(f"{family}:{adapted}")
    before, vectors = build(spec, Compute()).identity, build(spec, Compute()).encode(["a cat"], "sentence")
    write(tmp_path / "base" / "README.md", "nothing")
    assert build(spec, Compute()).identity == before
    save_tiny(tmp_path / "base", seed=7)
    assert build(spec, Compute()).identity != before
    assert not np.allclose(build(spec, Compute()).encode(["a cat"], "sentence"), vectors, atol=1e-3)


def test_where_an_adapters_base_model_is_does_not_count(adapted: Path, tmp_path: Path) -> None:
    before = weights_hash(adapted)
    (tmp_path / "base").rename(tmp_path / "moved")
    file = adapted / "adapter_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps(settings | {"base_model_name_or_path": str(tmp_path / "moved")}))
    assert weights_hash(adapted) == before


@pytest.mark.parametrize("family", ["bert", "sbert"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_adapter_gives_pefts_own_vectors(dtype: str, family: str, adapted: Path, tmp_path: Path) -> None:
    model = peft.PeftModel.from_pretrained(transformers.AutoModel.from_pretrained(tmp_path / "base"), str(adapted))
    tokens = transformers.AutoTokenizer.from_pretrained(adapted)("the cat sat", return_tensors="pt")
    with torch.inference_mode():
        expected = model.eval()(**tokens).last_hidden_state[0].mean(dim=0).numpy()
    found = build(parse_spec(f"{family}:{adapted}"), Compute("cpu", dtype)).encode(["the cat sat"], "sentence")[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 if dtype == "float32" else 0.1)


@pytest.mark.parametrize("family", ["bert", "sbert", "maxsim"])
def test_an_adapter_without_peft_says_what_to_install(
    family: str, adapted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "find_spec", lambda name: None)
    model = build(parse_spec(f"{family}:{adapted}"), Compute())
    with pytest.raises(ModelNotFoundError, match=r"holds an adapter, .*'peft'.* pip install peft$"):
        model.encode(["a"], "sentence") if hasattr(model, "encode") else model.score(["a"], ["b"])
