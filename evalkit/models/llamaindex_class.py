"""`llamaindex:module.Class?argument=value`: a LlamaIndex component by its class and the arguments to make it with."""

import inspect
import json
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from evalkit.compute import Compute
from evalkit.errors import ModelNotFoundError, OptionalDependencyError, SpecError, UntrustedError, did_you_mean
from evalkit.models._loading import complete_weights
from evalkit.models._trust import guarded
from evalkit.models.registry.families import Family, Kind
from evalkit.models.registry.options import Options
from evalkit.models.registry.spec import parse_options
from evalkit.secrets import hide

if TYPE_CHECKING:
    from llama_index.core.llms import LLM

    from evalkit.models._llamaindex import LlamaIndexEmbedder, LlamaIndexListReranker, LlamaIndexReranker


class ComponentOptions(Options):
    """Options of `llamaindex`: arguments of the component's class, as text."""

    model_config = ConfigDict(extra="allow")


def check_component(name: str, options: ComponentOptions) -> frozenset[Kind]:
    """Tell whether the class is an embedder or a reranker. Raises what `find_class` and `read_arguments` raise."""
    from llama_index.core.base.embeddings.base import BaseEmbedding

    component = find_class(name, _bases())
    read_arguments(component, options)
    return frozenset({"embedder"} if issubclass(component, BaseEmbedding) else {"reranker"})


def load_component(
    name: str, options: ComponentOptions, compute: Compute
) -> "LlamaIndexEmbedder | LlamaIndexReranker | LlamaIndexListReranker":
    """Make the component, on the run's device if it takes one. Raises ModelNotFoundError if its class refuses."""
    from evalkit.models._llamaindex import adapt

    component = find_class(name, _bases())
    arguments = read_arguments(component, options)
    if "device" in inspect.signature(component).parameters:
        arguments = {"device": compute.device, **arguments}
    with guarded(compute, name), complete_weights(name):
        made = _made(component, name, arguments)
    return adapt(made, given=options.model_dump())


def _bases() -> dict[type, str]:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.postprocessor.types import BaseNodePostprocessor

    return {BaseEmbedding: "embedding", BaseNodePostprocessor: "postprocessor"}


def _made(component: type[BaseModel], name: str, arguments: Mapping[str, Any]) -> Any:
    try:
        return component(**arguments)
    except UntrustedError:
        raise
    except Exception as error:  # whatever the class, and the library behind it, raises
        raise ModelNotFoundError(f"{name} cannot be made: {type(error).__name__}: {hide(str(error))}") from None


def make_llm(text: str) -> "LLM":
    """Return the language model that `module.Class?argument=value` names.

    Raises SpecError if it is none, and ModelNotFoundError if the class refuses its arguments.
    """
    from llama_index.core.llms import LLM

    name, _, query = text.partition("?")
    found = find_class(name, {LLM: "language model"})
    arguments = read_arguments(found, cast(ComponentOptions, parse_options(text, ComponentOptions, query)))
    return cast("LLM", _made(found, name, arguments))


def find_class(name: str, bases: Mapping[type, str]) -> type[BaseModel]:
    """Return the class that `module.Class` names, which is one of the `bases`, each with what it is called.

    Raises SpecError if it is none, or not there, and OptionalDependencyError if its package is not.
    """
    module_name, _, class_name = name.rpartition(".")
    if not module_name:
        raise SpecError(
            f"'llamaindex:{name}' names no module. Write module.Class, such as "
            "'llamaindex:llama_index.embeddings.huggingface.HuggingFaceEmbedding?model_name=...'."
        )
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        raise _missing(name, module_name, error.name or module_name) from error
    components = {
        each: kind for each, kind in vars(module).items() if isinstance(kind, type) and issubclass(kind, tuple(bases))
    }
    if class_name not in components:
        called = list(bases.values())
        there = f"{name} is no {' and no '.join(called)}" if hasattr(module, class_name) else f"no class {name}"
        near = did_you_mean(class_name, components) if components else f"The module has no {' or '.join(called)}."
        raise SpecError(f"{there}. {near}")
    return cast(type[BaseModel], components[class_name])


def read_arguments(component: type[BaseModel], options: ComponentOptions) -> dict[str, Any]:
    """Return the options as values of the types that the class asks for. Raises SpecError with all that are wrong."""
    types = _arguments(component)
    read: dict[str, Any] = {}
    problems: list[str] = []
    for name, text in options.model_dump().items():
        if name not in types:
            problems.append(f"unknown option {name!r}. {did_you_mean(name, types)}")
            continue
        try:
            read[name] = _read(text, types[name])
        except ValidationError as error:
            problems.append(f"option {name!r}: {error.errors()[0]['msg']}, got {text!r}")
    if problems:
        raise SpecError(f"{component.__module__}.{component.__qualname__}: " + "; ".join(problems))
    return read


def _arguments(component: type[BaseModel]) -> Mapping[str, Any]:
    """Return the type of each argument of the class; of its fields too, if it takes any keyword."""
    parameters = inspect.signature(component).parameters.values()
    fields = {name: field.annotation for name, field in component.model_fields.items()}
    try:
        hints = {**fields, **get_type_hints(component.__init__)}
    except NameError:  # a name that is imported for type checkers only
        hints = fields
    named = {
        each.name: hints.get(each.name, Any)
        for each in parameters
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    }
    return {**fields, **named} if any(each.kind is each.VAR_KEYWORD for each in parameters) else named


def _read(text: str, kind: Any) -> Any:
    """Return the value of this type that the text is, or that it is as JSON, for lists and the like."""
    adapter = TypeAdapter(kind, config=None if _is_model(kind) else {"arbitrary_types_allowed": True})
    try:
        return adapter.validate_python(text)
    except ValidationError:
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        return adapter.validate_python(value)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _missing(name: str, module_name: str, missing: str) -> Exception:
    if not f"{module_name}.".startswith(f"{missing}."):
        return OptionalDependencyError(name, missing, None)
    parts = module_name.split(".")
    if parts[0] == "llama_index" and len(parts) > 2:
        return ModelNotFoundError(
            f"no module {module_name!r}. Integrations of LlamaIndex are packages of their own: "
            f"pip install {'-'.join(parts[:3]).replace('_', '-')}"
        )
    return SpecError(f"no module {module_name!r}; it must be installed, or its folder on PYTHONPATH.")


FAMILIES = (
    Family(
        "llamaindex", frozenset({"embedder", "reranker"}), ComponentOptions, load_component,
        "any LlamaIndex embedding or postprocessor; options are its class's arguments",
        "module.Class", module="llama_index.core", extra="llamaindex", check=check_component, may_charge=True,
    ),
)  # fmt: skip
