"""When flash-attn is chosen. The attention itself needs a GPU and the package; here only the choice is tested."""

import pytest
import torch
from transformers import BertConfig, BertModel, MPNetConfig, MPNetModel

from evalkit.models._kernels import tune_for_gpu

SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 9}


@pytest.fixture
def chosen(monkeypatch):
    """What models are told to attend by, with a flash-attn that is said to be there."""
    names = []
    monkeypatch.setattr("transformers.utils.import_utils.is_flash_attn_2_available", lambda: True)
    monkeypatch.setattr("transformers.PreTrainedModel.set_attn_implementation", lambda _, name: names.append(name))
    return names


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.bfloat16, ["flash_attention_2"]),
        (torch.float16, ["flash_attention_2"]),
        (torch.float32, []),
    ],
)
def test_half_precision_only(chosen, dtype, expected):
    tune_for_gpu(torch.nn.Sequential(BertModel(BertConfig(**SIZES)).to(dtype)))
    assert chosen == expected


def test_a_model_that_cannot_use_it_stays(chosen):
    tune_for_gpu(MPNetModel(MPNetConfig(**SIZES)).to(torch.bfloat16))
    assert chosen == []


def test_nothing_changes_without_the_package():
    model = BertModel(BertConfig(**SIZES)).to(torch.bfloat16)
    before = model.config._attn_implementation
    tune_for_gpu(model)
    assert model.config._attn_implementation == before
