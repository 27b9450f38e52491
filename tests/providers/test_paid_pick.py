"""A pick among paid models: prices beside the scores, as conditions and in the recommendation."""

import pytest
from api_models import spec_of
from api_server import serving

from evalkit.results import Results


@pytest.fixture
def command(tmp_path):
    (tmp_path / "docs").mkdir()
    for number in range(12):
        (tmp_path / "docs" / f"{number}.txt").write_text(f"This is document {number}, about the number {number}.")
    rows = "".join(f"Which one is about {number}?,{number}.txt\n" for number in range(12))
    (tmp_path / "questions.csv").write_text("question,file\n" + rows)
    return (
        "pick", tmp_path / "docs", "--questions", tmp_path / "questions.csv", "--chunk-size", "whole",
        "--device", "cpu", "--store", tmp_path / "store", "--out", tmp_path / "out", "--max-cost", "1",
    )  # fmt: skip


def test_prices_are_in_the_tables_and_can_be_required(evalkit, tmp_path, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    with serving() as server:
        models, rerankers = f"bm25,{spec_of('openai', server)}", spec_of("cohere-rerank", server)
        status, out, err = evalkit(
            *command, "--models", models, "--rerankers", rerankers, "--require", "price<=0.01,cost<1", "--verbose"
        )
    assert status == 0, err
    assert "USD/M tokens" in out
    assert "USD/1000 queries" in out
    results = Results.read(tmp_path / "out")
    cells = results.measurements.cells.set_index(["model", "reranker"])
    assert (cells["note"] == "").all()
    # A million tokens and a thousand searches, by the table of prices; a fusion costs what its parts cost.
    price, cost = cells["usd_per_million_tokens"], cells["usd_per_thousand_queries"]
    assert set(price.drop("bm25")) == {0.02}
    assert price["bm25"].isna().all()
    assert cost["bm25", "none"] == 0
    by_reranker = cost.unstack("reranker").drop(columns="none")
    assert by_reranker.shape[1] == 1
    assert by_reranker.sub(cost.xs("none", level="reranker"), axis=0).to_numpy() == pytest.approx(2)
    board = (tmp_path / "out" / "leaderboard.md").read_text()
    assert "| 0.02" in board
    text = (tmp_path / "out" / "recommendation.md").read_text()
    assert text.startswith("# Use bm25")
    assert "price<=0.01" in text


def test_what_the_choice_costs_is_told(evalkit, tmp_path, command):
    with serving() as server:
        status, _, err = evalkit(*command, "--models", spec_of("openai", server), "--no-hybrid")
    assert status == 0, err
    cells = Results.read(tmp_path / "out").measurements.cells
    usd = cells["usd_per_thousand_queries"].item()
    assert usd > 0
    assert f"{usd:.3g} USD a thousand queries" in (tmp_path / "out" / "recommendation.md").read_text()
