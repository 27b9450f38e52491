"""What only a loaded model tells is said by a dry run as by the run, and a dry run reads no weights for it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from fakes import write_tasks
from tiny_models import MakeModel

from evalkit.runner import run as pipeline
from evalkit.runner._plan import ModelPlan
from evalkit.runner.config import read_config


def planned(**keys: object) -> ModelPlan:
    """What a dry run says of the model or reranker that is not bow."""
    (model,) = (model for model in pipeline.plan_config(read_config(keys)).models if model.label != "bow")
    return model


def without_head(tiny: MakeModel, folder: Path) -> Path:
    """An encoder's weights under the settings of a cross-encoder."""
    shutil.copytree(tiny("bert"), folder)
    shutil.copy(tiny("one-label") / "config.json", folder)
    return folder


def without_base(tiny: MakeModel, folder: Path) -> Path:
    """An adapter, and no model that it belongs to."""
    folder.mkdir()
    settings = {"peft_type": "LORA", "base_model_name_or_path": "./no-such-base"}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def tiny_bert(tiny: MakeModel, folder: Path) -> Path:
    """An encoder as it is."""
    return tiny("bert")


def two_labels(tiny: MakeModel, folder: Path) -> Path:
    """A classifier as it is."""
    return tiny("two-labels")


def unknown_module(tiny: MakeModel, folder: Path) -> Path:
    """A checkpoint with a module that the library does not have."""
    shutil.copytree(tiny("bert"), folder)
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Nonsense"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


def unpadded(tiny: MakeModel, folder: Path) -> Path:
    """A tokenizer without a token to fill up texts with."""
    shutil.copytree(tiny("bert"), folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["pad_token"] = None
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def static(tiny: MakeModel, folder: Path) -> Path:
    """The settings of a table of static vectors, and weights."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "model2vec"}))
    shutil.copy(tiny("bert") / "model.safetensors", folder)
    return folder


REFUSED = {
    "bert:{}?dim=17": (tiny_bert, "dim=17 is more than the model's 16 dimensions"),
    "bert:{}?layer=3": (tiny_bert, "layer=3: the model has 2 layers"),
    "bert:{}?max_length=41": (tiny_bert, "max_length=41 is more than the model's 40 positions"),
    "sbert:{}?dim=17": (tiny_bert, "dim=17 is more than the model's 16 dimensions"),
    "sbert:{}?max_length=41": (tiny_bert, "max_length=41 is more than the model's 40 positions"),
    "maxsim:{}?max_length=41": (tiny_bert, "max_length=41 is more than the model's 40 positions"),
    "static:{}": (tiny_bert, "holds no model that model2vec can read"),
    "elmo:{}": (tiny_bert, "holds no file *options.json"),
    "cove:{}": (tiny_bert, "holds no file glove*.txt"),
    "ce:{}": (two_labels, "has 2 labels; a reranker has one"),
    "ce:{}?": (without_head, "not all weights of BertForSequenceClassification are in its files"),
    "sbert:{}": (without_base, "no folder './no-such-base'"),
    "sbert:{}?": (unknown_module, "holds no model that sentence-transformers can read"),
    "bert:{}": (unpadded, "the tokenizer has no token to fill up shorter texts with"),
    "sbert:{}??": (unpadded, 'Name one as "pad_token" in tokenizer_config.json'),
    "sbert:{}???": (static, "is a table of static vectors (model2vec). Use `static:"),
}


@pytest.mark.parametrize("spec", REFUSED)
def test_what_loading_tells_is_said_by_a_dry_run_and_by_the_run(spec: str, tiny: MakeModel, tmp_path: Path):
    make, said = REFUSED[spec]
    pets, _ = write_tasks(tmp_path)
    name = spec.rstrip("?").format(make(tiny, tmp_path / "model"))
    keys = {"models": "bow", "rerankers": name} if name.startswith("ce:") else {"models": name}
    (reason,) = {failure["reason"] for failure in pipeline.run(**keys, tasks=pets, no_store=True).failures}
    assert said in reason
    assert planned(**keys, tasks=pets).problem == reason


RUN = ["bert:{}", "bert:{}?layer=1&dim=16", "sbert:{}?dim=16", "maxsim:{}"]


@pytest.mark.parametrize("spec", RUN)
def test_a_dry_run_reads_no_weights_of_what_can_be_run(
    spec: str, tiny: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pets, _ = write_tasks(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(torch.Tensor, "isfinite", None)  # weights that are read are looked through
        model = planned(models=spec.format(tiny("bert")), tasks=pets)
    assert (model.weights, model.problem) == ("at hand", "")


def test_what_cannot_be_loaded_without_weights_is_loaded_with_them(
    tiny: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def with_numbers_only(self: torch.nn.Module, *given: object, **how: object) -> None:
        if self.weight.is_meta:
            raise RuntimeError("Tensor.item() cannot be called on meta tensors")

    pets, _ = write_tasks(tmp_path)
    monkeypatch.setattr(torch.nn.Embedding, "eval", with_numbers_only)
    monkeypatch.setattr(torch.nn.Embedding, "train", with_numbers_only)
    model = planned(models=f"bert:{tiny('bert')}", tasks=pets)
    assert (model.weights, model.problem) == ("at hand", "")


def test_without_the_network_what_is_not_here_cannot_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pets, _ = write_tasks(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "no model 'nobody/knows'" in planned(models="sbert:nobody/knows", tasks=pets).problem
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert planned(models="sbert:nobody/knows", tasks=pets).weights == "to download"
