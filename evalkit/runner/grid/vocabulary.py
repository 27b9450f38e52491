"""What a model with a closed vocabulary knows of a task's texts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evalkit.contracts import CountsUnknown, Coverage, HasVocabulary, VectorRows
from evalkit.runner.grid.encoding import zero_rows
from evalkit.runner.grid.truncation import sampled
from evalkit.terms import Role

TEXTS_AT_ONCE = 16_384


@dataclass(frozen=True)
class Vocabulary:
    """It tells how much of the texts is known, and the ids of texts of which nothing is; see `cells.CellFacts`."""

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
