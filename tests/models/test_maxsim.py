"""`maxsim:` against a plain loop over plain transformers."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tiny_models import POSITIONS, TEXTS, MakeModel

from evalkit.compute import Compute
from evalkit.errors import SpecError
from evalkit.models.cross_encoder import PairOptions
from evalkit.models.maxsim import MaxSim, load_maxsim

PAIRS = list(itertools.product(TEXTS, TEXTS[::-1]))
QUERIES, DOCUMENTS = map(list, zip(*PAIRS, strict=True))


def load(folder: Path, **options: object) -> MaxSim:
    return load_maxsim(str(folder), PairOptions(**options), Compute())


def by_loop(folder: Path, max_length: int = POSITIONS) -> np.ndarray:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()

    def tokens(text: str) -> np.ndarray:
        inputs = tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**inputs).last_hidden_state[0].numpy().astype(np.float64)
        return hidden / np.linalg.norm(hidden, axis=1, keepdims=True)

    vectors = {text: tokens(text) for text in TEXTS}
    return np.array([
        np.mean([max(vector @ other for other in vectors[document]) for vector in vectors[query]])
        for query, document in PAIRS
    ])  # fmt: skip


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("max_length", [6, POSITIONS])
def test_equals_a_plain_loop(kind: str, max_length: int, tiny: MakeModel):
    finished: list[int] = []
    found = load(tiny(kind), max_length=max_length).score(QUERIES, DOCUMENTS, finished.append)
    np.testing.assert_allclose(found, by_loop(tiny(kind), max_length), atol=1e-5)
    assert sum(finished) == len(PAIRS)


def test_in_bfloat16_the_network_runs_and_cosines_are_still_exact(tiny: MakeModel):
    found = load(tiny("bert"), dtype="bfloat16").score(QUERIES, DOCUMENTS)
    same_text = [query == document for query, document in PAIRS]
    np.testing.assert_allclose(found[same_text], 1, atol=1e-6)
    assert not np.array_equal(found, torch.tensor(found).bfloat16().double().numpy())
    np.testing.assert_allclose(found, by_loop(tiny("bert")), atol=0.05)


def test_scoring_in_parts_changes_nothing(tiny: MakeModel):
    model = load(tiny("bert"))
    parts = np.array_split(np.arange(len(PAIRS)), 5)
    found = [model.score([QUERIES[row] for row in part], [DOCUMENTS[row] for row in part]) for part in parts]
    np.testing.assert_allclose(np.concatenate(found), by_loop(tiny("bert")), atol=1e-5)


def test_no_pairs(tiny: MakeModel):
    assert load(tiny("bert")).score([], []).shape == (0,)


def test_more_tokens_than_positions_are_refused(tiny: MakeModel):
    message = f"max_length={POSITIONS + 1} is more than the model's {POSITIONS} positions; lower it."
    with pytest.raises(SpecError, match=f"^{re.escape(message)}$"):
        load(tiny("bert"), max_length=POSITIONS + 1).score(["a"], ["b"])
