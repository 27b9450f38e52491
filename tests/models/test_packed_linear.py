"""Packed linear layers against the layers that they replace."""

import pytest
import torch
from torch import nn

from evalkit.models.packed_linear import PackedLinear, pack_linears


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
