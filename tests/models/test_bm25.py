"""BM25 against a plain-Python reading of Lucene's formula, and the project's order among ties."""

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from bm25s.stopwords import STOPWORDS_EN

from evalkit.compute import Compute
from evalkit.contracts import Coverage, Fittable, HasVocabulary, Reranker, Retriever
from evalkit.errors import ConfigError, ScoreError
from evalkit.models import bm25 as module
from evalkit.models.bm25 import Bm25, Bm25Options

TEXTS = ["a cat sat", "dogs bark", "cat cat dog", "", "cat sat a"]


def bm25(**options: object) -> Bm25:
    return Bm25("", Bm25Options(**options), Compute())


@cache
def words(text: str, stop_words: str) -> list[str]:
    left_out = STOPWORDS_EN if stop_words == "english" else ()
    return [word for word in re.findall(r"\b\w+\b", text.lower()) if word not in left_out]


def lucene(
    texts: list[str], query: str, k1: float = 1.5, b: float = 0.75, stop_words: str = "english"
) -> list[float]:
    tokens = [words(text, stop_words) for text in texts]
    average = sum(map(len, tokens)) / len(tokens)
    df = Counter(word for document in tokens for word in set(document))
    scores = []
    for document in tokens:
        tf = Counter(document)
        norm = k1 * (1 - b + b * len(document) / average)
        scores.append(
            sum(
                math.log(1 + (len(texts) - df[word] + 0.5) / (df[word] + 0.5)) * tf[word] / (tf[word] + norm)
                for word in words(query, stop_words)
                if tf[word]
            )
        )
    return scores


def read(folder: Path) -> tuple[list[str], list[str], list[str]]:
    corpus = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    queries = [json.loads(line)["text"] for line in (folder / "queries.jsonl").read_text().splitlines()]
    return [row["_id"] for row in corpus], [row["text"] for row in corpus], queries


def by_hand(scores: list[float], ids: list[str], depth: int) -> list[int]:
    found = [row for row in range(len(ids)) if scores[row] > 0]
    return sorted(found, key=lambda row: (scores[row], ids[row]), reverse=True)[:depth]


@pytest.mark.parametrize(
    "options", [{}, {"k1": 0.9, "b": 0.4, "stop_words": "none"}, {"k1": 0.0, "b": 0.0}, {"b": 1.0}]
)
def test_equals_lucene_on_cranfield(data_dir: Path, options: dict[str, object]):
    ids, texts, queries = read(data_dir / "cranfield")
    asked = queries[::25]
    fitted = bm25(**options).fit(texts)
    run = fitted.search(asked, ids, depth=100)
    assert run.documents.shape == (len(asked), 100)
    for row, query in enumerate(asked):
        expected = np.array(lucene(texts, query, **options))
        np.testing.assert_allclose(fitted.score([query] * len(texts), texts), expected, rtol=1e-12)
        np.testing.assert_allclose(run.scores[row], expected[run.documents[row]], rtol=1e-12)
        np.testing.assert_allclose(run.scores[row], np.sort(expected)[::-1][:100], rtol=1e-12)


def test_searches_all_of_cranfield_as_it_scores(data_dir: Path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_CELLS", 1400 * 7)
    ids, texts, queries = read(data_dir / "cranfield")
    fitted = bm25().fit(texts)
    run = fitted.search(queries, ids, depth=50)
    assert run.documents.shape == (225, 50)
    for query, documents in zip(queries, run.documents.tolist(), strict=True):
        scores = fitted.score([query] * len(texts), texts).tolist()
        assert [document for document in documents if document >= 0] == by_hand(scores, ids, 50)


def test_breaks_ties_by_id_descending_as_strings():
    texts = ["cat", "dog", "cat", "cat", "cat dog"]
    run = bm25().fit(texts).search(["cat"], ["10", "x", "9", "2", "7"], depth=3)
    assert run.documents.tolist() == [[2, 3, 0]]
    assert len(set(run.scores[0])) == 1
    everything = bm25().fit(texts).search(["cat"], ["10", "x", "9", "2", "7"], depth=99)
    assert everything.documents.tolist() == [[2, 3, 0, 4, -1]]
    assert np.isnan(everything.scores[0, 4])


def test_only_documents_with_a_common_word_are_results():
    fitted = bm25(stop_words="none").fit(TEXTS)
    run = fitted.search(["bark", "zebra", "", "cat"], list("abcde"), depth=3)
    assert run.documents.tolist() == [[1, -1, -1], [-1, -1, -1], [-1, -1, -1], [2, 4, 0]]
    np.testing.assert_array_equal(np.isnan(run.scores), run.documents == -1)
    assert fitted.score(["zebra", "", "cat"], ["dogs bark", "dogs bark", ""]).tolist() == [0, 0, 0]
    assert fitted.search([], list("abcde"), depth=3).documents.shape == (0, 3)


def test_one_letter_words_and_repeated_query_words_count():
    fitted = bm25(stop_words="none").fit(TEXTS)
    np.testing.assert_allclose(fitted.score(["a"], ["a cat sat"]), lucene(TEXTS, "a", stop_words="none")[0])
    once, twice = fitted.score(["dog", "dog DOG"], ["cat cat dog"] * 2)
    assert twice == 2 * once > 0


def test_scores_pairs_in_order_and_each_query_once(monkeypatch):
    fitted = bm25().fit(TEXTS)
    calls: list[list[str]] = []
    scores_of = module._scores
    monkeypatch.setattr(module, "_scores", lambda index, query: calls.append(query) or scores_of(index, query))
    finished: list[int] = []
    queries = ["cat", "bark", "cat", "cat", "bark"]
    documents = ["cat sat a", "dogs bark", "cat cat dog", "a cat sat", "a cat sat"]
    scores = fitted.score(queries, documents, finished.append)
    expected = [lucene(TEXTS, q)[TEXTS.index(d)] for q, d in zip(queries, documents, strict=True)]
    np.testing.assert_allclose(scores, expected)
    assert scores.dtype == np.float64
    assert calls == [["cat"], ["bark"]]
    assert finished == [3, 2]
    assert fitted.score([], []).shape == (0,)


def test_coverage_is_of_the_words_left_after_stop_words():
    fitted = bm25().fit(["the cat sat", "dogs bark"])
    assert fitted.coverage(["The CAT and a zebra", "dogs"]) == Coverage(3, 1)
    assert fitted.coverage(["to be or not to be", "", "!"]) == Coverage(0, 0)
    assert bm25(stop_words="none").fit(["a cat"]).coverage(["a dog"]) == Coverage(2, 1)
    with pytest.raises(ConfigError, match="has not seen a corpus yet"):
        bm25().coverage(["cat"])


def test_identical_texts_score_the_same():
    texts = ["cat dog", "bird", "cat dog"]
    fitted = bm25().fit(texts)
    assert len(set(fitted.score(["cat"] * 2, [texts[0], texts[2]]))) == 1


def test_fits_a_copy_and_says_so_in_its_identity():
    model = bm25(k1=1.2)
    fitted = model.fit(TEXTS)
    assert isinstance(model, Retriever)
    assert isinstance(model, Reranker)
    assert isinstance(model, Fittable)
    assert isinstance(model, HasVocabulary)
    assert model.identity == {
        "family": "bm25", "k1": 1.2, "b": 0.75, "stop_words": "english", "stemmer": None, "tokenizer": None,
        "words": 3,
    }  # fmt: skip
    assert fitted.identity == {**model.identity, "corpus": fitted.identity["corpus"]}
    assert fitted.identity != model.fit(TEXTS[::-1]).identity
    assert fitted.fit(["bird"]).score(["bird"], ["bird"]) > 0
    assert fitted.score(["bark"], ["dogs bark"]) > 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: bm25().search(["cat"], ["1"], 1), ConfigError,
            "bm25 has not seen a corpus yet: call fit(texts) and use the copy it returns.",
        ),
        (
            lambda: bm25().score(["cat"], ["cat"]), ConfigError,
            "bm25 has not seen a corpus yet: call fit(texts) and use the copy it returns.",
        ),
        (
            lambda: bm25().fit(["the", "!"]), ConfigError,
            "bm25 cannot be fitted on 2 texts: none has a word (stop_words=english). "
            "Give it texts with words, or change this option.",
        ),
        (
            lambda: bm25().fit([]), ConfigError,
            "bm25 cannot be fitted on 0 texts: none has a word (stop_words=english). "
            "Give it texts with words, or change this option.",
        ),
        (
            lambda: bm25().fit(TEXTS).search(["cat"], ["1"], 1), ConfigError,
            "bm25 was fitted on 5 documents, but got 1 document ids. "
            "Give the ids of the fitted documents, in their order.",
        ),
        (
            lambda: bm25().fit(TEXTS).score(["cat"] * 2, ["a cat sat", "A cat sat"]), ScoreError,
            "bm25 scores only the 5 documents it was fitted on; 1 of 2 are not among them, the first: "
            "'A cat sat'. Fit it on them.",
        ),
    ],
)  # fmt: skip
def test_says_what_is_wrong(call: Callable[[], object], error: type[Exception], message: str):
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value) == message
