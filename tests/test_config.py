"""Keys and values of a run: one meaning in a suite file, on the command line and in Python."""

import re
from pathlib import Path

import pytest
import yaml
from fakes import write_tasks

import evalkit
from evalkit.errors import ConfigError, UnknownNameError
from evalkit.runner.config import RunConfig, read_config, read_suite, split_list
from evalkit.runner.run import refusal

LEAST = {"models": "bow", "tasks": "sts-mini"}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a,b", ["a", "b"]),
        (" a , b ,", ["a", "b"]),
        ("", []),
        (",,", []),
        ("f(a,b),c", ["f(a,b)", "c"]),
        ("f[a,(b,c)],d", ["f[a,(b,c)]", "d"]),
        ("bert:x?pooling=cls&layer=-2,bow", ["bert:x?pooling=cls&layer=-2", "bow"]),
    ],
)
def test_split_list(text, parts):
    assert split_list(text) == parts


@pytest.mark.parametrize(
    ("key", "written", "means"),
    [
        ("models", "bow,tfidf", ("bow", "tfidf")),
        ("models", ["bow", "f(a,b)"], ("bow", "f(a,b)")),
        ("rerankers", "", ()),
        ("top_k", 3, (3,)),
        ("top_k", "1,5,10", (1, 5, 10)),
        ("top_k", [1, 5], (1, 5)),
        ("candidates", "7", 7),
        ("seed", 0, 0),
        ("out", "a/b", Path("a/b")),
    ],
)
def test_ways_to_write_a_value(key, written, means):
    assert getattr(read_config({**LEAST, key: written}), key) == means


def test_defaults():
    config = read_config(LEAST)
    assert config.model_dump(exclude={"models", "tasks", "store", "no_store"}) == {
        "rerankers": ("none",), "top_k": (5,), "candidates": None, "device": "auto", "dtype": "float32", "seed": 0,
        "max_queries": None, "on_bad_data": "error", "max_cost": None, "out": None, "published": None,
        "description": "", "sizes": {}, "trust_remote_code": False, "allow_pickle": False,
        "engine": "local", "time_limit": None, "metrics": (), "main_metric": None, "measure": False,
    }  # fmt: skip
    assert config.rerank_depth == 10
    assert read_config({**LEAST, "candidates": 6}).rerank_depth == 6


BAD_VALUES = {
    "no models": ({"models": ""}, "models: an empty list; give at least one"),
    "a number for models": ({"models": 5}, "models.0: Input should be a valid string or a model, got 5"),
    "no value": ({"tasks": None}, "tasks: Input should be a valid tuple, got None"),
    "top_k 0": ({"top_k": 0}, "top_k.0: Input should be greater than 0, got 0"),
    "top_k words": (
        {"top_k": "1,x"},
        "top_k.1: Input should be a valid integer, unable to parse string as an integer, got 'x'",
    ),
    "top_k only words": (
        {"top_k": "x"},
        "top_k.0: Input should be a valid integer, unable to parse string as an integer, got 'x'",
    ),
    "no top_k": ({"top_k": ""}, "top_k: an empty list; give at least one"),
    "few candidates": (
        {"candidates": 4},
        "suite: candidates=4 is fewer than top_k=5; give at least as many",
    ),
    "no candidates": ({"candidates": 0}, "candidates: Input should be greater than 0, got 0"),
    "device": ({"device": "gpu"}, "device: Input should be 'auto', 'cpu', 'cuda' or 'mps', got 'gpu'"),
    "dtype": ({"dtype": "half"}, "dtype: Input should be 'float32', 'bfloat16' or 'float16', got 'half'"),
    "seed": ({"seed": -1}, "seed: Input should be greater than or equal to 0, got -1"),
    "max_queries": ({"max_queries": 0}, "max_queries: Input should be greater than 0, got 0"),
    "on_bad_data": ({"on_bad_data": "skip"}, "on_bad_data: Input should be 'error' or 'warn', got 'skip'"),
    "two at once": (
        {"seed": -1, "dtype": "half"},
        "dtype: Input should be 'float32', 'bfloat16' or 'float16', got 'half'; "
        "seed: Input should be greater than or equal to 0, got -1",
    ),
}


@pytest.mark.parametrize(("given", "problem"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_bad_values(given, problem):
    with pytest.raises(ConfigError) as caught:
        read_config({**LEAST, **given})
    assert str(caught.value) == f"the suite cannot be run: {problem}"


def test_missing_keys():
    with pytest.raises(ConfigError) as caught:
        read_config({})
    assert str(caught.value) == "the suite cannot be run: models: Field required; tasks: Field required"


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_out_in_the_way_of_a_file_is_told_before_the_work(tmp_path, below):
    file = tmp_path / "file"
    file.touch()
    out = file / below
    with pytest.raises(ConfigError) as caught:
        read_config({**LEAST, "out": out})
    assert str(caught.value) == (
        f"the suite cannot be run: suite: out={out} cannot be a folder, since {file} is a file; choose another"
    )


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("model", "Did you mean 'models'?"),
        ("topk", "Did you mean 'top_k'?"),
        ("rerankrs", "Did you mean 'rerankers'?"),
        (True, "Allowed: " + ", ".join(sorted(RunConfig.model_fields)) + "."),
        (5, "Allowed: " + ", ".join(sorted(RunConfig.model_fields)) + "."),
    ],
)
def test_unknown_keys(key, hint):
    """YAML reads `on:` as True and `5:` as a number."""
    with pytest.raises(UnknownNameError) as caught:
        read_config({**LEAST, key: 1})
    assert str(caught.value) == f"unknown key {key!r} in the suite. {hint}"


def test_suite_that_does_not_exist():
    with pytest.raises(UnknownNameError) as caught:
        read_suite("demoo")
    assert str(caught.value) == "no suite 'demoo': neither a file nor bundled. Did you mean 'demo'?"


def test_bundled_suite():
    assert read_config(read_suite("demo")).tasks == ("sts-mini", "rag-mini")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("- bow\n", "the suite {path} holds a list, not keys and values."),
        ("", "the suite {path} holds a NoneType, not keys and values."),
        ("just words", "the suite {path} holds a str, not keys and values."),
    ],
    ids=["list", "empty", "text"],
)
def test_suite_file_without_keys(tmp_path, content, problem):
    path = tmp_path / "suite.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_suite(path)
    assert str(caught.value) == problem.format(path=path)


@pytest.mark.parametrize("content", [b"models: [bow\n", b"models: \xff"], ids=["not YAML", "not UTF-8"])
def test_suite_file_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "suite.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_suite(path)
    assert str(caught.value).startswith(f"cannot read the suite {path}: ")


def test_suite_file_and_keywords_give_the_same_run_and_keywords_win(tmp_path):
    pets, _ = write_tasks(tmp_path)
    keys = {"models": ["bow"], "tasks": [pets], "top_k": [1, 2], "candidates": 3, "seed": 7, "device": "cpu"}
    suite = tmp_path / "suite.yaml"
    suite.write_text(yaml.safe_dump(keys))
    from_file, from_keys = evalkit.run(suite), evalkit.run(**keys)
    assert from_file.provenance["config"] == from_keys.provenance["config"]
    assert from_file.scores.equals(from_keys.scores)
    changed = evalkit.run(suite, models="tfidf", seed=8)
    assert changed.provenance["config"] == {**from_keys.provenance["config"], "models": ["tfidf"], "seed": 8}


BAD_NAMES = {
    "model": (
        {"models": "tfidff"},
        "unknown model 'tfidff': neither in the catalogue, nor a FAMILY:NAME spec, nor a folder here. "
        "Did you mean 'tfidf'? `evalkit models` lists them.",
    ),
    "reranker under models": (
        {"models": "ce:x"},
        "'ce:x' is a reranker; here only embedder or retriever can stand. Rerankers go under --rerankers.",
    ),
    "task twice": (
        {"tasks": "sts-mini,sts-mini?split=test"},
        "two tasks have the same name and split: sts-mini (test). Rename one.",
    ),
}


@pytest.mark.parametrize(("given", "message"), BAD_NAMES.values(), ids=BAD_NAMES)
def test_names_are_checked_before_any_work(given, message):
    with pytest.raises((ConfigError, UnknownNameError)) as caught:
        evalkit.run(**{**LEAST, "device": "cpu", **given})
    assert str(caught.value) == message


def test_sample_of_queries_is_seeded():
    def ids(seed, size=20):
        results = evalkit.run(models="bm25", tasks="rag-mini", device="cpu", max_queries=size, seed=seed)
        return list(dict.fromkeys(results.records["id"]))

    everything = ids(0, size=None)
    first = ids(0)
    assert len(first) == 20
    assert first == ids(0)
    assert first != ids(1)
    assert first == [query for query in everything if query in first], "in the order of the data"


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"models": "tfidf", "rerankers": "bow"}, "bow is a reranker"),
        ({"models": "tfidf,rrf(tfidf,bow)"}, "rrf(tfidf, bow) fuses rankings"),
        ({"models": "tfidf,bm25"}, "bm25 has no vectors"),
    ],
)
def test_what_only_retrieval_can_score_is_refused_beside_similarity_alone(keys, told):
    config = read_config({**keys, "tasks": "sts-mini", "no_store": True})
    with pytest.raises(ConfigError, match=re.escape(f"{told}, and no task is retrieval")):
        evalkit.run(**keys, tasks="sts-mini", no_store=True)
    assert told in str(refusal(config))
