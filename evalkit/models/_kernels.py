"""Make a transformer's forward pass fast, in place: packed layers on a CPU, attention without padding on a GPU.

On a CPU, linear layers have their weights laid out once for the matrix units, with bias and GELU fused in (oneDNN).
These are the operators that torch's own compiler puts in for linear layers on a CPU; called directly they need no
compilation. One product of 2,048 × 384 by 384 × 1,536 with its bias and GELU takes about two thirds of the time in
float32, and half in bfloat16.
"""

from functools import partial
from inspect import signature
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

BATCH_HINT = 2_048
"""Rows that the layout is chosen for."""
SHORT = 64
"""Tokens up to which, in bfloat16, attention as plain products is faster than torch's fused kernel."""


def tune_for_cpu(model: nn.Module) -> None:
    """Prepare a model, in evaluation mode on a CPU, for fast forward passes."""
    from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
    from transformers.masking_utils import sdpa_mask

    network = next((part for part in model.modules() if isinstance(part, PreTrainedModel)), None)
    if network is not None and network.dtype == torch.bfloat16 and network.config._attn_implementation == "sdpa":
        AttentionInterface.register("short_or_sdpa", attend)
        AttentionMaskInterface.register("short_or_sdpa", sdpa_mask)
        network.set_attn_implementation("short_or_sdpa")
    pack_linears(model)


def attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **arguments: Any
) -> tuple[Tensor, None]:
    """Scaled dot-product attention; over few tokens, in both directions, as two plain products.

    `query`, `key` and `value` are (batch, heads, length, head dim), `attention_mask` is True where a token may look,
    of shape (batch, 1, length, length); returns (batch, length, heads, head dim), and no weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    # What transformers' function takes by name changes its result, as T5's bias by position does.
    named = signature(sdpa_attention_forward).parameters.keys() - {"scaling", "dropout", "kwargs"}
    asked = [
        name for name in named & arguments.keys() if arguments[name] is not None and arguments[name] is not False
    ]
    plain = query.shape == key.shape and not asked and not getattr(module, "is_causal", True)
    if not plain or query.shape[2] > SHORT or (attention_mask is not None and attention_mask.dtype != torch.bool):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **arguments)
    scaling = arguments.get("scaling")
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    return (scores.softmax(dim=-1) @ value).transpose(1, 2).contiguous(), None


class PackedLinear(nn.Linear):
    """A linear layer with its weight laid out for the matrix units; for inference only.

    To whoever looks at it, it is the `nn.Linear` that it was made of: when its parameters are read, iterated, moved
    or saved, the weight is laid out plainly again, and from then on the layer computes as `nn.Linear` does. So no
    weight is held twice, and one that is changed or replaced counts.
    """

    _packed: Tensor | None

    @classmethod
    def pack(cls, linear: nn.Linear) -> None:
        """Turn a plain linear layer into a packed one, in place, for whatever holds it."""
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), BATCH_HINT)
        vars(linear)["_packed"] = packed
        linear._parameters["weight"] = None
        linear.__class__ = cls

    @property
    def _parameters(self) -> dict[str, nn.Parameter | None]:  # type: ignore[override]
        """The layer's parameters, where torch looks for them; there is no packed weight any more."""
        parameters: dict[str, nn.Parameter | None] = self.__dict__["_parameters"]
        if self._packed is not None:
            # What is read in inference mode may be changed outside of it.
            with torch.inference_mode(False):
                parameters["weight"] = nn.Parameter(self._packed.to_dense(), requires_grad=False)
            self._packed = None
        return parameters

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The plain weight: (out features, in features)."""
        _ = self._parameters
        return cast(Tensor, self.__getattr__("weight"))

    def forward(self, inputs: Tensor) -> Tensor:
        """Of shape (..., out features) for inputs of shape (..., in features)."""
        return self.apply_with("none", inputs)

    def apply_with(self, activation: Literal["none", "gelu"], inputs: Tensor) -> Tensor:
        """Return the layer, and an exact GELU after it if that is the activation."""
        if self._packed is None or inputs.dtype != self._packed.dtype or torch.is_autocast_enabled("cpu"):
            result = super().forward(inputs)
            return nn.functional.gelu(result) if activation == "gelu" else result
        result = torch.ops.mkldnn._linear_pointwise(inputs, self._packed, self.bias, activation, [], "none")
        return cast(Tensor, result)


def pack_linears(model: nn.Module) -> None:
    """Pack, in place, the linear layers of a model in evaluation mode on a CPU.

    In feed-forward blocks that compute as BERT's do, an exact GELU becomes part of the layer before it. Leaves layers
    alone that do more than `nn.Linear`, and those of a dtype that oneDNN is not there for.
    """
    if not torch._C._has_mkldnn:
        return
    modules: list[Any] = list(model.modules())
    for module in modules:
        if _is_plain_linear(module) and _supported(module.weight.dtype):
            PackedLinear.pack(module)
    for module in modules:
        if _is_feed_forward(module) and _is_gelu(module.intermediate_act_fn):
            module.forward = partial(module.dense.apply_with, "gelu")


def _is_plain_linear(module: nn.Module) -> bool:
    """Tell whether a call of the module is a product with its weight, and its bias added: no subclass, no hook on
    it.
    """
    hooks = (module._forward_pre_hooks, module._forward_hooks, "forward" in vars(module))
    return type(module) is nn.Linear and not any(hooks) and set(module._parameters) == {"weight", "bias"}


def _is_feed_forward(module: nn.Module) -> bool:
    """Tell whether a module's forward pass is BERT's, instruction for instruction: `dense`, then
    `intermediate_act_fn`.
    """
    from transformers.models.bert.modeling_bert import BertIntermediate

    code, berts = getattr(type(module).forward, "__code__", None), BertIntermediate.forward.__code__
    same = code is not None and (code.co_code, code.co_names) == (berts.co_code, berts.co_names)
    return same and "forward" not in vars(module) and type(module.dense) is PackedLinear


def _supported(dtype: torch.dtype) -> bool:
    if dtype == torch.float32:
        return True
    return dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _is_gelu(activation: object) -> bool:
    from transformers.activations import GELUActivation

    exact = isinstance(activation, nn.GELU) and activation.approximate == "none"
    return exact or (isinstance(activation, GELUActivation) and activation.act is nn.functional.gelu)


HALF = (torch.float16, torch.bfloat16)


def tune_for_gpu(model: nn.Module) -> None:
    """Let a model attend by flash-attn, if it is installed, has the model's dtype, and the model can use it.

    transformers then takes the real tokens of a batch out by its attention mask, attends over each text apart, and
    puts the result back; everything else is as it was.
    """
    from transformers import PreTrainedModel
    from transformers.utils.import_utils import is_flash_attn_2_available

    network = next((part for part in model.modules() if isinstance(part, PreTrainedModel)), None)
    if network is None or network.dtype not in HALF or not is_flash_attn_2_available():
        return
    if network._supports_flash_attn and network.config._attn_implementation == "sdpa":
        network.set_attn_implementation("flash_attention_2")
