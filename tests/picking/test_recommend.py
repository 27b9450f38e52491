"""The recommendation, on records and measurements whose answer is known."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from evalkit.errors import ConfigError
from evalkit.picking._answer import in_short
from evalkit.picking._recommend import recommend
from evalkit.picking._recommendation import to_text
from evalkit.picking._requirements import parse_requirements
from evalkit.results import Results
from evalkit.results.facts import NO_WEIGHTS, ModelFacts
from evalkit.results.records import MEASUREMENT_COLUMNS, TRUNCATED_COLUMNS, Measurements
from evalkit.runner.measure._rounds import percentile, spread

QUESTIONS = 400
LATENCY = {"large": 80.0, "middle": 20.0, "small": 2.0, "bad": 1.0}
FACTS = {
    label: ModelFacts("sbert", label, licence=licence, parameters=parameters).as_data
    for label, licence, parameters in (
        ("large", "MIT", 300.0), ("middle", "Apache-2.0", 30.0), ("small", None, 3.0), ("bad", NO_WEIGHTS, 0.0),
    )
}  # fmt: skip


def hits() -> dict[str, np.ndarray]:
    """large finds 360 of 400; middle the same but 4, small the same but 24, bad half."""
    large = np.arange(QUESTIONS) < 360
    return {
        "large": large,
        "middle": large & (np.arange(QUESTIONS) >= 4),
        "small": large & (np.arange(QUESTIONS) >= 24),
        "bad": np.arange(QUESTIONS) < 200,
    }


def results(
    latency: dict[str, float] = LATENCY,
    questions: slice = slice(None),
    rounds: dict[str, tuple[float, float]] | None = None,
    corpus_bytes: dict[str, float] | None = None,
) -> Results:
    rounds = {**{model: (0.95 * ms, 1.05 * ms) for model, ms in latency.items()}, **(rounds or {})}
    records = pd.concat(
        pd.DataFrame({"task": "docs", "split": "512/64", "model": model, "reranker": "none",
                      "id": [f"q{row}" for row in range(QUESTIONS)][questions], "metric": "hit_rate@5",
                      "value": found.astype(float)[questions]})
        for model, found in hits().items()
    )  # fmt: skip
    rows = [
        {"task": "docs", "split": "512/64", "model": model, "reranker": "none", "latency_p95_ms": ms,
         "latency_p95_low_ms": rounds[model][0], "latency_p95_high_ms": rounds[model][1],
         "embed_p50_ms": ms, "dim": 384.0, "corpus_bytes": (corpus_bytes or {}).get(model, 1e6),
         "usd_per_thousand_queries": 0.0,
         "price_note": "local: no price", "note": ""}
        for model, ms in latency.items()
    ]  # fmt: skip
    measured = Measurements(pd.DataFrame(rows, columns=MEASUREMENT_COLUMNS), pd.DataFrame(columns=TRUNCATED_COLUMNS))
    return Results(records, {"seed": 0, "models": FACTS, "failures": []}, measurements=measured)


def decide(require: str = "", margin: float = 0.03, **more):
    return recommend(results(**more), parse_requirements(require), metric="hit_rate@5", margin=margin)


def test_a_limit_on_a_score_leaves_no_question_that_took_no_part():
    assert decide().confirmed is not None
    found = decide("hit_rate@5>=0.1")
    assert (found.basis, found.confirmed) == (decide().basis, None)


def test_the_cheapest_that_is_not_measurably_worse():
    found = decide()
    assert (found.best.model, found.choice.model) == ("large", "middle")
    by_model = {choice.model: choice for choice in found.choices}
    difference = hits()["middle"].astype(float) - hits()["large"]
    bootstrap = stats.bootstrap((difference,), np.mean, n_resamples=10_000, method="percentile", rng=1)
    assert by_model["middle"].difference == pytest.approx(-0.01)
    assert by_model["middle"].low == pytest.approx(bootstrap.confidence_interval.low, abs=0.003)
    assert by_model["small"].low < -0.03 < by_model["middle"].low
    assert by_model["small"].p_corrected <= 0.05 < by_model["middle"].p_corrected


def test_a_choice_rests_on_what_was_shown():
    """Of fewer questions less is shown."""
    assert (decide().basis, decide().tied) == ("as good and cheaper", 2)
    assert in_short(decide(), results())[0].startswith("Use middle")
    tie = decide(questions=slice(0, None, 5))
    assert (tie.basis, tie.tied, tie.best.model, tie.choice.model) == ("cheapest of a tie", 3, "large", "small")
    assert in_short(tie, results())[0] == "A tie of 3: the cheapest of them is small, chunks of 512/64."
    assert "the best has 0.900 (large, chunks of 512/64)" in in_short(tie, results())[1]
    assert "not shown to be equal" in to_text(tie, results())


def test_nothing_is_chosen_where_nothing_is_told_apart():
    few = decide("latency_p95>5ms", questions=slice(0, 60))
    assert (few.best.model, few.choice, few.basis, few.tied) == ("large", None, None, 2)
    assert in_short(few, results())[0] == "Not enough questions: 60 tell none of 2 choices apart."
    sure = in_short(few, results())[1]
    assert sure.startswith("The highest hit_rate@5 is 1.000 over 60 questions, of large, chunks of 512/64.")
    assert f"About {few.needed:,.0f} questions would show a difference" in sure


def test_the_best_of_all_is_used():
    found = decide("licence~mit|large|none, latency_p95<90ms", latency={"large": 80.0, "bad": 1.0})
    assert (found.basis, found.tied) == ("better than all others", 1)
    assert in_short(found, results())[0].startswith("Use large")
    only = decide("parameters>=100m")
    assert "the only one that is allowed" in in_short(only, results())[1]


def test_what_ran_alone_is_not_called_the_only_one_that_is_allowed():
    """The others failed, or there were none."""
    alone = results()
    alone = replace(alone, records=alone.records[alone.records["model"] == "large"])
    found = recommend(alone, metric="hit_rate@5")
    assert "it is the only one that ran." in in_short(found, alone)[1]
    assert "It is the only one that ran." in to_text(found, alone)


def test_the_answer_says_what_a_budget_left_out():
    run, cell = results(), {"task": "docs", "split": "512/64", "reranker": "none"}
    cut = [{**cell, "model": "cut", "score": 0.5, "n": 8}]
    untried = [{**cell, "model": model, "seconds": 9.0} for model in ("slow", "slower")]
    budgets = (
        (untried, cut, "2 choices were not tried and 1 choice was cut on part of the questions"),
        (untried, [], "2 choices were not tried"),
        ([], cut, "1 choice was cut on part of the questions"),
        ([], [], None),
    )
    for not_tried, left_out, what in budgets:
        budget = {"told": "All of it.", "cut": left_out, "untried": not_tried}
        within = replace(run, provenance={**run.provenance, "pick": {"budget": budget}})
        answer = in_short(recommend(within, metric="hit_rate@5"), within)
        told = [f"To keep to the budget, {what} (recommendation.md lists them)."] if what else []
        assert [each for each in answer if "budget" in each] == told


def test_the_pareto_set_leaves_out_what_another_beats():
    assert [choice.model for choice in decide().pareto] == ["large", "middle", "small", "bad"]
    slow = decide(latency={**LATENCY, "small": 50.0})
    assert [choice.model for choice in slow.pareto] == ["large", "middle", "bad"]


def test_requirements_rule_out_and_unknown_is_not_met():
    found = decide("latency_p95<10ms, licence~mit|apache")
    left_out = {choice.model: (choice.unmet, choice.unknown) for choice in found.choices}
    assert left_out["large"] == (("latency_p95<10ms",), ())
    assert left_out["small"] == ((), ("licence~mit|apache",))
    assert found.choice.model == "bad"
    assert {(each.if_, each.choice.model) for each in found.alternatives} == {
        ("without latency_p95<10ms", "middle"),
        ("without licence~mit|apache", "small"),
    }


def test_a_limit_within_the_spread_decides_nothing():
    """middle is the choice if it keeps to the limit, small if not: so none of the two is."""
    found = decide("latency_p95<25ms", rounds={"middle": (18.0, 31.0)}, margin=0.03)
    assert (found.choice, found.basis, found.confirmed) == (None, None, None)
    undecided = found.undecided
    assert (undecided.of.model, undecided.if_kept.model, undecided.if_not.model) == ("middle", "middle", "small")
    headline, *rest = in_short(found, results())
    reason = " ".join(rest)
    assert headline == ("Not decided: it cannot be told whether middle, chunks of 512/64 meets latency_p95<25ms.")
    assert "it is 20 ms, and 18 to 31 ms in the rounds that it was measured in" in reason
    assert "If every limit that is in doubt is kept to, the choice would be middle" in reason
    assert "if none is, the choice would be small" in reason
    assert "measure again on a machine that does nothing else" in reason
    assert to_text(found, results()).startswith(f"# {headline[:-1]}\n\n{reason}")
    # On either side of the limit it is decided.
    assert decide("latency_p95<25ms", rounds={"middle": (18.0, 24.9)}).choice.model == "middle"
    assert decide("latency_p95<25ms", rounds={"middle": (25.0, 31.0)}).choice.model == "small"


def test_a_limit_within_the_spread_of_what_is_not_chosen_is_only_told():
    found = decide(
        "latency_p95<1.5ms", latency={**LATENCY, "small": 50.0}, rounds={"bad": (0.9, 1.1), "small": (1, 60)}
    )
    assert found.undecided.if_not.model == "bad"
    found = decide("latency_p95<90ms", rounds={"large": (70.0, 95.0)})
    assert (found.undecided, found.choice.model) == (None, "middle")
    assert "large, chunks of 512/64 (hit_rate@5 0.900): cannot be told whether latency_p95<90ms" in to_text(
        found, results()
    )
    nothing = decide("latency_p95<1.0ms, latency_p95>0.5ms", questions=slice(0, 60))
    assert (nothing.choice, nothing.best) == (None, None)


def test_questions_that_do_not_decide_leave_no_doubt_to_tell():
    found = recommend(
        results(rounds={"middle": (18.0, 31.0)}), parse_requirements("latency_p95<25ms"), metric="hit_rate@5",
        margin=0.03, decide=False,
    )  # fmt: skip
    assert (found.undecided, found.choice) == (None, None)
    assert in_short(found, results())[0].startswith("No recommendation")


def test_latencies_whose_spreads_overlap_are_the_same_and_bytes_decide():
    """large and middle are as good: the faster is the choice if that was shown, else the one with fewer bytes."""
    slower = {"large": 21.0, "middle": 20.0, "small": 99.0, "bad": 99.0}
    apart = {"large": (20.6, 21.4), "middle": (19.6, 20.4)}
    overlap = {"large": (20.3, 21.4), "middle": (19.6, 20.4)}
    smaller = {"large": 1e6, "middle": 4e6}
    assert decide(latency=slower, rounds=apart, corpus_bytes=smaller).choice.model == "middle"
    found = decide(latency=slower, rounds=overlap, corpus_bytes=smaller)
    assert (found.choice.model, found.best.model) == ("large", "large")
    found = decide(latency=slower, rounds=overlap, corpus_bytes={"large": 4e6, "middle": 1e6})
    assert found.choice.model == "middle"
    assert "which of the two is faster cannot be told" in to_text(found, results())
    assert decide(latency=slower, rounds=overlap).choice.model == "large", "all costs the same, it has more hits"


def test_noise_in_latency_does_not_turn_the_choice_round():
    """Two models that are as fast, measured again and again: the order of their p95 changes, the choice does not."""
    rng = np.random.default_rng(0)
    orders, chosen = set(), set()
    for _ in range(20):
        latency, rounds = dict(LATENCY), {}
        for model in ("large", "middle"):
            times = 20 * rng.lognormal(sigma=0.2, size=50)
            latency[model] = percentile(times, 95)
            rounds[model] = spread(times, 95)
        found = decide(latency=latency, rounds=rounds, corpus_bytes={"large": 4e6})
        orders.add(latency["large"] < latency["middle"])
        chosen.add(found.choice.model)
    assert orders == {True, False}
    assert chosen == {"middle"}, "it has fewer bytes"


def test_nothing_is_left():
    found = decide("dim<10")
    assert (found.best, found.choice, found.pareto) == (None, None, ())
    assert found.alternatives[0].choice.model == "middle"
    assert in_short(found, results())[1:] == ["Without dim<10 it would be middle, chunks of 512/64."]


def test_questions_that_do_not_decide_compare_and_recommend_nothing():
    found = recommend(results(), metric="hit_rate@5", margin=0.03, decide=False)
    assert found.choice is None
    assert found.alternatives == ()
    assert [choice.model for choice in found.pareto] == ["large", "middle", "small", "bad"]
    told = in_short(found, results())
    assert told[0] == "No recommendation: these questions cannot say which model is best."
    assert "(a CSV file: question, quote)" in told[2]
    assert "## Worth a look" in to_text(found, results())


def test_weights_that_model_and_reranker_share_count_once():
    run = results()
    shared = {**FACTS, "large": {**FACTS["large"], "weights": "one"}, "again": {**FACTS["large"], "weights": "one"}}
    records = run.records.assign(reranker=np.where(run.records["model"] == "large", "again", "none"))
    found = recommend(
        Results(records, {"seed": 0, "models": shared}, measurements=run.measurements), metric="hit_rate@5"
    )
    assert next(each for each in found.choices if each.model == "large").values["parameters"] == 300


def test_pairs_that_are_told_apart_are_counted():
    """All but large and middle, which differ on 4 questions of 400."""
    assert decide().pairs_apart == 5
    assert decide("latency_p95<10ms").pairs_apart == 1, "of those allowed"


def test_another_margin_would_change_the_answer():
    told = {each.if_: each.choice for each in decide().alternatives}
    loose = next(text for text in told if "above" in text)
    threshold = float(loose.split()[4])
    assert told[loose].model == "small"
    assert decide(margin=threshold + 0.001).choice.model == "small"
    assert decide(margin=threshold - 0.001).choice.model == "middle"
    told = {each.if_: each.choice for each in decide(margin=threshold + 0.001).alternatives}
    tight = next(text for text in told if "or less" in text)
    assert decide(margin=float(tight.split()[4]) - 0.001).choice.model == told[tight].model == "middle"


def test_the_number_of_questions_that_the_margin_needs():
    from statsmodels.stats.power import TTestPower

    found = decide()
    sd = float(np.std(hits()["middle"].astype(float) - hits()["large"], ddof=1))
    assert found.needed == math.ceil(TTestPower().solve_power(effect_size=0.03 / sd, alpha=0.05, power=0.8))
    assert found.detectable < 0.03


@pytest.mark.parametrize(("metric", "margin"), [("hit_rate@5", 0.0), ("hit_rate@7", 0.02)])
def test_mistakes_are_told(metric, margin):
    with pytest.raises(ConfigError):
        recommend(results(), metric=metric, margin=margin)


def test_where_no_choice_could_be_run_the_reasons_are_told():
    failures = [
        {"task": "docs", "split": "512/64", "model": "m", "reranker": "none", "reason": "its weights are NaN."}
    ]
    nothing = Results(results().records.iloc[:0], {"seed": 0, "failures": failures})
    with pytest.raises(
        ConfigError, match=r"^no choice could be run, so that .*recommend\. m: its weights are NaN\.$"
    ):
        recommend(nothing, metric="hit_rate@5")
