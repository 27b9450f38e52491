"""What measuring asks of paid APIs: few requests, all paid for under the budget."""

import numpy as np
import pytest
from api_models import model_of, spec_of
from api_server import serving
from fakes import retrieval_task

from evalkit.compute import Compute
from evalkit.models.registry.selection import choose_participants
from evalkit.runner.context import RunContext
from evalkit.runner.measure import Limits, measure
from evalkit.runner.measure import _rounds as work
from evalkit.spending import Spending
from evalkit.store import Store

TASK = retrieval_task(
    {f"d{number}": f"document number {number}" for number in range(60)},
    {f"q{number}": f"which is number {number}" for number in range(30)},
)


def measured(server, store, embedder="openai", reranker="cohere-rerank", max_usd=None):
    context = RunContext(Compute(), store, spending=Spending(max_usd))
    participants = choose_participants([spec_of(embedder, server)], [spec_of(reranker, server)])
    found = measure([TASK], participants, candidates=3, context=context, limits=Limits(10, 0.5))
    return found.cells, context.spending


def test_few_requests_and_all_of_them_in_the_account(tmp_path):
    with serving() as server:
        store = Store(tmp_path)
        first, _ = measured(server, store)
        server.bodies.clear()
        cells, spending = measured(server, store)
        paths = [path for path, _ in server.bodies]
    assert list(cells["note"]) == ["", ""]
    # The corpus was paid for the first time. Two small batches of documents and one of all, 1 + 1 + 5 queries.
    embedded = sum("embeddings" in path for path in paths)
    assert embedded == 3 + 2 + work.PAID_QUERIES
    assert len(paths) - embedded == 1 + work.PAID_QUERIES
    texts = [body["input"] for path, body in server.bodies if "embeddings" in path]
    tokens = sum(sum(map(len, of_request)) // 4 + 1 for of_request in texts)  # as the server counts
    assert spending.models["openai:text-embedding-3-small"].tokens == tokens
    assert spending.usd == pytest.approx(0.02 * tokens / 1e6 + 2 * 6 / 1000)
    alone, behind = (cell for _, cell in cells.iterrows())
    assert alone["queries"] == behind["queries"] == work.PAID_QUERIES
    assert alone["usd_per_million_tokens"] == behind["usd_per_million_tokens"] == 0.02
    assert alone["price_note"].startswith("0.02 USD per million tokens (20")
    assert "; reranker: 2 USD per thousand searches (20" in behind["price_note"]
    assert behind["usd_per_thousand_queries"] - alone["usd_per_thousand_queries"] == pytest.approx(2)
    assert 0 < alone["usd_per_thousand_queries"] < 0.01
    assert cells[["peak_memory_mb", "documents_truncated"]].isna().all(axis=None)
    assert (first["latency_p50_ms"] > 0).all()


def test_a_budget_is_kept_and_named(tmp_path):
    with serving() as server:
        cells, spending = measured(server, Store(tmp_path), max_usd=0.005)
        assert not cells["note"][0]
        assert "the budget is used up" in cells["note"][1]
        assert np.isnan(cells["latency_p50_ms"][1])
        assert 0 < spending.usd <= 0.005


def test_without_a_store_nothing_is_paid_for_twice():
    with serving() as server:
        cells, _ = measured(server, None)
        assert all("would pay for the whole corpus again" in note for note in cells["note"])
        assert not server.bodies


def test_an_unknown_price_is_not_zero(tmp_path):
    with serving() as server:
        model = choose_participants([spec_of("openai", server).replace("3-small", "9-large")], [])
        context = RunContext(Compute(), Store(tmp_path))
        cell = measure([TASK], model, candidates=3, context=context, limits=Limits(10, 0.5)).cells.iloc[0]
        assert model_of("openai", server).spending.usd == 0
    assert (cell["note"], cell["price_note"]) == ("", "unknown")
    assert np.isnan([cell["usd_per_million_tokens"], cell["usd_per_thousand_queries"]]).all()
