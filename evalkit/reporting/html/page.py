"""One HTML file: template, style, script, drawing library and data, all inside."""

import importlib.util
import json
import os
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import OptionalDependencyError
from evalkit.reporting._published import published_tables
from evalkit.reporting.html._charts import all_charts
from evalkit.reporting.html._drilldown import compressed, pack_pairs, pack_queries, plain, to_json
from evalkit.reporting.html.answer import answer
from evalkit.reporting.html.units import Unit, across, make_units
from evalkit.reporting.sections import added_tables
from evalkit.results import Results
from evalkit.results.facts import read_notes
from evalkit.results.merge import merge_runs

if TYPE_CHECKING:
    from jinja2 import Environment

SCRIPTS = ("base", "leaderboard", "heat", "drawings", "pairs", "queries", "lists", "main")
"""The page's own script, in this order, each a file of `js`."""


def require_report() -> None:
    """Raise OptionalDependencyError if what writes the page is not installed."""
    for module in ("jinja2", "vl_convert"):
        if importlib.util.find_spec(module) is None:
            raise OptionalDependencyError("the HTML report", module, "report")


def write_report(runs: "Results | str | Path | Mapping[str, Results | str | Path]", path: str | Path) -> Path:
    """Write a report on one run or several, by name, as one HTML file that needs no network and no server.

    A run is its results, or the folder that they were written to. Gives the path. Raises OptionalDependencyError if
    the extra `report` is not installed, ConfigError for no runs, or a folder without results.

    >>> import evalkit
    >>> results = evalkit.run(models="bm25,tfidf", tasks="rag-mini", max_queries=20, device="cpu")
    >>> evalkit.report(results, "report.html").name
    'report.html'
    """
    require_report()
    path = Path(path)
    named = runs if isinstance(runs, Mapping) else {_name_of(runs): runs}
    page = render({name: run if isinstance(run, Results) else Results.read(Path(run)) for name, run in named.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")  # so that a page that is there is a whole one
    part.write_bytes(page.encode("utf-8", "replace"))
    part.replace(path)
    return path


def _name_of(run: "Results | str | Path") -> str:
    return "run" if isinstance(run, Results) else Path(run).resolve().name


def render(runs: Mapping[str, Results]) -> str:
    """Return the page as text. See `write_report`."""
    from markupsafe import Markup

    together = merge_runs(runs)
    results = together.results
    units = make_units(results)
    blobs = {f"evidence-{row}": found for row, unit in enumerate(units) if (found := _evidence(results, unit))}
    data = {
        "units": [
            {**unit.data(), "evidence": f"evidence-{row}" if f"evidence-{row}" in blobs else None}
            for row, unit in enumerate(units)
        ],
        "across": across(results, units),
        "charts": all_charts(),
    }
    undecided = {
        task["task"]
        for run in runs.values()
        if not run.provenance.get("pick", {}).get("questions", {}).get("decides", True)
        for task in run.tasks
    }
    return (
        environment()
        .get_template("page.html.jinja")
        .render(
            runs=runs,
            notes=[*_partial(runs), *together.notes, *_said(results)],
            recommended=[
                told for run in runs.values() if (told := run.provenance.get("pick", {}).get("recommendation"))
            ],
            answers=[(unit, answer(unit, unit.task not in undecided)) for unit in units],
            units=units,
            tables=[*published_tables(results), *added_tables(results)],
            several_tasks=len(units) > 1,
            settings=SETTINGS,
            as_json=lambda value: json.dumps(value, indent=2, ensure_ascii=False),
            style=Markup(own_file("page.css")),
            library=Markup(_library()),
            script=Markup("\n".join(own_file(f"js/{name}.js") for name in SCRIPTS)),
            data=Markup(to_json(plain(data))),
            blobs={name: Markup(compressed(found)) for name, found in blobs.items()},
        )
    )


SETTINGS = {
    "started": "Started (UTC)", "seconds": "Seconds", "command": "Command", "seed": "Seed", "device": "Device",
    "dtype": "dtype", "top_k": "Cut-offs", "candidates": "Candidates reranked",
    "depth": "Documents ranked", "python": "Python",
    "platform": "Platform", "git_commit": "git commit", "reused": "Texts and pairs from the store",
    "computed": "Texts and pairs computed",
}  # fmt: skip
"""What the page shows of each run beside models, tasks and packages."""


def _partial(runs: Mapping[str, Results]) -> list[str]:
    return [
        f"PARTIAL: run {name} was interrupted, and {len(run.missing)} cell(s) are missing."
        for name, run in runs.items()
        if run.missing
    ]


def _said(results: Results) -> list[str]:
    """Tell what the runs say of their models and tasks, a sentence each."""
    return [
        f"{', '.join(filter(None, (note.model, *note.tasks)))}: {note.sentence}"
        for note in read_notes(results.provenance)
    ]


def _evidence(results: Results, unit: Unit) -> dict[str, Any] | None:
    cells = list(zip(unit.cells["model"].astype(str), unit.cells["reranker"].astype(str), strict=True))
    if unit.kind.ranks:
        return pack_queries(results, unit.task, unit.split, cells, tuple(unit.metrics))
    if unit.main is not None and unit.main.similarity is not None:
        return pack_pairs(results, unit.task, unit.split, [model for model, _ in cells])
    return None


def environment() -> "Environment":
    """Tell what templates are rendered with: all text is escaped, and what is not given is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("evalkit.reporting.html", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def own_file(name: str) -> str:
    """Return the text of a file of this package."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _library() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script, with nothing in it that could end a script element."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # In a function of its own, for its short names would be overwritten by ours.
    return f"(() => {{{bundle}}})();".replace("</script", "<\\/script").replace("<!--", "<\\!--")
