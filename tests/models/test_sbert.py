"""`sbert:` against sentence-transformers' own `encode`."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from tiny_models import POSITIONS, TEXTS, MakeModel, tiny_tokenizer

from evalkit.compute import Compute
from evalkit.errors import ModelNotFoundError, SpecError
from evalkit.models.bert import BertOptions, load_bert
from evalkit.models.sbert import Sbert, SbertOptions, load_sbert
from evalkit.models.weights import locate

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
PROMPTS = {"query": "ask ", "document": "tell ", "any": "say "}


def load(name: str | Path, **options: object) -> Sbert:
    return load_sbert(str(name), SbertOptions(**options), Compute())


def scaled(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def sentences(data_dir: Path) -> list[str]:
    lines = (data_dir / "stsb-en" / "test.jsonl").read_text(encoding="utf-8").splitlines()[:200]
    return [json.loads(line)["sentence1"] for line in lines]


@pytest.fixture(scope="module")
def minilm() -> Sbert:
    return load(MINILM)


@pytest.fixture(scope="module")
def peer() -> SentenceTransformer:
    return SentenceTransformer(str(locate(MINILM)), device="cpu")


@pytest.fixture(scope="module")
def expected(peer: SentenceTransformer, sentences: list[str]) -> np.ndarray:
    return peer.encode(sentences)


def saved(folder: Path, tiny: MakeModel, *more: object, include_prompt: bool = True, **settings: object) -> Path:
    """A tiny sentence-transformers checkpoint with a Transformer, mean pooling and `more` modules."""
    pooling = Pooling(16, pooling_mode="mean", include_prompt=include_prompt)
    model = SentenceTransformer(modules=[Transformer(str(tiny("bert"))), pooling, *more], device="cpu", **settings)
    model.save(str(folder))
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny: MakeModel) -> Path:
    """With prompts, a similarity, and a last step that scales to length 1."""
    folder = tmp_path_factory.mktemp("checkpoint")
    return saved(folder, tiny, Normalize(), prompts=PROMPTS, default_prompt_name="any", similarity_fn_name="dot")


def test_minilm_gives_the_vectors_of_sentence_transformers(minilm: Sbert, sentences: list[str], expected: np.ndarray):
    finished: list[int] = []
    np.testing.assert_allclose(minilm.encode(sentences, "sentence", finished.append), expected, atol=1e-5)
    assert sum(finished) == len(sentences)


@pytest.mark.parametrize("normalize", [True, False])
def test_dim_keeps_the_leading_dimensions(
    normalize: bool, peer: SentenceTransformer, sentences: list[str], expected: np.ndarray
):
    found = load(MINILM, dim=64, normalize=normalize).encode(sentences[:20], "sentence")
    np.testing.assert_allclose(scaled(found), scaled(expected[:20, :64]), atol=1e-5)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5) is normalize


@pytest.mark.parametrize("prompt", ["query: ", "a somewhat longer prompt, "])
def test_a_prompt_option_equals_sentence_transformers_prompt(
    prompt: str, peer: SentenceTransformer, sentences: list[str]
):
    found = load(MINILM, query_prompt=prompt).encode(sentences[:20], "query")
    np.testing.assert_allclose(found, peer.encode(sentences[:20], prompt=prompt), atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean", "max"])
@pytest.mark.parametrize("normalize", [True, False])
def test_pooling_equals_berts(pooling: str, normalize: bool, checkpoint: Path):
    options = {"pooling": pooling, "normalize": normalize}
    expected = load_bert(str(checkpoint), BertOptions(**options), Compute()).encode(TEXTS, "sentence")
    found = load(checkpoint, sentence_prompt="", **options).encode(TEXTS, "sentence")
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("option", [None, True, False])
@pytest.mark.parametrize("own", [True, False])
def test_vectors_are_scaled_as_the_checkpoint_does_unless_told(
    own: bool, option: bool | None, tmp_path: Path, tiny: MakeModel
):
    folder = saved(tmp_path, tiny, *[Normalize()] * own)
    found = load(folder, normalize=option).encode(TEXTS, "sentence")
    expected = load_bert(str(tiny("bert")), BertOptions(), Compute()).encode(TEXTS, "sentence")
    scales = own if option is None else option
    np.testing.assert_allclose(found, scaled(expected) if scales else expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "role", "prompt"),
    [
        ({}, "query", "ask "),
        ({}, "document", "tell "),
        ({}, "sentence", "say "),
        ({"query_prompt": "own "}, "query", "own "),
        ({"query_prompt": ""}, "query", ""),
        ({"sentence_prompt": ""}, "sentence", ""),
        ({"query_prompt": "own "}, "document", "tell "),
    ],
    ids=["query", "document", "default", "option", "no-prompt", "no-default", "other-role"],
)
def test_prompts_of_the_checkpoint_hold_until_an_option_replaces_them(
    options: dict[str, str], role: str, prompt: str, checkpoint: Path
):
    model = load(checkpoint, **options)
    assert model.prompt(role) == prompt
    peer = SentenceTransformer(str(checkpoint), device="cpu")
    np.testing.assert_allclose(model.encode(TEXTS, role), peer.encode(TEXTS, prompt=prompt), atol=1e-5)


def test_a_prompt_is_left_out_of_pooling_where_the_checkpoint_says_so(tmp_path: Path, tiny: MakeModel):
    folder = saved(tmp_path, tiny, include_prompt=False, prompts={"query": "ask "})
    peer = SentenceTransformer(str(folder), device="cpu")
    found = load(folder).encode(TEXTS, "query")
    np.testing.assert_allclose(found, peer.encode(TEXTS, prompt_name="query"), atol=1e-5)
    assert not np.allclose(found, peer.encode([f"ask {text}" for text in TEXTS]), atol=1e-3)


@pytest.mark.parametrize(("option", "similarity"), [(None, "dot"), ("euclidean", "euclidean")])
def test_similarity_is_the_checkpoints_own_unless_told(option: str | None, similarity: str, checkpoint: Path):
    assert load(checkpoint, similarity=option).similarity == similarity


def test_similarity_of_a_checkpoint_that_says_nothing_is_cosine(minilm: Sbert):
    assert minilm.similarity == "cosine"


@pytest.mark.parametrize("max_length", [5, POSITIONS])
def test_max_length_cuts_as_sentence_transformers_does(max_length: int, checkpoint: Path):
    peer = SentenceTransformer(str(checkpoint), device="cpu")
    peer.max_seq_length = max_length
    found = load(checkpoint, max_length=max_length).encode(TEXTS, "sentence")
    np.testing.assert_allclose(found, peer.encode(TEXTS, prompt="say "), atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_more_tokens_than_positions_are_refused(kind: str, tiny: MakeModel):
    message = f"max_length={POSITIONS + 1} is more than the model's {POSITIONS} positions; lower it."
    with pytest.raises(SpecError, match=f"^{re.escape(message)}$"):
        load(tiny(kind), max_length=POSITIONS + 1).encode(["a"], "sentence")


class TestWithoutTransformer:
    """A checkpoint whose first module is a table of token vectors."""

    @pytest.fixture(scope="class")
    @staticmethod
    def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("static")
        table = np.random.default_rng(0).normal(size=(len(tiny_tokenizer()), 8)).astype(np.float32)
        module = StaticEmbedding(tiny_tokenizer().backend_tokenizer, embedding_weights=table)
        model = SentenceTransformer(modules=[module], device="cpu", prompts=PROMPTS, default_prompt_name="any")
        model.save(str(folder))
        return folder

    @pytest.mark.parametrize("option", [None, "", "own "])
    def test_vectors_and_prompts(self, option: str | None, folder: Path):
        peer = SentenceTransformer(str(folder), device="cpu")
        prompt = "say " if option is None else option
        found = load(folder, sentence_prompt=option).encode(TEXTS, "sentence")
        np.testing.assert_allclose(found, peer.encode(TEXTS, prompt=prompt), atol=1e-6)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"max_length": 4}, "max_length=4: this checkpoint runs no transformer; leave it out."),
            (
                {"pooling": "cls"},
                "pooling=cls: this checkpoint has no pooling module to replace; leave it out.",
            ),
        ],
        ids=["max_length", "pooling"],
    )
    def test_options_that_it_does_not_have_are_refused(self, options: dict[str, object], message: str, folder: Path):
        with pytest.raises(SpecError, match=f"^{re.escape(message)}$"):
            load(folder, **options).encode(["a"], "sentence")


def test_no_texts(minilm: Sbert):
    assert minilm.encode([], "sentence").shape == (0, 384)


def test_a_folder_without_a_model_is_refused(tmp_path: Path):
    message = f"{tmp_path} holds no model that sentence-transformers can read: "
    with pytest.raises(ModelNotFoundError, match=f"^{re.escape(message)}"):
        load(tmp_path).encode(["a"], "sentence")


@pytest.mark.parametrize("include_prompt", [True, False])
@pytest.mark.parametrize("how", ["cls", "mean", "max"])
def test_pooling_is_the_librarys_own(how: str, include_prompt: bool, tmp_path: Path, tiny: MakeModel):
    """Also for a checkpoint that leaves its prompt out of pooling, with a prompt."""
    folder = saved(tmp_path, tiny, include_prompt=include_prompt, prompts={"query": "ask "})
    modules = [Transformer(str(tiny("bert"))), Pooling(16, pooling_mode=how, include_prompt=include_prompt)]
    peer = SentenceTransformer(modules=modules, device="cpu")
    found = load(folder, pooling=how).encode(TEXTS, "query")
    np.testing.assert_allclose(found, peer.encode(TEXTS, prompt="ask "), atol=1e-5)
