"""All faults on: vectors are right and each text is delivered once; or there is one error, and nothing is lost."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest
from api_models import EMBEDDERS, RERANKERS, model_of
from api_server import FAULTS, RETRY_AFTER, score, serving, vector
from hypothesis import given
from hypothesis import strategies as st

from evalkit.contracts import no_progress
from evalkit.errors import ApiError
from evalkit.models import _api as api
from evalkit.models import _api_requests as api_requests
from evalkit.store import Store, encode_once, score_once

TEXTS = [f"text {number}" for number in range(60)]
QUERIES = [f"q{number % 20}" for number in range(60)]


def accept(values, rows):
    assert len(values) == len(rows)


def vectors_of(model, store, texts=TEXTS):
    return encode_once(store, model, "m", texts, "document", accept, no_progress)[:]


def scores_of(model, store):
    return score_once(store, model, "m", QUERIES, TEXTS, accept, no_progress)


def right(model, texts=TEXTS):
    return np.array([vector(text, model.prompt("document").partition("\n")[0]) for text in texts])


def some_slow(families, *quick):
    """The families as parameters, all but some of them slow: requests that stall are waited for."""
    return [pytest.param(family, marks=[] if family in quick else pytest.mark.slow) for family in families]


@pytest.mark.parametrize("family", some_slow(EMBEDDERS, "openai", "google"))
def test_all_faults_on_all_vectors_right_each_text_delivered_once(family, tmp_path):
    with serving(faults=FAULTS, seed=1) as server:
        model = model_of(family, server, at_once=1, concurrency=8)
        np.testing.assert_array_equal(vectors_of(model, Store(tmp_path)), right(model))
    assert server.delivered == dict.fromkeys(TEXTS, 1)
    assert set(server.met) == set(FAULTS)
    spent = next(iter(model.spending.models.values()))
    assert spent.texts == len(TEXTS)
    assert spent.requests == 60 + sum(server.met[kind] for kind in ("count", "nan", "dimension"))
    assert spent.unanswered == sum(server.met[kind] for kind in ("stall", "cut", "garbage"))


@pytest.mark.parametrize("family", some_slow(RERANKERS, "cohere-rerank"))
def test_all_faults_on_all_scores_right_each_pair_delivered_once(family, tmp_path):
    with serving(faults=FAULTS, seed=1) as server:
        model = model_of(family, server, at_once=1, concurrency=8)
        assert scores_of(model, Store(tmp_path)).tolist() == list(map(score, QUERIES, TEXTS))
    assert server.delivered == {f"{query} × {text}": 1 for query, text in zip(QUERIES, TEXTS, strict=True)}
    assert set(server.met) == set(FAULTS)


@pytest.mark.parametrize("family", ["openai", "cohere", "voyage", "google"])
def test_a_refusal_in_the_middle_is_one_error_and_what_came_is_kept(family, tmp_path):
    def plan(path, body, time_number):
        return "forbid" if "text 37" in str(body) else "slow"

    with serving(plan=plan) as server:
        model = model_of(family, server, at_once=2)
        with pytest.raises(ApiError, match=rf"^{family}:\S+: refused with status 400: .*that is not possible"):
            vectors_of(model, Store(tmp_path))
        came = dict(server.delivered)
        assert 0 < len(came) < len(TEXTS)
        server.plan = None
        np.testing.assert_array_equal(vectors_of(model, Store(tmp_path)), right(model))
    assert server.delivered == dict.fromkeys(TEXTS, 1)


def test_a_reranker_that_fails_in_the_middle_is_asked_for_the_rest_only(tmp_path):
    with serving(plan=lambda path, body, time_number: "forbid" if body["query"] == "q7" else "slow") as server:
        model = model_of("cohere-rerank", server)
        with pytest.raises(ApiError, match="status 400"):
            scores_of(model, Store(tmp_path))
        assert 0 < len(server.delivered) < len(TEXTS)
        server.plan = None
        assert scores_of(model, Store(tmp_path)).tolist() == list(map(score, QUERIES, TEXTS))
    assert set(server.delivered.values()) == {1}


def test_an_interrupt_keeps_what_came(tmp_path, monkeypatch):
    waits = iter(range(10**6))

    def interrupted(running, **how):
        if next(waits) == 3:
            raise KeyboardInterrupt
        return wait(running, **how)

    wait = api.wait
    monkeypatch.setattr(api, "wait", interrupted)
    with serving(plan=lambda *_: "slow") as server:
        model = model_of("openai", server, at_once=2)
        with pytest.raises(KeyboardInterrupt):
            vectors_of(model, Store(tmp_path))
        assert 0 < len(server.delivered) < len(TEXTS)
        vectors_of(model, Store(tmp_path))
    assert server.delivered == dict.fromkeys(TEXTS, 1)


@pytest.mark.parametrize(
    ("fault", "message", "came"),
    [
        ("unavailable", r"gave up after 4 attempts; the last: status 503: .*no luck with", 4),
        ("stall", r"gave up after 4 attempts; the last: no answer: APITimeoutError", 4),
        ("cut", r"gave up after 4 attempts; the last: no answer: APIConnectionError", 4),
        ("nan", r"3 wrong answers to one request: values that are not finite", 3),
        ("count", r"3 wrong answers to one request: an array of shape \(1, 16\), not \(2, 16\)", 3),
        ("dimension", r"3 wrong answers to one request: an array of shape \(2, 17\), not \(2, 16\)", 3),
        ("garbage", r"3 wrong answers to one request: ", 3),
    ],
)
def test_a_fault_that_stays_is_one_clear_error(fault, message, came, tmp_path, monkeypatch):
    monkeypatch.setattr(api, "ATTEMPTS", 4)
    with serving(plan=lambda *_: fault) as server, pytest.raises(ApiError, match=rf"openai:\S+: {message}"):
        vectors_of(model_of("openai", server), Store(tmp_path), ["cat", "dog"])
    assert list(server.came.values()) == [came]


@pytest.mark.parametrize("family", [*EMBEDDERS, *RERANKERS])
def test_the_clients_own_retries_are_off(family, tmp_path, monkeypatch):
    monkeypatch.setattr(api, "ATTEMPTS", 1)
    for fault in ("throttle", "unavailable", "cut"):
        with serving(plan=lambda *_, fault=fault: fault) as server:
            model = model_of(family, server)
            with pytest.raises(ApiError, match="gave up after 1 attempts"):
                model.encode(["cat"], "query") if family in EMBEDDERS else model.score(["cat"], ["dog"])
        assert list(server.came.values()) == [1], fault


def test_retry_after_is_honoured():
    with serving(faults=("throttle",), most=1, seed=2) as server:
        model = model_of("openai", server, at_once=20, concurrency=1)
        started = time.monotonic()
        model.encode(TEXTS, "query")
    assert server.met["throttle"] >= 2
    assert server.too_early == 0
    assert time.monotonic() - started >= server.met["throttle"] * RETRY_AFTER


def test_a_throttle_holds_all_requests_back():
    with serving(
        plan=lambda path, body, n: "throttle" if "text 0" in str(body["input"]) and n == 0 else "slow"
    ) as server:
        model_of("openai", server, at_once=1, concurrency=4).encode(TEXTS[:12], "query")
    assert server.too_early <= 3, "only those that were on their way"


def test_no_more_requests_at_once_than_allowed():
    for allowed in (1, 3):
        with serving(plan=lambda *_: "slow") as server:
            model_of("openai", server, at_once=5, concurrency=allowed).encode(TEXTS, "query")
        assert server.most_at_once == allowed


def test_retry_after_is_seconds_or_a_date():
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert api._retry_after({"retry-after": "1.5"}) == 1.5
    assert 28 < api._retry_after({"retry-after": soon}) <= 30
    assert api._retry_after({"retry-after": "soon"}) is None
    assert api._retry_after({}) is None


def test_a_server_that_asks_for_an_hour_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(api, "LONGEST_RETRY_AFTER", RETRY_AFTER / 2)
    with serving(plan=lambda *_: "throttle") as server, pytest.raises(ApiError, match="to be tried again in"):
        model_of("openai", server).encode(["cat"], "query")
    assert list(server.came.values()) == [1]


@given(st.lists(st.integers(1, 50)), st.integers(1, 5), st.integers(1, 100))
def test_requests_are_cut_by_count_and_by_tokens(sizes, most, most_tokens):
    parts = list(api_requests.cut(sizes, most, most_tokens))
    assert [size for part in parts for size in sizes[part]] == sizes
    for part, after in zip(parts, [*parts[1:], None][: len(parts)], strict=True):
        inside = sizes[part]
        assert 0 < len(inside) <= most
        assert len(inside) == 1 or sum(inside) <= most_tokens
        if after is not None:
            assert len(inside) == most or sum(inside) + sizes[after.start] > most_tokens, "no smaller than need be"


@pytest.mark.parametrize("text", ["an English sentence of common words", "日本語の文です"])
def test_tokens_are_estimated_from_above(text):
    import tiktoken
    from llama_index.core.utils import get_tokenizer

    get_tokenizer()  # points tiktoken to the files that LlamaIndex brings
    assert api_requests.estimate_tokens(text) >= len(tiktoken.get_encoding("cl100k_base").encode(text))
