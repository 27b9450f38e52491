"""Every provider's client on a server that speaks its API: vectors, roles, sizes, and what it charged."""

import numpy as np
import pytest
from api_models import EMBEDDERS, RERANKERS, model_of
from api_server import DIM, KEY, score, serving, vector

from evalkit.compute import Compute
from evalkit.errors import SpecError
from evalkit.models.registry import build, parse_spec
from evalkit.models.registry.catalogue import price_of
from evalkit.store.keys import fingerprint

TEXTS = [f"text {number}\nof two lines" for number in range(7)]
INPUT_TYPES = {
    "openai": ("", "", ""),
    "openai-compatible": ("", "", ""),
    "cohere": ("search_query", "search_document", "search_document"),
    "voyage": ("query", "document", "document"),
    "jina": ("retrieval.query", "retrieval.passage", "text-matching"),
    "google": ("RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT", "SEMANTIC_SIMILARITY"),
}


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


@pytest.mark.parametrize("family", EMBEDDERS)
def test_vectors_are_those_of_the_texts_in_their_role(family, server):
    model = model_of(family, server, at_once=3)
    for role, input_type in zip(("query", "document", "sentence"), INPUT_TYPES[family], strict=True):
        expected = np.array([vector(text, input_type) for text in TEXTS])
        np.testing.assert_array_equal(model.encode(TEXTS, role), expected)
    spent = model.spending.models[f"{family}:{EMBEDDERS[family]}"]
    assert (spent.texts, spent.requests, spent.unanswered) == (3 * len(TEXTS), 9, 0)
    assert spent.estimated == (family == "google")


def test_gemini_2_reads_the_role_in_the_text(server):
    spec = f"google:gemini-embedding-2?api_base={server.url}/google&dimensions={DIM}"
    model = build(parse_spec(spec), Compute())
    read = ["task: search result | query: cat", "title: none | text: cat", "task: sentence similarity | query: cat"]
    for role, text in zip(("query", "document", "sentence"), read, strict=True):
        np.testing.assert_array_equal(model.encode(["cat"], role), [vector(text)])


@pytest.mark.parametrize("family", EMBEDDERS)
def test_dimensions_are_asked_of_the_api_and_dim_cuts_here(family, server):
    asked = model_of(family, server, dimensions=8)
    np.testing.assert_array_equal(asked.encode(["cat"], "query"), [vector("cat", INPUT_TYPES[family][0], 8)])
    cut = model_of(family, server, dim=8)
    np.testing.assert_array_equal(cut.encode(["cat"], "query"), [vector("cat", INPUT_TYPES[family][0])[:8]])
    full = model_of(family, server)
    assert fingerprint(cut.raw_identity) == fingerprint(full.raw_identity) != fingerprint(asked.raw_identity)
    assert fingerprint(cut.identity) != fingerprint(full.identity)


def test_roles_and_prompts_are_in_the_identity_and_keys_never_are(server):
    plain, prompted = model_of("jina", server), model_of("jina", server, query_prompt="ask:%20")
    assert plain.raw_identity == prompted.raw_identity
    assert plain.identity != prompted.identity
    assert len({plain.prompt(role) for role in ("query", "document", "sentence")}) == 3
    np.testing.assert_array_equal(prompted.encode(["cat"], "query"), [vector("ask: cat", "retrieval.query")])
    for family in (*EMBEDDERS, *RERANKERS):
        assert KEY not in str(model_of(family, server).identity)


def test_how_it_is_called_is_not_in_the_identity(server):
    one, other = model_of("openai", server), model_of("openai", server, timeout=9, concurrency=1, price=3)
    assert one.identity == other.identity


@pytest.mark.parametrize("family", RERANKERS)
def test_scores_are_those_of_the_pairs_and_a_query_is_one_request(family, server):
    queries = [f"q{number % 3}" for number in range(30)]
    documents = [f"d{number}" for number in range(30)]
    model = model_of(family, server)
    np.testing.assert_array_equal(model.score(queries, documents), list(map(score, queries, documents)))
    spent = model.spending.models[f"{family}:{RERANKERS[family]}"]
    assert (spent.texts, spent.requests) == (30, 3)
    assert spent.usd == pytest.approx(0.006 if family == "cohere-rerank" else 0.05 * spent.tokens / 1e6)
    np.testing.assert_array_equal(
        model_of(family, server, at_once=4).score(queries, documents), list(map(score, queries, documents))
    )


@pytest.mark.parametrize("family", ["openai", "cohere", "google", "jina", "voyage"])
def test_llamaindex_integrations_get_the_same_vectors(family, server):
    model, texts = model_of(family, server), ["one line", "another"]
    theirs = _integration(family, server, "retrieval.passage").get_text_embedding_batch(texts)
    np.testing.assert_allclose(model.encode(texts, "document"), theirs, rtol=1e-6)
    theirs = _integration(family, server, "retrieval.query").get_query_embedding("cat")
    np.testing.assert_allclose(model.encode(["cat"], "query")[0], theirs, rtol=1e-6)


def _integration(family, server, jina_task):
    """LlamaIndex's own class for a provider, on the server."""
    if family == "openai":
        from llama_index.embeddings.openai_like import OpenAILikeEmbedding

        return OpenAILikeEmbedding(EMBEDDERS["openai"], api_base=f"{server.url}/openai/v1", api_key=KEY)
    if family == "cohere":
        from llama_index.embeddings.cohere import CohereEmbedding

        return CohereEmbedding(model_name=EMBEDDERS["cohere"], base_url=f"{server.url}/cohere", api_key=KEY)
    if family == "google":
        from llama_index.embeddings.google_genai import GoogleGenAIEmbedding

        options = {"base_url": f"{server.url}/google"}
        return GoogleGenAIEmbedding(EMBEDDERS["google"], api_key=KEY, http_options=options)
    if family == "jina":
        from llama_index.embeddings.jinaai import JinaEmbedding

        embedding = JinaEmbedding(EMBEDDERS["jina"], api_key=KEY, task=jina_task)
        embedding._api.api_url = f"{server.url}/jina/v1/embeddings"  # it has no option for it
        return embedding
    from llama_index.embeddings.voyageai import VoyageEmbedding

    embedding = VoyageEmbedding(EMBEDDERS["voyage"], voyage_api_key=KEY)
    embedding._client._params["base_url"] = f"{server.url}/voyage/v1"
    embedding._client.tokenize = lambda texts, model: [[0] for _ in texts]  # it would download a tokenizer
    return embedding


@pytest.mark.parametrize("family", RERANKERS)
def test_llamaindex_rerankers_get_the_same_scores(family, server):
    from llama_index.core.schema import NodeWithScore, TextNode

    documents = ["d1", "d2", "d3"]
    if family == "cohere-rerank":
        from llama_index.postprocessor.cohere_rerank import CohereRerank

        reranker = CohereRerank(3, RERANKERS[family], api_key=KEY, base_url=f"{server.url}/cohere")
    elif family == "jina-rerank":
        from llama_index.postprocessor.jinaai_rerank import JinaRerank

        reranker = JinaRerank(3, RERANKERS[family], base_url=f"{server.url}/jina/v1", api_key=KEY)
    else:
        from llama_index.postprocessor.voyageai_rerank import VoyageAIRerank

        reranker = VoyageAIRerank(RERANKERS[family], api_key=KEY)
        reranker._client._params["base_url"] = f"{server.url}/voyage/v1"
    nodes = [NodeWithScore(node=TextNode(text=document)) for document in documents]
    theirs = {each.node.get_content(): each.score for each in reranker.postprocess_nodes(nodes, query_str="q")}
    ours = model_of(family, server).score(["q"] * 3, documents)
    assert ours.tolist() == [theirs[document] for document in documents]


def test_openai_gets_as_many_tokens_of_a_long_text_as_it_takes(server):
    import tiktoken
    from llama_index.core.utils import get_tokenizer

    get_tokenizer()  # points tiktoken to the files that LlamaIndex brings
    short, long, endless = "cat " * 5000, "é " * 8191, "日本語の長い文です。" * 4000
    tokens = [len(tiktoken.get_encoding("cl100k_base").encode(text)) for text in (short, long, endless)]
    assert tokens[0] < 8191 < tokens[2]
    model_of("openai", server).encode([short, long, endless], "document")
    sent = sorted((text for _, body in server.bodies[-3:] for text in body.get("input", [])), key=len)
    by_start = {text[0]: text for text in sent}
    assert by_start["c"] == short
    assert endless.startswith(by_start["日"])
    assert 8180 <= len(tiktoken.get_encoding("cl100k_base").encode(by_start["日"])) <= 8192


@pytest.mark.parametrize("base", ["http://user:word@localhost/v1", "http://localhost/v1?key=x", "localhost"])
def test_an_api_base_holds_no_credentials(base):
    with pytest.raises(SpecError, match="option 'api_base'"):
        parse_spec(f"openai:text-embedding-3-small?api_base={base.replace('?', '%3F').replace('=', '%3D')}")


def test_a_compatible_server_must_be_named():
    with pytest.raises(SpecError) as caught:
        parse_spec("openai-compatible:served")
    assert str(caught.value) == (
        "'openai-compatible:served': option 'api_base' is needed: URL of the server, such as "
        "http://localhost:8000/v1. Write it as ?api_base=..."
    )


def test_a_price_comes_from_the_spec_then_the_catalogue():
    def price(spec):
        parsed = parse_spec(spec)
        return price_of(parsed.family, parsed.name, parsed.options)

    assert price("openai:text-embedding-3-small").cost(10**6, 0) == 0.02
    assert price("openai:text-embedding-3-small?price=1").cost(10**6, 5) == 1
    assert price("cohere-rerank:rerank-v3.5?price=1").cost(10**6, 5) == 0.005
    assert price("openai:text-embedding-9") is None
