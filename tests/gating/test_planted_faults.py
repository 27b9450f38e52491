"""Faults planted in the real SBERT on the 10-K set: the gate catches each, and says what it is.

The model is a folder, as a team deploys one: 32 tokens, a prompt for queries, unit vectors under the dot product.
"""

import json
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import evalkit
from evalkit.compute import Compute
from evalkit.contracts import no_progress
from evalkit.gating.gate import gate, make_baseline
from evalkit.models.registry import build, resolve
from evalkit.models.weights import locate

pytestmark = pytest.mark.slow

NAME = "sentence-transformers/all-MiniLM-L6-v2"
TASK = "llamaindex-10k-val (test)"
PROMPT = "Represent this question: "
SETTINGS = "config_sentence_transformers.json"
LONG = 40
"""Words from which on the queries of the broken slice have the vector of another text."""


def edit(path: Path, **settings):
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def deployed(folder: Path) -> Path:
    """A copy of the published model, its weights linked, with settings of its own."""
    original = locate(NAME)
    for path in original.rglob("*"):
        copy = folder / path.relative_to(original)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".safetensors":
            copy.symlink_to(path.resolve())
        elif path.is_file():
            shutil.copy(path, copy)
    edit(folder / "sentence_bert_config.json", max_seq_length=32)
    edit(folder / SETTINGS, prompts={"query": PROMPT, "document": ""}, similarity_fn_name="dot")
    return folder


def cls_pooling(folder):
    edit(folder / "1_Pooling" / "config.json", pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)


def no_query_prompt(folder):
    edit(folder / SETTINGS, prompts={"query": "", "document": ""})


def half_the_length(folder):
    edit(folder / "sentence_bert_config.json", max_seq_length=16)


def other_weights(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    noise = np.random.default_rng(0)
    for name, values in weights.items():
        if name.endswith("dense.weight"):
            weights[name] = values + noise.normal(0, values.std() / 2, values.shape).astype(values.dtype)
    path.unlink()  # a link to the published file
    save_file(weights, path, {"format": "pt"})


def cased(folder):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = False
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    edit(folder / "tokenizer_config.json", do_lower_case=False)


def not_normalised(folder):
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[:-1]))


class Spoilt:
    """The model as an object that gives other vectors, and does not say so."""

    def __init__(self, inner, spoil):
        self.inner, self.spoil = inner, spoil
        self.similarity, self.identity = inner.similarity, inner.identity

    def encode(self, texts, role, advance=no_progress):
        return self.spoil(self.inner(tuple(texts), role), texts, role)


def shuffled(vectors, texts, role):
    """Rows as a batch sorted by length has them, never put back."""
    return vectors[np.argsort([len(text) for text in texts], kind="stable")] if role == "document" else vectors


def long_queries_broken(vectors, texts, role):
    broken = [role == "query" and len(text.split()) >= LONG for text in texts]
    return np.where(np.array(broken)[:, None], np.roll(vectors, 1, axis=1), vectors)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where the model is deployed: a link to one of several folders."""
    root = tmp_path_factory.mktemp("models")
    deployed(root / "good")
    (root / "model").symlink_to(root / "good")
    return root / "model"


@pytest.fixture(scope="module")
def suite(data_dir, place):
    return {
        "models": [f"sbert:{place}"], "tasks": str(data_dir / "llamaindex-10k-val"), "max_queries": 200,
        "device": "cpu", "top_k": 10,
    }  # fmt: skip


@pytest.fixture(scope="module")
def baseline(suite):
    return make_baseline(evalkit.run(**suite))


@pytest.fixture(scope="module")
def inner(suite):
    """The model as an object, which encodes a list of texts once."""
    model = build(resolve(suite["models"][0]), Compute("cpu", "float32"))
    encode = cache(model.encode)
    encode.similarity, encode.identity = model.similarity, model.identity
    return encode


def judged(baseline, suite, policy=None, given=None):
    """The verdict on the model as it is deployed now, or on an object in its place."""
    label = suite["models"][0]
    if given is None:
        return gate(baseline, suite=suite, policy=policy)
    # Objects here share an identity that they do not deserve, so none may get what the store has of another.
    after = evalkit.run(**{**suite, "models": [(label, given)], "no_store": True})
    return gate(baseline, run=after, policy=policy, models={label: given})


def failures(verdict):
    return {check.name: check.reason for check in verdict.checks if check.outcome == "fail"}


def test_nothing_changed(baseline, suite):
    verdict = judged(baseline, suite, {"slices": ["length"], "floors": {"hit_rate@10": 0.4}})
    assert verdict.status == 0
    assert {check.outcome for check in verdict.checks} == {"pass"}


@pytest.mark.parametrize(
    ("fault", "named", "worse"),
    [
        (cls_pooling, "pooling_mode_cls_token was 'false', and is 'true'", True),
        (no_query_prompt, f"query_prompt was {PROMPT!r}, and is ''", False),
        (half_the_length, "max_seq_length was '32', and is '16'", True),
        (other_weights, "model.safetensors was '53aa51172d14', and is", True),
        (cased, "texts that differ in upper and lower case no longer have the same vector", True),
        (not_normalised, "document vectors are no longer of length 1", False),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_deployed_has_a_fault(fault, named, worse, baseline, suite, place):
    good = place.resolve()
    faulty = deployed(place.parent / fault.__name__)
    fault(faulty)
    place.unlink()
    place.symlink_to(faulty)
    try:
        verdict = judged(baseline, suite)
    finally:
        place.unlink()
        place.symlink_to(good)
    found = failures(verdict)
    label = suite["models"][0]
    assert verdict.status == 1
    assert named in found[f"{label}: the vectors of before"]
    # What the score hides is caught all the same.
    assert set(found) - {f"{label}: the vectors of before"} == ({f"{label} on {TASK}: nDCG@10"} if worse else set())


def test_int8_without_rescoring(baseline, suite):
    spec = suite["models"][0]
    verdict = judged(baseline, suite, given=build(resolve(f"{spec}?precision=int8"), Compute("cpu", "float32")))
    assert verdict.status == 1
    assert "precision was 'float32', and is 'int8'" in failures(verdict)[f"{spec}: the vectors of before"]


def test_shuffled_ids(baseline, suite, inner):
    spec = suite["models"][0]
    verdict = judged(baseline, suite, given=Spoilt(inner, shuffled))
    found = failures(verdict)
    assert "each text has that of another" in found[f"{spec}: the vectors of before"]
    assert len(found) == 2


def test_one_slice_is_broken_behind_a_good_average(baseline, suite, inner):
    spec = suite["models"][0]
    policy = {"slices": ["length"], "drift": "off", "margin": 0.1}
    verdict = judged(baseline, suite, policy, Spoilt(inner, long_queries_broken))
    assert list(failures(verdict)) == [f"{spec} on {TASK}: nDCG@10, length=40+ words"]
