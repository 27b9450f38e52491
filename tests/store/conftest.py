"""Fixtures shared by the tests of the store."""

import subprocess
from pathlib import Path

import pytest

from evalkit.models.words import WordAverage
from evalkit.store import Store, reuse


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


@pytest.fixture
def mounted(tmp_path: Path):
    """Mounts a file system in memory of a size on a new folder; skips where that is not allowed."""
    folders = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"mounted{len(folders)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, check=False)
        except FileNotFoundError:
            pytest.skip("no mount on this machine")
        if done.returncode:
            pytest.skip("mounting is not allowed here")
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
