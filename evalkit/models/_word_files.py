"""Readers of word vectors: GloVe text, word2vec text and binary, fastText .vec and .bin; all .gz too.

They are stricter than gensim's: a row of another length, a wrong count, a cut-off file or a number that is
not finite is an error. Words with spaces (there are some in glove.840B) are read.
"""

import gzip
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ModelNotFoundError
from evalkit.models.registry.folder import refuse_pointer

if TYPE_CHECKING:
    from gensim.models.fasttext import FastTextKeyedVectors

GLOVE = "GloVe text (a word and its numbers a line, no header line)"
WORD2VEC = "word2vec text or binary (a first line 'COUNT DIM', then words and their numbers)"
FASTTEXT = "fastText .vec (as word2vec text) or .bin (not quantised, no classifier)"

FASTTEXT_MAGIC = struct.pack("<ii", 793712314, 12)


class WordVectors:
    """Words and their vectors: `matrix` is float32 of shape (n_words, dim), `rows` the row of each word."""

    def __init__(self, rows: Mapping[str, int], matrix: NDArray[np.float32]) -> None:
        self.rows = rows
        self.matrix = matrix

    def has(self, token: str) -> bool:
        """Tell whether a token, or its lower-cased form, is a word of the list."""
        return token in self.rows or token.lower() in self.rows

    def find(self, token: str) -> str | None:
        """Return the word that a token stands for: itself or its lower-cased form, or None if neither is known."""
        if token in self.rows:
            return token
        lower = token.lower()
        return lower if lower in self.rows else None

    def of(self, words: Sequence[str]) -> NDArray[np.float32]:
        """Return vectors of words that `find` gave: float32 of shape (n_words, dim)."""
        return self.matrix[np.array([self.rows[word] for word in words], dtype=np.int64)]


class SubwordVectors(WordVectors):
    """fastText's vectors (Bojanowski et al. 2017): an unknown word gets the mean of its n-grams' vectors."""

    def __init__(self, vectors: "FastTextKeyedVectors") -> None:
        super().__init__(vectors.key_to_index, vectors.vectors)
        self._vectors = vectors

    def find(self, token: str) -> str | None:
        """As for other vectors; an unknown token is its lower-cased form, if that has an n-gram."""
        from gensim.models.fasttext import ft_ngram_hashes

        known, lower = super().find(token), token.lower()
        if known is not None or self._vectors.bucket == 0:
            return known
        kv = self._vectors
        return lower if len(ft_ngram_hashes(lower, kv.min_n, kv.max_n, kv.bucket)) else None

    def of(self, words: Sequence[str]) -> NDArray[np.float32]:
        """Return vectors of words that `find` gave: float32 of shape (n_words, dim)."""
        vectors = [self._vectors.get_vector(word) for word in words]
        return np.array(vectors, dtype=np.float32).reshape(len(words), self.matrix.shape[1])


def read_glove(path: Path) -> WordVectors:
    """Read GloVe text. Raises ModelNotFoundError if the file is not there or breaks the format."""
    with _content(path, GLOVE) as content:
        first = content.readline()
        if _HEADER.fullmatch(first):
            raise ValueError(f"the first line {first.strip()!r} is a header, so read it as word2vec:{path}")
        content.seek(0)
        return _read_text(content, max(1, len(first.split()) - 1), line_number=1)


def read_word2vec(path: Path) -> WordVectors:
    """Read word2vec text or binary, told apart by the first word's numbers.

    Raises ModelNotFoundError if the file is not there or breaks the format.
    """
    with _content(path, WORD2VEC) as content:
        count, dim = _read_header(content)
        start = content.tell()
        is_text = _row(content.readline(), dim) is not None
        content.seek(start)
        if is_text:
            return _read_text(content, dim, line_number=2, count=count)
        return _read_binary(content, count, dim)


def read_fasttext(path: Path) -> WordVectors:
    """Read fastText .vec or .bin (Facebook's format, version 12), told apart by content.

    Raises ModelNotFoundError if the file is not there or breaks the format.
    """
    with _content(path, FASTTEXT) as content:
        if content[:8] == FASTTEXT_MAGIC:
            return _read_facebook(content)
        count, dim = _read_header(content)
        return _read_text(content, dim, line_number=2, count=count)


@contextmanager
def _content(path: Path, formats: str) -> Iterator[mmap]:
    """Give the file's bytes, unpacked if they are gzip's; turn what is wrong with them into one error."""
    if not path.is_file():
        raise ModelNotFoundError(f"no file {str(path)!r} with word vectors. Allowed: {formats}; .gz too.")
    refuse_pointer(path)
    try:
        with path.open("rb") as file, TemporaryFile() as unpacked:
            source: IO[bytes] = file
            if file.peek(2)[:2] == b"\x1f\x8b":
                with gzip.open(file) as packed:
                    copyfileobj(packed, unpacked)
                unpacked.flush()
                source = unpacked
            if source.seek(0, 2) == 0:
                raise ValueError("it is empty")
            yield mmap(source.fileno(), 0, access=ACCESS_READ)
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        allowed = f"Allowed: {formats}; .gz too."
        raise ModelNotFoundError(f"cannot read {str(path)!r}: {error}. {allowed}") from error


_HEADER = re.compile(rb"(\d+)\s+([1-9]\d*)\s*")


def _read_header(content: mmap) -> tuple[int, int]:
    line = content.readline()
    header = _HEADER.fullmatch(line)
    if header is None:
        raise ValueError(f"the first line is not 'COUNT DIM' but begins with {line[:40]!r}")
    return int(header[1]), int(header[2])


def _row(line: bytes, dim: int) -> tuple[str, list[float]] | None:
    """Return the word and the numbers of a line, or None if it has more or fewer than `dim` numbers."""
    word, *numbers = line.rstrip(b" \r\n").rsplit(b" ", dim)
    *front, back = word.split(b" ")
    if len(numbers) != dim or (front and _is_number(back)):
        return None
    try:
        return word.decode(errors="replace"), [float(number) for number in numbers]
    except ValueError:
        return None


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _read_text(content: mmap, dim: int, line_number: int, count: int | None = None) -> WordVectors:
    start = content.tell()
    found = sum(1 for line in iter(content.readline, b"") if not line.isspace())
    if count is not None and found != count:
        raise ValueError(f"its first line says {count} words, but there are {found}")
    content.seek(start)
    matrix = np.empty((found, dim), dtype=np.float32)
    words: list[str] = []
    for number, line in enumerate(iter(content.readline, b""), start=line_number):
        if line.isspace():
            continue
        row = _row(line, dim)
        if row is None:
            raise ValueError(f"line {number} is not a word and {dim} numbers: it begins with {line[:40]!r}")
        matrix[len(words)] = row[1]
        words.append(row[0])
    return _checked(words, matrix)


def _read_binary(content: mmap, count: int, dim: int) -> WordVectors:
    reading = f"read as binary, since its first word does not have {dim} numbers in text"
    width = 4 * dim
    if count * (width + 1) > len(content) - content.tell():
        raise ValueError(f"{reading}, it is too short for the {count} words of its first line")
    matrix = np.empty((count, dim), dtype=np.float32)
    words: list[str] = []
    position = content.tell()
    for row in range(count):
        space = content.find(b" ", position)
        if space < 0 or space + 1 + width > len(content):
            raise ValueError(f"{reading}, it ends after {row} of the {count} words of its first line")
        words.append(content[position:space].lstrip(b"\n").decode(errors="replace"))
        position = space + 1 + width
        matrix[row] = np.frombuffer(content[space + 1 : position], dtype="<f4")
    if content[position:].strip():
        raise ValueError(f"{reading}, it goes on after the {count} words of its first line")
    return _checked(words, matrix)


def _read_facebook(content: mmap) -> SubwordVectors:
    """See Args, Dictionary, Matrix and FastText `save` in the source of fastText."""
    from gensim.models.fasttext import FastTextKeyedVectors

    content.seek(8)
    dim, *_, bucket, min_n, max_n, _, _ = _unpack(content, "<12id")
    n_words, _, n_labels, _, pruned = _unpack(content, "<3i2q")
    if n_labels or pruned > 0:
        raise ValueError("it is a classifier or was pruned, which cannot be read")
    words: list[str] = []
    for _ in range(n_words):
        end = content.find(b"\0", content.tell())
        if end < 0:
            raise ValueError(f"it ends after {len(words)} of its {n_words} words")
        words.append(content[content.tell() : end].decode(errors="replace"))
        content.seek(min(end + 10, len(content)))  # over the word's count (8 bytes) and type (1)
    quantised, n_rows, n_columns = _unpack(content, "<?2q")
    if quantised or (n_rows, n_columns) != (n_words + bucket, dim):
        raise ValueError("it is quantised, or its counts contradict each other")
    if len(content) - content.tell() < 4 * n_rows * n_columns:
        raise ValueError(f"it ends within its {n_rows} vectors")
    matrix = np.frombuffer(content, "<f4", n_rows * n_columns, content.tell()).reshape(n_rows, n_columns)
    vectors = FastTextKeyedVectors(dim, min_n, max_n, bucket)
    vectors.index_to_key = words
    vectors.key_to_index = {word: row for row, word in enumerate(words)}
    _check_finite(matrix)
    vectors.init_post_load(matrix)
    return SubwordVectors(vectors)


def _unpack(content: mmap, layout: str) -> tuple[int, ...]:
    field = content.read(struct.calcsize(layout))
    if len(field) < struct.calcsize(layout):
        raise ValueError("it ends too early")
    return struct.unpack(layout, field)


def _checked(words: list[str], matrix: NDArray[np.float32]) -> WordVectors:
    if matrix.size == 0:
        raise ValueError("it holds no vectors")
    _check_finite(matrix)
    # A word that is there twice keeps its first row, as in gensim.
    return WordVectors({word: row for row, word in reversed(list(enumerate(words)))}, matrix)


def _check_finite(matrix: NDArray[np.float32]) -> None:
    bad = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if bad.size:
        raise ValueError(f"{bad.size} of its vectors are not finite, the first is number {bad[0] + 1}")
