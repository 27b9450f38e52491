"""`bert:` against plain transformers, one text at a time and so without padding."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers.sentence_transformer.modules import Pooling
from tiny_models import POSITIONS, SIZES, TEXTS, MakeModel, save_tiny, tiny_tokenizer
from tokenizers.implementations import ByteLevelBPETokenizer
from tokenizers.processors import TemplateProcessing

from evalkit.compute import Compute
from evalkit.errors import ModelNotFoundError, SpecError
from evalkit.models import _batching as batching
from evalkit.models._transformer import pool
from evalkit.models.bert import Bert, BertOptions, load_bert

ENCODERS = ["bert", "roberta", "mpnet", "albert", "xlm"]
POOLED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "cls": lambda tokens: tokens[0],
    "mean": lambda tokens: tokens.mean(dim=0),
    "max": lambda tokens: tokens.max(dim=0).values,
}


def load(folder: Path, **options: object) -> Bert:
    return load_bert(str(folder), BertOptions(**options), Compute())


def by_transformers(
    folder: Path, texts: Sequence[str], pooling: str = "mean", layer: int = -1, max_length: int = POSITIONS
) -> np.ndarray:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    vectors = []
    with torch.no_grad():
        for text in texts:
            inputs = tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt")
            hidden = model(**inputs, output_hidden_states=True).hidden_states[layer][0]
            vectors.append(POOLED[pooling](hidden).numpy())
    return np.array(vectors)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several batches and windows even for a few texts."""
    monkeypatch.setitem(batching.TOKENS_PER_BATCH, "cpu", 64)
    monkeypatch.setattr(batching, "TEXTS_PER_WINDOW", 5)


@pytest.mark.parametrize("pooling", POOLED)
@pytest.mark.parametrize("kind", ENCODERS)
def test_pools_the_last_layer_as_transformers_does(kind: str, pooling: str, tiny: MakeModel):
    found = load(tiny(kind), pooling=pooling).encode(TEXTS, "sentence")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_transformers(tiny(kind), TEXTS, pooling), atol=1e-5)


@pytest.mark.parametrize("layer", [0, 1, 2, -2, -3])
@pytest.mark.parametrize("kind", ["bert", "albert", "xlm"])
def test_pools_a_chosen_layer(kind: str, layer: int, tiny: MakeModel):
    found = load(tiny(kind), layer=layer).encode(TEXTS, "sentence")
    np.testing.assert_allclose(found, by_transformers(tiny(kind), TEXTS, layer=layer), atol=1e-5)


@pytest.mark.parametrize("layer", [3, -4])
def test_a_layer_that_is_not_there_is_refused(layer: int, tiny: MakeModel):
    message = f"layer={layer}: the model has 2 layers; allowed are -3 to 2 (0 is the embeddings, -1 the last layer)."
    with pytest.raises(SpecError, match=f"^{re.escape(message)}$"):
        load(tiny("bert"), layer=layer).encode(["a"], "sentence")


@pytest.mark.parametrize("pooling", POOLED)
@pytest.mark.usefixtures("small_batches")
def test_batches_change_neither_order_nor_vectors(pooling: str, tiny: MakeModel):
    texts = [*TEXTS, *(letter * length for length, letter in enumerate("abcdefghijklmnopqrstuvwxyz"))]
    finished: list[int] = []
    found = load(tiny("bert"), pooling=pooling).encode(texts, "sentence", finished.append)
    np.testing.assert_allclose(found, by_transformers(tiny("bert"), texts, pooling), atol=1e-5)
    assert sum(finished) == len(texts)


def test_no_texts(tiny: MakeModel):
    assert load(tiny("bert")).encode([], "sentence").shape == (0, 16)


@pytest.mark.parametrize("max_length", [3, 10, POSITIONS])
@pytest.mark.parametrize("kind", ENCODERS)
def test_max_length_cuts_as_the_tokenizer_does_up_to_the_last_position(kind: str, max_length: int, tiny: MakeModel):
    found = load(tiny(kind), max_length=max_length).encode(TEXTS, "sentence")
    np.testing.assert_allclose(found, by_transformers(tiny(kind), TEXTS, max_length=max_length), atol=1e-5)


@pytest.mark.parametrize("kind", ENCODERS)
def test_more_tokens_than_positions_are_refused(kind: str, tiny: MakeModel):
    message = f"max_length={POSITIONS + 1} is more than the model's {POSITIONS} positions; lower it."
    with pytest.raises(SpecError, match=f"^{re.escape(message)}$"):
        load(tiny(kind), max_length=POSITIONS + 1).encode(["a"], "sentence")


def test_the_tokenizers_own_limit_holds_unless_another_is_asked_for(tmp_path: Path):
    folder = save_tiny(tmp_path)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": 7}))
    for options, max_length in [({}, 7), ({"max_length": 12}, 12)]:
        found = load(folder, **options).encode(TEXTS, "sentence")
        np.testing.assert_allclose(found, by_transformers(folder, TEXTS, max_length=max_length), atol=1e-5)


@pytest.mark.parametrize("role", ["query", "document", "sentence"])
def test_prompts_are_read_before_the_texts_of_their_role(role: str, tiny: MakeModel):
    model = load(tiny("bert"), query_prompt="ask ", document_prompt="tell ")
    prompt = {"query": "ask ", "document": "tell ", "sentence": ""}[role]
    expected = by_transformers(tiny("bert"), [prompt + text for text in TEXTS])
    np.testing.assert_allclose(model.encode(TEXTS, role), expected, atol=1e-5)


def test_dim_and_normalize_are_applied_in_that_order(tiny: MakeModel):
    expected = by_transformers(tiny("bert"), TEXTS)[:, :5]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(load(tiny("bert"), dim=5, normalize=True).encode(TEXTS, "query"), expected, atol=1e-5)


def test_more_dimensions_than_the_model_has_are_refused(tiny: MakeModel):
    with pytest.raises(SpecError, match=r"^dim=17 is more than the model's 16 dimensions; choose at most that\.$"):
        load(tiny("bert"), dim=17).encode(["a"], "sentence")


def test_a_half_precision_checkpoint_is_computed_in_float32(tmp_path: Path):
    folder = save_tiny(tmp_path, dtype=torch.float16)
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float16"
    model = load(folder)
    assert model.identity["compute_dtype"] == "float32"
    np.testing.assert_allclose(model.encode(TEXTS, "sentence"), by_transformers(folder, TEXTS), atol=1e-5)


def test_bfloat16_is_close_to_float32_and_is_not_it(tiny: MakeModel):
    model = load(tiny("bert"), dtype="bfloat16")
    difference = np.abs(model.encode(TEXTS, "sentence") - by_transformers(tiny("bert"), TEXTS))
    assert model.identity["compute_dtype"] == "bfloat16"
    assert 1e-4 < difference.max() < 0.1


@pytest.mark.parametrize(
    ("options", "same"),
    [
        ({"pooling": "cls"}, False),
        ({"layer": 1}, False),
        ({"max_length": 9}, False),
        ({"dtype": "bfloat16"}, False),
        ({"sentence_prompt": "x"}, False),
        ({"normalize": True}, False),
        ({"dim": 4}, False),
        ({"normalize": False, "sentence_prompt": ""}, True),
    ],
    ids=str,
)
def test_identity_holds_whatever_changes_vectors(options: dict[str, object], same: bool, tiny: MakeModel):
    assert (load(tiny("bert"), **options).identity == load(tiny("bert")).identity) is same


def test_identity_follows_the_weights_and_not_the_place(tmp_path: Path, tiny: MakeModel):
    copy, other = save_tiny(tmp_path / "copy"), save_tiny(tmp_path / "other", seed=1)
    assert load(copy).identity == load(tiny("bert")).identity != load(other).identity


def test_a_folder_without_a_model_is_refused(tmp_path: Path):
    with pytest.raises(
        ModelNotFoundError, match=f"^{re.escape(str(tmp_path))} holds no transformers model that AutoModel can read: "
    ):
        load(tmp_path).encode(["a"], "sentence")


@pytest.mark.parametrize("pooling", POOLED)
@pytest.mark.parametrize("kind", ["bert", "roberta", "albert", "xlm"])
def test_a_tokenizer_that_pads_on_the_left_changes_nothing(kind: str, pooling: str, tmp_path: Path):
    """Positions count from a text's first token, as they do for the text alone."""
    folder = save_tiny(tmp_path, kind)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"padding_side": "left"}))
    assert transformers.AutoTokenizer.from_pretrained(folder).padding_side == "left"
    found = load(folder, pooling=pooling).encode(TEXTS, "sentence")
    np.testing.assert_allclose(found, by_transformers(folder, TEXTS, pooling), atol=1e-5)


@pytest.mark.parametrize("pooling", POOLED)
def test_an_xlm_of_several_languages_is_read_as_transformers_reads_it_with_none_named(pooling: str, tiny: MakeModel):
    found = load(tiny("xlm-languages"), pooling=pooling).encode(TEXTS, "sentence")
    np.testing.assert_allclose(found, by_transformers(tiny("xlm-languages"), TEXTS, pooling), atol=1e-5)


@pytest.fixture(scope="module")
def roberta_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A RoBERTa with a tokenizer of its kind: byte-level BPE, `<s>` and `</s>`, no token types."""
    folder = tmp_path_factory.mktemp("roberta-bpe")
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(TEXTS * 3, vocab_size=300, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    bpe.save_model(str(folder))
    tokenizer = transformers.RobertaTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"))
    torch.manual_seed(0)
    sizes = {**SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": POSITIONS + 2}
    transformers.RobertaModel(transformers.RobertaConfig(**sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("pooling", POOLED)
def test_roberta_with_its_own_tokenizer(pooling: str, roberta_of_its_own: Path):
    texts = [*TEXTS, "Zürich, naïve — 犬!"]
    found = load(roberta_of_its_own, pooling=pooling).encode(texts, "sentence")
    np.testing.assert_allclose(found, by_transformers(roberta_of_its_own, texts, pooling), atol=1e-5)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose tokenizer adds no tokens: there is no [CLS], and a blank text has no token at all."""
    folder = save_tiny(tmp_path_factory.mktemp("bare"))
    backend = tiny_tokenizer().backend_tokenizer
    backend.post_processor = TemplateProcessing(single="$A", pair="$A $B:1", special_tokens=[])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]"
    ).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("pooling", POOLED)
def test_without_a_cls_token_the_first_token_stands_for_it(pooling: str, bare: Path):
    texts = [text for text in TEXTS if text]
    found = load(bare, pooling=pooling).encode(texts, "sentence")
    np.testing.assert_allclose(found, by_transformers(bare, texts, pooling), atol=1e-5)


@pytest.mark.parametrize("texts", [["", "dog"], ["", ""]], ids=["beside another", "alone"])
@pytest.mark.parametrize("pooling", POOLED)
def test_a_text_without_a_token_has_a_zero_vector(pooling: str, texts: list[str], bare: Path):
    found = load(bare, pooling=pooling).encode(texts, "sentence")
    assert not found[0].any()
    assert np.isfinite(found).all()


@pytest.mark.parametrize("how", ["cls", "mean", "max"])
def test_pooling_is_that_of_sentence_transformers(how: str):
    """Padded on either side or not at all."""
    hidden = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1] * 6, [1] * 2 + [0] * 4, [0] * 3 + [1] * 3, [1] + [0] * 5])
    features = {"token_embeddings": hidden.clone(), "attention_mask": mask}
    expected = Pooling(5, pooling_mode=how)(features)["sentence_embedding"]
    torch.testing.assert_close(pool(hidden, mask, how), expected)
