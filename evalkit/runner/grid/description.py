"""Asks a model how it is run on a task, and how much of the texts it reads, and keeps that beside its values."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from pydantic import TypeAdapter

from evalkit.contracts import CutsTexts, Described, Embedder, FullVectors, ListReranker, Reranker, Retriever, Setting
from evalkit.runner.grid.truncation import Reading
from evalkit.runner.grid.vocabulary import Vocabulary
from evalkit.store import Store
from evalkit.store.keys import fingerprint
from evalkit.store.table import Table

OF = "settings, reading, known"
"""The key names what a description holds, so that one that was kept when it held less is not taken for it."""


@dataclass(frozen=True)
class Description:
    """The settings of a model, its reading of some texts (None: it does not count tokens), and what it knows of them.

    The last is what its tokenizer tells; see `vocabulary.known_by_tokens`.
    """

    settings: Mapping[str, Setting] = field(default_factory=dict)
    reading: Reading | None = None
    known: Vocabulary = field(default_factory=Vocabulary)

    def notes(self, what: str) -> tuple[str, ...]:
        """Sentences on what was guessed, and on the texts (`what` they are, in words) that were cut."""
        guesses = tuple(setting.guess for setting in self.settings.values() if setting.guess)
        return guesses + (() if self.reading is None else self.reading.notes(what))


def describe(
    model: Embedder | Retriever | Reranker | ListReranker,
    label: str,
    texts_hash: str,
    store: Store | None,
    read: Callable[[], Reading | None],
    known: Callable[[], Vocabulary] = Vocabulary,
    texts: Iterable[str] = (),
) -> Description:
    """Ask a model how it is run, `read` how much of the texts with this hash it reads, `known` what it knows of them.

    `texts` are those that were sent to it, where it may have cut some.

    All can take loading it. What was said is kept in the store beside the model's vectors or scores, if they are
    there, so that a run from a full store need not load the model to say it again.
    """
    table = None if store is None else _table(store, model, label)
    name = f"description-{fingerprint({'identity': dict(model.identity), 'texts': texts_hash, 'of': OF})[:16]}"
    adapter = TypeAdapter(Description)
    if table is not None and (kept := table.recall(name)) is not None:
        return adapter.validate_python(kept)
    settings = dict(model.settings) if isinstance(model, Described) else {}
    if isinstance(model, CutsTexts) and (count := model.cut_of(texts)):
        cut = f"{count:,} text(s) were cut, since the server refuses longer ones."
        settings["max_length"] = Setting(None, "server", cut)
    description = Description(settings, read(), known())
    if table is not None:
        with suppress(OSError):  # another user's store: what was computed is there, and this can be said again
            table.remember(name, asdict(description))
    return description


def _table(store: Store, model: Embedder | Retriever | Reranker | ListReranker, label: str) -> Table | None:
    """The table of the model's values; None if there is none."""
    if isinstance(model, FullVectors):
        table = store.table("vectors", label, model.raw_identity)
    elif isinstance(model, Embedder | Retriever):
        return None
    else:
        table = store.table("scores", label, model.identity)
    return table if table.exists else None
