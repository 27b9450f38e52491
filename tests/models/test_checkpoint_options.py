"""How evalkit's options go together with what a checkpoint says of itself, and what is refused."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from module_types import Made
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import Pooling
from tiny_models import MakeModel

import evalkit
from evalkit.compute import Compute
from evalkit.errors import ModelNotFoundError, SpecError
from evalkit.models._checkpoint import Checkpoint
from evalkit.models.registry import build, resolve
from evalkit.tasks import load_task

TEXTS = ["the cat sat", "a", "Dog words zebras a cat", "words the dog sat the cat zebras " * 3, "zebras"]


def model_of(spec: str) -> Any:
    return build(resolve(spec), Compute())


def scaled(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def peers(made: Made):
    """The library's checkpoint with certain modules: its dimensions, whether it scales, its vectors before both."""

    @cache
    def of(name: str) -> tuple[int | None, bool, np.ndarray]:
        peer = SentenceTransformer(str(made("dense", name)), device="cpu")
        own, peer.truncate_dim = peer.truncate_dim, None
        scales = isinstance(peer[-1], Normalize)
        if scales:
            del peer[-1]
        return own, scales, peer.encode_query(TEXTS)

    return of


@pytest.mark.parametrize("normalize", [None, True, False])
@pytest.mark.parametrize("dim", [None, 3, 9, 16])
@pytest.mark.parametrize("name", ["mean", "scaled", "cut", "scaled and cut", "cut to more than there is"])
def test_dimensions_kept_and_scaling(name: str, dim: int | None, normalize: bool | None, made: Made, peers: Any):
    """The checkpoint's order is scaling, then cutting; an option's is cutting, then scaling."""
    folder = made("dense", name)
    own, scales, full = peers(name)
    if dim is None and normalize is None:
        expected = (scaled(full) if scales else full)[:, :own]
    else:
        expected = full[:, : dim or own]
        if normalize or (normalize is None and scales):
            expected = scaled(expected)
    options = {"dim": dim, "normalize": None if normalize is None else str(normalize).lower()}
    given = "&".join(f"{key}={value}" for key, value in options.items() if value is not None)
    found = model_of(f"sbert:{folder}{'?' * bool(given)}{given}").encode(TEXTS, "query")
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_checkpoint_that_cuts_is_scaled_by_an_option_as_the_library_does_when_told(made: Made):
    folder = made("dense", "scaled and cut")
    peer = SentenceTransformer(str(folder), device="cpu")
    found = model_of(f"sbert:{folder}?normalize=true").encode(TEXTS, "query")
    np.testing.assert_allclose(found, peer.encode_query(TEXTS, normalize_embeddings=True), atol=1e-5)


def test_a_checkpoint_that_cuts_can_be_quantised(made: Made):
    folder = made("dense", "cut")
    found = model_of(f"sbert:{folder}?precision=binary").encode(TEXTS, "query")
    assert found.shape == (len(TEXTS), 5)
    assert set(np.unique(found)) == {-1.0, 1.0}


@pytest.mark.parametrize("name", ["two ways", "late ways", "a chat", "words", "table", "lengths by role"])
def test_a_prompt_option_replaces_the_prompt_of_its_role_alone(name: str, made: Made):
    folder = made("dense", name)
    peer = SentenceTransformer(str(folder), device="cpu")
    model = model_of(f"sbert:{folder}?query_prompt=cat%20&sentence_prompt=")
    expected = peer.encode_query(TEXTS, prompt="cat "), peer.encode_document(TEXTS), peer.encode(TEXTS, prompt="")
    for role, vectors in zip(("query", "document", "sentence"), expected, strict=True):
        np.testing.assert_allclose(model.encode(TEXTS, role), vectors, atol=1e-5)


def test_pooling_is_replaced_on_all_ways(made: Made):
    folder = made("dense", "two ways")
    peer = SentenceTransformer(str(folder), device="cpu")
    for steps in peer[0].sub_modules.values():
        steps[1] = Pooling(16, "max")
    model = model_of(f"sbert:{folder}?pooling=max")
    np.testing.assert_allclose(model.encode(TEXTS, "query"), peer.encode_query(TEXTS), atol=1e-5)
    np.testing.assert_allclose(model.encode(TEXTS, "document"), peer.encode_document(TEXTS), atol=1e-5)


def test_a_pooling_that_what_follows_cannot_read_is_refused(made: Made):
    message = "pooling=cls gives 16 dimensions, but what follows in this checkpoint reads the 48 of its own pooling"
    with pytest.raises(SpecError, match=message):
        model_of(f"sbert:{made('dense', 'steps')}?pooling=cls").encode(TEXTS, "query")


@pytest.mark.parametrize("name", ["two ways", "lengths by role", "short and lower case"])
def test_max_length_holds_for_every_role(name: str, made: Made):
    folder = made("dense", name)
    peer = SentenceTransformer(str(folder), device="cpu")
    peer.max_seq_length = 6
    if name == "lengths by role":
        peer[0].query_length = peer[0].document_length = 6
    model = model_of(f"sbert:{folder}?max_length=6")
    np.testing.assert_allclose(model.encode(TEXTS, "query"), peer.encode_query(TEXTS), atol=1e-5)
    np.testing.assert_allclose(model.encode(TEXTS, "document"), peer.encode_document(TEXTS), atol=1e-5)
    assert model.max_tokens == 6


@pytest.mark.parametrize("family", ["sbert", "splade", "ce"])
@pytest.mark.parametrize(
    ("of", "name", "right"),
    [("dense", "mean", "sbert"), ("sparse", "splade", "splade"), ("pairs", "a classifier", "ce"),
     ("tokens", "token vectors", "maxsim")],
)  # fmt: skip
def test_a_checkpoint_of_another_class_is_refused_and_its_family_named(
    family: str, of: str, name: str, right: str, made: Made
):
    folder = made(of, name)
    if family == right:
        model_of(f"{family}:{folder}")
        return
    with pytest.raises(ModelNotFoundError, match=f"Use `{right}:{re.escape(str(folder))}`"):
        model_of(f"{family}:{folder}")


class TestLanguageModels:
    """A language model alone: what it prefers, yes or no, if it can be asked."""

    TEMPLATE = "{% for part in messages %}{{ part['role'] }} is {{ part['content'] }} {% endfor %}"
    ONE_SIDED = (
        "{% for part in messages %}{% if part['role'] == 'user' %}{{ part['content'] }}{% endif %}{% endfor %}"
    )

    @staticmethod
    def saved(folder: Path, tiny: MakeModel, template: str | None, words: bool = True) -> Path:
        transformers.AutoModelForCausalLM.from_pretrained(tiny("decoder")).save_pretrained(folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(tiny("decoder"))
        if words:  # of letters that the tokenizer has anyway
            vocabulary = tokenizer.backend_tokenizer.to_str().replace('"x":', '"yes":').replace('"z":', '"no":')
            tokenizer = transformers.PreTrainedTokenizerFast(
                tokenizer_object=tokenizer.backend_tokenizer.from_str(vocabulary),
                unk_token="[UNK]",
                pad_token="[PAD]",
            )
        tokenizer.chat_template = template
        tokenizer.save_pretrained(folder)
        return folder

    def test_one_that_shows_pairs_is_asked_as_the_library_asks(self, tiny: MakeModel, tmp_path: Path):
        folder = self.saved(tmp_path, tiny, self.TEMPLATE)
        peer = CrossEncoder(str(folder), device="cpu")
        found = model_of(f"ce:{folder}").score(TEXTS, TEXTS[::-1])
        expected = peer.predict(list(zip(TEXTS, TEXTS[::-1], strict=True)))
        assert np.ptp(found) > 0
        np.testing.assert_allclose(1 / (1 + np.exp(-found)), expected, atol=1e-6)

    @pytest.mark.parametrize(
        ("template", "words", "problem"),
        [
            (None, True, "it has no chat template"),
            (ONE_SIDED, True, "cannot carry a 'query'/'document' pair"),
            (TEMPLATE, False, "its tokenizer has no words for yes and no"),
        ],
        ids=["no template", "template of one side", "no yes"],
    )
    def test_one_that_cannot_be_asked_is_refused(
        self, template: str | None, words: bool, problem: str, tiny: MakeModel, tmp_path: Path
    ):
        folder = self.saved(tmp_path, tiny, template, words)
        with pytest.raises(
            ModelNotFoundError, match=f"is a language model \\(Qwen3ForCausalLM\\).*{problem}.*LogitScore"
        ):
            model_of(f"ce:{folder}").score(["a"], ["b"])


class TestTokenVectorsOfOtherEncoders:
    """`maxsim:` of a checkpoint that was trained to give one vector a text."""

    @staticmethod
    def peer(folder: Path) -> MultiVectorEncoder:
        modules = [SentenceTransformer(str(folder), device="cpu")[0], MultiVectorMask()]
        return MultiVectorEncoder(
            modules=[*modules, Normalize(module_input_name="token_embeddings")],
            device="cpu",
            similarity_fn_name="meanmaxsim",
        )

    @pytest.mark.parametrize("name", ["mean", "steps", "short and lower case"])
    def test_read_as_much_as_under_sbert(self, name: str, made: Made):
        folder = made("dense", name)
        model = model_of(f"maxsim:{folder}")
        assert model.max_tokens == model_of(f"sbert:{folder}").max_tokens
        expected = self.peer(folder).similarity_pairwise(
            self.peer(folder).encode_query(TEXTS), self.peer(folder).encode_document(TEXTS[::-1])
        )
        np.testing.assert_allclose(model.score(TEXTS, TEXTS[::-1]), expected, atol=1e-5)

    def test_a_checkpoint_that_reads_less_than_its_tokenizer_says(self, tiny: MakeModel, tmp_path: Path):
        modules = [Transformer(str(tiny("bert")), max_seq_length=7), Pooling(16, "mean")]
        SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path))
        assert model_of(f"sbert:{tmp_path}").max_tokens == model_of(f"maxsim:{tmp_path}").max_tokens == 7
        assert model_of(f"maxsim:{tmp_path}?max_length=9").max_tokens == 9

    @pytest.mark.parametrize(
        ("name", "first"), [("two ways", "Router"), ("table", "StaticEmbedding"), ("counts", "BoW")]
    )
    def test_a_checkpoint_without_token_vectors_is_refused(self, name: str, first: str, made: Made):
        with pytest.raises(ModelNotFoundError, match=f"begins with a {first}, which gives no one vector a token"):
            model_of(f"maxsim:{made('dense', name)}").score(["a"], ["b"])


@pytest.mark.parametrize(
    ("name", "pooling", "scales"),
    [
        ("mean", "mean", False),
        ("scaled", "cls", True),
        ("all poolings", "cls + max + mean + mean_sqrt_len_tokens + weightedmean + lasttoken", False),
        ("two ways", "cls (query), mean (document)", False),
        ("scaled ways", "mean (query), mean (document)", True),
        ("late ways", "mean", False),
        ("table", None, False),
        ("scaled in the middle", "mean", False),
    ],
)
def test_what_a_checkpoint_says_of_itself(name: str, pooling: str | None, scales: bool, made: Made):
    checkpoint = Checkpoint.read(made("dense", name))
    assert (checkpoint.pooling, checkpoint.scales) == (pooling, scales)
    assert checkpoint.model_type == "SentenceTransformer"
    assert checkpoint.prompt("query") == "ask "


def test_what_is_said_of_a_run(made: Made):
    """Each setting with the file that says it; an option goes before."""
    model = model_of(f"sbert:{made('dense', 'scaled and cut')}?query_prompt=find%20")
    said = {name: (setting.value, setting.source) for name, setting in model.settings.items()}
    own = "config_sentence_transformers.json"
    expected = {
        "query_prompt": ("find ", "option"), "document_prompt": ("tell ", own), "sentence_prompt": ("", "default"),
        "dim": (5, own), "similarity": ("dot", own), "normalize": (True, "modules.json"),
        "pooling": ("mean", "modules.json"), "dtype": ("float32", "default"),
    }  # fmt: skip
    assert {name: said[name] for name in expected} == expected
    assert said["max_length"][0] == model.max_tokens
    reranker = model_of(f"ce:{made('pairs', 'modules and a prompt')}").settings
    assert reranker["modules"].value == ["Transformer", "Pooling", "Normalize", "Dense", "Dense"]
    assert (reranker["prompt"].value, reranker["activation"].value) == ("ask ", "Identity")
    tied = model_of(f"ce:{made('pairs', 'a function that ties')}").settings
    assert tied["activation"].value == "ReLU"


def test_settings_without_modules_are_not_read_as_the_library_reads_none(made: Made, tmp_path: Path, tiny: MakeModel):
    folder = made("dense", "scaled and cut")
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "config_sentence_transformers.json").write_bytes(
        (folder / "config_sentence_transformers.json").read_bytes()
    )
    peer = SentenceTransformer(str(tmp_path), device="cpu")
    model = model_of(f"sbert:{tmp_path}")
    np.testing.assert_allclose(model.encode(TEXTS, "query"), peer.encode_query(TEXTS), atol=1e-5)
    assert model.prompt("query") == ""
    assert model.checkpoint.model_type is None
    assert "mean pooling is a guess" in model.settings["pooling"].guess
    assert not model_of(f"sbert:{tmp_path}?pooling=mean").settings["pooling"].guess


def test_ways_as_first_stage_and_as_reranker(made: Made):
    folder = made("dense", "two ways")
    spec = f"sbert:{folder}"
    given = {"tasks": "rag-mini", "max_queries": 20, "candidates": 360, "top_k": 5}
    results = evalkit.run(models=[spec, "bow"], rerankers=spec, **given)
    assert not results.failures
    task = load_task("rag-mini", max_queries=20)
    peer = SentenceTransformer(str(folder), device="cpu")
    similarities = peer.similarity(
        peer.encode_query([query.text for query in task.queries]),
        peer.encode_document([document.content for document in task.corpus]),
    ).numpy()
    best = np.argsort(-similarities, axis=1)[:, :5]
    hits = [
        any(task.qrels[query.id].get(task.corpus[row].id, 0) > 0 for row in rows)
        for query, rows in zip(task.queries, best, strict=True)
    ]
    scores = results.scores.set_index(["model", "reranker", "metric"])["score"]
    for cell in ((spec, "none"), (spec, spec), ("bow", spec)):
        assert scores[(*cell, "hit_rate@5")] == pytest.approx(np.mean(hits))
