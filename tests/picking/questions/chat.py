"""A chat server on loopback that speaks OpenAI's API, and lists models as Ollama does too; and a LlamaIndex model
that asks it by OpenAI's own client.
"""

import json
import threading
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from llama_index.core.llms import CompletionResponse, CompletionResponseGen, CustomLLM, LLMMetadata


class ChatServer(ThreadingHTTPServer):
    """Answers each prompt by `reply`, which gives text, or a status to fail with; notes every prompt and key.

    `listed` holds what it answers to other paths.
    """

    daemon_threads = True

    def __init__(self, reply: Callable[[str], str | int]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply = reply
        self.prompts: list[str] = []
        self.keys: list[str | None] = []
        self.listed: dict[str, object] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: ChatServer

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.keys.append(self.headers["Authorization"])
        there = self.path in self.server.listed
        self._send(200 if there else 404, self.server.listed.get(self.path, {}))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/v1/chat/completions", self.path
        prompt = body["messages"][-1]["content"]
        self.server.prompts.append(prompt)
        self.server.keys.append(self.headers["Authorization"])
        reply = self.server.reply(prompt)
        failed = isinstance(reply, int)
        message = {"role": "assistant", "content": "" if failed else reply}
        content = {"error": {"message": "out of order"}} if failed else {
            "id": "1", "object": "chat.completion", "created": 0, "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        }  # fmt: skip
        self._send(reply if failed else 200, content)

    def _send(self, status, content):
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving(reply, listed=()):
    server = ChatServer(reply)
    server.listed.update(listed)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Chat(CustomLLM):
    """Stands for an integration of LlamaIndex: those for OpenAI's API want an older client than other packages do."""

    model: str = "tiny"
    api_base: str = ""
    api_key: str = "sk-recognisable-5f0e21d7c4"
    temperature: float = 0.0

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name=self.model)

    def complete(self, prompt, formatted=False, **_) -> CompletionResponse:
        from openai import OpenAI

        with OpenAI(base_url=self.api_base, api_key=self.api_key, max_retries=0) as client:
            said = client.chat.completions.create(
                model=self.model, temperature=self.temperature, messages=[{"role": "user", "content": prompt}]
            )
        return CompletionResponse(text=said.choices[0].message.content or "")

    def stream_complete(self, prompt, formatted=False, **_) -> CompletionResponseGen:
        raise NotImplementedError
