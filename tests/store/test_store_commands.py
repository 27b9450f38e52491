"""Looking after the store: ls, prune, and how ages and sizes are written."""

import os
import re
import time
from datetime import timedelta
from pathlib import Path

import pytest
from fakes import FakeReranker, retrieval_task, run
from store_models import Counting

from evalkit.cli.commands.shared import parse_age, parse_budget, parse_size
from evalkit.errors import ConfigError
from evalkit.store import Store, default_root

DAY = 24 * 3600


@pytest.fixture
def aged(store):
    """Tables of a small new model, of a large one used 10 days ago, and of a reranker used 40 days ago."""
    task = retrieval_task({"1": "cat", "2": "dog"}, {"q1": "meow"})
    models = {"sbert:org/small?dim=8": Counting(), "sbert:org/large": Counting(weights="large", dim=8192)}
    run([task], models, {"ce:ranker": FakeReranker()}, store=store)
    ages = {"sbert:org/small": 0, "sbert:org/large": 10, "ce:ranker": 40}
    for info in store.ls():
        used = time.time() - ages[info.model] * DAY - 60
        info.folder.write("used")
        os.utime(f"{info.folder}/used", (used, used))
    return store


def models_of(store):
    return [info.model for info in store.ls()]


def test_ls_lists_the_last_used_first(aged, evalkit, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    status, shown, errors = evalkit("store", "ls", "--store", aged.root)
    assert (status, errors) == (0, "")
    assert str(aged.root) in shown.replace("\n", "")
    found = re.findall(r"(sbert:org/small|sbert:org/large|ce:ranker) .*?(vectors|scores) +(\d+) +([\d.]+) MB", shown)
    assert [row[:3] for row in found] == [
        ("sbert:org/small", "vectors", "3"), ("sbert:org/large", "vectors", "3"), ("ce:ranker", "scores", "2"),
    ]  # fmt: skip
    assert float(found[1][3]) == 0.1


def test_a_store_that_is_not_there_is_told_and_not_made(evalkit, tmp_path):
    for command in (["ls"], ["verify"], ["prune", "--older-than", "1d"]):
        status, _, errors = evalkit("store", *command, "--store", tmp_path / "new")
        assert (status, f"there is no store at {tmp_path / 'new'}" in errors) == (2, True)
    assert not (tmp_path / "new").exists()


def test_ls_of_an_empty_store(evalkit, tmp_path, monkeypatch):
    monkeypatch.setenv("EVALKIT_STORE", str(tmp_path / "new"))
    status, shown, _ = evalkit("store", "ls")
    assert status == 0
    assert "There is nothing yet." in shown


def test_use_makes_a_table_young(aged):
    aged.table("vectors", "sbert:org/large", Counting(weights="large", dim=8192).raw_identity)
    assert models_of(aged)[0] == "sbert:org/large"


@pytest.mark.parametrize(
    ("given", "left"),
    [
        (["--older-than", "30d"], ["sbert:org/small", "sbert:org/large"]),
        (["--older-than", "12h"], ["sbert:org/small"]),
        (["--older-than", "90d"], ["sbert:org/small", "sbert:org/large", "ce:ranker"]),
        (["--model", "sbert"], ["ce:ranker"]),
        (["--model", "sbert", "--older-than", "1d"], ["sbert:org/small", "ce:ranker"]),
        (["--max-size", "1MB"], ["sbert:org/small", "sbert:org/large", "ce:ranker"]),
        (["--max-size", "0.09MB"], ["sbert:org/small"]),
        (["--max-size", "0KB"], []),
        (["--max-size", "1MB", "--model", "small"], ["sbert:org/large", "ce:ranker"]),
    ],
    ids=" ".join,
)
def test_prune(aged, evalkit, given, left):
    before = {info.model: info for info in aged.ls()}
    status, shown, errors = evalkit("store", "prune", *given, "--store", aged.root)
    assert (status, errors) == (0, "")
    assert models_of(aged) == left
    expected = [
        f"removed {info.kind} of {name}: {info.rows} rows, {info.bytes / 1e6:.1f} MB"
        for name, info in before.items()
        if name not in left
    ]
    assert sorted(shown.splitlines()) == sorted(expected)


def test_what_was_pruned_is_computed_again(aged):
    list(aged.prune(model="small"))
    model = Counting()
    run([retrieval_task({"1": "cat"}, {"q1": "meow"})], {"m": model}, store=aged)
    assert sorted(model.read) == ["cat", "meow"]


def test_prune_must_be_told_what(aged, evalkit):
    status, shown, errors = evalkit("store", "prune", "--store", aged.root)
    assert (status, shown) == (2, "")
    assert "say what to remove: --older-than, --model or --max-size." in " ".join(errors.split())
    assert len(models_of(aged)) == 3


def test_the_store_is_where_the_environment_says(evalkit, monkeypatch, tmp_path):
    monkeypatch.setenv("EVALKIT_STORE", str(tmp_path / "elsewhere"))
    assert default_root() == str(tmp_path / "elsewhere")
    assert evalkit("store", "verify") == (0, "", "")
    assert (tmp_path / "elsewhere").is_dir()
    monkeypatch.delenv("EVALKIT_STORE")
    assert Path(default_root()).parts[-2:] == ("evalkit", "store")


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("30d", timedelta(days=30)), ("1.5d", timedelta(hours=36)), ("12h", timedelta(hours=12)),
        ("90m", timedelta(minutes=90)), ("0d", timedelta()),
    ],
)  # fmt: skip
def test_ages(text, age):
    assert parse_age(text) == age


@pytest.mark.parametrize(
    ("text", "size"),
    [("5GB", 5 * 10**9), ("500MB", 5 * 10**8), ("1.5 kb", 1500), ("2TB", 2 * 10**12), ("0MB", 0)],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "d", "30", "30 d", "-1d", "3w", "1e3d", "30days"])
def test_ages_that_are_none(text, evalkit, tmp_path):
    message = f"an age is a number and d, h or m, such as 30d; got {text!r}"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        parse_age(text)
    if text:
        asked = evalkit("store", "prune", f"--older-than={text}", "--store", tmp_path)
        assert asked == (2, "", f"error: {message}\n")


@pytest.mark.parametrize(
    ("text", "budget"),
    [("90s", 90), ("10m", 600), ("1.5h", 5400), (" 10 m ", 600)],
)
def test_budgets(text, budget):
    assert parse_budget(text).total_seconds() == budget


@pytest.mark.parametrize("text", ["", "30d", "10", "0m", "-1h", "an hour"])
def test_budgets_that_are_none(text):
    message = f"a budget is a time above 0, a number and h, m or s, such as 10m; got {text!r}"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        parse_budget(text)


@pytest.mark.parametrize("text", ["", "GB", "5", "5G", "-5GB", "5GiB", "5  GB", "five GB"])
def test_sizes_that_are_none(text, evalkit, tmp_path):
    message = f"a size is a number and KB, MB, GB or TB, such as 5GB; got {text!r}"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        parse_size(text)
    if text:
        asked = evalkit("store", "prune", f"--max-size={text}", "--store", tmp_path)
        assert asked == (2, "", f"error: {message}\n")


def test_two_names_of_one_store_are_one(aged, tmp_path):
    assert models_of(Store(tmp_path / "." / "store")) == models_of(aged)
