"""Lexical embedders against scikit-learn and numpy; the contract of all embedders that run without torch."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import issparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from evalkit.compute import Compute
from evalkit.contracts import Coverage, Embedder, Fittable, HasVocabulary
from evalkit.errors import ConfigError, SpecError
from evalkit.models.lexical import BagOfWords, LexicalOptions, Lsa, LsaOptions, Tfidf, TfidfOptions
from evalkit.models.registry import build, parse_spec

TEXTS = ["The cat sat on a mat.", "A dog, a cat!", "", "I am a dog", "Birds sing; dogs don't."]
PATTERN = r"(?u)\b\w+\b"


def bow(**options: object) -> BagOfWords:
    return BagOfWords("", LexicalOptions(**options), Compute())


def tfidf(**options: object) -> Tfidf:
    return Tfidf("", TfidfOptions(**options), Compute())


def lsa(**options: object) -> Lsa:
    return Lsa("", LsaOptions(**options), Compute())


def sts_sentences(data_dir: Path, n: int = 400) -> list[str]:
    rows = map(json.loads, (data_dir / "stsb-en" / "test.jsonl").read_text().splitlines()[:n])
    return [row[side] for row in rows for side in ("sentence1", "sentence2")]


def dense(vectors) -> np.ndarray:
    return vectors.toarray() if issparse(vectors) else vectors


@pytest.fixture(scope="module")
def glove(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("vectors") / "glove.txt"
    path.write_text("the 1 2 3\ncat 0.5 -1 2\ndog 4 0 -2.5\na -1 1 1\nsing 0 0 1\n")
    return path


EMBEDDERS = {
    "bow": "bow",
    "bow pairs": "bow?ngrams=2&stop_words=english",
    "tfidf": "tfidf?sublinear_tf=true",
    "lsa": "lsa?components=3",
    "lsa cut": "lsa?components=3&dim=2&normalize=true",
    "glove": "glove:{glove}",
    "glove idf": "glove:{glove}?weighting=idf&max_length=3",
    "glove sif": "glove:{glove}?weighting=sif",
    "glove cut": "glove:{glove}?dim=2&normalize=true",
    "word2vec": "word2vec:train?size=8&epochs=2",
    "word2vec sif": "word2vec:train?size=8&epochs=2&weighting=sif",
    "fasttext": "fasttext:train?size=8&epochs=2",
    "fasttext idf": "fasttext:train?size=8&epochs=2&weighting=idf",
    "static": "static:{data}/potion-base-4m-int8",
    "static cut": "static:{data}/potion-base-4m-int8?dim=32&normalize=false&max_length=3",
}


@pytest.mark.parametrize("name", EMBEDDERS)
def test_every_embedder_keeps_the_contract(name: str, glove: Path, data_dir: Path):
    embedder = build(parse_spec(EMBEDDERS[name].format(glove=glove, data=data_dir)), Compute())
    assert isinstance(embedder, Embedder)
    assert isinstance(embedder, HasVocabulary)
    if isinstance(embedder, Fittable):
        assert "corpus" not in embedder.identity
        with pytest.raises(ConfigError, match=r"has not seen a corpus yet: call fit\(texts\)"):
            embedder.encode(TEXTS, "document")
        with pytest.raises(ConfigError, match="has not seen a corpus yet"):
            embedder.coverage(TEXTS)
        unfitted, embedder = embedder, embedder.fit(TEXTS)
        assert "corpus" not in unfitted.identity
        with pytest.raises(ConfigError, match="has not seen a corpus yet"):
            unfitted.encode(TEXTS, "document")
        assert embedder.identity["corpus"] == unfitted.fit(TEXTS).identity["corpus"]
        assert embedder.identity != embedder.fit(TEXTS[::-1]).identity
    json.dumps(dict(embedder.identity))
    finished: list[int] = []
    texts = [*TEXTS, "zebra 狗 dog"]
    vectors = embedder.encode(texts, "document", finished.append)
    assert sum(finished) == len(texts)
    assert issparse(vectors) == name.startswith(("bow", "tfidf"))
    assert vectors.dtype == (np.float64 if issparse(vectors) else np.float32)
    rows = dense(vectors)
    assert rows.shape[0] == len(texts)
    assert rows.ndim == 2
    assert np.isfinite(rows).all()
    assert not rows[2].any(), "a text with no word is a zero vector"
    assert rows[0].any()
    alone = np.concatenate([dense(embedder.encode([text], "document")) for text in texts])
    np.testing.assert_array_equal(alone, rows)
    np.testing.assert_array_equal(dense(embedder.encode(texts[::-1], "document")), rows[::-1])
    empty = embedder.encode([], "query")
    assert empty.shape == (0, rows.shape[1])
    assert empty.dtype == vectors.dtype
    assert embedder.coverage([""]) == Coverage(0, 0)


@pytest.mark.parametrize(("ngrams", "min_df", "stop_words"), [(1, 1, "none"), (2, 3, "english")])
@pytest.mark.parametrize("sublinear", [False, True])
def test_equals_scikit_learn(data_dir: Path, ngrams: int, min_df: int, stop_words: str, sublinear: bool):
    corpus = sts_sentences(data_dir)
    fitted_on, asked = corpus[::2], corpus[1::2]
    shared = {"ngram_range": (1, ngrams), "min_df": min_df, "token_pattern": PATTERN}
    shared["stop_words"] = None if stop_words == "none" else stop_words
    options = {"ngrams": ngrams, "min_df": min_df, "stop_words": stop_words}
    pairs = [
        (bow(**options), CountVectorizer(**shared)),
        (tfidf(**options, sublinear_tf=sublinear), TfidfVectorizer(**shared, sublinear_tf=sublinear)),
    ]
    for ours, peer in pairs:
        expected = peer.fit(fitted_on).transform(asked)
        got = ours.fit(fitted_on).encode(asked, "query")
        assert got.shape == expected.shape
        assert abs(got - expected).max() == 0


def test_lsa_is_the_best_low_rank_view_of_tfidf(data_dir: Path):
    corpus = sts_sentences(data_dir, 100)
    terms = tfidf().fit(corpus).encode(corpus, "document").toarray()
    _, singular, right = np.linalg.svd(terms, full_matrices=False)
    vectors = lsa(components=5).fit(corpus).encode(corpus, "document")
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=0), singular[:5], rtol=0.01)
    expected = terms @ right[:2].T
    signs = np.sign((vectors[:, :2] * expected).sum(axis=0))
    np.testing.assert_allclose(vectors[:, :2] * signs, expected, atol=0.02)


def test_lsa_gives_as_many_components_as_the_corpus_allows():
    assert lsa().fit(TEXTS).encode(TEXTS, "document").shape == (5, 4)
    assert lsa().fit(["a b", "b c", "c a", "b"]).encode(["a"], "document").shape == (1, 2)
    assert lsa(components=2).fit(TEXTS).encode(TEXTS, "document").shape == (5, 2)


def test_lsa_depends_on_its_seed_alone(data_dir: Path):
    corpus = sts_sentences(data_dir)
    first, again, other = (lsa(components=40, seed=seed).fit(corpus).encode(corpus, "query") for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_lsa_truncates_then_scales():
    fitted = lsa(components=4, dim=2, normalize=True).fit(TEXTS)
    whole = lsa(components=4).fit(TEXTS).encode(TEXTS, "query")[:, :2]
    expected = whole / np.maximum(np.linalg.norm(whole, axis=1, keepdims=True), 1e-30)
    np.testing.assert_allclose(fitted.encode(TEXTS, "query"), expected, rtol=1e-6)
    with pytest.raises(SpecError, match="dim=9 is more than the model's 4 dimensions"):
        lsa(dim=9).fit(TEXTS).encode(TEXTS, "query")


def test_coverage_counts_tokens_by_the_fitted_vocabulary():
    fitted = bow().fit(["I have a cat"])
    assert fitted.coverage(["a cat a dog", "I", "!"]) == Coverage(tokens=5, unknown=1)
    assert bow(ngrams=2).fit(["a cat"]).coverage(["a cat sat"]) == Coverage(tokens=5, unknown=2)
    assert bow(stop_words="english").fit(["a cat"]).coverage(["a the dog"]) == Coverage(tokens=1, unknown=1)


def test_identity_holds_what_changes_the_vectors():
    fitted = tfidf(sublinear_tf=True).fit(["a b", "c"])
    digests = b"".join(hashlib.sha256(text).digest() for text in (b"a b", b"c"))
    assert fitted.identity == {
        "family": "tfidf", "ngrams": 1, "stop_words": "none", "min_df": 1, "similarity": "cosine",
        "sublinear_tf": True, "stemmer": None, "tokenizer": None, "words": 3,
        "corpus": hashlib.sha256(digests).hexdigest(),
    }  # fmt: skip
    assert tfidf().fit(["a", "b c"]).identity != tfidf().fit(["a b", "c"]).identity
    assert tfidf(similarity="dot").similarity == "dot"


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (
            lambda: bow().fit(["!", ""]),
            "bow cannot be fitted on 2 texts: no word is left to count (min_df=1, stop_words=none). "
            "Give it texts with words, or change these options.",
        ),
        (
            lambda: tfidf(min_df=2, stop_words="english").fit(["cat the", "dog the"]),
            "tfidf cannot be fitted on 2 texts: no word is left to count (min_df=2, stop_words=english). "
            "Give it texts with words, or change these options.",
        ),
        (
            lambda: lsa().fit([]),
            "lsa cannot be fitted on 0 texts: no word is left to count (min_df=1, stop_words=none). "
            "Give it texts with words, or change these options.",
        ),
        (
            lambda: lsa().fit(["a b c"]),
            "lsa needs at least 2 texts and 2 terms, got 1 and 3. Give it a larger corpus.",
        ),
        (
            lambda: lsa().encode(["a"], "query"),
            "lsa has not seen a corpus yet: call fit(texts) and use the copy it returns.",
        ),
    ],
)
def test_says_what_is_wrong(fit: Callable[[], object], message: str):
    with pytest.raises(ConfigError) as error:
        fit()
    assert str(error.value) == message
