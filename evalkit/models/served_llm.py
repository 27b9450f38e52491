"""Language models of a server that speaks OpenAI's API, and finding one on this machine.

LlamaIndex's integrations for such servers want an older client of OpenAI than other packages do.
"""

import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx
from llama_index.core.llms import CompletionResponse, CompletionResponseGen, CustomLLM, LLMMetadata
from pydantic import Field

from evalkit.errors import ModelNotFoundError
from evalkit.secrets import public_url

OLLAMA = 11434
PORTS = {"LM Studio": 1234, "vLLM": 8000, "llama.cpp": 8080}
"""Where servers that speak OpenAI's API listen if nobody says otherwise."""
PROBE = 1.0
"""Seconds that a server is given to say which models it has."""
ANSWER = 600.0
"""Seconds that it is given for an answer: a model may have to be loaded first."""
LONGEST = 4096
"""Tokens of an answer; models that think aloud need many."""
SHOWN = 300
"""Characters of what a server says was wrong."""
NO_WRITER = re.compile(
    r"embed|rerank|minilm|mpnet|whisper|(?:^|[-_/])(?:bge|gte|e5|clip|tts|stt|colbert|splade|bert)(?:[-_:.]|$)",
    re.IGNORECASE,
)
"""Names of models that embed, score, hear or speak, and do not write text."""
NO_WRITER_FAMILIES = frozenset(("bert", "nomic-bert"))
"""What Ollama calls the kinds of models that embed."""


class ServedLLM(CustomLLM):
    """A language model behind `api_base` (such as http://localhost:8000/v1), asked for its likeliest answer."""

    model: str
    api_base: str
    api_key: str = Field(default_factory=lambda: os.environ.get("OPENAI_COMPATIBLE_API_KEY", ""))

    @property
    def metadata(self) -> LLMMetadata:
        """Return its name."""
        return LLMMetadata(model_name=self.model, is_chat_model=True)

    def complete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponse:
        """Return what the model says to a prompt. Raises httpx.HTTPError, with what the server says was wrong."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": LONGEST,
        }
        answer = httpx.post(
            f"{self.api_base.rstrip('/')}/chat/completions",
            json=body,
            headers=_headers(self.api_key),
            timeout=ANSWER,
            trust_env=False,
        )
        if answer.is_error:
            raise httpx.HTTPError(f"{answer.status_code} {answer.reason_phrase}: {answer.text[:SHOWN]}")
        return CompletionResponse(text=answer.json()["choices"][0]["message"]["content"] or "")

    def stream_complete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponseGen:
        """Yield the whole answer as one piece."""
        yield self.complete(prompt)


@dataclass(frozen=True)
class Place:
    """Where a server may be: what it is called, the address of its API (…/v1), and the key that it may be sent."""

    name: str
    api_base: str
    api_key: str = ""
    is_ollama: bool = False

    def models(self) -> list[str]:
        """Return the models it lists that write text and run there. Raises httpx.HTTPError and ValueError."""
        url = f"{self.api_base.removesuffix('/v1')}/api/tags" if self.is_ollama else f"{self.api_base}/models"
        answer = httpx.get(url, headers=_headers(self.api_key), timeout=PROBE, trust_env=False)
        answer.raise_for_status()
        try:
            if not self.is_ollama:
                return [each["id"] for each in answer.json()["data"] if not NO_WRITER.search(each["id"])]
            return [
                each["name"]
                for each in answer.json()["models"]
                # Those with a remote host run in Ollama's cloud, which may cost.
                if not each.get("remote_host")
                and (each.get("details") or {}).get("family") not in NO_WRITER_FAMILIES
                and not NO_WRITER.search(each["name"])
            ]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no list of models: {error!r}") from None


def find_llm() -> ServedLLM:
    """Return the first language model that a server here lists: at OPENAI_BASE_URL, Ollama's, then at usual ports.

    Nothing is asked but servers on this machine, or on a private network where the environment names them, so that
    nothing is paid for. Raises ModelNotFoundError with what was tried.
    """
    tried = []
    for place in _places():
        shown = f"{place.name} at {public_url(place.api_base)}"
        if not _is_near(place.api_base):
            tried.append(f"{shown}: not on this machine or a private network, so it may cost")
            continue
        try:
            models = place.models()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            tried.append(f"{shown}: {'nothing there' if isinstance(error, httpx.ConnectError) else _short(error)}")
            continue
        if models:
            return ServedLLM(model=models[0], api_base=place.api_base, api_key=place.api_key)
        tried.append(f"{shown}: lists no model that writes text")
    raise ModelNotFoundError(
        "found no language model on this machine. Tried:\n"
        + "".join(f"  - {each}\n" for each in tried)
        + "Start one (such as `ollama pull llama3.2`), set OLLAMA_HOST or OPENAI_BASE_URL, or name one: --llm "
        "'llamaindex:evalkit.models.served_llm.ServedLLM?api_base=http://HOST:PORT/v1&model=NAME'."
    )


def _places() -> Iterator[Place]:
    named = os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_BASE")
    if named:
        yield Place("OPENAI_BASE_URL", named.rstrip("/"), os.environ.get("OPENAI_API_KEY", ""))
    yield Place("Ollama", f"{_ollama(os.environ.get('OLLAMA_HOST', ''))}/v1", is_ollama=True)
    for name, port in PORTS.items():
        yield Place(name, f"http://127.0.0.1:{port}/v1")


def _ollama(host: str) -> str:
    """Return the address that OLLAMA_HOST stands for: it may leave out scheme, host or port, and be 0.0.0.0."""
    scheme, _, rest = host.strip().rpartition("://")
    name, colon, port = rest.rstrip("/").rpartition(":")
    if not colon or not port.isdigit():
        name, port = rest.rstrip("/"), {"http": "80", "https": "443"}.get(scheme, str(OLLAMA))
    return f"{scheme or 'http'}://{'127.0.0.1' if name in ('', '0.0.0.0') else name}:{port}"


def _is_near(url: str) -> bool:
    """Tell whether a URL's host has addresses of this machine or of a private network only; true if it has none."""
    try:
        found = socket.getaddrinfo(urlsplit(url).hostname, None)
    except (OSError, UnicodeError, ValueError):
        return True  # nothing can be sent there: asking says what is wrong
    return all(ip_address(str(address[0]).partition("%")[0]).is_private for *_, address in found)


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:120]
