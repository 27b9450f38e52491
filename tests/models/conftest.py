"""Fixtures shared by the tests of models."""

from functools import cache

import pytest
from module_types import Made, save
from sentence_transformers.base.model import BaseModel
from tiny_models import MakeModel, save_tiny


@pytest.fixture(scope="session", autouse=True)
def _no_cards():
    """Checkpoints are saved without a model card: making one takes longer than all else that is saved."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(BaseModel, "_create_model_card", lambda *_, **__: None)
        yield


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """The folder of a tiny random model of a kind, made once."""
    return cache(lambda kind: save_tiny(tmp_path_factory.mktemp(kind), kind))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, tiny: MakeModel) -> Made:
    """The folder of a tiny checkpoint with certain modules, made once."""
    return cache(lambda of, name: save(of, name, tmp_path_factory.mktemp("checkpoint"), tiny))
