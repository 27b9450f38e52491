"""Averages of word vectors by hand in numpy; training against gensim; what specs and corpora get wrong."""

import gzip
import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from gensim.models import FastText, Word2Vec
from word_data import LINES, TEXT, WORDS, fasttext, glove, word2vec, written

from evalkit.contracts import Coverage, Fittable
from evalkit.errors import ConfigError, EvalkitError, SpecError
from evalkit.models import words as module


@pytest.fixture(scope="module")
def glove_file(data_dir: Path) -> Path:
    return data_dir / "glove-6b-50d-slice" / "glove.6B.50d.slice.txt.gz"


@pytest.fixture(scope="module")
def table(glove_file: Path) -> dict[str, np.ndarray]:
    with gzip.open(glove_file, "rt", encoding="utf-8") as lines:
        fields = (line.rstrip("\n").split(" ") for line in lines)
        return {word: np.array(numbers, dtype=np.float64) for word, *numbers in fields}


@pytest.fixture(scope="module")
def sentences(data_dir: Path) -> list[str]:
    rows = map(json.loads, (data_dir / "stsb-en" / "dev.jsonl").read_text().splitlines()[:500])
    return [row[side] for row in rows for side in ("sentence1", "sentence2")]


def looked_up(text: str, table: Mapping[str, np.ndarray], max_length: int | None = None) -> list[str]:
    tokens = re.findall(r"\w+", text)[:max_length]
    return [token if token in table else token.lower() for token in tokens]


def weighted(texts: list[str], table: Mapping[str, np.ndarray], weight: Callable[[str], float], by_count: bool):
    rows = []
    for text in texts:
        known = [word for word in looked_up(text, table) if word in table]
        total = sum((weight(word) * table[word] for word in known), start=np.zeros(50))
        over = len(known) if by_count else sum(map(weight, known))
        rows.append(total / over if known else total)
    return np.array(rows)


def test_mean_by_hand(glove_file: Path, table, sentences: list[str]):
    expected = weighted(sentences, table, lambda word: 1.0, by_count=True)
    vectors = glove(glove_file).encode(sentences, "sentence")
    assert vectors.shape == (1000, 50)
    np.testing.assert_allclose(vectors, expected, rtol=1e-6, atol=1e-7)


def test_idf_by_hand(glove_file: Path, table, sentences: list[str]):
    corpus, asked = sentences[:600], sentences
    df = Counter(word for text in corpus for word in set(looked_up(text, table)))
    assert any(df[word] == 0 for text in asked for word in looked_up(text, table) if word in table)
    expected = weighted(asked, table, lambda word: math.log(601 / (1 + df[word])) + 1, by_count=False)
    vectors = glove(glove_file, weighting="idf").fit(corpus).encode(asked, "sentence")
    np.testing.assert_allclose(vectors, expected, rtol=1e-5, atol=1e-6)


def test_sif_by_hand(glove_file: Path, table, sentences: list[str]):
    corpus, asked = sentences[:600], [*sentences, "zzzz"]
    counts = Counter(word for text in corpus for word in looked_up(text, table))

    def weight(word: str) -> float:
        return 1e-3 / (1e-3 + counts[word] / counts.total())

    averages = weighted(corpus, table, weight, by_count=True)
    component = np.linalg.svd(averages, full_matrices=False)[2][0]
    expected = weighted(asked, table, weight, by_count=True)
    expected -= np.outer(expected @ component, component)
    vectors = glove(glove_file, weighting="sif").fit(corpus).encode(asked, "sentence")
    np.testing.assert_allclose(vectors, expected, rtol=1e-4, atol=1e-6)
    assert not vectors[-1].any()
    assert np.linalg.norm(averages @ component) > 0.5 * np.linalg.norm(averages)


@pytest.mark.parametrize("weighting", ["mean", "idf", "sif"])
def test_blocks_do_not_show(glove_file: Path, sentences: list[str], weighting: str, monkeypatch):
    def encode(finished: Callable[[int], None]) -> np.ndarray:
        model = glove(glove_file, weighting=weighting)
        fitted = model.fit(sentences) if isinstance(model, Fittable) else model
        return fitted.encode(sentences, "sentence", finished)

    whole = encode(lambda finished: None)
    monkeypatch.setattr(module, "TEXTS_AT_ONCE", 300)
    counts: list[int] = []
    np.testing.assert_allclose(encode(counts.append), whole, rtol=1e-5, atol=1e-6)
    assert sum(counts) == len(sentences)


def test_coverage_by_hand(glove_file: Path, table, sentences: list[str]):
    tokens = [word for text in sentences for word in looked_up(text, table)]
    unknown = sum(word not in table for word in tokens)
    assert 0 < unknown < len(tokens)
    assert glove(glove_file).coverage(sentences) == Coverage(len(tokens), unknown)
    kept = [word for text in sentences for word in looked_up(text, table, 2)]
    assert glove(glove_file, max_length=2).coverage(sentences).tokens == len(kept)


def test_max_length_counts_tokens_known_or_not(tmp_path: Path):
    path = written(tmp_path / "g.txt", "\n".join(LINES))
    vectors = glove(path, max_length=2).encode(["zzz cat dog", "cat"], "query")
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_a_word_is_looked_up_as_it_is_then_lower_cased(tmp_path: Path):
    path = written(tmp_path / "g.txt", "\n".join(LINES))
    vectors = glove(path).encode(["Dog", "dog", "DOG", "Straße", "Cats"], "query")
    expected = [WORDS["Dog"], WORDS["dog"], WORDS["dog"], WORDS["straße"], [0, 0, 0]]
    np.testing.assert_array_equal(vectors, np.array(expected, dtype=np.float32))


def test_only_what_needs_the_corpus_is_fitted(tmp_path: Path):
    path = written(tmp_path / "g.txt", "\n".join(LINES))
    assert not isinstance(glove(path), Fittable)
    assert isinstance(glove(path, weighting="idf"), Fittable)
    assert isinstance(word2vec("train"), Fittable)


def test_identity_follows_the_bytes_not_the_name(tmp_path: Path):
    first = glove(written(tmp_path / "a.txt", "\n".join(LINES)), weighting="sif")
    second = glove(written(tmp_path / "b.txt", "\n".join(LINES)), weighting="sif")
    other = glove(written(tmp_path / "c.txt", "\n".join(LINES[:2])), weighting="sif")
    assert first.identity == second.identity
    assert first.identity["weights"] == sha256("\n".join(LINES).encode()).hexdigest()
    assert first.identity != other.identity
    assert first.identity["family"] == "glove"
    corpus = sha256(b"".join(sha256(text.encode()).digest() for text in TEXT)).hexdigest()
    assert first.fit(TEXT).identity == {**first.identity, "corpus": corpus}


@pytest.mark.parametrize(("load", "peer"), [(word2vec, Word2Vec), (fasttext, FastText)])
def test_training_is_gensims_on_lower_cased_words(load, peer, sentences: list[str]):
    options = {"size": 12, "window": 3, "epochs": 2, "min_count": 2, "sg": 1, "seed": 7}
    more = {"bucket": module.FASTTEXT_BUCKET} if peer is FastText else {}
    tokens = [re.findall(r"\w+", text.lower()) for text in sentences]
    trained = peer(tokens, vector_size=12, window=3, epochs=2, min_count=2, sg=1, seed=7, workers=1, **more).wv
    fitted = load("train", **options).fit(sentences)
    asked = ["A man", "man"]
    vectors = fitted.encode(asked, "query")
    np.testing.assert_allclose(vectors, [(trained["a"] + trained["man"]) / 2, trained["man"]], rtol=1e-5)
    other = load("train", **options | {"seed": 8}).fit(sentences)
    assert (other.encode(asked, "query") != vectors).any()
    unknown = fitted.coverage(["man zzzzzqqq"])
    assert unknown == Coverage(2, 0 if peer is FastText else 1)


PROGRAM = """
from hashlib import sha256
from evalkit.compute import Compute
from evalkit.models.registry import build, parse_spec
# More words than gensim hands to one thread at once.
texts = ["the cat sat on the mat", "a dog and a cat", "birds sing to the dog"] * 1500
for spec in ("word2vec:train?epochs=3&size=20", "fasttext:train?epochs=3&size=20&weighting=sif"):
    print(sha256(build(parse_spec(spec), Compute()).fit(texts).encode(texts, "query").tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_training_does_not_depend_on_the_hash_seed():
    outputs = set()
    for seed in ("0", "12345"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert len(set(outputs.pop().split())) == 2


def test_long_texts_are_trained_on_whole(monkeypatch):
    monkeypatch.setattr(module, "GENSIM_SENTENCE", 5)
    fitted = word2vec("train", size=4, epochs=1).fit(["a b c d e f g h i j k", ""])
    assert fitted.coverage(["a f k"]) == Coverage(3, 0)
    assert [len(piece) for piece in module._pieces([list("abcdefg"), []])] == [5, 2]


def test_options_of_training_do_not_go_with_a_file(tmp_path: Path):
    path = written(tmp_path / "w.txt", "1 2\ncat 1 2\n")
    with pytest.raises(SpecError) as error:
        word2vec(path, seed=0, sg=1)
    assert str(error.value) == (
        f"word2vec:{path}: seed, sg would be ignored, since the vectors of a file are trained already. "
        "Leave out, or train on the corpus: word2vec:train."
    )
    with pytest.raises(SpecError, match="window would be ignored"):
        fasttext(path, window=5)
    word2vec(path, weighting="mean", dim=1)


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (
            lambda path: word2vec("train").encode(["cat"], "query"),
            "word2vec has not seen a corpus yet: call fit(texts) and use the copy it returns.",
        ),
        (
            lambda path: fasttext("train").fit(["", "!"]),
            "word vectors cannot be trained: no word of the 2 texts is there at least min_count=1 times. "
            "Give a larger corpus, or a smaller min_count.",
        ),
        (
            lambda path: word2vec("train", min_count=3).fit(["cat cat dog"]),
            "word vectors cannot be trained: no word of the 1 texts is there at least min_count=3 times. "
            "Give a larger corpus, or a smaller min_count.",
        ),
        (
            lambda path: glove(path, weighting="sif").fit(["unknown words", ""]),
            "glove with weighting=sif cannot be fitted: none of the corpus's 2 words has a vector. "
            "Choose vectors of the corpus's language, or weighting=mean.",
        ),
        (
            lambda path: glove(path, dim=4).encode(["cat"], "query"),
            "dim=4 is more than the model's 3 dimensions; choose at most that.",
        ),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, fit: Callable[[Path], object], message: str):
    path = written(tmp_path / "g.txt", "\n".join(LINES))
    with pytest.raises(EvalkitError) as error:
        fit(path)
    assert str(error.value) == message
    assert isinstance(error.value, ConfigError | SpecError)
