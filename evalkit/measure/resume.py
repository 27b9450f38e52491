"""Keep what was measured of each model until all are: a pick that was interrupted goes on from there."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from evalkit.measure.timing import FirstWork, Limits, Measured, SecondWork
from evalkit.runner.context import RunContext
from evalkit.runner.provenance import package_versions
from evalkit.store.keys import fingerprint


def kept_or_measured(
    folder: Path | None,
    work: FirstWork | SecondWork,
    model: Any,
    label: str,
    context: RunContext,
    limits: Limits,
    before: float | None,
) -> Measured:
    """What `folder` keeps of the same work with the same model, else what `work.do` measures, which is kept there.

    Without a folder nothing is kept.
    """
    if folder is None:
        return work.do(model, label, context, limits, before)
    made_from = {
        "model": dict(model.identity),
        "work": work.identity,
        "limits": asdict(limits),
        "compute": asdict(context.compute),
        "packages": package_versions(),
    }
    file = folder / f"{fingerprint(made_from)}.json"
    if file.is_file():
        found = json.loads(file.read_text(encoding="utf-8"))
        return Measured(found["peak_megabytes"], tuple(map(TypeAdapter(work.stage).validate_python, found["stages"])))
    measured = work.do(model, label, context, limits, before)
    folder.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(json.dumps(asdict(measured)), encoding="utf-8")
    new.replace(file)  # whole, or not at all
    return measured
