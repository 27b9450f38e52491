"""Our embedders as mteb's models: they encode by way of our store."""

from evalkit.contracts import Embedder, Fittable, no_progress
from evalkit.errors import ConfigError
from evalkit.runner.grid.encoding import encode
from evalkit.store import Store
from evalkit.store.keys import fingerprint
from evalkit.tasks.mteb.model import Encode, MtebModel, empty_meta
from evalkit.tasks.mteb.reference import require_mteb


def as_mteb_model(embedder: Embedder, name: str | None = None, store: Store | None = None) -> MtebModel:
    """An embedder as a model that `mteb.evaluate` takes; vectors come from `store` if it has them.

    `name` is ORG/NAME, what mteb calls the model in its results; its revision there is the embedder's fingerprint, so
    that mteb's cache of results never takes one embedder for another. A model that learns from a corpus learns from
    the corpus of each retrieval task; for all other tasks give its fitted copy.

    Raises OptionalDependencyError without mteb, ConfigError if `name` has no ORG.
    """
    require_mteb()
    mark = fingerprint(embedder.identity)
    name = name or f"evalkit/{mark[:12]}"
    if "/" not in name:
        raise ConfigError(f"mteb calls models ORG/NAME, got {name!r}. Write for example 'evalkit/{name}'.")
    meta = empty_meta(name, mark, embedder.similarity)

    def encode_with(chosen: Embedder) -> Encode:
        return lambda texts, role: encode(chosen, name, texts, texts, role, store, no_progress)

    if not isinstance(embedder, Fittable):
        return MtebModel(encode_with(embedder), embedder.similarity, meta)
    return MtebModel(
        encode_with(embedder), embedder.similarity, meta, fit=lambda texts: encode_with(embedder.fit(texts))
    )
