"""The providers of paid models: how each one's own client is called, what it takes, and what it charged.

The clients are the ones that LlamaIndex's integrations wrap. They are called directly, since the integrations hide
what has to be known here: the status and Retry-After of a refusal, and the tokens charged for. They also have no
time-out (Jina, the rerankers) or base URL, embed queries one at a time, replace newlines (OpenAI), or download a
tokenizer before the first request (Voyage).
"""

import logging
import os
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from pydantic import Field, HttpUrl

from evalkit.compute import Compute
from evalkit.models._api import CHECK_BASE
from evalkit.models._api_models import ApiEmbedder, ApiReranker, EmbeddingApi, RerankApi
from evalkit.models._api_requests import Answer, WrongAnswerError
from evalkit.models.registry.catalogue import find_key
from evalkit.models.registry.families import Family, Kind, Unit
from evalkit.models.registry.options import ApiEmbedderOptions, ApiOptions, Options
from evalkit.secrets import hide
from evalkit.terms import Role

OPENAI_TOKENS = 8191
JINA = "https://api.jina.ai/v1"
COMPATIBLE_KEY = "OPENAI_COMPATIBLE_API_KEY"


class CompatibleOptions(ApiEmbedderOptions):
    """Options of `openai-compatible`: any server that speaks OpenAI's embeddings API."""

    api_base: HttpUrl = Field(description="URL of the server, such as http://localhost:8000/v1")
    price: float = Field(0, ge=0, allow_inf_nan=False, description="USD per million tokens")


class _KeysHidden(logging.Filter):
    """Keeps the environment's keys out of a log."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = hide(record.getMessage()), None
        return True


_KEYS_HIDDEN = _KeysHidden()
GEMINI_TASKS: Mapping[Role, str] = {
    "query": "RETRIEVAL_QUERY", "document": "RETRIEVAL_DOCUMENT", "sentence": "SEMANTIC_SIMILARITY"
}  # fmt: skip
GEMINI_2_PROMPTS: Mapping[Role, str] = {
    "query": "task: search result | query: ",
    "document": "title: none | text: ",
    "sentence": "task: sentence similarity | query: ",
}
NO_INPUT_TYPES: Mapping[Role, str] = {"query": "", "document": "", "sentence": ""}


def openai(name: str, options: ApiEmbedderOptions, compute: Compute) -> ApiEmbedder:
    """OpenAI embeddings. Raises MissingKeyError."""
    key = find_key("openai")
    return ApiEmbedder("openai", name, key, options, _openai_embeddings(name, options, key, _shortened))


def openai_compatible(name: str, options: CompatibleOptions, compute: Compute) -> ApiEmbedder:
    """Embeddings of a server that speaks OpenAI's API; the user's OpenAI key is never sent to it."""
    key = os.environ.get(COMPATIBLE_KEY, "").strip()
    return ApiEmbedder("openai-compatible", name, key, options, _openai_embeddings(name, options, key or "none"))


def cohere(name: str, options: ApiEmbedderOptions, compute: Compute) -> ApiEmbedder:
    """Cohere embeddings, v3 and later; sentences go as documents, as in mteb. Raises MissingKeyError."""
    key = find_key("cohere")
    client = _cohere_client(options, key)

    def embed(texts: list[str], input_type: str) -> Answer:
        given = client.embed(
            texts=texts, model=name, input_type=input_type, embedding_types=["float"], truncate="END",
            output_dimension=options.dimensions, request_options={"max_retries": 0},
        )  # fmt: skip
        return Answer(given.embeddings.float_, _billed(given, "input_tokens"))

    types: Mapping[Role, str] = {
        "query": "search_query",
        "document": "search_document",
        "sentence": "search_document",
    }
    return ApiEmbedder("cohere", name, key, options, EmbeddingApi(embed, types, texts=96, tokens=64_000))


def voyage(name: str, options: ApiEmbedderOptions, compute: Compute) -> ApiEmbedder:
    """Voyage embeddings; sentences go as documents, as in mteb. Raises MissingKeyError."""
    key = find_key("voyage")
    client = _voyage_client(options, key)

    def embed(texts: list[str], input_type: str) -> Answer:
        given = client.embed(texts, name, input_type or None, output_dimension=options.dimensions)
        return Answer(given.embeddings, given.total_tokens)

    types: Mapping[Role, str] = {"query": "query", "document": "document", "sentence": "document"}
    return ApiEmbedder("voyage", name, key, options, EmbeddingApi(embed, types, texts=128, tokens=64_000))


def jina(name: str, options: ApiEmbedderOptions, compute: Compute) -> ApiEmbedder:
    """Jina embeddings, by OpenAI's client, since Jina has none; v2 models take no task. Raises MissingKeyError."""
    key = find_key("jina")
    client = _openai_client(options, key, JINA)

    def embed(texts: list[str], task: str) -> Answer:
        asked = {"task": task or None, "dimensions": options.dimensions}
        body = {"model": name, "input": texts, "embedding_type": "float", "truncate": True}
        given = client.post(
            "/embeddings", cast_to=object, body=body | {key: value for key, value in asked.items() if value}
        )
        vectors = {row["index"]: row["embedding"] for row in given["data"]}
        return Answer(_in_order(vectors), _total(given.get("usage")))

    types: Mapping[Role, str] = {
        "query": "retrieval.query",
        "document": "retrieval.passage",
        "sentence": "text-matching",
    }
    if name.startswith("jina-embeddings-v2"):
        types = NO_INPUT_TYPES
    return ApiEmbedder("jina", name, key, options, EmbeddingApi(embed, types, texts=128, tokens=64_000))


def google(name: str, options: ApiEmbedderOptions, compute: Compute) -> ApiEmbedder:
    """Gemini embeddings, of the Gemini API. It does not tell the tokens it charges for. Raises MissingKeyError."""
    from google.genai import Client, types

    key = find_key("google")
    client = Client(
        api_key=key,
        vertexai=False,
        http_options=types.HttpOptions(
            base_url=_base(options),
            timeout=int(options.timeout * 1000),
            retry_options=types.HttpRetryOptions(attempts=1),
        ),
    )

    def embed(texts: list[str], task_type: str) -> Answer:
        config = types.EmbedContentConfig(task_type=task_type or None, output_dimensionality=options.dimensions)
        contents = [types.Content(parts=[types.Part(text=text)]) for text in texts]
        given = client.models.embed_content(model=name, contents=contents, config=config)
        return Answer([row.values for row in given.embeddings or []])

    if name.startswith("gemini-embedding-2"):  # takes no task type, but reads the task in the text
        api = EmbeddingApi(embed, NO_INPUT_TYPES, texts=100, tokens=20_000, prompts=GEMINI_2_PROMPTS)
    else:
        api = EmbeddingApi(embed, GEMINI_TASKS, texts=100, tokens=20_000)
    return ApiEmbedder("google", name, key, options, api)


def cohere_rerank(name: str, options: ApiOptions, compute: Compute) -> ApiReranker:
    """Cohere rerank. Raises MissingKeyError."""
    key = find_key("cohere-rerank")
    client = _cohere_client(options, key)

    def rerank(query: str, documents: list[str]) -> Answer:
        given = client.rerank(model=name, query=query, documents=documents, request_options={"max_retries": 0})
        scores = {row.index: row.relevance_score for row in given.results}
        return Answer(_in_order(scores), 0, _billed(given, "search_units"))

    return ApiReranker("cohere-rerank", name, key, options, RerankApi(rerank, documents=100, tokens=50_000))


def voyage_rerank(name: str, options: ApiOptions, compute: Compute) -> ApiReranker:
    """Voyage rerank. Raises MissingKeyError."""
    key = find_key("voyage-rerank")
    client = _voyage_client(options, key)

    def rerank(query: str, documents: list[str]) -> Answer:
        given = client.rerank(query, documents, name)
        return Answer(_in_order({row.index: row.relevance_score for row in given.results}), given.total_tokens)

    return ApiReranker("voyage-rerank", name, key, options, RerankApi(rerank, documents=200, tokens=200_000))


def jina_rerank(name: str, options: ApiOptions, compute: Compute) -> ApiReranker:
    """Jina rerank, by OpenAI's client, since Jina has none. Raises MissingKeyError."""
    key = find_key("jina-rerank")
    client = _openai_client(options, key, JINA)

    def rerank(query: str, documents: list[str]) -> Answer:
        body = {"model": name, "query": query, "documents": documents, "return_documents": False}
        given = client.post("/rerank", cast_to=object, body=body)
        scores = {row["index"]: row["relevance_score"] for row in given["results"]}
        return Answer(_in_order(scores), _total(given.get("usage")))

    return ApiReranker("jina-rerank", name, key, options, RerankApi(rerank, documents=200, tokens=200_000))


def _openai_embeddings(
    name: str, options: ApiEmbedderOptions, key: str, shortened: Callable[[str], str] = str
) -> EmbeddingApi:
    client = _openai_client(options, key, None)
    more = {"dimensions": options.dimensions} if options.dimensions else {}

    def embed(texts: list[str], _: str) -> Answer:
        given = client.embeddings.create(model=name, input=texts, encoding_format="float", **more)
        if not isinstance(getattr(given, "data", None), list):
            said = given.to_dict() if hasattr(given, "to_dict") else given
            raise WrongAnswerError(f"no embeddings, but {str(said)!r} (if no such server was meant: {CHECK_BASE})")
        rows = {
            place if (index := getattr(row, "index", None)) is None else index: _decoded(row.embedding)
            for place, row in enumerate(given.data)
        }
        return Answer(_in_order(rows), _total(getattr(given, "usage", None)))

    return EmbeddingApi(embed, NO_INPUT_TYPES, texts=256, tokens=64_000, shortened=shortened)


def _shortened(text: str) -> str:
    """Return the first tokens of a text, as many as OpenAI takes: it refuses longer texts, as no other provider
    does.
    """
    if len(text.encode()) <= OPENAI_TOKENS:  # a token has a byte at least
        return text
    import tiktoken

    encoding = tiktoken.get_encoding("cl100k_base")
    tokens = encoding.encode_ordinary(text)
    if len(tokens) <= OPENAI_TOKENS:
        return text
    return encoding.decode_bytes(tokens[:OPENAI_TOKENS]).decode("utf-8", "ignore")


def _openai_client(options: ApiOptions, key: str, base: str | None) -> Any:
    from openai import OpenAI

    return OpenAI(api_key=key, base_url=_base(options) or base, timeout=options.timeout, max_retries=0)


def _cohere_client(options: ApiOptions, key: str) -> Any:
    from cohere import ClientV2

    return ClientV2(api_key=key, base_url=_base(options), timeout=options.timeout)


def _voyage_client(options: ApiOptions, key: str) -> Any:
    from voyageai.client import Client

    logging.getLogger("voyage").addFilter(_KEYS_HIDDEN)  # it logs the server's messages
    return Client(api_key=key, base_url=_base(options), timeout=options.timeout, max_retries=0)


def _base(options: ApiOptions) -> str | None:
    return None if options.api_base is None else str(options.api_base).rstrip("/")


def _billed(given: Any, what: str) -> int | None:
    units = given.meta and given.meta.billed_units
    count = units and getattr(units, what)
    return None if count is None else int(count)


def _total(usage: Any) -> int | None:
    """Return the tokens that an answer says were read; None where it does not say: many servers leave that out."""
    count = usage.get("total_tokens") if isinstance(usage, Mapping) else getattr(usage, "total_tokens", None)
    return count if isinstance(count, int) else None


def _decoded(vector: Any) -> Any:
    """Return a vector as numbers; some servers send base64 of float32 though they were asked for numbers."""
    return np.frombuffer(b64decode(vector), dtype="<f4") if isinstance(vector, str) else vector


def _in_order(values: Mapping[int, Any]) -> list[Any]:
    """Return values in the order of what was sent; one that is missing or given twice makes a wrong count."""
    return [values[row] for row in range(len(values)) if row in values]


def _paid(
    name: str,
    load: Callable[[str, Any, Compute], Any],
    module: str,
    keys: tuple[str, ...],
    summary: str,
    options: type[Options] = ApiEmbedderOptions,
    kind: Kind = "embedder",
    unit: Unit = "million tokens",
) -> Family:
    return Family(
        name, frozenset({kind}), options, load, summary, "model of the provider", module=module, extra="api",
        keys=keys, unit=unit,
    )  # fmt: skip


_COHERE_KEYS = ("COHERE_API_KEY", "CO_API_KEY")
FAMILIES = (
    _paid("openai", openai, "openai", ("OPENAI_API_KEY",), "OpenAI's embeddings API"),
    Family(
        "openai-compatible", frozenset({"embedder"}), CompatibleOptions, openai_compatible,
        "any server with OpenAI's embeddings API (vLLM, text-embeddings-inference, Ollama); "
        f"a key, if it needs one, in {COMPATIBLE_KEY}",
        "model of the server", module="openai", extra="api", unit="million tokens",
    ),
    _paid("cohere", cohere, "cohere", _COHERE_KEYS, "Cohere's embed API"),
    _paid("voyage", voyage, "voyageai", ("VOYAGE_API_KEY",), "Voyage's embeddings API"),
    _paid("jina", jina, "openai", ("JINA_API_KEY",), "Jina's embeddings API"),
    _paid(
        "google", google, "google.genai", ("GOOGLE_API_KEY", "GEMINI_API_KEY"), "Google's Gemini embeddings API"
    ),
    _paid(
        "cohere-rerank", cohere_rerank, "cohere", _COHERE_KEYS, "Cohere's rerank API", ApiOptions, "reranker",
        "thousand searches",
    ),
    _paid(
        "voyage-rerank", voyage_rerank, "voyageai", ("VOYAGE_API_KEY",), "Voyage's rerank API", ApiOptions,
        "reranker",
    ),
    _paid("jina-rerank", jina_rerank, "openai", ("JINA_API_KEY",), "Jina's rerank API", ApiOptions, "reranker"),
)  # fmt: skip
