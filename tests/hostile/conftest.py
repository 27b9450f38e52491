"""What these tests share: tiny models, and the mark that harm leaves."""

from functools import cache
from pathlib import Path

import pytest


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that harmful code or a harmful pickle would create; it is looked for in the end."""
    return tmp_path / "harm"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory):
    """The folder of a tiny random model of a kind, made once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "models")
        from tiny_models import save_tiny
    return cache(lambda kind: save_tiny(tmp_path_factory.mktemp(kind), kind))
