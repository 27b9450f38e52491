"""Small word vectors, and the loaders under test with their options given by keyword."""

import gzip
from pathlib import Path

from evalkit.compute import Compute
from evalkit.models.words import TrainedWordOptions, WordOptions, load_fasttext, load_glove, load_word2vec

WORDS = {"cat": [0.5, -1, 2], "Dog": [4, 0, -2.5], "dog": [1, 1, 1], "straße": [0.25, 8, -3]}
LINES = [" ".join([word, *map(str, vector)]) for word, vector in WORDS.items()]
TEXT = ["cat DOG", "Dog straße unknown", "dog, cat?", "nothing"]


def glove(path: Path, **options: object):
    return load_glove(str(path), WordOptions(**options), Compute())


def word2vec(path: Path | str, **options: object):
    return load_word2vec(str(path), TrainedWordOptions(**options), Compute())


def fasttext(path: Path | str, **options: object):
    return load_fasttext(str(path), TrainedWordOptions(**options), Compute())


def written(path: Path, content: str | bytes) -> Path:
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path
