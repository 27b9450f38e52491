"""Models of every provider, called on the loopback server."""

from dataclasses import replace

from api_server import DIM, ApiServer

from evalkit.compute import Compute
from evalkit.models.registry import build, parse_spec

TIMEOUT = 3
"""Seconds: what a stalled request takes, and far more than any other does, however busy the machine."""
EMBEDDERS = {
    "openai": "text-embedding-3-small",
    "openai-compatible": "served",
    "cohere": "embed-v4.0",
    "voyage": "voyage-4",
    "jina": "jina-embeddings-v3",
    "google": "gemini-embedding-001",
}
RERANKERS = {
    "cohere-rerank": "rerank-v3.5",
    "voyage-rerank": "rerank-2.5",
    "jina-rerank": "jina-reranker-v2-base-multilingual",
}
_PATHS = {"openai-compatible": "/openai/v1", "cohere": "/cohere", "google": "/google"}


def spec_of(family: str, server: ApiServer, **options) -> str:
    """The spec of a family's model on the server."""
    provider = family.removesuffix("-rerank")
    given = {"api_base": server.url + _PATHS.get(provider, f"/{provider}/v1"), "timeout": TIMEOUT}
    if family in EMBEDDERS:
        given["dimensions"] = DIM
    options = "&".join(f"{key}={value}" for key, value in (given | options).items())
    return f"{family}:{(EMBEDDERS | RERANKERS)[family]}?{options}"


def model_of(family: str, server: ApiServer, at_once: int = 100, **options):
    """The model, which asks for at most `at_once` texts or documents in a request."""
    model = build(parse_spec(spec_of(family, server, **options)), Compute())
    limit = "texts" if family in EMBEDDERS else "documents"
    model._provider = replace(model._provider, **{limit: min(at_once, getattr(model._provider, limit))})
    return model
