"""What makes a transformer's forward pass fast on a CPU, in place, with the same results up to rounding.

Linear layers have their weights laid out once for the matrix units, with bias and GELU fused in (oneDNN). These are
the operators that torch's own compiler puts in for linear layers on a CPU; called directly they need no compilation.
One product of 2,048 × 384 by 384 × 1,536 with its bias and GELU takes about two thirds of the time in float32, and
half in bfloat16.
"""

from typing import Any

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

    pack_linears(model)
    network = next((part for part in model.modules() if isinstance(part, PreTrainedModel)), None)
    if network is None or network.dtype != torch.bfloat16 or network.config._attn_implementation != "sdpa":
        return
    AttentionInterface.register("short_or_sdpa", attend)
    AttentionMaskInterface.register("short_or_sdpa", sdpa_mask)
    network.set_attn_implementation("short_or_sdpa")


def attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **arguments: Any
) -> tuple[Tensor, None]:
    """Scaled dot-product attention; over few tokens, in both directions, as two plain products.

    `query`, `key` and `value` are (batch, heads, length, head dim), `attention_mask` is True where a token may look,
    of shape (batch, 1, length, length); returns (batch, length, heads, head dim), and no weights.
    """
    plain = query.shape == key.shape and not getattr(module, "is_causal", True)
    if not plain or query.shape[2] > SHORT or (attention_mask is not None and attention_mask.dtype != torch.bool):
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, **arguments)
    scaling = arguments.get("scaling")
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    return (scores.softmax(dim=-1) @ value).transpose(1, 2).contiguous(), None


class PackedLinear(nn.Module):
    """Computes what a Linear, or a Linear and then an exact GELU, computes; for inference only."""

    def __init__(self, linear: nn.Linear, gelu: bool = False) -> None:
        super().__init__()
        weight = linear.weight.detach()
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight, BATCH_HINT)
        self._bias = None if linear.bias is None else linear.bias.detach()
        self._activation = "gelu" if gelu else "none"

    def forward(self, inputs: Tensor) -> Tensor:
        """Of shape (..., out features) for inputs of shape (..., in features)."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise(
            inputs, self._packed, self._bias, self._activation, [], "none"
        )
        return result


def pack_linears(model: nn.Module) -> None:
    """Replace, in place, the linear layers of a model in evaluation mode on a CPU.

    In BERT's feed-forward blocks (`dense`, then `intermediate_act_fn`) an exact GELU becomes part of the layer.
    Leaves the model alone where oneDNN is not there, or has no such product for the model's dtype.
    """
    dtype = next((parameter.dtype for parameter in model.parameters()), None)
    if not torch._C._has_mkldnn or not _supported(dtype):
        return
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is not nn.Linear:  # subclasses compute something else
                continue
            gelu = name == "dense" and _is_gelu(getattr(module, "intermediate_act_fn", None))
            setattr(module, name, PackedLinear(child, gelu))
            if gelu:
                module.intermediate_act_fn = nn.Identity()


def _supported(dtype: torch.dtype | None) -> bool:
    if dtype == torch.float32:
        return True
    return dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _is_gelu(activation: object) -> bool:
    from transformers.activations import GELUActivation

    exact = isinstance(activation, nn.GELU) and activation.approximate == "none"
    return exact or (isinstance(activation, GELUActivation) and activation.act is nn.functional.gelu)
