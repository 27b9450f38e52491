"""Tiny random transformers, saved as transformers itself saves them, and a few texts that they can read."""

from collections.abc import Callable
from pathlib import Path
from string import ascii_lowercase

import torch
import transformers
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordPiece
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedModel, PreTrainedTokenizerFast

POSITIONS = 40
"""Tokens that every tiny model can read."""

PAD = 1  # as RoBERTa has it; its first position is the one after
SIZES = {
    "vocab_size": 4 + 2 * len(ascii_lowercase), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": POSITIONS, "pad_token_id": PAD,
    "initializer_range": 0.5,  # wide, so that texts get vectors that differ
}  # fmt: skip
XLM = {
    "vocab_size": SIZES["vocab_size"], "emb_dim": 16, "n_layers": 2, "n_heads": 2, "n_langs": 1, "pad_index": PAD,
    "max_position_embeddings": POSITIONS, "pad_token_id": PAD, "init_std": 0.5, "embed_init_std": 0.5,
}  # fmt: skip
KINDS: dict[str, tuple[type[PreTrainedModel], transformers.PretrainedConfig]] = {
    "bert": (transformers.BertModel, transformers.BertConfig(**SIZES)),
    "roberta": (
        transformers.RobertaModel,
        transformers.RobertaConfig(**SIZES | {"max_position_embeddings": POSITIONS + PAD + 1}),
    ),
    "mpnet": (
        transformers.MPNetModel,
        transformers.MPNetConfig(**SIZES | {"max_position_embeddings": POSITIONS + PAD + 1}),
    ),
    "albert": (transformers.AlbertModel, transformers.AlbertConfig(**SIZES, embedding_size=8)),
    "xlm": (transformers.XLMModel, transformers.XLMConfig(**XLM)),
    "xlm-languages": (transformers.XLMModel, transformers.XLMConfig(**XLM | {"n_langs": 3, "use_lang_emb": True})),
    "fnet": (transformers.FNetModel, transformers.FNetConfig(**SIZES)),
    "decoder": (transformers.Qwen3ForCausalLM, transformers.Qwen3Config(**SIZES, num_key_value_heads=1, head_dim=8)),
    "clip": (
        transformers.CLIPModel,
        transformers.CLIPConfig(
            text_config=SIZES | {"bos_token_id": 2, "eos_token_id": 3},
            vision_config=SIZES | {"image_size": 8, "patch_size": 4},
            projection_dim=12,
        ),
    ),
    "masked": (transformers.BertForMaskedLM, transformers.BertConfig(**SIZES)),
    "two-labels": (transformers.BertForSequenceClassification, transformers.BertConfig(**SIZES, num_labels=2)),
    "one-label": (transformers.BertForSequenceClassification, transformers.BertConfig(**SIZES, num_labels=1)),
}

TEXTS = ["a", "the cat sat", "dog", "", "words " * 8, "the cat sat", "zebras and yaks", "q" * 90, "Dog"]
"""Of mixed lengths: blank, given twice, equal but for case, and longer than the models can read."""

MakeModel = Callable[[str], Path]


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A letter a token, the same ids for all models."""
    pieces = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", *ascii_lowercase, *(f"##{letter}" for letter in ascii_lowercase)]
    tokenizer = Tokenizer(WordPiece({piece: row for row, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )


def save_tiny(folder: Path, kind: str = "bert", seed: int = 0, dtype: torch.dtype = torch.float32) -> Path:
    """A random model of this kind, with its tokenizer, in a folder."""
    torch.manual_seed(seed)
    model_class, config = KINDS[kind]
    model_class(config).to(dtype).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    if kind == "clip":
        sizes = {"height": 8, "width": 8}
        pictures = transformers.CLIPImageProcessor(size=sizes, crop_size=sizes)
        transformers.CLIPProcessor(pictures, tiny_tokenizer()).save_pretrained(folder)
    return folder
