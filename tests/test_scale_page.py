"""docs/scale.md: its table is what the cost model gives, and the model counts what PyTorch counts."""

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")


@pytest.fixture
def scale(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import scale

    yield scale
    for name in ("scale", "side_by_side", "transformer"):
        sys.modules.pop(name, None)


def test_the_table_is_what_the_model_gives(scale):
    assert scale.table() in (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("tokens", [3, 50, 128])
def test_operations_are_those_that_pytorch_counts(scale, tokens):
    from torch.utils.flop_counter import FlopCounterMode

    shape = scale.Shape(layers=2, hidden=64, inner=256)
    config = transformers.BertConfig(
        num_hidden_layers=2, hidden_size=64, intermediate_size=256, num_attention_heads=4, vocab_size=10,
        attn_implementation="eager",
    )  # fmt: skip
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(input_ids=torch.zeros((1, tokens), dtype=torch.long))
    assert shape.operations(np.array([tokens])) == counter.get_total_flops()
