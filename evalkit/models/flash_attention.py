"""Attention that leaves padding out, on GPUs where the package flash-attn is installed (Dao 2023)."""

import torch
from torch import nn

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
