"""What neither the catalogue nor files say of a model is looked up in mteb's registry."""

from evalkit.models import facts
from evalkit.models.mteb_registry import model_facts
from evalkit.models.registry.reference import ModelRef
from evalkit.models.registry.selection import choose


def reference(spec: str) -> ModelRef:
    return next(iter(choose([spec], {"embedder"}).values()))


def test_a_model_of_the_hub_that_is_not_in_the_catalogue():
    found = facts.look_up(reference("sbert:intfloat/multilingual-e5-base"))
    assert (found.licence, found.parameters) == ("mit", 278.0)
    assert {"de", "zh", "en"} <= set(found.languages)


def test_what_the_catalogue_says_goes_before(monkeypatch):
    monkeypatch.setattr(facts, "find_spec", lambda name: 1 / 0)
    assert facts.look_up(reference("all-MiniLM-L6-v2")).languages == ("en",)


def test_what_the_registry_does_not_have_stays_unknown():
    found = facts.look_up(reference("sbert:nobody/nothing"))
    assert (found.licence, found.parameters, found.languages) == (None, None, ())


def test_a_model_without_a_limit_has_none():
    assert model_facts("minishlab/potion-base-8M")["max_length"] is None
