"""Requirements: reading them, and whether a choice keeps to them."""

import math

import pytest

from evalkit.errors import ConfigError, UnknownNameError
from evalkit.metrics.ranking import RANKING_METRICS
from evalkit.picking._requirements import parse_requirements


def test_the_example_of_the_manual():
    latency, dim, licence = parse_requirements("latency_p95<50ms, dim<=512, licence~apache|mit")
    assert (latency.column, latency.operator, latency.value) == ("latency_p95_ms", "<", 50.0)
    assert (dim.column, dim.operator, dim.value) == ("dim", "<=", 512.0)
    assert (licence.operator, licence.value) == ("~", ("apache", "mit"))


@pytest.mark.parametrize(
    ("text", "value"),
    [("latency_p50<0.2s", 200), ("memory<2GB", 2000), ("vector_bytes<=1.5kB", 1500), ("parameters<7B", 7000),
     ("index_time<2min", 120), ("nDCG@10>=0.5", 0.5)],
)  # fmt: skip
def test_units_become_those_of_the_measurements(text, value):
    assert parse_requirements(text)[0].value == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "values", "verdict"),
    [
        ("dim<=50", {"dim": 50.0}, "met"),
        ("dim<50", {"dim": 50.0}, "unmet"),
        ("latency_p95<50ms", {"latency_p95_ms": math.nan}, "not known"),
        ("latency_p95<50ms", {}, "not known"),
        ("licence~apache|mit", {"licence": ("Apache-2.0", "MIT")}, "met"),
        ("licence~apache|mit", {"licence": ("Apache-2.0", "CC-BY-NC-4.0")}, "unmet"),
        ("licence~apache|mit", {"licence": ("MIT", None)}, "not known"),
        ("licence=mit", {"licence": ("MIT-0",)}, "unmet"),
        ("licence~mit", {"licence": ()}, "met"),
    ],
)
def test_what_is_not_known_is_not_met(text, values, verdict):
    assert parse_requirements(text)[0].verdict(values) == verdict


@pytest.mark.parametrize(
    ("text", "low", "high", "verdict"),
    [
        ("latency_p95<50ms", 30, 49.9, "met"),
        ("latency_p95<50ms", 30, 50, "within the spread"),
        ("latency_p95<=50ms", 30, 50, "met"),
        ("latency_p95<50ms", 49.9, 60, "within the spread"),
        ("latency_p95<50ms", 50, 60, "unmet"),
        ("latency_p95>50ms", 49.9, 60, "within the spread"),
        ("latency_p95>50ms", 50.1, 60, "met"),
        ("latency_p95=50ms", 40, 60, "within the spread"),
        ("latency_p95=50ms", 51, 60, "unmet"),
        ("latency_p95<50ms", math.nan, math.nan, "within the spread"),
    ],
)
def test_a_limit_within_the_spread_is_neither_met_nor_unmet(text, low, high, verdict):
    values = {"latency_p95_ms": 45.0, "latency_p95_low_ms": low, "latency_p95_high_ms": high}
    assert parse_requirements(text)[0].verdict(values) == verdict


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("latency_p59<50ms", UnknownNameError, "latency_p95"),
        ("latency_p95<50kg", ConfigError, "units: ms, s"),
        ("latency_p95<50", ConfigError, "has no unit.*Write latency_p95<50ms; units: ms, s"),
        ("latency_p50<=0.2", ConfigError, "Write latency_p50<=0.2ms"),
        ("memory<2", ConfigError, "Write memory<2mb; units: mb, gb"),
        ("index_time<60", ConfigError, "Write index_time<60s; units: s, min, h"),
        ("latency_p95", ConfigError, "NAME, one of"),
        ("dim~512", ConfigError, "with a number"),
        ("licence<mit", ConfigError, "compares a text"),
        ("licence~apache|", ConfigError, r"names an empty licence; write it as licence~apache\|mit"),
        ("licence=|mit", ConfigError, "names an empty licence"),
        ("dim<=1.2.3", ConfigError, "with a number"),
        ("latency_p95<.ms", ConfigError, "with a number"),
        ("nDCG@1>50", ConfigError, "nDCG@1 is a fraction up to 1; for 50 percent write 0.5"),
        ("ndgc@5>0.5", ConfigError, "unknown metric 'ndgc@5'.*nDCG@5"),
        ("hit_rate@0>0.5", ConfigError, "K a whole number from 1"),
    ],
)
def test_mistakes_are_told(text, error, says):
    with pytest.raises(error, match=says):
        parse_requirements(text)


@pytest.mark.parametrize("metric", RANKING_METRICS)
def test_every_metric_can_be_required(metric):
    (required,) = parse_requirements(f"{metric}@7>=0.4")
    assert (required.verdict({f"{metric}@7": 0.4}), required.verdict({f"{metric}@7": 0.3})) == ("met", "unmet")
