"""Packed linear layers and attention over few tokens, against what they replace."""

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from evalkit.models.on_cpu import SHORT, PackedLinear, attend, pack_linears, tune_for_cpu


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_equals_linear_and_gelu(gelu: bool, bias: bool) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(24, 40, bias=bias)
    inputs = torch.randn(3, 5, 24)
    with torch.inference_mode():
        expected = nn.functional.gelu(linear(inputs)) if gelu else linear(inputs)
        torch.testing.assert_close(PackedLinear(linear, gelu)(inputs), expected, atol=1e-6, rtol=1e-5)


class Intermediate(nn.Module):
    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.dense = nn.Linear(8, 16)
        self.intermediate_act_fn = activation

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.intermediate_act_fn(self.dense(inputs))


@pytest.mark.parametrize(
    ("activation", "fused"),
    [(nn.GELU(), True), (nn.GELU(approximate="tanh"), False), (nn.ReLU(), False)],
    ids=["gelu", "tanh-gelu", "relu"],
)
def test_only_an_exact_gelu_is_fused(activation: nn.Module, fused: bool) -> None:
    torch.manual_seed(0)
    block = Intermediate(activation).eval()
    inputs = torch.randn(4, 8)
    with torch.inference_mode():
        expected = block(inputs)
        pack_linears(block)
        torch.testing.assert_close(block(inputs), expected, atol=1e-6, rtol=1e-5)
    assert isinstance(block.dense, PackedLinear)
    assert isinstance(block.intermediate_act_fn, nn.Identity) is fused


def test_subclasses_stay() -> None:
    class Doubling(nn.Linear):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(inputs)

    model = nn.Sequential(Doubling(4, 4), nn.Linear(4, 4)).eval()
    pack_linears(model)
    assert [type(layer) for layer in model] == [Doubling, PackedLinear]


def test_float16_stays() -> None:
    model = nn.Sequential(nn.Linear(4, 4)).half()
    pack_linears(model)
    assert type(model[0]) is nn.Linear


class Layer(nn.Module):
    def __init__(self, is_causal: bool) -> None:
        super().__init__()
        self.is_causal = is_causal


@pytest.mark.parametrize("length", [1, 7, SHORT, SHORT + 1])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_attention_equals_torchs(length: int, masked: bool, scaling: float | None) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(3, 2, length, 8) for _ in range(3))
    real = torch.arange(length) < torch.tensor([[length], [length // 2 + 1], [1]])
    mask = real[:, None, None, :].expand(3, 1, length, length) if masked else None
    expected = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
    output, weights = attend(Layer(is_causal=False), query, key, value, mask, scaling=scaling)
    torch.testing.assert_close(output, expected.transpose(1, 2), atol=1e-6, rtol=1e-5)
    assert weights is None


def test_attention_with_a_bias_or_one_way_is_left_to_torch() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 5, 8) for _ in range(3))
    bias = torch.randn(1, 1, 5, 5)
    expected = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    torch.testing.assert_close(attend(Layer(is_causal=False), query, key, value, bias)[0], expected.transpose(1, 2))
    expected = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    torch.testing.assert_close(attend(Layer(is_causal=True), query, key, value, None)[0], expected.transpose(1, 2))


@pytest.mark.parametrize(("dtype", "attention"), [(torch.bfloat16, "short_or_sdpa"), (torch.float32, "sdpa")])
def test_a_tuned_model_computes_the_same(dtype: torch.dtype, attention: str) -> None:
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, vocab_size=50
    )
    model = BertModel(config).eval()
    tokens = {"input_ids": torch.randint(0, 50, (2, 9)), "attention_mask": torch.ones(2, 9, dtype=torch.int64)}
    tokens["attention_mask"][1, 4:] = 0
    with torch.inference_mode():
        expected = model(**tokens).last_hidden_state
        tune_for_cpu(model.to(dtype))
        output = model(**tokens).last_hidden_state.float()
    near = 1e-6 if dtype == torch.float32 else 0.05
    real = tokens["attention_mask"].bool()
    torch.testing.assert_close(output[real], expected[real], atol=near, rtol=near)
    assert model.config._attn_implementation == attention
