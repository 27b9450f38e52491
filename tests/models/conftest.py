"""Fixtures shared by the tests of models."""

from functools import cache

import pytest
from tiny_models import MakeModel, save_tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """The folder of a tiny random model of a kind, made once."""
    return cache(lambda kind: save_tiny(tmp_path_factory.mktemp(kind), kind))
