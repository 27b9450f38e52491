"""Which cell to use, and why: from scores and measurements alone.

How it is decided:

1. A choice is a model, a reranker (or none) and a chunking. Those that a requirement rules out, or of which what it
   asks for is not known, are left out, each with the reason. Where a limit is within the spread of what was measured,
   all that follows is done twice, with such choices and without. If that makes a difference, nothing is chosen.
2. The best is the one with the highest mean of the metric among those that are left.
3. Every other is compared with it on the same questions. It is good enough if the lower bound of the paired 95 %
   interval of (choice - best) is above -margin: non-inferiority (Piaggio et al. 2012, CONSORT extension).
4. The cheapest of the best and the good enough is the choice: by price, then latency p95 where its spread leaves no
   doubt which is faster, then bytes of the corpus's vectors, then the score (see `_choice`). If it is the best, and
   some of the others cannot be told apart from it, they are tied, and the cheapest of the tied is named as no more
   than that. If none of the others can be told apart from it, the questions are too few to name any.
5. The score on new questions of a choice that is no tie's is estimated: it is chosen without the questions that it is
   scored on (`stats.selection`).

The best of many looks better than it is, since it was picked for its score on these very questions. That makes step 3
harder for the others, not easier: the best's lead is overstated. The intervals themselves are not corrected for their
number, each choice being held to the margin by itself; whether a choice is measurably worse is told by p-values that
are, for all pairs of choices (`stats.step_down`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.special import stdtrit

from evalkit.cell import NO_RERANKER
from evalkit.errors import ConfigError
from evalkit.picking._choice import Choice, Costs, cheapest
from evalkit.picking._requirements import Requirement, is_known
from evalkit.results import Results
from evalkit.results.comparisons import LEVEL
from evalkit.results.facts import NO_WEIGHTS, cell_facts, parts_of
from evalkit.results.records import CELL_KEYS
from evalkit.stats.paired import compare_means, queries_needed, smallest_difference
from evalkit.stats.selection import Choose, Confirmed, confirm
from evalkit.stats.step_down import told_apart
from evalkit.types import FloatArray, IntArray

Basis = Literal["as good and cheaper", "better than all others", "cheapest of a tie"]
"""What a choice rests on: it was shown to lose no more than the margin against the best, or it was shown to be the
best, or only that it was not told apart from the best.
"""


@dataclass(frozen=True)
class Alternative:
    """What would be chosen if one thing were otherwise, and what that is."""

    if_: str
    choice: Choice


@dataclass(frozen=True)
class Undecided:
    """A limit is within the spread of what was measured `of` a choice, and that makes a difference: what would be
    chosen if all such limits were kept to, and what if none were; None for nothing.
    """

    of: Choice
    if_kept: Choice | None
    if_not: Choice | None


@dataclass(frozen=True)
class Recommendation:
    """The decision and what it rests on.

    `choices` has all cells with a score, best first; `pareto` those allowed that no other one beats in quality,
    latency and cost at once. `choice` is None if the requirements leave nothing that finds anything, if nothing is
    told apart from the best, if it is `undecided`, or if the questions do not `decide`; `basis` says what it rests
    on, `tied` counts the best and those not told apart from it, `confirmed` is its score on new questions, None in a
    tie.

    `detectable` is the smallest difference from the best that the questions show with 80 % power, for the choice that
    is hardest to tell from it; `needed` the number of questions at which it would be the margin. NaN where no
    question tells any two apart. `pairs_apart` counts the pairs of those allowed that are told apart.
    """

    metric: str
    margin: float
    questions: int
    choices: tuple[Choice, ...]
    best: Choice | None
    choice: Choice | None
    pareto: tuple[Choice, ...]
    alternatives: tuple[Alternative, ...]
    detectable: float
    needed: float
    pairs_apart: int
    tied: int
    basis: Basis | None
    confirmed: Confirmed | None
    undecided: Undecided | None = None
    decide: bool = True

    @property
    def allowed(self) -> tuple[Choice, ...]:
        """The choices that keep to all requirements, best first."""
        return tuple(each for each in self.choices if each.allowed)

    @property
    def in_doubt(self) -> bool:
        """Whether there are choices of which it cannot be told if they keep to a limit, and nothing else against."""
        return any(each.may_be_allowed and not each.allowed for each in self.choices)

    @property
    def shown(self) -> Choice | None:
        """The choice, or where the questions are too few for one, what has the highest score."""
        return self.choice or (self.best if self.decide else None)


def recommend(
    results: Results,
    requirements: Sequence[Requirement] = (),
    *,
    metric: str,
    margin: float = 0.02,
    decide: bool = True,
    document_of: Mapping[str, str] | None = None,
) -> Recommendation:
    """Decide between the cells of a run with one document set: its splits are chunkings with the same questions.

    `margin` is in the metric's units (a fraction). Questions that do not `decide` (see `Origin.decides`) compare the
    choices, and none is recommended. `document_of` names by question the document that answers it: questions about
    one are kept together where a choice is confirmed. Raises ConfigError for a metric that the run does not have, or
    a margin that is no fraction.
    """
    check_margin(margin)
    records = results.records[results.records["metric"] == metric]
    if results.records.empty and results.failures:
        reasons = dict.fromkeys(f"{failure['model']}: {failure['reason']}" for failure in results.failures)
        raise ConfigError(f"no choice could be run, so that there is nothing to recommend. {' '.join(reasons)}")
    if records.empty:
        known = ", ".join(map(str, results.records["metric"].unique()))
        raise ConfigError(f"no scores in {metric!r}. The run has: {known}.")
    table = records.pivot_table(index="id", columns=CELL_KEYS, values="value", observed=True, sort=False)
    values: Any = table.to_numpy(dtype=np.float64)
    choices = []
    for column, labels in enumerate(table.columns.tolist()):
        split, model, reranker = tuple(labels)[1:]
        of_cell = _values(results, (split, model, reranker))
        of_cell.update(_scores(results, (split, model, reranker)))
        verdicts = [(requirement.text, requirement.verdict(of_cell)) for requirement in requirements]
        choices.append(
            Choice(
                split, model, reranker, float(np.mean(values[:, column])), of_cell,
                tuple(text for text, verdict in verdicts if verdict == "unmet"),
                tuple(text for text, verdict in verdicts if verdict == "not known"),
                tuple(text for text, verdict in verdicts if verdict == "within the spread"),
                of_task="task" in results.provenance.get("pick", {}),
            )
        )  # fmt: skip
    seed = results.provenance["seed"]
    found = _decide(choices, values, requirements, metric, margin, seed)
    if not decide:
        return replace(found, choice=None, basis=None, alternatives=(), undecided=None, decide=False)
    are_fractions = values.min() >= 0 and values.max() <= 1
    # A limit on a score has chosen by all of these questions: none is left that took no part.
    by_score = any(required.is_score for required in requirements)
    if found.basis in (None, "cheapest of a tie") or not are_fractions or by_score:
        return found
    groups = None if document_of is None else [document_of[str(question)] for question in table.index]
    of_allowed = _eligible(choices)
    rule = _rule(values[:, of_allowed], Costs.of([choices[number] for number in of_allowed]), margin, found.basis)
    return replace(found, confirmed=confirm(values[:, of_allowed], rule, groups, seed=seed))


def check_margin(margin: float) -> None:
    """Raise ConfigError for a margin that is not above 0 and below 1."""
    if not 0 < margin < 1:
        percent = f" For {margin:g} % write {margin / 100:g}." if 1 <= margin < 100 else ""
        raise ConfigError(
            f"margin={margin:g}: give what you would give up for a cheaper choice, a fraction of the metric above 0 "
            f"and below 1, such as 0.02.{percent}"
        )


def _decide(
    choices: Sequence[Choice],
    values: Any,
    requirements: Sequence[Requirement],
    metric: str,
    margin: float,
    seed: int,
) -> Recommendation:
    allowed = _eligible(choices)
    apart = _told_apart(values, allowed, seed)
    compared = _against_best(choices, values, allowed, apart, seed)
    eligible = [compared[number] for number in allowed]
    best, choice, basis = _chosen(eligible, margin)
    undecided = _undecided(choices, values, choice, margin, seed)
    if undecided is not None:
        choice, basis = None, None
    others = sorted(
        (each for each in compared if each.allowed and each is not best), key=lambda each: each.score, reverse=True
    )
    # Of those that may be as good, the hardest to tell from the best; with the same answers says nothing.
    sd = max((each.sd for each in others if each.sd > 0 and not each.p_corrected <= LEVEL), default=math.nan)
    if math.isnan(sd):
        sd = next((each.sd for each in others if each.sd > 0), math.nan)
    alternatives = [
        *(_other_margins(compared, best, choice, margin) if basis != "cheapest of a tie" else ()),
        *_without_each(choices, values, requirements, choice, margin, seed),
    ]
    return Recommendation(
        metric, margin, len(values), tuple(sorted(compared, key=lambda each: each.score, reverse=True)),
        best, choice, _pareto(eligible), tuple(alternatives),
        smallest_difference(sd, len(values)), queries_needed(margin, sd), int(np.sum(np.triu(apart <= LEVEL, 1))),
        len(_tied(eligible, best)), basis, None, undecided,
    )  # fmt: skip


def _eligible(choices: Sequence[Choice]) -> list[int]:
    """Number the choices that the requirements allow, and that find anything at all."""
    return [number for number, choice in enumerate(choices) if choice.allowed and choice.score > 0]


def _told_apart(values: Any, allowed: Sequence[int], seed: int) -> FloatArray:
    """Corrected p-values of all pairs of choices, float64 (n_choices, n_choices); NaN for those not allowed."""
    corrected = np.full((values.shape[1],) * 2, np.nan)
    if len(allowed) > 1:
        corrected[np.ix_(allowed, allowed)] = told_apart(values[:, allowed], level=LEVEL, seed=seed)[1]
    return corrected


def _against_best(
    choices: Sequence[Choice], values: Any, allowed: Sequence[int], corrected: FloatArray, seed: int
) -> list[Choice]:
    """Return the choices, those allowed compared with the best of them; `corrected` as `_told_apart` gives it."""
    compared = list(choices)
    if len(allowed) < 2:
        return compared
    top = _first(choices, allowed)
    others = [number for number in allowed if number != top]
    tests = compare_means(values, np.array([(number, top) for number in others], dtype=np.int64), seed=seed)
    # No question tells the two apart: then no resample does either, and what may have been missed is bounded by the
    # chance of that (Hanley and Lippman-Hand 1983, "If nothing goes wrong, is everything all right?").
    unseen = np.where(tests.sd == 0, 1 - 0.025 ** (1 / np.maximum(tests.n, 1)), 0.0)
    lows, highs = tests.low - unseen, tests.high + unseen
    for row, number in enumerate(others):
        compared[number] = replace(
            choices[number],
            difference=float(tests.difference[row]), low=float(lows[row]), high=float(highs[row]),
            p_corrected=float(corrected[top, number]), sd=float(tests.sd[row]),
        )  # fmt: skip
    return compared


def _first(choices: Sequence[Choice], allowed: Sequence[int]) -> int:
    """Return the best of those allowed; of equals the cheapest."""
    top = max(choices[number].score for number in allowed)
    found = cheapest([choices[number] for number in allowed if choices[number].score == top])
    return next(number for number in allowed if choices[number] is found)


def _tied(allowed: Sequence[Choice], best: Choice | None) -> list[Choice]:
    """Return the best and those that are not told apart from it."""
    return [each for each in allowed if each is best or not each.p_corrected <= LEVEL]


def _chosen(allowed: Sequence[Choice], margin: float) -> tuple[Choice | None, Choice | None, Basis | None]:
    """Return the best, the choice, and what that rests on; no choice where nothing is told apart from the best."""
    if not allowed:
        return None, None, None
    best = allowed[_first(allowed, range(len(allowed)))]
    choice = cheapest([each for each in allowed if each is best or each.low > -margin])
    if choice is not best:
        return best, choice, "as good and cheaper"
    tied = _tied(allowed, best)
    if len(tied) == 1:
        return best, best, "better than all others"
    if len(tied) < len(allowed):
        return best, cheapest(tied), "cheapest of a tie"
    return best, None, None


def _chosen_of(choices: Sequence[Choice], values: Any, margin: float, seed: int) -> Choice | None:
    """Return what is chosen of those that are allowed, from the values of all."""
    allowed = _eligible(choices)
    compared = _against_best(choices, values, allowed, _told_apart(values, allowed, seed), seed)
    return _chosen([compared[number] for number in allowed], margin)[1]


def _undecided(
    choices: Sequence[Choice], values: Any, if_not: Choice | None, margin: float, seed: int
) -> Undecided | None:
    """Tell what would be chosen if the doubtful choices were allowed; None if the same as without them, `if_not`."""
    doubtful = [each for each in choices if each.may_be_allowed and not each.allowed]
    if not doubtful:
        return None
    if_kept = _chosen_of([replace(each, doubtful=()) for each in choices], values, margin, seed)
    if (if_kept and if_kept.name) == (if_not and if_not.name):
        return None
    first = max(doubtful, key=lambda each: (if_kept is not None and each.name == if_kept.name, each.score))
    return Undecided(first, if_kept, if_not)


def _rule(values: FloatArray, costs: Costs, margin: float, basis: Basis) -> Choose:
    """Return how a choice is made, as arithmetic: by Student's intervals in place of the bootstrap's."""

    def choose(counts: IntArray) -> int:
        n = int(counts.sum())
        means = counts @ values / n
        best = int(means.argmax())
        if basis == "better than all others":
            return best
        difference = values - values[:, [best]]
        mean = means - means[best]
        error = np.sqrt(np.maximum(counts @ difference**2 / n - mean**2, 0) / max(n - 1, 1))
        good = mean - stdtrit(max(n - 1, 1), 0.975) * error > -margin
        good[best] = True
        alike = costs.cheapest(np.flatnonzero(good))
        return int(alike[means[alike].argmax()])

    return choose


def _pareto(allowed: Sequence[Choice]) -> tuple[Choice, ...]:
    """Return those that no other is at least as good as in all three and better in one, best first.

    The three are the score, latency, and the price where any has one, else the bytes of vectors. Latencies whose
    spreads overlap count as the same, what is not known as the worst.
    """
    priced = any(each.usd > 0 for each in allowed)

    def cost(each: Choice) -> float:
        return each.usd if priced else each.bytes

    def beats(one: Choice, other: Choice) -> bool:
        as_good = one.score >= other.score and cost(one) <= cost(other) and not other.is_faster_than(one)
        better = one.score > other.score or cost(one) < cost(other) or one.is_faster_than(other)
        return as_good and better

    unbeaten = (each for each in allowed if not any(beats(other, each) for other in allowed))
    return tuple(sorted(unbeaten, key=lambda each: each.score, reverse=True))


def _other_margins(
    compared: Sequence[Choice], best: Choice | None, choice: Choice | None, margin: float
) -> list[Alternative]:
    """Return the next larger margin with another choice, and the margin below which it is no longer this one."""
    if best is None or choice is None:
        return []
    found = []
    allowed = [each for each in compared if each.allowed]
    for low in sorted((each.low for each in allowed if each.low <= -margin), reverse=True):
        looser = cheapest([each for each in allowed if each is best or each.low >= low])
        if looser is not choice:
            found.append(Alternative(f"with a margin above {-low:.3f} in place of {margin:g}", looser))
            break
    if choice is not best and choice.low < 0:
        tighter = _chosen(allowed, -choice.low)[1]
        if tighter is not None and tighter is not choice:
            found.append(Alternative(f"with a margin of {-choice.low:.3f} or less in place of {margin:g}", tighter))
    return found


def _without_each(
    choices: Sequence[Choice],
    values: Any,
    requirements: Sequence[Requirement],
    choice: Choice | None,
    margin: float,
    seed: int,
) -> list[Alternative]:
    """Tell what would be chosen without each of the requirements."""
    found = []
    for text in dict.fromkeys(requirement.text for requirement in requirements):
        freed = [
            replace(
                each,
                unmet=tuple(other for other in each.unmet if other != text),
                unknown=tuple(other for other in each.unknown if other != text),
                doubtful=tuple(other for other in each.doubtful if other != text),
            )
            for each in choices
        ]
        other = _chosen_of(freed, values, margin, seed)
        if other is not None and (choice is None or other.name != choice.name):
            found.append(Alternative(f"without {text}", other))
    return found


def _values(results: Results, cell: tuple[str, str, str]) -> dict[str, object]:
    """Tell what was measured of a cell, and what is known of its models together."""
    found = results.measurements.cells
    rows = found[(found[["split", "model", "reranker"]] == list(cell)).all(axis=1)]
    values: dict[str, object] = {} if rows.empty else dict(rows.iloc[0].drop(CELL_KEYS))
    if values and not values["note"]:
        if str(values["price_note"]).startswith("local"):
            values["usd_per_million_tokens"] = 0.0
        if not is_known(values["embed_p50_ms"]):  # it has no vectors, so none take room
            values.update(dim=0.0, vector_bytes=0.0, corpus_bytes=0.0)
    known = [facts for label in cell[1:] if label != NO_RERANKER for facts in parts_of(label, results.provenance)]
    values["licence"] = tuple(each.licence for each in known if each.licence != NO_WEIGHTS)
    parameters = cell_facts(*cell[1:], results.provenance).parameters
    values["parameters"] = math.nan if parameters is None else parameters
    return values


def _scores(results: Results, cell: tuple[str, str, str]) -> dict[str, object]:
    scores = results.scores
    rows = scores[(scores[["split", "model", "reranker"]].astype(str) == list(cell)).all(axis=1)]
    return dict(zip(rows["metric"].astype(str), rows["score"].astype(float), strict=True))
