"""Model repositories of somebody who means harm: what they hold would create a file where it is run."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

CLASSES = """
from pathlib import Path
Path({mark!r}).touch()
from transformers import BertConfig, BertModel, BertForMaskedLM, BertForSequenceClassification
from transformers import PreTrainedTokenizerFast
from sentence_transformers.base.modules import Transformer as Own
class Transformer(Own):
    pass
class Tokenizer(PreTrainedTokenizerFast):
    pass
class Config(BertConfig):
    model_type = "harmful"
class Model(BertModel):
    config_class = Config
class ForMaskedLM(BertForMaskedLM):
    config_class = Config
class ForSequenceClassification(BertForSequenceClassification):
    config_class = Config
"""


class Harm:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


def plant_code(folder: Path, mark: Path, place: str) -> Path:
    """Code in a model's folder, asked for by its `model`, its `tokenizer` or one of its `modules`."""
    (folder / "harm.py").write_text(CLASSES.format(mark=str(mark)))
    if place == "modules":
        pooling = "sentence_transformers.sentence_transformer.modules.Pooling"
        modules = [
            {"idx": 0, "name": "0", "path": "", "type": "harm.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": pooling},
        ]
        (folder / "1_Pooling").mkdir()
        sizes = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(sizes))
        (folder / "modules.json").write_text(json.dumps(modules))
    elif place == "tokenizer":
        _change(
            folder / "tokenizer_config.json",
            tokenizer_class="Harm",
            auto_map={"AutoTokenizer": [None, "harm.Tokenizer"]},
        )
    else:
        names = {
            "AutoConfig": "Config",
            "AutoModel": "Model",
            "AutoModelForMaskedLM": "ForMaskedLM",
            "AutoModelForSequenceClassification": "ForSequenceClassification",
        }
        mapped = {auto: f"harm.{name}" for auto, name in names.items()}
        _change(folder / "config.json", model_type="harmful", auto_map=mapped)
    return folder


def plant_pickle(folder: Path, mark: Path, name: str = "pytorch_model.bin") -> Path:
    """A pickle in place of a model's safetensors."""
    (folder / "model.safetensors").unlink(missing_ok=True)
    (folder / name).write_bytes(pickle.dumps({"weight": Harm(mark)}, protocol=2))
    return folder


def pickle_weights(folder: Path) -> Path:
    """A model's own weights, pickled."""
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def copy_of(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def _change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
