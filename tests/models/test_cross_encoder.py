"""`ce:` against sentence-transformers' own cross-encoder."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import sentence_transformers
import torch
import transformers
from tiny_models import POSITIONS, TEXTS, MakeModel

from evalkit.compute import Compute
from evalkit.errors import ModelNotFoundError, SpecError
from evalkit.models.cross_encoder import CrossEncoder, PairOptions, load_cross_encoder

QUERIES = TEXTS
DOCUMENTS = [*reversed(TEXTS[1:]), TEXTS[0]]


def load(folder: Path, **options: object) -> CrossEncoder:
    return load_cross_encoder(str(folder), PairOptions(**options), Compute())


def test_logits_are_those_of_sentence_transformers(data_dir: Path):
    """On a checkpoint stored in float16, which both are to compute in float32."""
    folder = data_dir / "llamaindex-10k-val"
    files = [(folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines() for name in ("queries", "corpus")]
    queries, documents = ([json.loads(line)["text"] for line in file[:40]] for file in files)
    peer = sentence_transformers.CrossEncoder(
        str(data_dir / "ce-minilm"),
        device="cpu",
        model_kwargs={"dtype": torch.float32},
        activation_fn=torch.nn.Identity(),
        max_length=96,
    )
    found = load(data_dir / "ce-minilm", max_length=96).score(queries, documents)
    expected = peer.predict(list(zip(queries, documents, strict=True)))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.ptp(found) > 1


@pytest.mark.parametrize("max_length", [7, None])
def test_pairs_are_read_as_transformers_reads_them_one_by_one(max_length: int | None, tiny: MakeModel):
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny("one-label"))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny("one-label")).eval()
    expected = []
    for query, document in zip(QUERIES, DOCUMENTS, strict=True):
        # In lists: a blank document given alone would count as none.
        inputs = tokenizer(
            [query], [document], truncation=True, max_length=max_length or POSITIONS, return_tensors="pt"
        )
        with torch.no_grad():
            expected.append(model(**inputs).logits.item())
    finished: list[int] = []
    found = load(tiny("one-label"), max_length=max_length).score(QUERIES, DOCUMENTS, finished.append)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert sum(finished) == len(QUERIES)


def test_no_pairs(tiny: MakeModel):
    assert load(tiny("one-label")).score([], []).shape == (0,)


def test_a_model_with_two_labels_is_refused(tiny: MakeModel):
    message = (
        f"{tiny('two-labels')} has 2 labels; a reranker has one, the relevance. "
        "Choose a checkpoint trained for ranking."
    )
    with pytest.raises(ModelNotFoundError, match=f"^{re.escape(message)}$"):
        load(tiny("two-labels")).score(["a"], ["b"])


def test_more_tokens_than_positions_are_refused(tiny: MakeModel):
    message = f"max_length={POSITIONS + 1} is more than the model's {POSITIONS} positions; lower it."
    with pytest.raises(SpecError, match=f"^{re.escape(message)}$"):
        load(tiny("one-label"), max_length=POSITIONS + 1).score(["a"], ["b"])


def test_identity_holds_whatever_changes_scores(tiny: MakeModel):
    options = [{}, {"max_length": 9}, {"dtype": "bfloat16"}]
    identities = [load(tiny("one-label"), **chosen).identity for chosen in options]
    identities.append(load(tiny("two-labels")).identity)
    assert len({json.dumps(identity) for identity in identities}) == 4
    assert load(tiny("one-label")).identity == identities[0]
