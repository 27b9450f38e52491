"""Packed linear layers and attention over few tokens, against what they replace."""

from copy import deepcopy

import pytest
import torch
from tiny_models import MakeModel
from torch import nn
from transformers import BertConfig, BertModel
from transformers.models.bert.modeling_bert import BertIntermediate

from evalkit.compute import Compute
from evalkit.contracts import Embedder
from evalkit.models._kernels import SHORT, PackedLinear, attend, pack_linears, tune_for_cpu
from evalkit.models.registry import build, resolve

DTYPES = [torch.float32, torch.bfloat16]


def packed(linear: nn.Linear) -> PackedLinear:
    copy = deepcopy(linear)
    PackedLinear.pack(copy)
    assert isinstance(copy, PackedLinear)
    return copy


@pytest.mark.parametrize("shape", [(24,), (1, 24), (3, 5, 24), (0, 24), (2, 0, 24), (2, 2, 2, 24)], ids=str)
@pytest.mark.parametrize("bias", [False, True])
def test_equals_linear(bias: bool, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    linear, inputs = nn.Linear(24, 40, bias=bias), torch.randn(shape)
    with torch.inference_mode():
        torch.testing.assert_close(packed(linear)(inputs), linear(inputs), atol=1e-6, rtol=1e-5)


def is_packed(layer: PackedLinear) -> bool:
    return layer._packed is not None


READERS = {
    "weight": lambda layer: layer.weight,
    "dtype": lambda layer: layer.weight.dtype,
    "data": lambda layer: layer.weight.data,
    "parameters": lambda layer: next(iter(layer.parameters())),
    "named": lambda layer: dict(layer.named_parameters())["weight"],
    "state": lambda layer: layer.state_dict()["weight"],
    "getattr": lambda layer: getattr(layer, "weight"),  # noqa: B009
    "get_parameter": lambda layer: layer.get_parameter("weight"),
    "parent": lambda layer: nn.Sequential(layer).state_dict()["0.weight"],
}


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("reader", READERS)
def test_whoever_reads_a_parameter_reads_what_was_there(reader: str, dtype: torch.dtype, inference: bool) -> None:
    linear = nn.Linear(24, 40).to(dtype)
    layer = packed(linear)
    with torch.inference_mode(inference):
        read = READERS[reader](layer)
    expected = READERS[reader](linear)
    assert read == expected if isinstance(read, torch.dtype) else torch.equal(read, expected)
    assert not is_packed(layer)
    assert isinstance(layer, nn.Linear)
    inputs = torch.randn(3, 24, dtype=dtype)
    with torch.inference_mode():
        assert torch.equal(layer(inputs), linear(inputs))


def test_what_is_no_weight_is_read_and_it_stays_packed() -> None:
    linear = nn.Linear(24, 40)
    layer = packed(linear)
    assert (layer.in_features, layer.out_features, repr(layer)[6:]) == (24, 40, repr(linear))
    assert torch.equal(layer.bias, linear.bias)
    assert is_packed(layer)


CHANGES = {
    "in place": lambda layer: layer.weight.data.add_(1),
    "multiplied": lambda layer: layer.weight.mul_(3),
    "replaced": lambda layer: setattr(layer, "weight", nn.Parameter(torch.ones(40, 24), requires_grad=False)),
    "loaded": lambda layer: layer.load_state_dict({"weight": torch.ones(40, 24), "bias": torch.ones(40)}),
    "bias": lambda layer: layer.bias.mul_(3),
    "double": lambda layer: layer.double().float(),
    "bfloat16": lambda layer: layer.bfloat16().float(),
    "norm": lambda layer: nn.utils.parametrizations.weight_norm(layer),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_counts(change: str) -> None:
    torch.manual_seed(0)
    linear, inputs = nn.Linear(24, 40).requires_grad_(False), torch.randn(3, 24)
    layer = packed(linear)
    for each in (layer, linear):
        CHANGES[change](each)
    torch.testing.assert_close(layer(inputs), linear(inputs), atol=1e-6, rtol=1e-5)


def test_a_layer_that_is_shared_is_packed_for_all_and_once() -> None:
    shared = nn.Linear(8, 8)
    model = nn.ModuleList([nn.Sequential(shared), nn.Sequential(shared)])
    by_hand = [shared]
    pack_linears(model)
    assert by_hand[0] is model[0][0] is model[1][0]
    assert type(shared) is PackedLinear


def test_a_weight_that_is_tied_to_another_stays_what_it_was() -> None:
    table, linear = nn.Embedding(40, 24), nn.Linear(24, 40)
    linear.weight = table.weight
    pack_linears(nn.ModuleList([table, linear]))
    assert torch.equal(table.weight, linear.weight)


def test_autocast_holds() -> None:
    linear, inputs = nn.Linear(24, 40), torch.randn(3, 24)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(packed(linear)(inputs), linear(inputs))


def test_inputs_of_another_dtype_are_refused_as_torch_does() -> None:
    with pytest.raises(RuntimeError, match="same dtype"):
        packed(nn.Linear(24, 40))(torch.randn(3, 24, dtype=torch.float64))


class TestFeedForward:
    @pytest.mark.parametrize(
        ("activation", "fused"),
        [("gelu", True), ("gelu_new", False), ("gelu_pytorch_tanh", False), ("relu", False), ("silu", False)],
    )
    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    def test_only_an_exact_gelu_is_fused(self, dtype: torch.dtype, activation: str, fused: bool) -> None:
        torch.manual_seed(0)
        block = BertIntermediate(BertConfig(hidden_size=8, intermediate_size=16, hidden_act=activation)).to(dtype)
        inputs = torch.randn(4, 8, dtype=dtype)
        near = 1e-6 if dtype == torch.float32 else 0.02
        with torch.inference_mode():
            expected = block(inputs)
            dense, act = block.dense(inputs), block.intermediate_act_fn(inputs)
            pack_linears(block)
            assert ("forward" in vars(block)) is fused
            for _ in ("packed", "read"):
                torch.testing.assert_close(block(inputs), expected, atol=near, rtol=near)
                torch.testing.assert_close(block.dense(inputs), dense, atol=near, rtol=near)
                assert torch.equal(block.intermediate_act_fn(inputs), act)
                assert torch.equal(block.state_dict()["dense.weight"], block.dense.weight)

    def test_a_block_that_computes_something_else_stays(self) -> None:
        class Residual(BertIntermediate):
            def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
                return self.intermediate_act_fn(self.dense(hidden_states)) + 1

        torch.manual_seed(0)
        block, inputs = Residual(BertConfig(hidden_size=8, intermediate_size=16)), torch.randn(4, 8)
        with torch.inference_mode():
            expected = block(inputs)
            pack_linears(block)
            torch.testing.assert_close(block(inputs), expected, atol=1e-6, rtol=1e-5)


def test_layers_with_a_hook_stay() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    model[0].register_forward_pre_hook(lambda module, inputs: (inputs[0] + 1,))
    model[1].register_forward_hook(lambda module, inputs, output: output + 1)
    pack_linears(model)
    assert [type(layer) for layer in model] == [nn.Linear, nn.Linear, PackedLinear]


def test_layers_of_several_dtypes_are_each_taken_for_what_they_are() -> None:
    model = nn.ModuleList(nn.Linear(4, 4).to(dtype) for dtype in (torch.float16, torch.float32, torch.float64))
    pack_linears(model)
    assert [type(layer) for layer in model] == [nn.Linear, PackedLinear, nn.Linear]


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


def test_attention_with_a_bias_by_position_is_left_to_transformers() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 5, 8) for _ in range(3))
    mask, bias = torch.ones(1, 1, 5, 5, dtype=torch.bool), torch.randn(1, 2, 5, 5)
    expected = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias).transpose(1, 2)
    for given in (mask, None):
        found, _ = attend(Layer(is_causal=False), query, key, value, given, position_bias=bias)
        torch.testing.assert_close(found, expected)


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


@pytest.mark.parametrize(
    ("family", "kind"),
    [("bert", "bert"), ("sbert", "bert"), ("maxsim", "bert"), ("splade", "masked"), ("ce", "one-label")],
)
def test_layers_are_still_packed_after_calls(family: str, kind: str, tiny: MakeModel, monkeypatch) -> None:
    """What reads a weight lays it out plainly again: no step between loading and the last call may."""
    packed: list[PackedLinear] = []
    pack = PackedLinear.pack
    monkeypatch.setattr(PackedLinear, "pack", lambda linear: (pack(linear), packed.append(linear)))
    model = build(resolve(f"{family}:{tiny(kind)}"), Compute())
    for _ in range(2):
        if isinstance(model, Embedder):
            model.encode(["a cat", "the dog sat"], "query")
        else:
            model.score(["a cat", "a cat"], ["the dog", "the cat sat"])
    assert packed
    assert all(linear._packed is not None for linear in packed)
