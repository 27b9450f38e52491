"""`llamaindex:module.Class?argument=value`: what it makes, and what it refuses before anything is loaded."""

import re

import pytest
from llamaindex_models import Configured

import evalkit
from evalkit.compute import Compute
from evalkit.errors import ConfigError, ModelNotFoundError, SpecError
from evalkit.models.registry import build, kinds, parse_spec, resolve

HERE = "llamaindex:llamaindex_models"


def test_arguments_get_the_types_that_the_class_asks_for():
    spec = resolve(f'{HERE}.Configured?size=3&scale=0.5&names=["a"%2C"b"]&flag=true')
    assert parse_spec(str(spec)) == spec
    made = build(spec, Compute()).embedding
    assert isinstance(made, Configured)
    assert made.model_name == "3 0.5 ['a', 'b'] True"


def test_a_class_is_an_embedder_or_a_reranker():
    assert kinds(resolve(f"{HERE}.TwoSided")) == {"embedder"}
    assert kinds(resolve(f"{HERE}.SharedWords?top_n=3")) == {"reranker"}
    with pytest.raises(ConfigError, match="is a reranker; here only embedder or retriever can stand"):
        evalkit.run(models=f"{HERE}.SharedWords", tasks="rag-mini")


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        (
            f"{HERE}.TwoSided?dimm=3",
            SpecError,
            "llamaindex_models.TwoSided: unknown option 'dimm'. Did you mean 'dim'?",
        ),
        (f"{HERE}.Configured?size=x&dim=3", SpecError, "option 'size': Input should be a valid integer"),
        (f"{HERE}.Configured?size=x&dim=3", SpecError, "unknown option 'dim'. Allowed: flag, names, scale, size."),
        (f"{HERE}.TwoSide", SpecError, "no class llamaindex_models.TwoSide. Did you mean 'TwoSided'"),
        (f"{HERE}.NOT_A_COMPONENT", SpecError, "NOT_A_COMPONENT is no embedding and no postprocessor."),
        ("llamaindex:TwoSided", SpecError, "'llamaindex:TwoSided' names no module. Write module.Class"),
        (
            "llamaindex:no_such_module.X",
            SpecError,
            "no module 'no_such_module'; it must be installed, or its folder on",
        ),
        (
            "llamaindex:llama_index.embeddings.no_such.X",
            ModelNotFoundError,
            "pip install llama-index-embeddings-no-such",
        ),
    ],
)
def test_refused_before_anything_is_loaded(spec, error, message):
    with pytest.raises(error, match=re.escape(message)):
        evalkit.run(models=spec, tasks="rag-mini")


@pytest.mark.parametrize("start", [f"{HERE}.TwoSided", "sbert:all-MiniLM-L6-v2", "unknown", "none:such"])
@pytest.mark.parametrize("name", ["api_key", "token", "openai_api_key", "default_headers"])
def test_a_key_in_a_spec_is_refused_and_not_repeated(start, name):
    with pytest.raises(SpecError, match=f"option '{name}' is a key, and a spec is written into results") as caught:
        evalkit.run(models=f"{start}?dim=3&{name}=sk-secret", tasks="rag-mini")
    assert "sk-secret" not in str(caught.value)


def test_a_class_that_cannot_be_made_is_one_model_s_failure(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "sk-from-the-environment")
    monkeypatch.setattr(
        Configured,
        "__init__",
        lambda self, size: (_ for _ in ()).throw(ValueError("sk-from-the-environment is wrong")),
    )
    results = evalkit.run(models=f"{HERE}.Configured?size=3,bow", tasks="rag-mini", max_queries=2, no_store=True)
    assert [each["reason"] for each in results.failures] == [
        "llamaindex_models.Configured cannot be made: ValueError: *** is wrong"
    ]
