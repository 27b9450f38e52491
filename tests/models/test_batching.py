"""Batches: every text once, within the budget, with no more padding than need be."""

from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.compute import Compute
from evalkit.models import _batching as batching
from evalkit.models._batching import forward_batches

BUDGET = 20
WINDOW = 7


def tokenizer(side: str):
    """A token a character, its code; padded with zeros on one side, as tokenizers do."""

    def tokenize(texts):
        texts = ["".join(text) for text in texts]
        width = max(map(len, texts))
        ids = torch.zeros(len(texts), width, dtype=torch.long)
        for row, text in enumerate(texts):
            if text:
                where = slice(0, len(text)) if side == "right" else slice(width - len(text), width)
                ids[row, where] = torch.tensor([ord(letter) for letter in text])
        more = {"modality": "text", "prompt_length": 3, "label": torch.arange(len(texts))}
        return {"input_ids": ids, "attention_mask": (ids > 0).long(), **more}

    return tokenize


def cut(texts, side):
    with patch.dict(batching.TOKENS_PER_BATCH, cpu=BUDGET), patch.object(batching, "TEXTS_PER_WINDOW", WINDOW):
        passes = forward_batches(texts, tokenizer(side), lambda features: features, Compute())
        return [(rows, features) for rows, _, features in passes]


words = st.text("abc", max_size=30)


@pytest.mark.parametrize("side", ["left", "right"])
@settings(deadline=None)
@given(st.lists(words, max_size=40) | st.lists(st.tuples(words, words), max_size=40))
def test_every_text_is_in_one_batch_whole_and_within_the_budget(side: str, texts: list):
    found = cut(texts, side)
    rows = [int(row) for batch, _ in found for row in batch]
    assert sorted(rows) == list(range(len(texts)))
    for batch, features in found:
        ids, mask = features["input_ids"], features["attention_mask"]
        assert ids.shape == mask.shape
        for row, line, real in zip(batch, ids, mask.bool(), strict=True):
            assert "".join(map(chr, line[real])) == "".join(texts[row])
        longest = max(len("".join(texts[row])) for row in batch)
        if longest:
            assert ids.shape[1] == longest
            assert len(batch) == 1 or ids.numel() <= BUDGET
        assert len(batch) <= WINDOW


def test_long_texts_come_first_and_short_ones_share_a_batch():
    texts = ["a", "b" * 25, "c" * 5, "d", "e" * 5]
    assert [(list(map(int, rows)), features["input_ids"].shape[1]) for rows, features in cut(texts, "right")] == [
        ([1], 25), ([2, 4, 0, 3], 5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lengths", "budget", "enough", "size"),
    [
        ([8, 8, 7, 6, 6], 1000, 10, 3),  # 6 is less than seven eighths of 8
        ([8, 8, 7, 6, 6], 1000, 32, 4),  # but 24 tokens do not keep the device busy
        ([8, 8, 7, 6, 6], 16, 32, 2),
        ([8, 8, 8, 8, 8], 1000, 8, 5),
        ([8, 1], 4, 4, 1),
        ([0, 0], 1000, 10, 2),
    ],
)
def test_a_batch_ends_where_texts_get_shorter(lengths: list, budget: int, enough: int, size: int):
    assert batching._batch_size(np.array(lengths), budget, enough, 7 / 8) == size


def test_a_batch_that_may_not_be_padded_has_texts_of_one_length():
    texts = ["a", "b" * 25, "c" * 5, "d", "e" * 5, "f" * 4]
    with patch.dict(batching.TOKENS_PER_BATCH, cpu=BUDGET):
        passes = list(forward_batches(texts, tokenizer("left"), lambda features: features, Compute(), padded=False))
    assert [list(map(int, rows)) for rows, _, _ in passes] == [[1], [2, 4], [5], [0, 3]]
    assert all(mask.all() for _, mask, _ in passes)


def test_features_that_are_no_tokens_go_along():
    for rows, features in cut(["a", "bb", "ccc"], "right"):
        assert features["modality"] == "text"
        assert features["prompt_length"] == 3
        assert len(features["label"]) == len(rows)


def test_out_of_memory_halves_the_batch_until_it_fits():
    sizes = []

    def forward(features):
        sizes.append(features["input_ids"].numel())
        if sizes[-1] > 6:
            raise torch.OutOfMemoryError
        return features["input_ids"].sum(dim=1)

    texts = ["abcde", "ab", "a", "abc", "b", "abcd"]
    with patch.dict(batching.TOKENS_PER_BATCH, cpu=BUDGET):
        passes = list(forward_batches(texts, tokenizer("right"), forward, Compute()))
    found = {int(row): int(total) for rows, _, sums in passes for row, total in zip(rows, sums, strict=True)}
    assert found == {row: sum(map(ord, text)) for row, text in enumerate(texts)}
    assert sizes[0] == 20
    assert all(size <= 6 for size in sizes[2:])


def test_a_single_text_that_does_not_fit_is_an_error():
    def forward(features):
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        list(forward_batches(["abc", "de"], tokenizer("right"), forward, Compute()))


@pytest.mark.parametrize("limit", [3, 5, 8, 15, None])
def test_padding_is_found_out_however_few_tokens_are_read(limit):
    """A model that mixes the whole row, padding and all, of texts cut to so many tokens (a token a character)."""

    def first_of(texts):
        ids = tokenizer("right")([text[:limit] for text in texts])["input_ids"].float()
        return ids[0, : len(texts[0][:limit])] + ids[0].numel()

    assert not batching.padding_changes_nothing(first_of, Compute())
    assert batching.padding_changes_nothing(lambda texts: torch.ones(3), Compute())
