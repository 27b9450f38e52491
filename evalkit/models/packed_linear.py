"""Linear layers for the CPU: weights laid out once for its matrix units, bias and GELU fused in (oneDNN).

These are the operators that torch's own compiler puts in for linear layers on a CPU; called directly they need
no compilation. One product of 2,048 × 384 by 384 × 1,536 with its bias and GELU takes about two thirds of the time
in float32, and half in bfloat16.
"""

import torch
from torch import Tensor, nn

BATCH_HINT = 2_048
"""Rows that the layout is chosen for."""


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
