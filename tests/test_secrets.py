"""What counts as a key, and how it is kept out of messages."""

import pytest

from evalkit.secrets import hide, is_secret, public_url


@pytest.mark.parametrize(
    "name",
    ["api_key", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "apiKey", "key", "token", "HF_TOKEN", "huggingface_token",
     "_headers", "default_headers", "Authorization", "password", "client_secret", "cookies", "use_auth_token"],
)  # fmt: skip
def test_names_of_keys(name):
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "max_tokens",
        "pad_token",
        "model_name",
        "query_prompt",
        "dim",
        "keyword",
        "monkey",
        "metadata_key",
        "tokenizer_name",
    ],
)
def test_names_of_other_things(name):
    assert not is_secret(name)


def test_hide(monkeypatch):
    monkeypatch.setenv("COHERE_API_KEY", "co-0123456789")
    monkeypatch.setenv("SHORT_API_KEY", "a")
    assert hide("401 for co-0123456789, and mine-987654", ["mine-987654"]) == "401 for ***, and ***"


def test_public_url():
    url = "https://me:pass@host:8080/v1?api-version=2024-02-01&key=abc#part"
    assert public_url(url) == "https://host:8080/v1?api-version=2024-02-01"
    assert public_url("BAAI/bge-small-en") == "BAAI/bge-small-en"
