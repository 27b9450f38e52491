"""Tiny random models of every text architecture of transformers that reads a text alone, by the name of its type."""

from pathlib import Path

import torch
import transformers
from tiny_models import POSITIONS, SIZES, tiny_tokenizer
from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedModel

_SMALL: dict[str, object] = {
    "vocab_size": SIZES["vocab_size"], "pad_token_id": 1, "bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3,
    "sep_token_id": 3, "decoder_start_token_id": 1, "max_position_embeddings": POSITIONS + 2, "hidden_size": 16,
    "embedding_size": 16, "d_model": 16, "d_ff": 32, "d_kv": 8, "d_inner": 32, "dim": 16, "hidden_dim": 32,
    "emb_dim": 16, "n_embd": 16, "n_inner": 32, "ffn_dim": 32, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_layers": 2, "n_layers": 2, "n_layer": 2, "num_attention_heads": 2, "num_heads": 2, "n_heads": 2, "n_head": 2,
    "head_dim": 8, "num_key_value_heads": 1, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "n_positions": POSITIONS + 2,
    "query_pre_attn_scalar": 8, "num_experts": 4, "num_local_experts": 4, "moe_intermediate_size": 32,
    "sliding_window": 8, "local_attention": 8,
    # Wide, so that texts get vectors that differ.
    "initializer_range": 0.3, "init_std": 0.3, "initializer_factor": 1.0,
}  # fmt: skip
"""What makes a configuration small, where it has such a field."""

ARCHITECTURES: dict[str, dict[str, object]] = {
    "albert": {"embedding_size": 8},
    "arcee": {},
    "bart": {},
    "bert": {},
    "bert-generation": {},
    "big_bird": {"attention_type": "original_full"},
    "bigbird_pegasus": {},
    "bloom": {},
    "camembert": {},
    "canine": {"downsampling_rate": 1, "num_hash_buckets": 64, "local_transformer_stride": 8},
    "codegen": {"rotary_dim": 4},
    "cohere": {},
    "convbert": {},
    "ctrl": {"dff": 32},
    "data2vec-text": {},
    "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 8},
    "distilbert": {},
    "electra": {"embedding_size": 8},
    "ernie": {},
    "esm": {"position_embedding_type": "rotary"},
    "ernie4_5": {},
    "eurobert": {},
    "exaone4": {},
    "falcon": {},
    "falcon_mamba": {},
    "flaubert": {},
    "fnet": {},
    "fsmt": {},
    "gemma": {},
    "gemma2": {},
    "gemma3_text": {},
    "glm": {"partial_rotary_factor": 0.5},
    "glm4": {},
    "gpt2": {},
    "gpt_bigcode": {},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 8},
    "gpt_neox": {},
    "gptj": {"rotary_dim": 4},
    "granite": {},
    "helium": {},
    "ibert": {},
    "jina_embeddings_v3": {},
    "layoutlm": {"max_2d_position_embeddings": 8},
    "led": {"attention_window": [4, 4], "max_encoder_position_embeddings": 48, "max_decoder_position_embeddings": 48},
    "lfm2": {},
    "lilt": {"max_2d_position_embeddings": 8, "channel_shrink_ratio": 2, "hidden_size": 24},
    "llama": {},
    "longformer": {"attention_window": [4, 4]},
    "luke": {"entity_vocab_size": 4, "entity_emb_size": 8},
    "mamba": {"state_size": 4, "expand": 2, "time_step_rank": 4},
    "mamba2": {"num_heads": 4, "head_dim": 8, "state_size": 8, "n_groups": 1, "chunk_size": 8, "expand": 2},
    "mbart": {},
    "megatron-bert": {},
    "mistral": {},
    "mixtral": {},
    "mobilebert": {"embedding_size": 8, "true_hidden_size": 16, "intra_bottleneck_size": 16},
    "modernbert": {"intermediate_size": 24, "layer_types": ["full_attention", "sliding_attention"]},
    "modernbert-decoder": {"intermediate_size": 24},
    "mpnet": {},
    "mpt": {},
    "mra": {},
    "mt5": {},
    "nomic_bert": {},
    "nystromformer": {"segment_means_seq_len": 48, "num_landmarks": 48},
    "olmo": {},
    "olmo2": {},
    "olmo3": {},
    "openai-gpt": {},
    "opt": {"word_embed_proj_dim": 16},
    "phi": {},
    "phi3": {},
    "plbart": {},
    "qwen2": {},
    "qwen2_moe": {"shared_expert_intermediate_size": 32},
    "qwen3": {},
    "reformer": {
        "axial_pos_embds": False, "attn_layers": ["local", "local"], "attention_head_size": 8,
        "feed_forward_size": 32, "local_attn_chunk_length": 7, "local_num_chunks_after": 1, "is_decoder": False,
    },
    "rembert": {"input_embedding_size": 8, "output_embedding_size": 8},
    "roberta": {},
    "roberta-prelayernorm": {},
    "roc_bert": {"pronunciation_vocab_size": 4, "shape_vocab_size": 4},
    "roformer": {"embedding_size": 8},
    "smollm3": {},
    "splinter": {},
    "squeezebert": {"embedding_size": 16, "q_groups": 2, "k_groups": 2, "v_groups": 2, "intermediate_groups": 2},
    "stablelm": {},
    "starcoder2": {},
    "t5": {"tie_word_embeddings": True},
    "t5-gated": {"feed_forward_proj": "gated-gelu"},
    "umt5": {},
    "xglm": {},
    "xlm": {"n_langs": 1},
    "xlm-roberta": {},
    "xlm-roberta-xl": {},
    "xlnet": {},
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
    "yoso": {},
}  # fmt: skip
"""What else each needs to be tiny, by the type of its configuration."""


def tiny_config(name: str) -> PreTrainedConfig:
    """The configuration of a tiny model of this architecture."""
    kind = CONFIG_MAPPING[name.removesuffix("-gated")]
    fields = kind().to_dict().keys() | kind.attribute_map.keys()
    return kind(**{field: value for field, value in _SMALL.items() if field in fields} | ARCHITECTURES[name])


def tiny_network(name: str, seed: int = 0) -> PreTrainedModel:
    """A tiny random model of this architecture, as AutoModel makes it."""
    torch.manual_seed(seed)
    return transformers.AutoModel.from_config(tiny_config(name)).eval()


def save_architecture(folder: Path, name: str) -> Path:
    """Such a model and a tokenizer in a folder."""
    tiny_network(name).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
