"""What mteb's registry knows of its models, and loading them."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from evalkit.errors import ModelNotFoundError, UnknownNameError, did_you_mean
from evalkit.models.registry.families import Kind
from evalkit.tasks.mteb.reference import require_mteb

if TYPE_CHECKING:
    from mteb.models import ModelMeta


def find_meta(name: str) -> "ModelMeta":
    """Return mteb's description of a model of its registry. Raises UnknownNameError for any other name."""
    require_mteb()
    import mteb

    try:
        return mteb.get_model_meta(name)
    except KeyError as error:
        near = did_you_mean(name, (meta.name for meta in mteb.get_model_metas() if meta.name))
        raise UnknownNameError(f"mteb's registry has no model {name!r}. {near}") from error


def model_facts(name: str) -> dict[str, Any]:
    """Tell what the registry says of a model, as plain data: None where it says nothing. `dim` in dimensions,
    `max_length` in tokens, `parameters` in millions, `languages` as the shortest codes of ISO 639; `prompts` by what
    they are for.
    """
    from langcodes import Language

    meta = find_meta(name)
    return {
        "name": meta.name,
        "revision": meta.revision,
        "kinds": list(meta.model_type),
        "dim": meta.embed_dim,
        "max_length": int(meta.max_tokens) if meta.max_tokens not in (None, math.inf) else None,
        "parameters": None if meta.n_parameters is None else meta.n_parameters / 1e6,
        "languages": tuple(
            # The registry has "zho-Hans" and "cmn-Hans" for what is "zh" elsewhere.
            sorted({str(Language.get(code).prefer_macrolanguage().language) for code in meta.languages or ()})
        ),
        "licence": None if meta.license is None else str(meta.license),
        "prompts": dict(meta.loader_kwargs.get("model_prompts") or {}),
    }


def check_model(name: str, _: object) -> frozenset[Kind]:
    """Tell what a model of the registry can be, without loading it. Raises UnknownNameError for any other name.

    What is neither a dense encoder nor a cross-encoder (late interaction, sparse, BM25) searches by itself.
    """
    kinds: dict[str, Kind] = {"dense": "embedder", "cross-encoder": "reranker"}
    return frozenset(kinds.get(kind, "retriever") for kind in find_meta(name).model_type)


def search_models(text: str) -> Iterator[dict[str, Any]]:
    """Yield the facts of all models about texts whose name contains `text`, in any case of letters."""
    require_mteb()
    import mteb

    for meta in mteb.get_model_metas():
        if meta.name and "text" in meta.modalities and text.lower() in meta.name.lower():
            yield model_facts(meta.name)


def load(name: str, device: str) -> Any:
    """Return a model of the registry, loaded by mteb. Raises ModelNotFoundError if mteb cannot load it."""
    import mteb

    if find_meta(name).loader is None:
        raise ModelNotFoundError(f"mteb has results of {name!r}, but nothing that runs it. Choose another model.")
    try:
        return mteb.get_model(name, device=device)
    except (OSError, ImportError, NotImplementedError, ValueError) as error:
        raise ModelNotFoundError(
            f"mteb cannot load {name!r}: {type(error).__name__}: {error}. Connect, download it first, or install "
            "what it asks for."
        ) from error
