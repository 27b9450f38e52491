"""Fusions by name: `rrf(a, b)` and `weighted(a, b)`, a first stage made of two others."""

import re
from dataclasses import dataclass
from itertools import product
from typing import cast

from pydantic import Field, PositiveInt

from evalkit.errors import SpecError
from evalkit.models.registry.listing import split_models
from evalkit.models.registry.options import Options
from evalkit.models.registry.spec import expand, options_text, parse_options
from evalkit.search.fusion import Fusion, Method

_FUSION = re.compile(r"\s*(rrf|weighted)\s*\((.*)\)\s*(?:\?(.*))?", re.DOTALL)


class RrfOptions(Options):
    """Options of `rrf`."""

    k: PositiveInt = Field(60, description="added to each rank")


class WeightedOptions(Options):
    """Options of `weighted`."""

    weight: float | None = Field(None, ge=0, le=1, description="of the first list; unset: chosen by the judgements")


OPTIONS: dict[Method, type[Options]] = {"rrf": RrfOptions, "weighted": WeightedOptions}


@dataclass(frozen=True)
class FusionSpec:
    """A fusion: how, of which models (labels or specs), and its options. `str()` prints its canonical form."""

    method: Method
    parts: tuple[str, ...]
    options: Options

    def __str__(self) -> str:
        return f"{self.method}({', '.join(self.parts)}){options_text(self.options)}"

    @property
    def fusion(self) -> Fusion:
        """How the rankings become one."""
        return Fusion(self.method, **self.options.model_dump())


def is_fusion(text: str) -> bool:
    """Whether a name is that of a fusion."""
    return _FUSION.fullmatch(text) is not None


def parse_fusions(text: str) -> list[FusionSpec]:
    """The fusions that a name stands for: several if a part is a sweep, or several names apart by `|`.

    Raises SpecError for anything but two parts, a part that is a fusion itself, and options that are wrong.
    """
    found = _FUSION.fullmatch(text)
    if found is None:
        raise SpecError(f"{text!r} is no fusion. Write rrf(MODEL, MODEL) or weighted(MODEL, MODEL).")
    method, inner, query = cast(Method, found[1]), found[2], found[3] or ""
    parts = split_models(inner)
    if len(parts) != 2 or any(is_fusion(part) for part in parts) or parts[0] == parts[1]:
        raise SpecError(f"{text!r}: a fusion is of two different models, as in {method}(all-MiniLM-L6-v2, bm25).")
    options = parse_options(text, OPTIONS[method], query)
    # A part with options is a sweep of them; one without may be several names.
    choices = [expand(part) if "?" in part else [each.strip() for each in part.split("|")] for part in parts]
    return [FusionSpec(method, chosen, options) for chosen in product(*choices)]
