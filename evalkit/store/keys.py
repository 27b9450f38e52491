"""Keys of the store: hashes of content, the same for every library and machine."""

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

import pyarrow as pa

from evalkit.store.table import KEY_BYTES


def fingerprint(identity: Mapping[str, object]) -> str:
    """SHA-256, in hex, over everything that changes a model's output."""
    return sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def text_keys(texts: Iterable[str], prompt: str) -> pa.Array:
    """A key for each text as read after the prompt."""
    before = _digest(prompt)
    return _array([sha256(before + _digest(text)).digest() for text in texts])


def pair_keys(queries: Sequence[str], documents: Sequence[str]) -> pa.Array:
    """A key for each pair (queries[i], documents[i])."""
    digests = {text: _digest(text) for text in {*queries, *documents}}
    return _array(
        [sha256(digests[query] + digests[doc]).digest() for query, doc in zip(queries, documents, strict=True)]
    )


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def _array(digests: list[bytes]) -> pa.Array:
    return pa.array([digest[:KEY_BYTES] for digest in digests], pa.binary(KEY_BYTES))
