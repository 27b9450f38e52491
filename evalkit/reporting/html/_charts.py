"""The charts, as Vega-Lite: the page gives each its data. Colours are the page's, so that they follow its theme."""

from typing import Any

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
STYLE: dict[str, Any] = {
    "background": None,
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--soft)", "titleColor": "var(--soft)", "gridColor": "var(--line)", "domain": False,
        "ticks": False, "labelPadding": 6, "titlePadding": 8, "titleFontWeight": "normal", "labelFontSize": 12,
        "titleFontSize": 12,
    },
    "legend": {"labelColor": "var(--ink)", "titleColor": "var(--soft)"},
    "text": {"color": "var(--ink)", "fontSize": 12},
}  # fmt: skip
STANDING = {"domain": ["best", "tied", "other"], "range": ["var(--best)", "var(--tied)", "var(--other)"]}
SHAPES = {"domain": ["best", "tied", "other"], "range": ["diamond", "circle", "square"]}


def _chart(description: str, layers: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "description": description,
        "width": "container",
        "autosize": {"type": "fit-x", "contains": "padding"},
        "data": {"name": "rows"},
        "layer": layers,
        "config": STYLE,
        **more,
    }


def _tooltip(*fields: tuple[str, str]) -> list[dict[str, str]]:
    return [{"field": field, "title": title} for field, title in fields]


def _standing() -> dict[str, Any]:
    return {
        "color": {"field": "standing", "type": "nominal", "scale": STANDING, "legend": None},
        "shape": {"field": "standing", "type": "nominal", "scale": SHAPES, "legend": None},
    }


def forest() -> dict[str, Any]:
    """Return a row a cell: score and interval, best first; the dashed line is the best score."""
    y = {"field": "label", "type": "nominal", "sort": None, "axis": {"title": None, "labelLimit": 320, "grid": True}}
    x = {
        "field": "score",
        "type": "quantitative",
        "scale": {"zero": False, "nice": True},
        "title": None,
        "axis": {"tickCount": 8},
    }
    tooltip = _tooltip(("label", "Cell"), ("told", "Score"), ("rank", "Rank"))
    return _chart(
        "Scores with 95 % intervals, one row a cell, best first.",
        [
            {
                "mark": {"type": "rule", "strokeDash": [3, 3], "color": "var(--best)", "aria": False},
                "transform": [{"filter": "datum.standing == 'best'"}],
                "encoding": {"x": x},
            },
            {
                "mark": {"type": "rule", "strokeWidth": 2, "aria": False},
                "transform": [{"filter": "isValid(datum.ci_low)"}],
                "encoding": {
                    "y": y, "x": {**x, "field": "ci_low"}, "x2": {"field": "ci_high"},
                    "color": _standing()["color"], "tooltip": tooltip,
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                "encoding": {"y": y, "x": x, **_standing(), "tooltip": tooltip},
            },
        ],
        height={"step": 22},
    )  # fmt: skip


def trade() -> dict[str, Any]:
    """Draw quality against a cost; the front joins the cells that nothing cheaper beats. The page sets the scale of
    x.
    """
    x = {"field": "cost", "type": "quantitative", "title": None, "scale": {"zero": False}}
    y = {
        "field": "score",
        "type": "quantitative",
        "scale": {"zero": False, "nice": True},
        "title": None,
        "axis": {"tickCount": 8},
    }
    tooltip = _tooltip(("label", "Cell"), ("told", "Score"), ("cost_told", "Cost"))
    return _chart(
        "Quality against cost; a line joins the Pareto front.",
        [
            {
                "mark": {"type": "line", "interpolate": "step-after", "color": "var(--best)", "opacity": 0.6,
                         "aria": False},
                "transform": [{"filter": "datum.front"}],
                "encoding": {"x": x, "y": y, "order": {"field": "cost", "type": "quantitative"}},
            },
            {
                "mark": {"type": "rule", "opacity": 0.35, "aria": False},
                "transform": [{"filter": "isValid(datum.ci_low)"}],
                "encoding": {"x": x, "y": {**y, "field": "ci_low"}, "y2": {"field": "ci_high"},
                             "color": _standing()["color"]},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 80, "opacity": 0.9},
                "encoding": {"x": x, "y": y, **_standing(), "tooltip": tooltip},
            },
            *(
                {
                    "mark": {"type": "text", "align": align, "dx": shift, "dy": -9, "limit": 330, "aria": False},
                    "transform": [{"filter": f"datum.named === '{align}'"}],
                    "encoding": {"x": x, "y": y, "text": {"field": "label"}},
                }
                for align, shift in (("left", 6), ("right", -6))
            ),
        ],
        height=380,
    )  # fmt: skip


def gains() -> dict[str, Any]:
    """Tell what each reranker adds behind each embedder, with intervals; the dashed line is no difference."""
    y = {"field": "label", "type": "nominal", "sort": None, "axis": {"title": None, "labelLimit": 320, "grid": True}}
    x = {"field": "difference", "type": "quantitative", "title": None}
    tooltip = _tooltip(("label", "Cell"), ("told", "Gain"))
    colour = {
        "field": "sure",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": ["gain", "loss", "unsure"], "range": ["var(--tied)", "var(--loss)", "var(--other)"]},
    }
    shape = {
        "field": "sure",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": ["gain", "loss", "unsure"], "range": ["triangle-right", "triangle-left", "square"]},
    }
    return _chart(
        "What each reranker adds to each first stage, with 95 % intervals.",
        [
            {"mark": {"type": "rule", "strokeDash": [3, 3], "color": "var(--soft)", "aria": False},
             "encoding": {"x": {"datum": 0}}},
            {"mark": {"type": "rule", "strokeWidth": 2, "aria": False},
             "encoding": {"y": y, "x": {**x, "field": "ci_low"}, "x2": {"field": "ci_high"}, "color": colour}},
            {"mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
             "encoding": {"y": y, "x": x, "color": colour, "shape": shape, "tooltip": tooltip}},
        ],
        height={"step": 22},
    )  # fmt: skip


def scatter() -> dict[str, Any]:
    """Draw predicted similarity against gold, a point a pair."""
    tooltip = _tooltip(("gold", "Gold"), ("predicted", "Predicted"), ("sentence1", "1"), ("sentence2", "2"))
    return _chart(
        "Predicted similarity against the gold score, a point a pair.",
        [
            {
                "mark": {"type": "point", "filled": True, "size": 36, "opacity": 0.45, "color": "var(--tied)",
                         "aria": False},
                "encoding": {
                    "x": {"field": "gold", "type": "quantitative", "title": "gold score"},
                    "y": {"field": "predicted", "type": "quantitative", "scale": {"zero": False},
                          "title": "predicted (cosine)"},
                    "tooltip": tooltip,
                },
            }
        ],
        height=380,
    )  # fmt: skip


def all_charts() -> dict[str, dict[str, Any]]:
    """By name, as the page's script knows them."""
    return {"forest": forest(), "trade": trade(), "gains": gains(), "scatter": scatter()}
