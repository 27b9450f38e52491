"""Two runs of one command never differ: every family, in every dtype, each time in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes import write_retrieval_task
from model2vec import StaticModel
from recurrent_data import elmo_arrays, elmo_options, encoder_arrays, save_cove, save_elmo
from tiny_models import MakeModel, tiny_tokenizer

from evalkit.compute import Dtype
from evalkit.models.registry import families
from evalkit.tasks.reference import bundled_tasks

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent
WORDS = ["the", "a", "of", "water", "light", "star", "how", "what", "is", "bread"]
PROGRAM = """
import json, sys
import evalkit
given, out, dtypes = json.loads(sys.argv[1])
for dtype in dtypes:
    results = evalkit.run(**given, dtype=dtype, out=f"{out}/{dtype}")
    assert not results.failures, results.failures
"""
DOCUMENTS = 24
DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16", "float16")
ELSEWHERE = {
    "mteb": "code of mteb's registry, which downloads",
    "openai": "", "openai-compatible": "", "cohere": "", "voyage": "", "jina": "", "google": "",
    "cohere-rerank": "", "voyage-rerank": "", "jina-rerank": "",
}  # fmt: skip
"""Families that compute nothing here: most are APIs."""


def word_vectors(path: Path, header: bool) -> Path:
    rng = np.random.default_rng(0)
    lines = [f"{len(WORDS)} 4"] if header else []
    lines += [" ".join([word, *map(str, rng.standard_normal(4).round(3))]) for word in WORDS]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def models(tiny: MakeModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """A spec or more of each family that computes here, those of rerankers apart."""
    folder = tmp_path_factory.mktemp("repeats")
    tokens = tiny_tokenizer().backend_tokenizer
    table = np.random.default_rng(0).standard_normal((tokens.get_vocab_size(), 8)).astype(np.float32)
    StaticModel(table, tokens).save_pretrained(folder / "static")
    options = elmo_options()
    with_header, without = word_vectors(folder / "w.vec", True), word_vectors(folder / "w.txt", False)
    return {
        "models": [
            "bow", "tfidf", "lsa?components=8", "bm25", f"glove:{without}", f"word2vec:{with_header}",
            "word2vec:train?size=8&epochs=2", f"fasttext:{with_header}", "fasttext:train?size=8&epochs=2",
            f"static:{folder / 'static'}", f"cove:{save_cove(folder / 'cove', encoder_arrays())}",
            f"elmo:{save_elmo(folder / 'elmo', options, elmo_arrays(options))}",
            f"bert:{tiny('bert')}", f"bert:{tiny('roberta')}?pooling=max", f"sbert:{tiny('bert')}?precision=int8",
            f"splade:{tiny('masked')}", f"maxsim:{tiny('bert')}", "llamaindex:llamaindex_models.TwoSided?dim=6",
        ],
        "rerankers": [f"ce:{tiny('one-label')}", "bm25", f"maxsim:{tiny('roberta')}"],
    }  # fmt: skip


def test_no_family_is_left_out(models: dict[str, list[str]]) -> None:
    covered = {spec.partition(":")[0].partition("?")[0] for specs in models.values() for spec in specs}
    assert covered | ELSEWHERE.keys() == set(families())


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The first documents of rag-mini, and the questions on them."""
    folder = bundled_tasks() / "rag-mini"
    corpus = pd.read_json(folder / "corpus.jsonl", lines=True).head(DOCUMENTS).set_index("_id")["text"]
    texts = pd.read_json(folder / "queries.jsonl", lines=True).set_index("_id")["text"]
    judged = pd.read_csv(folder / "qrels" / "test.tsv", sep="\t").query("`corpus-id` in @corpus.index")
    qrels = {query: {document: 1} for query, document in zip(judged["query-id"], judged["corpus-id"], strict=True)}
    queries = {query: texts[query] for query in qrels}
    return write_retrieval_task(tmp_path_factory.mktemp("task") / "some", corpus.to_dict(), queries, qrels)


@pytest.fixture(scope="module")
def twice(models: dict[str, list[str]], task: str, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders of two processes that hash differently, each with a run a dtype in it."""
    given = {
        **models, "tasks": [task, "sts-mini"], "max_queries": 12, "top_k": 3, "candidates": 5, "device": "cpu",
        "no_store": True, "allow_pickle": True, "on_bad_data": "warn",
    }  # fmt: skip
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    for seed, folder in enumerate(folders):
        path = os.pathsep.join([str(FOLDER.parent), *sys.path])
        environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": path}
        arguments = json.dumps([given, str(folder), DTYPES])
        subprocess.run([sys.executable, "-c", PROGRAM, arguments], env=environment, check=True)
    return folders


@pytest.mark.parametrize("dtype", DTYPES)
def test_two_runs_give_the_same_bytes(dtype: Dtype, twice: list[Path]) -> None:
    first, second = (folder / dtype for folder in twice)
    assert (first / "scores.csv").read_bytes() == (second / "scores.csv").read_bytes()
    rankings = [pd.read_parquet(folder / "evidence" / "rankings.parquet") for folder in (first, second)]
    pd.testing.assert_frame_equal(*rankings, check_exact=True)
