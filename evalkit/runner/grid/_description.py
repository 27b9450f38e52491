"""A model is asked once how it is run on a task and what of the texts it knows; that is kept beside its values."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from pydantic import TypeAdapter

from evalkit.contracts import (
    CountsUnknown,
    Coverage,
    CutsTexts,
    Described,
    Embedder,
    FullVectors,
    HasVocabulary,
    ListReranker,
    Reranker,
    Retriever,
    Setting,
    VectorRows,
)
from evalkit.runner.grid.encoding import zero_rows
from evalkit.runner.grid.truncation import Reading, sampled
from evalkit.store import Store
from evalkit.store.keys import fingerprint
from evalkit.store.table import Table
from evalkit.terms import Role

TEXTS_AT_ONCE = 16_384


@dataclass(frozen=True)
class Vocabulary:
    """It tells how much of the texts is known, and the ids of texts of which nothing is; see `plan.CellFacts`."""

    coverage: Coverage | None = None
    blank: tuple[str, ...] = ()
    wordless: tuple[str, ...] = ()


def coverage_of(model: object, texts: Sequence[str]) -> Coverage | None:
    """Count the tokens of texts, and those that the model does not know; None for a model without a vocabulary."""
    if not isinstance(model, HasVocabulary):
        return None
    return _sum(model.coverage(texts[start : start + TEXTS_AT_ONCE]) for start in range(0, len(texts), TEXTS_AT_ONCE))


def known_by_vectors(model: object, parts: Sequence[tuple[Sequence[str], Sequence[str], VectorRows]]) -> Vocabulary:
    """Tell from the vectors which texts an embedder knows nothing of. `parts` are ids, their texts and vectors."""
    if not isinstance(model, HasVocabulary):
        return Vocabulary()
    blank = [(ids[row], texts[row]) for ids, texts, vectors in parts for row in zero_rows(vectors)]
    return Vocabulary(
        _sum(coverage for _, texts, _ in parts if (coverage := coverage_of(model, texts))),
        tuple(identifier for identifier, _ in blank),
        tuple(identifier for identifier, text in blank if not model.coverage([text]).tokens),
    )


def known_by_words(model: object, parts: Sequence[tuple[Sequence[str], Sequence[str]]]) -> Vocabulary:
    """Tell from the words which texts a model without vectors knows nothing of. `parts` are ids and their texts."""
    if not isinstance(model, HasVocabulary):
        return Vocabulary()
    by_text = [
        (identifier, model.coverage([text]))
        for ids, texts in parts
        for identifier, text in zip(ids, texts, strict=True)
    ]
    return Vocabulary(
        _sum(coverage for _, coverage in by_text),
        tuple(identifier for identifier, coverage in by_text if coverage.tokens == coverage.unknown),
        tuple(identifier for identifier, coverage in by_text if not coverage.tokens),
    )


def known_by_tokens(model: object, parts: Sequence[tuple[Sequence[str], Sequence[str], Role]]) -> Vocabulary:
    """Tell from the tokens of which texts a model's tokenizer knows nothing. `parts` are ids, their texts and role.

    Of many texts a sample is looked at, as for their length.
    """
    if not isinstance(model, CountsUnknown):
        return Vocabulary()
    found: list[Coverage] = []
    blank: list[str] = []
    for ids, texts, role in parts:
        rows = sampled(len(texts)).tolist()
        counts = model.unknown_tokens([texts[row] for row in rows], role)
        if counts is None:
            return Vocabulary()
        tokens, unknown = counts
        found.append(Coverage(int(tokens.sum()), int(unknown.sum())))
        blank += [ids[row] for row, some, none in zip(rows, tokens, unknown, strict=True) if some and some == none]
    return Vocabulary(_sum(found), tuple(blank))


def _sum(parts: Iterable[Coverage]) -> Coverage:
    counts = [(part.tokens, part.unknown) for part in parts]
    return Coverage(sum(tokens for tokens, _ in counts), sum(unknown for _, unknown in counts))


OF = "settings, reading, known"
"""The key names what a description holds, so that one that was kept when it held less is not taken for it."""


@dataclass(frozen=True)
class Description:
    """The settings of a model, its reading of some texts (None: it does not count tokens), and what it knows of them.

    The last is what its tokenizer tells; see `known_by_tokens`.
    """

    settings: Mapping[str, Setting] = field(default_factory=dict)
    reading: Reading | None = None
    known: Vocabulary = field(default_factory=Vocabulary)

    def notes(self, what: str) -> tuple[str, ...]:
        """Return sentences on what was guessed, and on the texts (`what` they are, in words) that were cut."""
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
    """Return the table of the model's values; None if there is none."""
    if isinstance(model, FullVectors):
        table = store.table("vectors", label, model.raw_identity)
    elif isinstance(model, Embedder | Retriever):
        return None
    else:
        table = store.table("scores", label, model.identity)
    return table if table.exists else None
