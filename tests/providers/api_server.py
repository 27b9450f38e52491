"""A server on loopback that speaks the APIs of OpenAI, Cohere, Voyage, Jina and Google, and fails when it is told to.

Vectors and scores are functions of the texts, so that a client can be held to them. Faults depend on the seed, the
request and how often it came, not on time: the same run meets the same faults.
"""

import base64
import json
import select
import struct
import threading
import time
from collections import Counter
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

KEY = "sk-recognisable-5f0e21d7c4"
DIM = 16
FAULTS = ("throttle", "fail", "unavailable", "stall", "cut", "garbage", "count", "nan", "dimension")
WRONG = ("garbage", "count", "nan", "dimension")
RETRY_AFTER = 0.2


def vector(text: str, input_type: str = "", dim: int = DIM) -> np.ndarray:
    """The vector of a text sent with an input type: float32 of shape (dim,)."""
    digest = sha256(f"{input_type}\n{text}".encode()).digest() * (dim // 32 + 1)
    return (np.frombuffer(digest[:dim], dtype=np.uint8).astype(np.float32) - 128) / 64


def score(query: str, document: str) -> float:
    return sha256(f"{query}\n{document}".encode()).digest()[0] / 256


class RejectedError(Exception):
    """A request that the real API would refuse."""


class ApiServer(ThreadingHTTPServer):
    """`faults` (of FAULTS) meet a request at most `most` times; `plan`, in their place, names the fault of each."""

    daemon_threads = True

    def __init__(self, port=0, faults=(), most=2, seed=0, plan=None, key=KEY, dim=DIM):
        super().__init__(("127.0.0.1", port), Handler)
        self.faults, self.most, self.seed, self.plan, self.key, self.dim = faults, most, seed, plan, key, dim
        self.lock = threading.Lock()
        self.came: Counter[str] = Counter()
        """How often each request came."""
        self.met: Counter[str] = Counter()
        """Faults by kind."""
        self.delivered: Counter[str] = Counter()
        """Right answers that were written whole, by text; for rerankers, by pair."""
        self.bodies: list[tuple[str, dict]] = []
        self.tokens = 0
        """Charged for: right and wrong answers that were written whole."""
        self.at_once = self.most_at_once = 0
        self.quiet_until = 0.0
        self.too_early = 0
        """Requests that came before the time that a Retry-After had named."""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fault(self, path, body):
        """The fault that this request meets now, if any."""
        content = path + json.dumps(body, sort_keys=True)
        with self.lock:
            time_number = self.came[content]
            self.came[content] += 1
            if self.plan is not None:
                kind = self.plan(path, body, time_number)
            else:
                draw = sha256(f"{self.seed} {time_number} {content}".encode()).digest()
                kind = None
                if self.faults and time_number < self.most and draw[0] < 170:
                    kind = self.faults[draw[1] % len(self.faults)]
            if kind:
                self.met[kind] += 1
            return kind

    @contextmanager
    def under_way(self):
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield
        finally:
            with self.lock:
                self.at_once -= 1

    def handle_error(self, request, client_address):
        """A client that hung up is no news."""


@contextmanager
def serving(**options):
    """A running server."""
    server = ApiServer(**options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ApiServer

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.under_way():
            with server.lock:
                server.bodies.append((self.path, body))
                server.too_early += time.monotonic() < server.quiet_until
            key = self.headers.get("x-goog-api-key") or self.headers.get("Authorization", "").removeprefix("Bearer ")
            if key != server.key:
                return self.answer(401, self.error(f"Incorrect API key provided: {key}"))
            fault = server.fault(self.path, body)
            if fault == "throttle":
                with server.lock:
                    server.quiet_until = time.monotonic() + RETRY_AFTER * 0.9
                return self.answer(429, self.error(f"slow down, {key}"), {"Retry-After": str(RETRY_AFTER)})
            if fault in ("fail", "unavailable"):
                return self.answer(500 if fault == "fail" else 503, self.error(f"no luck with {key}"))
            if fault == "forbid":
                return self.answer(400, self.error(f"that is not possible with {key}"))
            if fault == "stall":
                select.select([self.connection], [], [], 30)  # until the client hangs up
                self.close_connection = True
                return None
            if fault == "slow":
                time.sleep(0.1)
            try:
                return self.serve(body, fault)
            except RejectedError as error:
                return self.answer(400, self.error(str(error)))

    def error(self, message):
        if self.path.startswith(("/openai", "/google")):
            return {"error": {"message": message, "code": 400, "status": "X"}}
        return {"message" if self.path.startswith("/cohere") else "detail": message}

    def serve(self, body, fault):
        made = {
            "/openai/v1/embeddings": self.openai,
            "/jina/v1/embeddings": self.jina,
            "/voyage/v1/embeddings": self.voyage,
            "/cohere/v2/embed": self.cohere,
            "/jina/v1/rerank": self.rerank,
            "/voyage/v1/rerank": self.rerank,
            "/cohere/v2/rerank": self.rerank,
        }.get(self.path, self.google)(body, fault)
        texts, answer = made
        tokens = sum(len(text) for text in texts) // 4 + 1
        whole = self.answer(200, answer(tokens), cut=fault == "cut", garbage=fault == "garbage")
        if whole:
            with self.server.lock:
                self.server.tokens += tokens
                if fault not in WRONG:
                    self.server.delivered.update(texts)

    def vectors(self, texts, input_type, dim, fault):
        dim = dim or self.server.dim
        rows = [vector(text, input_type, dim).tolist() for text in texts]
        if fault == "count":
            rows.pop()
        if fault == "nan" and rows:
            rows[-1][0] = float("nan")
        if fault == "dimension":
            rows = [[*row, 1.0] for row in rows]
        return rows

    def openai(self, body, fault):
        texts = body["input"]
        self.require(0 < len(texts) <= 2048 and all(texts), "1 to 2048 inputs")
        rows = self.vectors(texts, "", body.get("dimensions"), fault)
        if body.get("encoding_format") == "base64":
            rows = [base64.b64encode(struct.pack(f"{len(row)}f", *row)).decode() for row in rows]
        data = [{"object": "embedding", "index": number, "embedding": row} for number, row in enumerate(rows)]
        return texts, lambda tokens: {
            "object": "list", "model": body["model"], "data": data,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }  # fmt: skip

    def jina(self, body, fault):
        tasks = (None, "retrieval.query", "retrieval.passage", "text-matching")
        self.require(body.get("task") in tasks, "task")
        rows = self.vectors(body["input"], body.get("task") or "", body.get("dimensions"), fault)
        data = [{"index": number, "embedding": row} for number, row in enumerate(rows)][::-1]
        return body["input"], lambda tokens: {"data": data, "usage": {"total_tokens": tokens}}

    def voyage(self, body, fault):
        self.require(len(body["input"]) <= 1000, "at most 1000 inputs")
        self.require(body.get("input_type") in (None, "query", "document"), "input_type")
        rows = self.vectors(body["input"], body.get("input_type") or "", body.get("output_dimension"), fault)
        data = [{"object": "embedding", "index": number, "embedding": row} for number, row in enumerate(rows)]
        usage = {"object": "list", "data": data}
        return body["input"], lambda tokens: {**usage, "usage": {"total_tokens": tokens}}

    def cohere(self, body, fault):
        self.require(len(body["texts"]) <= 96, "at most 96 texts")
        self.require(body.get("input_type") in ("search_query", "search_document"), "input_type")
        self.require(body["embedding_types"] == ["float"], "embedding_types")
        rows = self.vectors(body["texts"], body["input_type"], body.get("output_dimension"), fault)
        return body["texts"], lambda tokens: {
            "id": "x", "response_type": "embeddings_by_type", "texts": body["texts"], "embeddings": {"float": rows},
            "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}},
        }  # fmt: skip

    def google(self, body, fault):
        self.require(self.path.startswith("/google/v1beta/models/"), f"no such path: {self.path}")
        self.require(self.path.endswith(":batchEmbedContents"), f"no such path: {self.path}")
        asked = body["requests"]
        self.require(len(asked) <= 100, "at most 100 requests")
        texts = ["".join(part["text"] for part in each["content"]["parts"]) for each in asked]
        first = asked[0]
        rows = self.vectors(texts, first.get("taskType") or "", first.get("outputDimensionality"), fault)
        return texts, lambda _: {"embeddings": [{"values": row} for row in rows]}

    def rerank(self, body, fault):
        query, documents = body["query"], body["documents"]
        results = [
            {"index": row, "relevance_score": score(query, document)} for row, document in enumerate(documents)
        ]
        results.sort(key=lambda result: -result["relevance_score"])
        results = results[: body.get("top_n") or body.get("top_k") or len(results)]
        if fault == "count":
            results.pop()
        if fault == "dimension":
            results[-1]["index"] = len(documents)
        if fault == "nan":
            results[-1]["relevance_score"] = float("nan")
        units = {"billed_units": {"search_units": 1}}
        pairs = [f"{query} × {document}" for document in documents]
        return pairs, lambda tokens: {
            "id": "x", "object": "list", "results": results, "data": results, "meta": units,
            "usage": {"total_tokens": tokens},
        }  # fmt: skip

    def require(self, holds, what):
        if not holds:
            raise RejectedError(f"refused: {what}")

    def answer(self, status, content, headers=None, cut=False, garbage=False):
        """Whether the answer was written whole."""
        data = b"<html>oops</html>" if garbage else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        if select.select([self.connection], [], [], 0)[0]:  # the client has hung up
            self.close_connection = True
            return False
        try:
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if cut else data)
            self.wfile.flush()
        except OSError:
            self.close_connection = True
            return False
        self.close_connection = cut
        return not cut
