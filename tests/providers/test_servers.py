"""Servers as they are: what they refuse for its size or length, and what they leave out of an answer."""

import base64
import json
import re
import struct
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from api_server import vector

import evalkit as package
from evalkit.compute import Compute
from evalkit.errors import ApiError, TimeLimitError
from evalkit.models import _api as api
from evalkit.models import _api_requests as api_requests
from evalkit.models.registry import build, parse_spec
from evalkit.runner.grid._grid import within
from evalkit.store import Store, encode_once

TEXTS = [f"text {number} " + "word " * (number % 5) for number in range(70)]
BATCHES = {
    "text-embeddings-inference": (
        422,
        {"message": "batch size {n} > maximum allowed batch size {most}", "type": ""},
    ),
    "Infinity": (422, {"detail": [{"type": "too_long", "msg": "List should have at most {most} items"}]}),
    "DashScope": (400, {"error": {"message": "batch size is invalid, it should not be larger than {most}."}}),
    "SiliconFlow": (413, {"code": 20042, "message": "input batch size {n} > maximum allowed batch size {most}"}),
    "a proxy": (413, "<html>Request Entity Too Large</html>"),
    "one that says nothing": (400, {}),
}
LENGTHS = {
    "vLLM": (400, {"object": "error", "code": 400, "message": "This model's maximum context length is {most} tokens. "
                   "However, you requested {n} tokens in the input. Please reduce the length of the input."}),
    "text-embeddings-inference": (413, {"error": "`inputs` must have less than {most} tokens. Given: {n}"}),
    "OpenAI": (400, {"error": {"message": "This model's maximum context length is {most} tokens, however you "
                     "requested {n} tokens ({n} in your prompt; 0 for the completion).", "code": None}}),
    "Ollama": (500, {"error": {"message": "the input length exceeds the context length", "type": "api_error"}}),
    "LiteLLM": (400, {"error": {"message": "litellm.ContextWindowExceededError: too many tokens", "code": "400"}}),
    "a proxy": (413, "<html>Request Entity Too Large</html>"),
}  # fmt: skip


ODD = {
    "an error with status 200": (200, {"error": {"message": "model not loaded"}}, "model not loaded.*check api_base"),
    "a page": (
        200,
        "<html>Please log in</html>",
        "<html>Please log in</html>.*check api_base, which mostly ends in /v1",
    ),
    "nothing there": (404, {"detail": "Not Found"}, r"nothing there \(status 404\).*check api_base"),
}
"""Answers that hold no embeddings, and what is said of them."""


class Server(ThreadingHTTPServer):
    """Refuses more texts than `batch`, texts of more words than `words`, and those in `refused`."""

    daemon_threads = True

    def __init__(self, batch=None, words=None, refused=(), batch_answer=None, word_answer=None, form="plain"):
        super().__init__(("127.0.0.1", 0), Handler)
        self.batch, self.words, self.refused, self.form = batch, words, refused, form
        self.batch_answer, self.word_answer = batch_answer, word_answer
        self.sent: list[list[str]] = []
        self.answered: Counter[str] = Counter()
        self.lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server, rerank = self.server, "documents" in body
        texts = body["documents"] if rerank else body["input"]
        longest = max(len(text.split()) for text in texts)
        with server.lock:
            server.sent.append(texts)
        if server.batch and len(texts) > server.batch:
            return self.refuse(server.batch_answer, len(texts), server.batch)
        if server.words and longest > server.words:
            return self.refuse(server.word_answer, longest, server.words)
        if any(text in server.refused for text in texts):
            return self.refuse((400, {"error": {"message": "the content management policy"}}), 0, 0)
        with server.lock:
            server.answered.update(texts)
        if rerank:
            rows = [{"index": row, "relevance_score": len(text) / 1000} for row, text in enumerate(texts)]
            return self.answer(200, {"results": rows[::-1]})
        rows = [vector(text).tolist() for text in texts]
        if server.form == "base64":
            rows = [base64.b64encode(struct.pack(f"<{len(row)}f", *row)).decode() for row in rows]
        data = [{"object": "embedding", "index": number, "embedding": row} for number, row in enumerate(rows)]
        if server.form == "no index":
            data = [{"embedding": row} for row in rows]
        if server.form == "out of order":
            data = [*data[1:], data[0]]
        if server.form == "a bare list":
            return self.answer(200, json.dumps(rows))
        if server.form in ODD:
            return self.answer(*ODD[server.form][:2])
        more = {"usage": {"prompt_tokens": 3}, "took_ms": 5, "model": None} if server.form == "extra" else {}
        return self.answer(200, {"data": data, **more})

    def refuse(self, answer, n, most):
        status, content = answer
        text = json.dumps(content) if isinstance(content, dict) else content
        self.answer(status, text.replace("{n}", str(n)).replace("{most}", str(most)))

    def answer(self, status, content):
        data = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if data.startswith(b"<") else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving(**options):
    server = Server(**options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def spec(server, family="openai-compatible:served", **options):
    given = {"api_base": f"http://127.0.0.1:{server.server_address[1]}/v1", "timeout": 10, **options}
    return f"{family}?" + "&".join(f"{key}={value}" for key, value in given.items())


def model_of(server, **options):
    return build(parse_spec(spec(server, **options)), Compute())


def expected(texts):
    return np.array([vector(text) for text in texts])


@pytest.mark.parametrize("kind", BATCHES)
def test_requests_are_halved_until_the_server_takes_them(kind):
    with serving(batch=10, batch_answer=BATCHES[kind]) as server:
        model = model_of(server)
        np.testing.assert_array_equal(model.encode(TEXTS, "document"), expected(TEXTS))
        assert server.answered == dict.fromkeys(TEXTS, 1), "nothing that was answered is asked again"
        refusals = sum(len(texts) > 10 for texts in server.sent)
        model.encode([f"{text} again" for text in TEXTS], "document")
        assert sum(len(texts) > 10 for texts in server.sent) == refusals, "the size is learned"


def test_a_server_that_fails_at_several_texts_is_sent_fewer(monkeypatch):
    monkeypatch.setattr(api, "FIRST_WAIT", 0.01)
    with serving(batch=10, batch_answer=(500, {"error": "only a few inputs are supported"})) as server:
        np.testing.assert_array_equal(model_of(server).encode(TEXTS, "document"), expected(TEXTS))
        assert server.answered == dict.fromkeys(TEXTS, 1)


def test_where_nobody_listens_is_told_at_once():
    with serving() as server:
        model = model_of(server)
    before = time.monotonic()
    with pytest.raises(ApiError, match=r"connection refused\)\. Start the server, or check its address"):
        model.encode(TEXTS, "document")
    assert time.monotonic() - before < 20  # retries would take minutes


def test_what_a_server_said_last_is_told_when_the_time_is_up():
    loading = (503, {"error": "the model is still loading"})
    with serving(words=1, word_answer=loading) as server, pytest.raises(TimeLimitError) as caught:
        within(1.5, lambda: model_of(server).encode(TEXTS, "document"))
    assert re.fullmatch(
        r"it took longer than the time limit of 1\.5 seconds\. When it was told to end: openai-compatible:served: "
        r"status 503: .*the model is still loading.*",
        str(caught.value),
    )


def test_an_answer_of_another_form_is_told():
    another = pytest.raises(ApiError, match=r"no embeddings, but '\[\[")
    with serving(form="a bare list") as server, another:
        model_of(server).encode(TEXTS[:2], "document")


def test_the_size_can_be_given():
    with serving(batch=10, batch_answer=BATCHES["Infinity"]) as server:
        np.testing.assert_array_equal(model_of(server, batch_size=7).encode(TEXTS, "query"), expected(TEXTS))
    assert [len(texts) for texts in server.sent] == [7] * 10
    with serving() as server:
        assert model_of(server).identity == model_of(server, batch_size=7).identity


@pytest.mark.parametrize("kind", LENGTHS)
def test_a_text_that_is_too_long_is_cut_to_what_the_server_reads(kind):
    long = [" ".join(f"{name}{number:03}" for number in range(n)) for name, n in (("a", 20), ("b", 90), ("c", 700))]
    texts = [*TEXTS[:5], *long, *TEXTS[5:9]]
    with serving(words=20, word_answer=LENGTHS[kind]) as server:
        model = model_of(server)
        vectors = model.encode(texts, "document")
        cut = [next(text for text in server.answered if full.startswith(text) and text != full) for full in long[1:]]
    np.testing.assert_array_equal(vectors, expected([*TEXTS[:5], long[0], *cut, *TEXTS[5:9]]))
    assert all(12 <= len(text.split()) <= 20 for text in cut), "not much less than what it reads"
    assert set(server.answered.values()) == {1}
    assert model.cut_of(texts) == 2
    assert model.cut_of(TEXTS) == 0


def test_cut_texts_are_said_below_the_table_also_from_the_store(tmp_path):
    pairs = [("a", "b", 1), ("a c", "long " * 60, 2), ("d", "e", 3), ("f", "g f", 4)]
    rows = [dict(zip(("sentence1", "sentence2", "score"), pair, strict=True)) for pair in pairs]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with serving(words=20, word_answer=LENGTHS["vLLM"]) as server:
        keys = {"models": spec(server), "tasks": str(tmp_path / "pairs.jsonl"), "store": tmp_path / "store"}
        for _ in range(2):
            found = package.run(**keys, device="cpu")
            assert [failure["reason"] for failure in found.failures] == []
            assert found.provenance["cells"][0]["notes"] == [
                "1 text(s) were cut, since the server refuses longer ones."
            ]
        asked = len(server.sent)
        package.run(**keys, device="cpu")
        assert len(server.sent) == asked


def test_a_refused_text_is_named_and_the_others_are_kept(tmp_path):
    with serving(refused={TEXTS[37], TEXTS[3]}) as server:
        store = Store(tmp_path)
        with pytest.raises(
            ApiError, match=r"status 400: .*content management policy.*'text (37|3) .*and 1 more"
        ) as no:
            encode_once(store, model_of(server), "m", TEXTS, "document", lambda *_: None, lambda _: None)
        assert "the next run asks for the rest only" in str(no.value)
        assert server.answered == {text: 1 for text in TEXTS if text not in server.refused}
        server.refused = ()
        kept = encode_once(store, model_of(server), "m", TEXTS, "document", lambda *_: None, lambda _: None)[:]
        np.testing.assert_array_equal(kept, expected(TEXTS))
        assert server.answered == dict.fromkeys(TEXTS, 1)


def test_a_server_that_refuses_everything_is_not_asked_about_every_text():
    with serving(refused=set(TEXTS)) as server, pytest.raises(ApiError, match="status 400"):
        model_of(server).encode(TEXTS, "document")
    assert len(server.sent) < 40, "of 139 requests down to each text"


@pytest.mark.parametrize("form", ["plain", "base64", "no index", "out of order", "extra"])
def test_answers_in_every_form_are_read_and_tokens_are_about(form):
    with serving(form=form) as server:
        model = model_of(server, price=2)
        np.testing.assert_array_equal(model.encode(TEXTS, "document"), expected(TEXTS))
    spent = next(iter(model.spending.models.values()))
    assert spent.estimated
    assert spent.tokens == sum(map(api_requests.estimate_tokens, TEXTS))
    assert spent.usd == pytest.approx(2 * spent.tokens / 1e6)


@pytest.mark.parametrize(
    "limits",
    [
        {"batch": 3, "batch_answer": BATCHES["text-embeddings-inference"]},
        {"words": 20, "word_answer": LENGTHS["text-embeddings-inference"]},
    ],
    ids=["batch", "length"],
)
def test_rerankers_too(limits, monkeypatch):
    monkeypatch.setenv("JINA_API_KEY", "a-key")
    documents = [*TEXTS[:8], "long " * 70]
    with serving(**limits) as server:
        model = build(parse_spec(spec(server, "jina-rerank:any")), Compute())
        scores = model.score(["q"] * 9, documents)
    assert scores[:8].tolist() == [len(text) / 1000 for text in documents[:8]]
    assert set(server.answered.values()) == {1}
    assert model.cut_of(documents) == ("words" in limits)
    assert next(iter(model.spending.models.values())).estimated


@pytest.mark.parametrize("form", ODD)
def test_an_answer_without_embeddings_is_shown(form, monkeypatch):
    monkeypatch.setattr(api, "FIRST_WAIT", 0.01)
    with serving(form=form) as server, pytest.raises(ApiError, match=ODD[form][2]):
        model_of(server).encode(TEXTS[:2], "document")


def test_a_single_text_at_which_a_server_fails_is_named(monkeypatch):
    monkeypatch.setattr(api, "FIRST_WAIT", 0.01)
    failing = serving(words=4, word_answer=(503, {"error": "out of memory"}))
    with (
        failing as server,
        pytest.raises(ApiError, match=r"out of memory.*That was said of 'one two three four five'"),
    ):
        model_of(server).encode(["one two three four five"], "document")
