"""Hit rate, MRR and nDCG on real sets, computed a second time in plain numpy from plain library calls."""

import gzip
import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakes import write_retrieval_task
from model2vec import StaticModel
from sentence_transformers import SentenceTransformer
from sklearn.feature_extraction.text import TfidfVectorizer

import evalkit
from evalkit.models.weights import locate

SETS = ["llamaindex-10k-val", "cranfield"]
K = 10


def _read(folder: Path) -> tuple[dict[str, str], dict[str, str], dict[str, dict[str, float]]]:
    def lines(name: str) -> list[dict[str, str]]:
        return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]

    corpus = {row["_id"]: f"{row.get('title', '')} {row['text']}".strip() for row in lines("corpus.jsonl")}
    queries = {row["_id"]: row["text"] for row in lines("queries.jsonl")}
    qrels: dict[str, dict[str, float]] = {}
    for line in (folder / "qrels/test.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        qrels.setdefault(query, {})[document] = float(grade)
    return corpus, queries, qrels


def _tfidf(data_dir: Path, corpus: list[str], queries: list[str]) -> tuple[np.ndarray, np.ndarray]:
    vectorizer = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b").fit(corpus)
    return vectorizer.transform(corpus).toarray(), vectorizer.transform(queries).toarray()


def _glove(data_dir: Path, corpus: list[str], queries: list[str]) -> tuple[np.ndarray, np.ndarray]:
    table = {}
    with gzip.open(data_dir / "glove-6b-50d-slice/glove.6B.50d.slice.txt.gz", "rt", encoding="utf-8") as file:
        for line in file:
            word, *values = line.rstrip().split(" ")
            table[word] = np.array(values, dtype=np.float32).astype(np.float64)

    def average(text: str) -> np.ndarray:
        found = [table[w] for w in (t if t in table else t.lower() for t in re.findall(r"\w+", text)) if w in table]
        return np.mean(found, axis=0).astype(np.float32).astype(np.float64) if found else np.zeros(50)

    return np.array([average(text) for text in corpus]), np.array([average(text) for text in queries])


def _static(data_dir: Path, corpus: list[str], queries: list[str]) -> tuple[np.ndarray, np.ndarray]:
    model = StaticModel.from_pretrained(data_dir / "potion-base-4m-int8")
    return model.encode(corpus).astype(np.float64), model.encode(queries).astype(np.float64)


def _minilm(data_dir: Path, corpus: list[str], queries: list[str]) -> tuple[np.ndarray, np.ndarray]:
    model = SentenceTransformer(str(locate("sentence-transformers/all-MiniLM-L6-v2")), device="cpu")
    model.max_seq_length = 24
    return model.encode(corpus).astype(np.float64), model.encode(queries).astype(np.float64)


Encode = Callable[[Path, list[str], list[str]], tuple[np.ndarray, np.ndarray]]
MODELS: dict[str, tuple[str, Encode]] = {
    "tfidf": ("tfidf", _tfidf),
    "glove": ("glove:{data}/glove-6b-50d-slice/glove.6B.50d.slice.txt.gz", _glove),
    "static": ("static:{data}/potion-base-4m-int8", _static),
    "minilm": ("sbert:all-MiniLM-L6-v2?max_length=24", _minilm),  # short, for time
}


def _expected(encode: Encode, data_dir: Path, name: str) -> dict[str, float]:
    corpus, queries, qrels = _read(data_dir / name)
    judged = [query for query in queries if query in qrels]
    document_vectors, query_vectors = encode(data_dir, list(corpus.values()), [queries[query] for query in judged])
    with np.errstate(invalid="ignore"):
        document_vectors /= np.linalg.norm(document_vectors, axis=1, keepdims=True)
        query_vectors /= np.linalg.norm(query_vectors, axis=1, keepdims=True)
    ids = list(corpus)
    values: dict[str, list[float]] = {"hit_rate@5": [], "MRR@5": [], "nDCG@10": []}
    for query, vector in zip(judged, query_vectors, strict=True):
        scored = [(s, i) for s, i in zip(document_vectors @ vector, ids, strict=True) if not np.isnan(s)]
        grades = [qrels[query].get(i, 0.0) for _, i in sorted(scored, reverse=True)[:K]]
        ranks = [rank for rank, grade in enumerate(grades[:5], 1) if grade > 0]
        ideal = sorted(qrels[query].values(), reverse=True)[:K]
        discount = np.log2(np.arange(2, K + 2))
        values["hit_rate@5"].append(float(bool(ranks)))
        values["MRR@5"].append(1 / ranks[0] if ranks else 0.0)
        dcg, best = np.sum(grades / discount[: len(grades)]), np.sum(ideal / discount[: len(ideal)])
        values["nDCG@10"].append(dcg / best)
    return {metric: float(np.mean(found)) for metric, found in values.items()}


def _found(data_dir: Path, name: str, model: str) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Cranfield has two empty documents
        scores = evalkit.run(models=model, tasks=str(data_dir / name), top_k=[5, 10], on_bad_data="warn").scores
    return dict(zip(scores["metric"], scores["score"], strict=True))


@pytest.mark.parametrize(
    ("model", "name"),
    [
        pytest.param(model, name, marks=[pytest.mark.slow] if model == "minilm" else [])
        for model in MODELS
        for name in SETS
    ],
)
def test_equals_plain_numpy(name: str, model: str, data_dir: Path) -> None:
    _compare(name, model, data_dir)


def test_minilm_equals_plain_numpy_on_a_part(data_dir: Path, tmp_path: Path) -> None:
    """The first documents of Cranfield, and the queries that they answer."""
    corpus, queries, qrels = _read(data_dir / "cranfield")
    corpus = dict(list(corpus.items())[:150])
    found = {query: {each: grades[each] for each in grades if each in corpus} for query, grades in qrels.items()}
    qrels = {query: grades for query, grades in found.items() if any(grade > 0 for grade in grades.values())}
    part = write_retrieval_task(tmp_path / "part", corpus, {query: queries[query] for query in qrels}, qrels)
    _compare(part, "minilm", data_dir)


def _compare(name: str, model: str, data_dir: Path) -> None:
    spec, encode = MODELS[model]
    found = _found(data_dir, name, spec.format(data=data_dir))
    for metric, value in _expected(encode, data_dir, name).items():
        assert found[metric] == pytest.approx(value, abs=1e-6), metric
