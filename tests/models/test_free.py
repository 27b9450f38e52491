"""What a newcomer gets to try: small, at hand, and free; and why."""

import pytest

from evalkit.compute import Compute
from evalkit.models import free_models as free
from evalkit.models.registry import catalogue, resolve


def test_here_it_is_what_needs_no_download():
    found = free.free_models(Compute())
    assert found.models[:2] == free.LEXICAL
    assert "all-MiniLM-L6-v2" in found.models
    assert not [name for name in found.models + found.rerankers if name in catalogue() and catalogue()[name].provider]
    assert "all-MiniLM-L6-v2: its weights are at hand, and it is small enough for cpu." in found.reasons


def test_what_would_be_downloaded_is_named_with_its_size(monkeypatch):
    monkeypatch.setattr(free, "at_hand", lambda name: None)
    found = free.free_models(Compute())
    assert (found.models, found.rerankers) == (free.LEXICAL, ())
    (absent,) = [reason for reason in found.reasons if "downloaded" in reason]
    assert "bge-small (134 MB)" in absent
    assert "ms-marco-MiniLM-L6 (91 MB)" in absent
    assert "bge-base" not in absent, "too large for a CPU"


@pytest.mark.parametrize(("device", "large"), [("cpu", False), ("cuda", True)])
def test_a_gpu_takes_larger_ones(monkeypatch, tmp_path, device, large):
    monkeypatch.setattr(free, "at_hand", lambda name: tmp_path)
    found = free.free_models(Compute(device))
    assert ("bge-base" in found.models) is large
    assert ("bge-reranker-base" in found.rerankers) is large
    assert "ms-marco-MiniLM-L6" in found.rerankers
    for name in found.models:
        resolve(name)


def test_a_family_that_is_not_installed_has_no_models(monkeypatch):
    monkeypatch.setattr(free, "is_installed", lambda spec: spec.family != "sbert")
    assert "all-MiniLM-L6-v2" not in free.free_models(Compute()).models
