"""Fixtures shared by the tests of the store."""

from pathlib import Path

import pytest

from evalkit.models.words import WordAverage
from evalkit.store import Store
from evalkit.store import _reuse as reuse


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def one_text_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reuse, "UNIT_CHARACTERS", {"cpu": 1})
    monkeypatch.setattr(reuse, "SECONDS_PER_COMMIT", 0)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes the texts that word vectors encode."""
    raw, texts_read = WordAverage.raw, []

    def noting(self, texts, *more):
        texts_read.extend(texts)
        return raw(self, texts, *more)

    monkeypatch.setattr(WordAverage, "raw", noting)
    return texts_read
