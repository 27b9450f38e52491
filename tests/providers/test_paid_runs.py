"""Runs with paid models: the budget, the costs in the results, keys that are missing, and keys that never show."""

import json
import logging
import traceback

import numpy as np
import pytest
from api_models import EMBEDDERS, RERANKERS, model_of, spec_of
from api_server import FAULTS, KEY, serving
from fakes import write_tasks

import evalkit as package
from evalkit.errors import ApiError, BudgetError, EvalkitError, MissingKeyError
from evalkit.models import _api as api
from evalkit.spending import Spending


def run(folder, tasks, server, models, rerankers=(), **keys):
    pets, pairs = tasks
    return package.run(
        models=[spec_of(family, server) for family in models],
        rerankers=[spec_of(family, server) for family in rerankers] or "none",
        tasks=[pets, pairs],
        top_k=2,
        candidates=3,
        store=folder / "store",
        out=folder / "out",
        device="cpu",
        **keys,
    )


@pytest.fixture
def tasks(tmp_path):
    return write_tasks(tmp_path)


@pytest.mark.slow
def test_a_grid_with_all_faults_on_is_the_grid_with_none(tmp_path, tasks):
    scores = {}
    for name, faults in (("calm", ()), ("rough", FAULTS)):
        folder = tmp_path / name
        folder.mkdir()
        with serving(faults=faults, seed=4) as server:
            results = run(folder, tasks, server, EMBEDDERS, RERANKERS)
            again = run(folder, tasks, server, EMBEDDERS, RERANKERS)
        assert not results.failures
        assert again.provenance["costs"] == {}
        calls = server.bodies
        assert calls
        scores[name] = results.scores.drop(columns=["model", "reranker"])
        np.testing.assert_array_equal(results.scores["score"], again.scores["score"])
    assert len(server.met) > 4
    assert scores["calm"].equals(scores["rough"])


def test_costs_are_what_the_api_charged(evalkit, tmp_path):
    pets, _ = write_tasks(tmp_path)
    with serving(faults=("nan",), most=1, seed=0) as server:
        spec = spec_of("openai", server)
        arguments = ["run", "--models", f"bow,{spec}", "--tasks", pets, "--top-k", "1", "--store", tmp_path / "store"]
        status, shown, _ = evalkit(*arguments, "--out", tmp_path / "out")
        assert status == 0
        assert server.tokens > 0
        cost = json.loads((tmp_path / "out" / "run.json").read_text())["costs"]
    name = "openai:text-embedding-3-small"
    assert list(cost) == [name]
    assert cost[name] == {
        "texts": 6, "requests": 2 + server.met["nan"], "unanswered": 0, "tokens": server.tokens, "estimated": False,
        "usd": pytest.approx(0.02 * server.tokens / 1e6, abs=1e-9),
    }  # fmt: skip
    assert "Cost" in shown
    assert f"{cost[name]['usd']:.6f}" in shown
    assert name in (tmp_path / "out" / "leaderboard.md").read_text()
    status, shown, _ = evalkit(*arguments, "--out", tmp_path / "again")
    assert "Cost" not in shown, "all of it was in the store"


def test_a_budget_ends_with_one_clear_error_and_the_next_run_pays_for_the_rest(tmp_path, tasks):
    with serving() as server:
        poor = run(tmp_path, tasks, server, ["cohere", "voyage"], max_cost=1.5e-6)
        assert {failure["model"].partition(":")[0] for failure in poor.failures} == {"cohere", "voyage"}
        assert all("the budget is used up" in failure["reason"] for failure in poor.failures)
        spent = sum(cost["usd"] for cost in poor.provenance["costs"].values())
        assert spent <= 1.5e-6
        rich = run(tmp_path, tasks, server, ["cohere", "voyage"], max_cost=1)
        assert not rich.failures
    asked_twice = {"dogs bark"}  # as a query of one task and a sentence of the other
    delivered = {text: count for text, count in server.delivered.items() if text not in asked_twice}
    assert set(delivered.values()) == {2}, "once for each of the two models"


def test_a_budget_holds_before_a_request_is_sent_and_is_shared():
    with serving() as server:
        spending = Spending(max_usd=3e-6)
        first = model_of("openai", server, at_once=1, concurrency=4)
        other = model_of("voyage", server, at_once=1)
        first.spending = other.spending = spending
        with pytest.raises(BudgetError, match=r"^the budget is used up: 0\.0000\d+ USD spent.*cost 3e-06 allows"):
            first.encode([f"text {number}" for number in range(100)], "query")
        sent = len(server.bodies)
        assert 0 < spending.usd <= 3e-6
        with pytest.raises(BudgetError, match="voyage:voyage-4"):
            other.encode(["a much longer text that has no room in what is left of the budget " * 9], "query")
        assert len(server.bodies) == sent


def test_nothing_to_spend_is_enough_for_what_is_stored(tmp_path, tasks):
    with serving() as server:
        assert not run(tmp_path, tasks, server, ["openai"]).failures
        assert not run(tmp_path, tasks, server, ["openai"], max_cost=0).failures


def test_lost_answers_count_against_the_budget(monkeypatch):
    monkeypatch.setattr(api, "ATTEMPTS", 2)
    with serving(plan=lambda *_: "cut") as server:
        model = model_of("openai", server)
        with pytest.raises(ApiError):
            model.encode(["cat"], "query")
    spent = model.spending.models["openai:text-embedding-3-small"]
    assert (spent.texts, spent.requests, spent.unanswered) == (0, 0, 2)
    assert spent.usd == pytest.approx(2 * 2 * 0.02 / 1e6)


def test_an_unknown_price_is_unknown_and_runs_in_no_budget(tmp_path):
    with serving() as server:
        model = spec_of("openai", server).replace("3-small", "9-large")
        pets, _ = write_tasks(tmp_path)
        keys = {"models": [model], "tasks": pets, "no_store": True, "device": "cpu"}
        assert package.run(**keys).provenance["costs"]["openai:text-embedding-9-large"]["usd"] is None
        sent = len(server.bodies)
        with pytest.raises(BudgetError, match=r"no price is known for openai:text-embedding-9-large\?.*price=USD"):
            package.run(**keys, max_cost=1)
        assert len(server.bodies) == sent


@pytest.mark.parametrize("family", [*EMBEDDERS, *RERANKERS])
def test_a_missing_key_is_an_error_before_work_begins(family, evalkit, tmp_path, monkeypatch):
    pets, _ = write_tasks(tmp_path)
    provider = family.removesuffix("-rerank").replace("-", "_").upper()
    monkeypatch.setenv(f"{provider}_API_KEY", " ")
    with serving(key="none") as server:
        spec = spec_of(family, server)
        chosen = ["--models", f"bow,{spec}"] if family in EMBEDDERS else ["--models", "bow", "--rerankers", spec]
        status, shown, errors = evalkit("run", *chosen, "--tasks", pets, "--no-store", "--out", tmp_path / "out")
    if family == "openai-compatible":
        assert status == 0, "such a server may need no key"
        return
    assert (status, shown) == (2, "")
    assert errors.startswith(f"error: no key for a paid API. Set in the environment: {provider}_API_KEY")
    assert errors.endswith(f"for {family}.\n")
    assert not server.bodies
    assert not (tmp_path / "out").exists()


def test_all_missing_keys_are_named_at_once(tmp_path, tasks, monkeypatch):
    for name in ("COHERE", "VOYAGE"):
        monkeypatch.delenv(f"{name}_API_KEY")
    with serving() as server, pytest.raises(MissingKeyError) as caught:
        run(tmp_path, tasks, server, ["voyage", "cohere"], ["cohere-rerank"])
    assert str(caught.value).endswith(
        "VOYAGE_API_KEY for voyage; COHERE_API_KEY or CO_API_KEY for cohere; "
        "COHERE_API_KEY or CO_API_KEY for cohere-rerank."
    )


def test_the_other_name_of_a_key_will_do(monkeypatch):
    for family, other in (("cohere", "CO_API_KEY"), ("google", "GEMINI_API_KEY")):
        monkeypatch.delenv(f"{family.upper()}_API_KEY")
        monkeypatch.setenv(other, KEY)
        with serving() as server:
            model_of(family, server).encode(["cat"], "query")


def test_the_openai_key_is_never_sent_to_a_compatible_server(monkeypatch):
    monkeypatch.delenv("OPENAI_COMPATIBLE_API_KEY")
    with serving(key="none") as server:
        model_of("openai-compatible", server).encode(["cat"], "query")


@pytest.mark.parametrize("case", ["faults", "refused key", "refused request"])
def test_no_key_in_any_log_error_result_or_report(case, evalkit, tmp_path, caplog):
    """The server repeats the key in every error it gives."""
    caplog.set_level(logging.DEBUG)
    pets, pairs = write_tasks(tmp_path)
    plan = (lambda *_: "forbid") if case == "refused request" else None
    faults = FAULTS if case == "faults" else ()
    with serving(faults=faults, plan=plan, key="another" if case == "refused key" else KEY, seed=4) as server:
        status, shown, errors = evalkit(
            "run", "--models", ",".join(["bow", *(spec_of(family, server) for family in EMBEDDERS)]),
            "--rerankers", ",".join(spec_of(family, server) for family in RERANKERS), "--tasks", f"{pets},{pairs}",
            "--metrics", "nDCG@2", "--candidates", "3", "--store", tmp_path / "store", "--out", tmp_path / "out",
        )  # fmt: skip
        for family in (*EMBEDDERS, *RERANKERS):
            model = model_of(family, server)
            try:
                model.encode(["new"], "query") if family in EMBEDDERS else model.score(["new"], ["new"])
            except EvalkitError as error:
                shown += "".join(traceback.format_exception(error)) + repr(error)
            shown += repr(model) + str(vars(model.spending))
    assert status == (0 if case == "faults" else 1)
    if case == "refused key":
        assert "the key was refused (status 401)" in shown
    if case == "refused request":
        assert "that is not possible with ***" in shown
    assert server.bodies
    assert KEY not in shown + errors + caplog.text
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 5
    for path in written:
        assert KEY.encode() not in path.read_bytes(), path
