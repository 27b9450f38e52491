"""Keys of the store: hashes of content, the same for every library and machine."""

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evalkit.store.table import KEY_BYTES, as_bytes


def fingerprint(identity: Mapping[str, object]) -> str:
    """Return SHA-256, in hex, over everything that changes a model's output."""
    return sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def text_keys(texts: Iterable[str], prompt: str) -> pa.Array:
    """Return a key for each text as read after the prompt."""
    before = _digest(prompt)
    return _array(sha256(before + _digest(text)).digest() for text in texts)


def pair_keys(queries: Sequence[str], documents: Sequence[str]) -> pa.Array:
    """Return a key for each pair (queries[i], documents[i])."""
    digests = {text: _digest(text) for text in {*queries, *documents}}
    return _array(
        sha256(digests[query] + digests[doc]).digest() for query, doc in zip(queries, documents, strict=True)
    )


def concatenated(parts: Sequence[pa.Array]) -> pa.Array:
    """Return keys of several blocks of texts, as one array."""
    return pa.concat_arrays([_array([]), *parts])


def first_of_each(keys: pa.Array) -> NDArray[np.bool_]:
    """Mark the first row of each distinct key: of shape (n_keys,)."""
    first = np.zeros(len(keys), dtype=np.bool_)
    first[np.unique(as_bytes(keys), return_index=True)[1]] = True
    return first


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def _array(digests: Iterable[bytes]) -> pa.Array:
    joined = bytearray()  # as they come: a list of a million bytes objects takes several times the memory
    for digest in digests:
        joined += digest[:KEY_BYTES]
    return pa.Array.from_buffers(pa.binary(KEY_BYTES), len(joined) // KEY_BYTES, [None, pa.py_buffer(joined)])
