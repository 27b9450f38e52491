"""Models that are handed over as objects: evalkit's contracts, and LlamaIndex components."""

import json
import re

import pytest
from fakes import FakeEmbedder
from llamaindex_models import KEY, SecondFirst, SharedWords, TwoSided

import evalkit
from evalkit.compute import Compute
from evalkit.errors import ConfigError
from evalkit.models.registry import build, parse_spec

TFIDF = build(parse_spec("tfidf"), Compute())


def run(**keys):
    return evalkit.run(**{"tasks": "rag-mini", "max_queries": 5, "device": "cpu", **keys})


def test_objects_beside_specs_under_their_labels(tmp_path):
    results = run(
        models=["tfidf", ("mine", TwoSided()), TFIDF],
        rerankers=[SharedWords(), ("reordered", SecondFirst())],
        out=tmp_path / "out",
        store=tmp_path / "store",
    )
    assert results.failures == []
    board = results.leaderboard()
    assert set(board["model"]) == {"tfidf", "mine", "Tfidf"}
    assert set(board["reranker"]) == {"none", "SharedWords", "reordered"}
    spec, given = (board[board["model"] == label].drop(columns="model") for label in ("tfidf", "Tfidf"))
    assert spec.reset_index(drop=True).equals(given.reset_index(drop=True)), "one model, by spec and as an object"
    told = json.loads((tmp_path / "out/run.json").read_text())
    assert told["specs"]["mine"] == "object of llamaindex_models.TwoSided"
    assert told["config"]["models"] == ["tfidf", "mine", "Tfidf"]
    assert told["given_models"]["mine"]["component"]["values"]["dim"] == 8
    assert set(told["given_models"]) == {"mine", "Tfidf", "SharedWords", "reordered"}
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert not [path for path in written if KEY.encode() in path.read_bytes()]


def test_a_single_object_and_a_single_pair():
    for models in (TFIDF, ("Tfidf", TFIDF)):
        assert set(run(models=models, no_store=True).leaderboard()["model"]) == {"Tfidf"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"models": [TwoSided(), TwoSided(dim=3)]},
            "two models have the label 'TwoSided'. Give pairs (label, model)",
        ),
        ({"models": [("tfidf", TwoSided()), "tfidf"]}, "two models have the label 'tfidf'."),
        ({"models": [("m", TwoSided())], "rerankers": [("m", SharedWords())]}, "two models have the label 'm'."),
        ({"models": "tfidf", "rerankers": [("none", SharedWords())]}, "two models have the label 'none'."),
        ({"models": [SharedWords()]}, "'SharedWords' is a reranker; here only embedder or retriever can stand."),
        ({"models": [3]}, "models.0: Input should be a valid string or a model, got 3"),
        ({"models": {"mine": TwoSided()}}, "an object of builtins.dict is no model. Allowed: a spec, an object with"),
        ({"models": [TwoSided()], "top_k": "x"}, "top_k.0: Input should be a valid integer"),
        ({"models": [TwoSided()], "rerankers": [[KEY]]}, "an object of builtins.list is no model."),
    ],
)
def test_refused_without_showing_the_object(keys, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        run(**keys)
    assert KEY not in str(caught.value)


def test_one_object_in_both_places():
    model = FakeEmbedder({})
    results = run(models=[model], rerankers=[model], no_store=True)
    assert {each["reason"][:8] for each in results.failures} == {"KeyError"}, "it ran, and knows no text"
