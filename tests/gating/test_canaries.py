"""Canary texts: what a model's vectors tell of what changed in it."""

import numpy as np
import pytest

from evalkit.contracts import no_progress
from evalkit.errors import ConfigError
from evalkit.gating.canaries import LONG, TEXTS, Canaries, drift, encode_canaries


class Words:
    """A bag of hashed words, cut at `reads` words, that may be changed in one way or another."""

    similarity = "cosine"

    def __init__(self, *, lower=True, reads=9999, prompt="ask: ", scale=1.0, base=31, identity=None, split=str.split):
        self.lower, self.reads, self.prompt, self.scale, self.base = lower, reads, prompt, scale, base
        self.identity, self.split = identity or {"name": "words"}, split

    def encode(self, texts, role, advance=no_progress):
        vectors = np.zeros((len(texts), 256), dtype=np.float32)
        for row, text in enumerate(texts):
            text = (self.prompt if role == "query" else "") + (text.lower() if self.lower else text)
            for word in text.split()[: self.reads]:
                vectors[row, sum(ord(letter) * self.base**place for place, letter in enumerate(word)) % 256] += 1
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / lengths * self.scale).astype(np.float32)

    def tokens(self, texts, role):
        return np.array([len(self.split(text)) for text in texts])

    max_tokens = None


def changed(**options):
    return drift(encode_canaries(Words()), encode_canaries(Words(**options)))


def test_nothing_changed_also_after_a_file(tmp_path):
    canaries = encode_canaries(Words())
    again = Canaries.model_validate_json(canaries.model_dump_json())
    assert drift(canaries, again) == drift(again, canaries)
    found = drift(again, encode_canaries(Words()))
    assert (found.causes, found.neighbours) == ((), 1)
    assert found.cosine == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"lower": False}, "texts that differ in upper and lower case no longer have the same vector"),
        ({"prompt": ""}, "a text as query and as document now have the same vector"),
        ({"reads": 128}, "of a long text less than 128 words is read, and was all of 512 words"),
        ({"scale": 2.0}, "document vectors are no longer of length 1"),
        ({"split": list}, f"{len(TEXTS)} of {len(TEXTS)} texts have another number of tokens: the tokenizer changed"),
        ({"identity": {"name": "words", "dtype": "bfloat16"}}, "dtype was None, and is 'bfloat16'"),
        ({"base": 37}, "nothing that is known of the model differs: its code, or a library, gives other vectors"),
    ],
)
def test_each_change_is_named_and_no_other(options, cause):
    causes = changed(**options).causes
    assert cause in causes
    allowed = {"query vectors are no longer of length 1"} if "scale" in options else set()
    assert set(causes) - {cause} <= allowed


def test_long_texts_differ_at_their_end_only():
    for one, other in LONG:
        words, others = TEXTS[one].split(), TEXTS[other].split()
        assert words[:-4] == others[: len(words) - 4]
        assert words[-1] != others[-1]


def test_cosine_and_neighbours_are_those_of_plain_numpy():
    before, now = encode_canaries(Words()), encode_canaries(Words(base=37))
    a, b = (np.vstack([each.array("query"), each.array("document")]).astype(np.float64) for each in (before, now))
    cosines = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    found = drift(before, now)
    assert found.cosine == pytest.approx(cosines.min(), abs=1e-6)
    assert found.cosine < 0.99
    assert found.neighbours < 1


def test_other_dimensions_are_told():
    class Short(Words):
        def encode(self, texts, role, advance=no_progress):
            return super().encode(texts, role, advance)[:, :100]

    found = drift(encode_canaries(Words()), encode_canaries(Short()))
    assert np.isnan(found.cosine)
    assert found.causes[0] == "vectors have 100 dimensions, and had 256"


def test_other_canary_texts_are_refused():
    canaries = encode_canaries(Words())
    fewer = canaries.model_copy(update={"lengths": {role: rows[:-1] for role, rows in canaries.lengths.items()}})
    with pytest.raises(ConfigError, match="other canary texts"):
        drift(fewer, canaries)
