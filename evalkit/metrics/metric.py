"""A metric as an object: all that results, tables, reports, requirements and gates ask of it."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any, Literal, Self

from evalkit.errors import ConfigError
from evalkit.metrics import ir
from evalkit.metrics.ranking import RankingMetric, ranking_metrics
from evalkit.terms import SIMILARITIES

Comparison = Literal["means", "correlations", "none"]
CORRELATIONS = ("spearman", "pearson")
_CORRELATION = re.compile(rf"({'|'.join(CORRELATIONS)})\(({'|'.join(SIMILARITIES)})\)")
_AT_K = re.compile(r"(\w+)@([1-9][0-9]{0,8})")
_AT_TOKENS = re.compile(r"(\w+)@([1-9][0-9]{0,8})tokens")
_WHOLE = re.compile("[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric by its name in scores.csv, as ir_measures would name it: `nDCG@10`, `AP`, `spearman(cosine)`.

    `title` is what tables call it. Its scores are fractions from `low` to `high`, by default without bounds. Two
    scores of it are compared as means over queries, as Spearman's correlations over pairs, or, where no items stand
    behind them, not at all. Of one with `influence` the values are those of `stats.influence`, which may lie outside
    its bounds. `k` is the rank that it is cut at; one with `tokens` looks at as many of the first documents as have
    so many tokens together (`hit_rate@2000tokens`). `similarity` is what a correlation is of; the rest is as
    `ranking.RankingMetric` says.
    """

    name: str
    title: str
    low: float = -math.inf
    high: float = math.inf
    higher_is_better: bool = True
    compared: Comparison = "none"
    k: int | None = None
    similarity: str | None = None
    in_tables: bool = True
    binary: bool = False
    influence: bool = False
    tokens: int | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def sign(self) -> int:
        """Return 1 where more is better, -1 where less is: a score times this is the better the higher it is."""
        return 1 if self.higher_is_better else -1

    @property
    def definition(self) -> RankingMetric | None:
        """Return how evalkit computes it over rankings; None for a correlation, and for one of ir_measures."""
        is_cut = self.k is not None or self.tokens is not None
        return ranking_metrics().get(self.name.partition("@")[0]) if is_cut else None

    @classmethod
    def named(cls, name: str) -> Self:
        """Look up a metric by the name that it has in scores.csv; one that is not known here goes by its name."""
        if (at_k := _AT_K.fullmatch(name)) and (known := ranking_metrics().get(at_k[1])):
            return cls(
                name, f"{known.title}@{at_k[2]}", known.low, known.high, known.higher_is_better, "means",
                int(at_k[2]), in_tables=known.in_tables, binary=known.binary,
            )  # fmt: skip
        if (within := _AT_TOKENS.fullmatch(name)) and (known := ranking_metrics().get(within[1])):
            return cls(
                name, f"{known.title} in {int(within[2]):,} tokens", known.low, known.high, known.higher_is_better,
                "means", binary=known.binary, tokens=int(within[2]),
            )  # fmt: skip
        if found := _CORRELATION.fullmatch(name):
            compared: Comparison = "correlations" if found[1] == "spearman" else "none"
            in_tables = found[1] == "spearman" or found[2] == "cosine"
            title = f"{found[1].capitalize()} {found[2]}"
            return cls(name, title, -1, 1, True, compared, similarity=found[2], in_tables=in_tables)
        return cls(name, name.replace("_", " "))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the name of a metric that a user wrote: one of evalkit's own, a correlation, or one of ir_measures'.

        Raises ConfigError for one that does not exist, OptionalDependencyError for one that needs a package.
        """
        text = text.strip()
        base, at, k = text.partition("@")
        own = ranking_metrics()
        if _CORRELATION.fullmatch(text) or (base in own and _WHOLE.fullmatch(k.removesuffix("tokens"))):
            return cls.named(text)
        if base in own and (at or base not in ir.NAMES):
            raise ConfigError(
                f"metric {text!r} must be NAME@K with K a whole number from 1, such as '{base}@10', or NAME@Ntokens, "
                f"such as '{base}@2000tokens'."
            )
        if base.partition("(")[0] in ir.NAMES:
            name, cut = ir.parse(text)
            if cut is not None and name.removesuffix(f"@{cut}") in own:  # another name of one of evalkit's own
                return cls.named(name)
            return cls(name, name, 0, 1, True, "means", cut)
        spoken = {name.lower(): f"{name}{text[len(base) :] or '@10'}" for name in own}
        spoken |= {word: spoken[name.lower()] for word, name in _SPOKEN.items()}
        spoken |= {name: name for name in _CORRELATED}
        close = get_close_matches(text.lower() if "(" in text else base.lower(), spoken, n=1)
        hint = f"Did you mean {spoken[close[0]]!r}?" if close else f"Allowed: {', '.join([*own, *_CORRELATED])}."
        raise ConfigError(
            f"unknown metric {text!r}. {hint} Metrics of rankings are NAME@K, such as 'nDCG@10'; those of "
            "ir_measures are allowed too."
        )

    def as_data(self) -> dict[str, Any]:
        """Return the metric as plain data, for run.json: a bound that there is not is None."""
        return {name: None if value in (math.inf, -math.inf) else value for name, value in asdict(self).items()}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Make the metric that `as_data` gave."""
        low, high = data["low"], data["high"]
        bounds = {"low": -math.inf if low is None else low, "high": math.inf if high is None else high}
        return cls(**{**data, **bounds})


_SPOKEN = {"recall": "R", "precision": "P", "map": "AP", "success": "hit_rate", "rr": "MRR"}
"""Others call some of evalkit's metrics of rankings by these words."""
_CORRELATED = tuple(f"{name}({similarity})" for similarity in SIMILARITIES for name in CORRELATIONS)


def name_of(text: str) -> str:
    """Return the name in scores.csv of a metric that a user wrote: "MAP@5" is "AP@5" there; any other as it is.

    Raises ConfigError for a measure of ir_measures that cannot be computed, OptionalDependencyError without it.
    """
    base = text.partition("@")[0].partition("(")[0]
    return Metric.parse(text).name if base in ir.NAMES and base not in ranking_metrics() else text


def of_rankings(names: Iterable[str], top_k: Sequence[int]) -> tuple[Metric, ...]:
    """Choose what is computed of rankings: those named that are of rankings, or else evalkit's own at each k."""
    named = [metric for metric in map(Metric.parse, names) if metric.similarity is None]
    own = [Metric.named(f"{name}@{k}") for k in top_k for name in ranking_metrics()]
    return tuple(dict.fromkeys(named)) or tuple(own)


def of_pairs(names: Iterable[str]) -> tuple[Metric, ...]:
    """Choose what is computed of pairs of sentences: the correlations named, or else all."""
    named = [metric for metric in map(Metric.parse, names) if metric.similarity is not None]
    return tuple(dict.fromkeys(named)) or tuple(map(Metric.named, _CORRELATED))


def main_of(metrics: Sequence[Metric], preferred: Iterable[str] = ()) -> Metric:
    """Choose the metric that cells are ranked by: the first that is preferred and there, and has a paired test.

    By default Spearman's correlation of the cosine, nDCG at the largest k, or else the first.
    """
    there = {metric.name: metric for metric in metrics}
    for name in (*preferred, "spearman(cosine)"):
        if name in there and there[name].compared != "none":
            return there[name]
    gains = [metric for metric in metrics if metric.k is not None and metric.name == f"nDCG@{metric.k}"]
    return max(gains, key=lambda metric: metric.k or 0, default=metrics[0])
