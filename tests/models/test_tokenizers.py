"""Tokenizers that do not fit: to the network, which has no vectors for some tokens, or to the texts."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tiny_models import SIZES, MakeModel, tiny_tokenizer

from evalkit.compute import Compute
from evalkit.errors import ModelNotFoundError
from evalkit.models.registry import build, resolve

FAMILIES = {"bert": "bert", "sbert": "bert", "splade": "masked", "ce": "one-label", "maxsim": "bert"}
BEYOND = (
    r"the tokenizer has {tokens:,} tokens, and the network {rows:,} vectors for them: {beyond:,} have none, the first"
)


def use(spec: str) -> np.ndarray:
    model = build(resolve(spec), Compute())
    if hasattr(model, "encode"):
        vectors = model.encode(["a cat", "dog"], "document")
        return vectors.toarray() if hasattr(vectors, "toarray") else vectors
    return model.score(["a cat", "dog"], ["the cat", "zebras"])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("how", ["added", "added to separate", "of another model"])
def test_tokens_without_a_vector_are_an_error(family: str, how: str, tiny: MakeModel, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny(FAMILIES[family]), tmp_path / "model")
    tokenizer = tiny_tokenizer()
    if how == "added":
        tokenizer.add_tokens(["covid", "vaccine"])
    elif how == "added to separate":  # it stands in every text, as no other special token need do
        tokenizer.add_special_tokens({"pad_token": "[HOLE]"})
    else:
        inner = json.loads(tokenizer.backend_tokenizer.to_str())
        inner["model"]["vocab"] |= {f"word{row}": len(tokenizer) + row for row in range(1000)}
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_object=type(tokenizer.backend_tokenizer).from_str(json.dumps(inner)),
            unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        )  # fmt: skip
    tokenizer.save_pretrained(folder)
    rows = SIZES["vocab_size"]
    said = BEYOND.format(tokens=len(tokenizer), rows=rows, beyond=len(tokenizer) - rows)
    with pytest.raises(ModelNotFoundError, match=f"^{folder}: {said}"):
        use(f"{family}:{folder}")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_special_token_that_no_text_has_may_be_without_a_vector(
    family: str, tiny: MakeModel, tmp_path: Path
) -> None:
    """EmbeddingGemma's tokenizer has one for pictures."""
    folder = shutil.copytree(tiny(FAMILIES[family]), tmp_path / "model")
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["[PICTURE]"]})
    tokenizer.save_pretrained(folder)
    np.testing.assert_array_equal(use(f"{family}:{folder}"), use(f"{family}:{tiny(FAMILIES[family])}"))


def test_a_table_of_static_vectors_is_looked_at_too(data_dir: Path, tmp_path: Path) -> None:
    """In sbert: by us; in static: by model2vec."""
    tokenizer = tiny_tokenizer().backend_tokenizer
    table = StaticEmbedding(tokenizer, embedding_weights=torch.randn(SIZES["vocab_size"], 8).numpy())
    SentenceTransformer(modules=[table], device="cpu").save(str(tmp_path / "sbert"))
    shutil.copytree(data_dir / "potion-base-4m-int8", tmp_path / "static")
    said = {
        "sbert": "the tokenizer has 59 tokens, and the network 56 vectors for them: 3 have none, the first",
        "static": r".*Number of tokens \(29531\) does not match number of vectors \(29528\)",
    }
    for family, message in said.items():
        folder = tmp_path / family
        assert np.isfinite(use(f"{family}:{folder}")).all()
        file = next(folder.rglob("tokenizer.json"))
        saved = json.loads(file.read_text())
        saved["model"]["vocab"] |= {f"new word {row}": len(saved["model"]["vocab"]) + row for row in range(3)}
        file.write_text(json.dumps(saved))
        with pytest.raises(ModelNotFoundError, match=f"^{folder}:? {message}"):
            use(f"{family}:{folder}")


@pytest.mark.parametrize("family", [*FAMILIES, "llamaindex"])
def test_a_tokenizer_that_knows_no_word_is_an_error(family: str, tiny: MakeModel, tmp_path: Path) -> None:
    """transformers makes one of special tokens alone where there are no files of one."""
    kind = FAMILIES.get(family, "one-label")
    folder = shutil.copytree(tiny(kind), tmp_path / "model")
    for file in [*folder.glob("tokenizer*"), *folder.glob("special_tokens*")]:
        file.unlink()
    spec = f"{family}:{folder}"
    if family == "llamaindex":
        spec = f"llamaindex:llama_index.core.postprocessor.SentenceTransformerRerank?model={folder}"
    with pytest.raises(ModelNotFoundError, match="no files of a tokenizer with words"):
        use(spec)
