"""A dense model that counts, and what a process of its own does to a table."""

import multiprocessing
from hashlib import sha256
from pathlib import Path

import numpy as np

from evalkit.models._dense import DenseEmbedder
from evalkit.models.registry import parse_spec
from evalkit.models.sbert import SbertOptions
from evalkit.store.folder import Folder
from evalkit.store.keys import text_keys
from evalkit.store.table import Table

APPENDED = 10


class Counting(DenseEmbedder):
    """Makes vectors of hashes of what it reads, and notes it: prompt and text. `spoil` changes the vectors."""

    def __init__(self, spec="sbert:counting", weights="w", dim=8, spoil=lambda vectors, texts: vectors):
        options = parse_spec(spec).options
        assert isinstance(options, SbertOptions)
        dtype = options.dtype or "float32"
        super().__init__(options, {"family": "counting", "weights": weights, "compute_dtype": dtype})
        self.read: list[str] = []
        self._weights, self._dim, self._spoil = weights, dim, spoil

    def raw(self, texts, prompt, advance):
        texts = [prompt + text for text in texts]
        self.read += texts
        advance(len(texts))
        digests = [sha256((self._weights + text).encode()).digest() * (self._dim // 32 + 1) for text in texts]
        vectors = np.array([list(digest[: self._dim]) for digest in digests], dtype=np.float32) - 100
        return self._spoil(vectors, texts)


def append_to_all(place: str, who: int, processes: int, barrier) -> None:
    """Rows of this process and rows of all, one a commit, to each of three tables that nobody has made yet."""
    from evalkit.store import table as module

    module.FRAGMENTS_BEFORE_COMPACTION = 4  # so that processes compact while others append
    for number in range(3):
        barrier.wait(60)
        table = Table(Folder(f"{place}/{number}.lance"), {"model": "m"})
        for row in range(APPENDED):
            table.append(text_keys([f"{who} {row}", f"all {row}"], ""), np.full((2, 4), row, dtype=np.float32))
            table.refresh()
            table.compact()


def check_that_processes_lose_nothing(place: str, processes: int) -> None:
    """Each makes the tables at a place, appends and compacts, all at once."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    workers = [
        context.Process(target=append_to_all, args=(place, who, processes, barrier)) for who in range(processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * processes
    for number in range(3):
        table = Table(Folder(f"{place}/{number}.lance"), {})
        assert len(table) == processes * APPENDED * 2
        assert table.altered().size == 0
        for who in (*range(processes), "all"):
            rows = table.find(text_keys([f"{who} {row}" for row in range(APPENDED)], ""))
            np.testing.assert_array_equal(table.take(rows), np.arange(APPENDED)[:, None].repeat(4, axis=1))


def glove_file(folder: Path, dim: int = 2) -> str:
    """A spec of word vectors in a file, for the tasks of `write_tasks`: six distinct texts, one given twice."""
    words = ["a", "cat", "naps", "dogs", "bark", "at", "cats", "fish", "swim", "zebra"]
    vectors = np.random.default_rng(0).integers(1, 9, (len(words), dim))
    lines = [f"{word} {' '.join(map(str, vector))}\n" for word, vector in zip(words, vectors, strict=True)]
    (folder / "glove.txt").write_text("".join(lines))
    return f"glove:{folder / 'glove.txt'}"
