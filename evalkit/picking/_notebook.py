"""A pick as a notebook shows it: the answer, and one picture of what each choice is worth and how long it takes."""

from collections.abc import Sequence
from html import escape
from importlib.util import find_spec
from typing import Any

from evalkit.picking._choice import LATENCY, Choice
from evalkit.picking._recommend import Recommendation
from evalkit.picking._recommendation import named

NAMED = 40
"""Characters of a choice's name in the picture."""


def to_html(answer: Sequence[str], found: Recommendation) -> str:
    """Return the answer, a paragraph a sentence, and the picture, if there is something to draw."""
    first, *more = answer
    told = [f"<p><strong>{escape(first)}</strong></p>", *(f"<p>{escape(sentence)}</p>" for sentence in more)]
    return "\n".join([*told, _picture(found)])


def _picture(found: Recommendation) -> str:
    """Return score against latency as SVG; without vl-convert a sentence on how to get it."""
    rows = [_row(choice, found) for choice in found.choices if choice.values.get(LATENCY, 0) > 0]  # type: ignore[operator]
    if not rows:
        return ""
    if find_spec("vl_convert") is None:
        return "<p>With evalkit's extra report, a picture stands here.</p>"
    import vl_convert

    return str(vl_convert.vegalite_to_svg(_chart(rows, found.metric)))


def _row(choice: Choice, found: Recommendation) -> dict[str, Any]:
    kind = "named above" if choice is found.shown else "not beaten" if choice in found.pareto else "other"
    name = named(choice)
    short = name if len(name) <= NAMED else f"{name[: NAMED - 1]}…"
    return {
        "latency": choice.values[LATENCY],
        "score": choice.score,
        "kind": kind,
        "name": short if kind != "other" else "",
    }


def _chart(rows: list[dict[str, Any]], metric: str) -> dict[str, Any]:
    x = {"field": "latency", "type": "quantitative", "scale": {"type": "log"}, "title": "latency p95, ms"}
    y = {"field": "score", "type": "quantitative", "scale": {"zero": False, "nice": True}, "title": metric}
    kinds = {"domain": ["named above", "not beaten", "other"], "range": ["#b5179e", "#2a6fbb", "#9a9a9a"]}
    colour = {"field": "kind", "type": "nominal", "scale": kinds, "title": None}
    return {
        "data": {"values": rows},
        "width": 560,
        "height": 260,
        "config": {"axisX": {"grid": False}, "legend": {"orient": "bottom"}},
        "encoding": {"x": x, "y": y},
        "layer": [
            {"mark": {"type": "point", "filled": True, "size": 70}, "encoding": {"color": colour}},
            {"mark": {"type": "text", "dy": -9, "fontSize": 10}, "encoding": {"text": {"field": "name"}}},
        ],
    }
