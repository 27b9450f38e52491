"""Keys of the loopback server, and waits short enough for tests."""

import pytest
from api_server import KEY

from evalkit.models import _api as api

VARIABLES = ("OPENAI", "OPENAI_COMPATIBLE", "COHERE", "VOYAGE", "JINA", "GOOGLE")


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(f"{name}_API_KEY", KEY)
    for name in ("CO_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(api, "FIRST_WAIT", 0.02)
