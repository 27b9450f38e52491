"""Put a recommendation in plain words, as Markdown."""

import math
from collections.abc import Mapping
from typing import Any

from evalkit.cell import cell_name
from evalkit.picking._choice import LATENCY, Choice
from evalkit.picking._recommend import Recommendation, Undecided
from evalkit.picking._requirements import parse_requirements, spread_of
from evalkit.picking._validity import validity
from evalkit.picking.documents import Coverage
from evalkit.progress import in_words
from evalkit.reporting.table import in_brackets
from evalkit.results import Results
from evalkit.results.comparisons import FEWEST, LEVEL

WITHHELD = "They were made from the documents; such questions may put models in another order than real ones do."
WHAT_TO_DO = (
    "Write 20 that your users would ask, in their words, each with the words that answer it (a CSV file: question, "
    "quote), and give it with --questions; or let a language model write them, with --llm."
)
MEASURE_AGAIN = (
    "To tell, measure again on a machine that does nothing else, on more queries and for longer (--measure-queries "
    "200 --measure-seconds 20); what was encoded is kept. Or move the limit."
)


def to_text(found: Recommendation, results: Results) -> str:
    """Return the recommendation as Markdown: what to use and why, what else is good, what would change it.

    `results` is the run that it was made from.
    """
    parts = [
        f"# {headline(found, results)}",
        "" if found.decide else f"{WITHHELD} What stands here are the scores on them. {WHAT_TO_DO}",
        *_reasons(found),
        _pareto(found),
        _changes(found),
        validity(found, results),
        _budget(results),
        _certainty(found, results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def why_these_models(results: Results) -> str:
    """Return why these models took part and not others, and what they know of the documents' languages: Markdown."""
    reasons = results.provenance["pick"]["why_these_models"]
    return "\n## Why these models\n\n" + "".join(f"- {reason}\n" for reason in reasons) if reasons else ""


def named(choice: Choice) -> str:
    """Return a choice in words: "bge-small + ce-minilm, chunks of 512/64"."""
    cell = cell_name(choice.model, choice.reranker)
    return cell if choice.of_task else f"{cell}, {_pieces(choice.chunking)}"


def _pieces(chunking: str) -> str:
    return "whole files" if chunking == "whole" else f"chunks of {chunking}"


def headline(found: Recommendation, results: Results) -> str:
    """Return what to use, or why there is nothing to say, without a full stop.

    Before that it says how much of the documents was read, if that is too little to go without saying.
    """
    coverage = results.provenance.get("pick", {}).get("documents", {}).get("coverage", {})
    return ". ".join(filter(None, [Coverage(**coverage).warning, _answer(found)]))


def _answer(found: Recommendation) -> str:
    if not found.decide:
        return "No recommendation: these questions cannot say which model is best"
    if found.undecided is not None:
        of = found.undecided.of
        return f"Not decided: it cannot be told whether {named(of)} meets {' and '.join(of.doubtful)}"
    if found.best is None and found.allowed:
        return "No choice finds the answer to any question"
    if found.best is None and found.in_doubt:
        return "Of no choice can it be told that it meets all requirements"
    if found.best is None:
        return "Nothing meets all requirements"
    if found.choice is None:
        return f"Not enough questions: {found.questions} tell none of {found.tied} choices apart"
    if found.basis == "cheapest of a tie":
        return f"A tie of {found.tied}: the cheapest of them is {named(found.choice)}"
    return f"Use {named(found.choice)}"


def _reasons(found: Recommendation) -> list[str]:
    parts = []
    choice, best = found.choice, found.best
    if choice is not None and best is not None:
        text = f"{found.metric} {choice.score:.3f} over {found.questions} questions; {costs(choice)}."
        if choice is best and len(found.allowed) == 1:
            text += f" It is the only one that {only(found)}."
        elif found.basis == "better than all others":
            text += (
                " It was shown to be better than each of the others that are allowed; none that is cheaper was shown "
                f"to lose no more than the margin of {found.margin:g}."
            )
        elif found.basis == "cheapest of a tie":
            text += (
                f" {_tie(found, best)} They were not shown to be equal either: one may be better than another by "
                f"more than the margin of {found.margin:g}. {_enough(found)}"
            )
        else:
            text += (
                f" The best is {named(best)}: {best.score:.3f}; {costs(best)}. The choice is "
                f"{_apart(choice)} (95 % interval of the difference {choice.low:+.3f} to {choice.high:+.3f}), so it "
                f"is not worse by the margin of {found.margin:g}, and it is {_cheaper(choice, best)}."
            )
        parts.append(text)
    elif found.undecided is not None:
        parts.append(" ".join(not_decided(found.undecided, found)))
    elif best is not None and found.decide:
        parts.append(
            f"The highest score is that of {named(best)}: {found.metric} {best.score:.3f} over {found.questions} "
            f"questions; {costs(best)}. No other choice was shown to be worse. {_enough(found)}"
        )
    left_out = [each for each in found.choices if not each.allowed]
    if left_out:
        lines = [f"- {named(each)} ({found.metric} {each.score:.3f}): {_why_not(each)}" for each in left_out]
        parts.append("Left out by the requirements:\n\n" + "\n".join(lines))
        if found.undecided is None and found.in_doubt:
            parts.append(MEASURE_AGAIN)
    return parts


def not_decided(undecided: Undecided, found: Recommendation) -> list[str]:
    """Say what cannot be told, what hangs on it, and what to do."""
    return [
        f"Of {named(undecided.of)} it {_doubts(undecided.of)}.",
        f"If every limit that is in doubt is kept to, {_would_be(undecided.if_kept, found)}; "
        f"if none is, {_would_be(undecided.if_not, found)}.",
        MEASURE_AGAIN,
    ]


def only(found: Recommendation) -> str:
    """Say what the only choice that is allowed is, where it is not the only one that was asked for."""
    return "ran" if len(found.choices) == 1 else "is allowed"


def _would_be(choice: Choice | None, found: Recommendation) -> str:
    if choice is None:
        return "nothing would be chosen"
    return f"the choice would be {named(choice)}, {found.metric} {choice.score:.3f}"


def _tie(found: Recommendation, best: Choice) -> str:
    if found.choice is best:
        return f"It has the highest score too; {found.tied - 1} others are not told apart from it."
    others = f"{found.tied - 1} others, this one among them, are not told apart from it"
    return f"{named(best)} has the highest score, {best.score:.3f}; {others}."


def _enough(found: Recommendation) -> str:
    """Say how many questions would do."""
    if math.isfinite(found.needed) and found.questions >= FEWEST:
        return f"About {found.needed:,.0f} questions would show a difference of the margin, {found.margin:g}."
    return "Ask more questions, and harder ones."


def _cheaper(choice: Choice, best: Choice) -> str:
    """Say what makes a choice cheaper than the best."""
    if choice.usd < best.usd:
        return "cheaper"
    if choice.is_faster_than(best):
        return "faster"
    if choice.bytes < best.bytes:
        return "smaller: its vectors take fewer bytes, and which of the two is faster cannot be told"
    return "the cheapest of those that are not"


def _why_not(choice: Choice) -> str:
    reasons = [f"not {text} ({_known(choice, text)})" for text in choice.unmet]
    reasons += [f"cannot be told whether {text}: it is not known" for text in choice.unknown]
    return "; ".join([*reasons, *([_doubts(choice)] if choice.doubtful else [])])


def _doubts(choice: Choice) -> str:
    """Say of what was measured why it cannot be told whether the choice meets a requirement."""
    reasons = []
    for text in choice.doubtful:
        column = _column(text)
        low, high = spread_of(column, choice.values)
        rounds = (
            f"and {low:.3g} to {high:.3g} ms in the rounds that it was measured in"
            if math.isfinite(high)
            else "of a single query"
        )
        reasons.append(f"cannot be told whether {text}: it is {choice.known(column):.3g} ms, {rounds}")
    return "; ".join(reasons)


def _known(choice: Choice, requirement: str) -> str:
    value: Any = choice.values.get(_column(requirement))
    return " and ".join(map(str, value)) if isinstance(value, tuple) else f"it is {value:.4g}"


def _column(requirement: str) -> str:
    return parse_requirements(requirement)[0].column


def _pareto(found: Recommendation) -> str:
    if len(found.pareto) < 2:
        return ""
    lines = [f"- {named(each)}: {found.metric} {each.score:.3f}; {costs(each)}" for each in found.pareto]
    return "## Worth a look\n\nNone of these is beaten in quality, latency and cost at once.\n\n" + "\n".join(lines)


def _changes(found: Recommendation) -> str:
    if not found.alternatives:
        return ""
    lines = [
        f"- {each.if_} it would be {named(each.choice)}: {found.metric} {each.choice.score:.3f}; "
        f"{costs(each.choice)}."
        for each in found.alternatives
    ]
    return "## What would change the answer\n\n" + "\n".join(lines)


def _budget(results: Results) -> str:
    """Tell what was cut to fit into the time, and what it scored on how many questions."""
    budget = results.provenance.get("pick", {}).get("budget")
    if budget is None:
        return ""
    of_task = "task" in results.provenance["pick"]

    def line(cell: Mapping[str, Any], told: str) -> str:
        where = "" if of_task else f", {_pieces(cell['split'])}"
        return f"- {cell_name(cell['model'], cell['reranker'])}{where}: {told}"

    lines = [
        line(each, "failed" if each["score"] is None else f"{each['score']:.3f} on {each['n']} questions")
        for each in budget["cut"]
    ] + [line(each, f"not tried; by itself it takes about {in_words(each['seconds'])}") for each in budget["untried"]]
    return "\n\n".join(filter(None, ["## The budget", budget["told"], "\n".join(lines)]))


def _certainty(found: Recommendation, results: Results) -> str:
    lines = []
    allowed = found.allowed
    if found.questions < FEWEST or found.detectable > 1:
        lines.append("Too few questions for any statement of power: ask more before you believe the order.")
    elif not math.isnan(found.detectable):
        enough = found.detectable <= found.margin
        lines.append(
            f"{found.questions} questions show a difference of {found.detectable:.3f} from the best (80 % power). "
            + (
                f"That is enough for the margin of {found.margin:g}."
                if enough
                else f"That is not enough for the margin of {found.margin:g}: it takes about {found.needed:,.0f}."
            )
        )
    elif len(allowed) > 1:
        lines.append(
            f"None of the {found.questions} questions tells two of the choices apart: ask more, and harder ones."
        )
    worse = sum(each.p_corrected <= LEVEL for each in allowed)
    if len(allowed) > 1:
        lines.append(
            f"{worse} of {len(allowed) - 1} others are measurably worse than the best (5 %, corrected for all pairs)."
        )
    lines += filter(None, [results.provenance.get("pick", {}).get("questions", {}).get("caution")])
    if found.confirmed is not None and found.choice is not None and math.isfinite(found.confirmed.score):
        optimism = round(found.confirmed.optimism, 3)
        side = "above" if optimism > 0 else "below"
        beside = f"{abs(optimism):.3f} {side} that" if optimism else "the same"
        lines.append(
            f"On questions that took no part in choosing it, the choice scores {found.confirmed.score:.3f} (95 % "
            f"interval {found.confirmed.low:.3f} to {found.confirmed.high:.3f}); its {found.choice.score:.3f} on all "
            f"questions, which chose it, is {beside}."
        )
    return "## How sure this is\n\n" + " ".join(lines) if lines else ""


def _apart(choice: Choice) -> str:
    points = abs(choice.difference)
    return "as good" if points == 0 else f"{points:.3f} {'above' if choice.difference > 0 else 'below'} it"


def costs(choice: Choice) -> str:
    """Return what was measured of a choice: latency, bytes of vectors, memory, price."""
    values: Any = choice.values
    told = []
    for column, form, scale in (
        (LATENCY, "p95 {:.3g} ms a query", 1),
        ("corpus_bytes", "{:.3g} MB of vectors", 1e-6),
        ("peak_memory_mb", "{:.3g} MB of memory", 1),
    ):
        value = values.get(column)
        known = value is not None and not math.isnan(value)
        without = column == "corpus_bytes" and value == 0
        text = "no vectors" if without else form.format(value * scale) if known else ""
        told.append(text + (in_brackets(*choice.latency, "{:.3g}") if column == LATENCY and known else ""))
    usd = values.get("usd_per_thousand_queries")
    if usd is not None and usd > 0:
        told.append(f"{usd:.3g} USD a thousand queries")
    return ", ".join(filter(None, told)) or "its cost is not known"
