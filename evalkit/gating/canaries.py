"""Canary texts: encoded now and then, they show that a model gives other vectors, and what about it changed."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from evalkit.contracts import CountsTokens, Embedder
from evalkit.errors import ConfigError
from evalkit.runner.grid.encoding import fitted
from evalkit.search.exact import dense
from evalkit.terms import Role

_FILLER = "the clerk wrote down every name that was called and the hour at which it came"
_WORDS = tuple(_FILLER.split())
LENGTHS = (32, 64, 128, 256, 512)
"""Words before the end by which two long texts differ: a model that reads fewer gives both one vector."""
TEXTS: tuple[str, ...] = (
    "The invoice is due thirty days after the goods were delivered.",
    "the invoice is due thirty days after the goods were delivered.",
    "How do I reset my password?",
    "how do i reset my password?",
    "Apple reported revenue of $94.8 billion for the second quarter of 2023.",
    "apple reported revenue of $94.8 billion for the second quarter of 2023.",
    "Die Überweisung wurde am Freitag zurückgebucht.",
    "Où se trouve la gare la plus proche ?",
    "A cat sleeps on the warm windowsill.",
    "A kitten naps on the sunny ledge.",
    "Interest rates rose for the third time this year.",
    "def mean(values): return sum(values) / len(values)",
    "ISO 9001:2015, section 8.5.1 (b)",
    "東京の天気は晴れです。",
    "Patients with asthma should carry an inhaler at all times.",
    "The match was cancelled because of heavy rain.",
    *(
        f"{' '.join(_WORDS[word % len(_WORDS)] for word in range(length))} {end}"
        for length in LENGTHS
        for end in ("elephants bathe in rivers", "turbines spin offshore")
    ),
)
"""Of several kinds; pairs that differ in their letters' case only, and pairs of long texts that differ at the end."""
CASED = ((0, 1), (2, 3), (4, 5))
LONG = tuple((16 + 2 * number, 17 + 2 * number) for number in range(len(LENGTHS)))
ROLES: tuple[Role, ...] = ("query", "document")
NEIGHBOURS = 5
HASH = "weights was"
SHUFFLED = "the vectors of before are there in another order: each text has that of another"
SAME = 1e-5
"""1 - cosine of vectors that are one but for rounding."""


class Canaries(BaseModel):
    """A model's vectors of the canary texts: float16, base64, (n_texts, dim) for each role; tokens of each text.

    `files` has what the model's files hold, by name, where it has files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: dict[str, Any]
    similarity: str
    dim: int
    vectors: dict[str, str]
    lengths: dict[str, list[float]]
    tokens: list[int] | None = None
    files: dict[str, str] = {}

    def array(self, role: Role) -> NDArray[np.float32]:
        """Return the vectors of a role: float32 of shape (n_texts, dim), each of length 1 but for zero vectors."""
        raw = np.frombuffer(base64.b64decode(self.vectors[role]), dtype=np.float16)
        # Rounding to float16 changes lengths more than directions.
        return np.asarray(_scaled(raw.reshape(-1, self.dim).astype(np.float32)), dtype=np.float32)


@dataclass(frozen=True)
class Drift:
    """How a model's vectors of the canary texts differ from those of before.

    `cosine` is the lowest over the texts, `neighbours` the mean share of the five nearest canaries that are the same;
    both 1 where nothing changed, NaN where the dimension did. `causes` are sentences on what changed.
    """

    cosine: float
    neighbours: float
    causes: tuple[str, ...]


def encode_canaries(embedder: Embedder, files: Mapping[str, str] | None = None) -> Canaries:
    """Return the canaries of a model, encoded anew: nothing is read from a store. One that learns, learns from
    them.
    """
    model = fitted(embedder, TEXTS)
    arrays = {role: dense(model.encode(TEXTS, role)) for role in ROLES}
    return Canaries(
        identity=_plain(model.identity),
        similarity=model.similarity,
        dim=int(arrays["query"].shape[1]),
        vectors={role: _encoded(_scaled(vectors)) for role, vectors in arrays.items()},
        lengths={role: np.linalg.norm(vectors, axis=1).round(6).tolist() for role, vectors in arrays.items()},
        tokens=[int(count) for count in model.tokens(TEXTS, "document")] if isinstance(model, CountsTokens) else None,
        files=dict(files or {}),
    )


def _scaled(vectors: NDArray[Any]) -> NDArray[Any]:
    """Return each row of length 1, but for zero vectors."""
    from sklearn.preprocessing import normalize  # type: ignore[import-untyped]  # takes seconds to import

    return np.asarray(normalize(vectors))


def _encoded(vectors: NDArray[np.float32]) -> str:
    return base64.b64encode(vectors.astype(np.float16).tobytes()).decode()


def drift(before: Canaries, now: Canaries) -> Drift:
    """Tell what changed between the canaries of a model before and now."""
    if len(before.lengths["document"]) != len(now.lengths["document"]):
        raise ConfigError(
            "the baseline has other canary texts than this evalkit. Make it again: evalkit baseline RUN."
        )
    # Of a model without files, as an object has none, nothing is known of them.
    files = _differing(before.files, now.files) if before.files and now.files else []
    identity = _differing(before.identity, now.identity)
    # The hash of all files says less than what each of them holds.
    causes = [each for each in identity if not (files and each.startswith(HASH))]
    if before.dim != now.dim:
        told = f"vectors have {now.dim} dimensions, and had {before.dim}"
        return Drift(np.nan, np.nan, (told, *causes, *_probes(before, now), *files))
    # What is read from single vectors means nothing where they are those of other texts.
    causes += [SHUFFLED] if _shuffled(before, now) else _probes(before, now)
    causes += files
    cosines = np.concatenate([(before.array(role) * now.array(role)).sum(axis=1) for role in ROLES])
    # Texts without a vector then and now are alike.
    blank = np.concatenate([~before.array(role).any(axis=1) & ~now.array(role).any(axis=1) for role in ROLES])
    lowest = float(np.where(blank, 1.0, np.minimum(cosines, 1.0)).min())
    shared = float(np.mean([_overlap(before.array(role), now.array(role)) for role in ROLES]))
    if 1 - lowest > 1e-3 and not causes:
        causes.append("nothing that is known of the model differs: its code, or a library, gives other vectors")
    return Drift(lowest, shared, tuple(causes))


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Tell what a model says of itself, or its files hold, where it is not the same."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return [f"{key} was {_short(before.get(key))}, and is {_short(now.get(key))}" for key in keys]


def _probes(before: Canaries, now: Canaries) -> list[str]:
    found = []
    if before.tokens is not None and now.tokens is not None and before.tokens != now.tokens:
        changed = sum(one != other for one, other in zip(before.tokens, now.tokens, strict=True))
        found.append(f"{changed} of {len(TEXTS)} texts have another number of tokens: the tokenizer changed")
    for what, probe in (
        ("texts that differ in upper and lower case", _ignores_case),
        ("a text as query and as document", _ignores_role),
    ):
        then, later = probe(before), probe(now)
        if then != later:
            found.append(f"{what} {'now' if later else 'no longer'} have the same vector")
    then_reads, reads = _words_read(before), _words_read(now)
    if then_reads != reads:
        found.append(f"of a long text {_told(reads)} is read, and was {_told(then_reads)}")
    for role in ROLES:
        then_unit, unit = (np.allclose(each.lengths[role], 1, atol=1e-3) for each in (before, now))
        if then_unit != unit:
            found.append(f"{role} vectors are {'now' if unit else 'no longer'} of length 1")
    levels = [_precision(each) for each in (before, now)]
    if levels[0] != levels[1]:
        found.append(f"vectors have {levels[1]} values, and had {levels[0]}")
    return found


def _shuffled(before: Canaries, now: Canaries) -> bool:
    """Tell whether the vectors are those of before, in another order."""
    then, later = before.array("document"), now.array("document")
    similar = then @ later.T
    nearest = similar.argmax(axis=1)
    found = (similar.max(axis=1) > 1 - 1e-3).mean() > 0.9
    # A text whose twin has the same vector is in its place.
    moved = similar[np.arange(len(nearest)), nearest] - similar.diagonal() > 1e-3
    return bool(found and moved.any())


def _ignores_case(canaries: Canaries) -> bool:
    vectors = canaries.array("document")
    return all(_cosine(vectors[one], vectors[other]) > 1 - SAME for one, other in CASED)


def _ignores_role(canaries: Canaries) -> bool:
    pairs = zip(canaries.array("query"), canaries.array("document"), strict=True)
    return all(_cosine(query, document) > 1 - SAME for query, document in pairs)


def _words_read(canaries: Canaries) -> int | None:
    """Return the length of the first pair of long texts that have one vector though their ends differ; None: none
    has.
    """
    vectors = canaries.array("document")
    for length, (one, other) in zip(LENGTHS, LONG, strict=True):
        if _cosine(vectors[one], vectors[other]) > 1 - SAME:
            return length
    return None


def _told(length: int | None) -> str:
    return f"all of {LENGTHS[-1]} words" if length is None else f"less than {length} words"


def _precision(canaries: Canaries) -> str:
    distinct = max(len(np.unique(np.abs(vector))) for vector in canaries.array("document"))
    if distinct <= 2:
        return "binary"
    return "int8" if distinct <= 129 < canaries.dim else "float"


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else float(not a.any() and not b.any())


def _overlap(before: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    near = [_nearest(vectors) for vectors in (before, now)]
    return float(np.mean([len(set(a) & set(b)) / NEIGHBOURS for a, b in zip(*near, strict=True)]))


def _nearest(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    # Near-equal similarities may change places by rounding alone.
    similar = np.round(vectors @ vectors.T, 3)
    np.fill_diagonal(similar, -np.inf)
    return np.argsort(-similar, axis=1, kind="stable")[:, :NEIGHBOURS]


def _plain(identity: Mapping[str, object]) -> dict[str, Any]:
    """Return the identity as JSON has it, so that one that was read again is equal."""
    found: dict[str, Any] = json.loads(json.dumps(dict(identity), default=str))
    return found


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
