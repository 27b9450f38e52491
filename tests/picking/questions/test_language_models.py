"""Language models by name: one of a server on this machine, and networks that make questions of passages."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from chat import serving
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing

from evalkit.errors import ApiError, ModelNotFoundError
from evalkit.models import served_llm
from evalkit.models.language_models import Seq2Seq, load_llm
from evalkit.picking.documents import read_folder
from evalkit.picking.questions import generate_questions

OPENAI = {
    "/v1/models": {"data": [{"id": name} for name in ("text-embedding-3", "BAAI/bge-m3", "qwen3:4b", "llama3.2")]}
}
OLLAMA = {
    "/api/tags": {
        "models": [
            {"name": "reader", "details": {"family": "nomic-bert"}},
            {"name": "large:cloud", "remote_host": "https://ollama.com:443", "details": {"family": "large"}},
            {"name": "llama3.2:latest", "details": {"family": "llama"}},
        ]
    }
}


@pytest.fixture(autouse=True)
def _nothing_else_is_asked(monkeypatch):
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_API_KEY", "OPENAI_COMPATIBLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    monkeypatch.setattr(served_llm, "PORTS", {})


def test_a_server_that_the_environment_names(monkeypatch):
    with serving(lambda prompt: f"You said {prompt}", OPENAI) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
        found = load_llm("auto")
        assert found.model == "qwen3:4b"
        assert found.complete("hello").text == "You said hello"
    assert server.keys == ["Bearer sk-mine"] * 2


@pytest.mark.parametrize("host", ["127.0.0.1:{}", "http://127.0.0.1:{}/", "0.0.0.0:{}", ":{}"])
def test_ollama(host, monkeypatch):
    with serving(lambda prompt: "yes", OLLAMA) as server:
        monkeypatch.setenv("OLLAMA_HOST", host.format(server.server_address[1]))
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
        found = load_llm("auto")
        assert (found.model, found.api_base) == ("llama3.2:latest", server.url)
        assert found.complete("?").text == "yes"
    assert server.keys == [None, None], "the key of another service is not sent"


def test_a_server_at_a_usual_port(monkeypatch):
    with serving(lambda prompt: "yes", OPENAI) as server:
        monkeypatch.setattr(served_llm, "PORTS", {"vLLM": server.server_address[1]})
        assert load_llm("auto").api_base == server.url


def test_none_is_there(monkeypatch):
    with serving(lambda prompt: "", {"/v1/models": {"data": [{"id": "bge-m3"}]}}) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", "https://user:secret@93.184.216.34/v1")
        monkeypatch.setattr(served_llm, "PORTS", {"vLLM": server.server_address[1]})
        with pytest.raises(ModelNotFoundError) as caught:
            load_llm("auto")
    told = str(caught.value)
    assert "OPENAI_BASE_URL at https://93.184.216.34/v1: not on this machine or a private network" in told
    assert "Ollama at http://127.0.0.1:9/v1: nothing there" in told
    assert "lists no model that writes text" in told
    assert "secret" not in told


def test_what_the_server_says_was_wrong(tmp_path):
    (tmp_path / "a.md").write_text("The heron stands in the reeds.")
    with serving(lambda prompt: 404) as server:
        llm = load_llm(f"llamaindex:evalkit.models.served_llm.ServedLLM?api_base={server.url}&model=nobody")
        with pytest.raises(ApiError, match=r"'nobody' failed.*404 Not Found.*out of order"):
            generate_questions(read_folder(tmp_path), llm)


PASSAGES = {
    "heron.md": ("the heron stands in the reeds and waits for frogs at dawn", "what does a wading bird eat"),
    "badger.md": ("the badger digs a sett under old oaks and sleeps by day", "where do striped diggers live"),
    "otter.md": ("the otter slides down the bank and cracks shells on a stone", "how are mussels opened"),
}


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Path:
    """A tiny T5 that has learned one question by heart for each passage."""
    words = sorted({word for pair in PASSAGES.values() for text in pair for word in text.split()})
    vocabulary = {word: row for row, word in enumerate(["<pad>", "</s>", "<unk>", *words])}
    made = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=9
    )
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=len(vocabulary), d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2, dropout_rate=0.0,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    model = transformers.T5ForConditionalGeneration(config)
    asked = tokenizer([text for text, _ in PASSAGES.values()], truncation=True, padding=True, return_tensors="pt")
    wanted = tokenizer([question for _, question in PASSAGES.values()], padding=True, return_tensors="pt").input_ids
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        loss = model(
            input_ids=asked.input_ids, attention_mask=asked.attention_mask,
            labels=wanted.masked_fill(wanted == 0, -100),
        ).loss  # fmt: skip
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("doc2query")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def docs(tmp_path):
    (tmp_path / "docs").mkdir()
    for name, (text, _) in PASSAGES.items():
        (tmp_path / "docs" / name).write_text(text)
    return tmp_path / "docs"


def test_a_network_that_makes_questions(network, docs, tmp_path, monkeypatch):
    llm = load_llm(f"seq2seq:{network}")
    found = generate_questions(read_folder(docs), llm, per_passage=1, answers=tmp_path / "said.jsonl")
    assert {each.spans[0].file: each.text for each in found.questions} == {
        name: question for name, (_, question) in PASSAGES.items()
    }
    assert {tuple(each.tags.items()) for each in found.questions} == {(("kind", "query"),)}
    # Nine tokens, one of which ends the text: what comes after the eighth word was not read, and answers nothing.
    for each in found.questions:
        (span,) = each.spans
        assert PASSAGES[span.file][0][span.start : span.end] == " ".join(PASSAGES[span.file][0].split()[:8])
    assert json.dumps(dict(found.provenance))
    # What it said is kept, and it is not asked again.
    monkeypatch.setattr(Seq2Seq, "ask", lambda *_: pytest.fail("asked again"))
    again = generate_questions(
        read_folder(docs), Seq2Seq(str(network)), per_passage=1, answers=tmp_path / "said.jsonl"
    )
    assert again == found


def test_as_many_as_asked_for_and_different(network):
    asked = Seq2Seq(str(network)).ask(PASSAGES["heron.md"][0], 3)
    assert 1 < len(asked) == len(set(asked)) <= 3
    assert asked[0] == PASSAGES["heron.md"][1], "the likeliest first"


def test_a_network_of_another_kind(tmp_path, network):
    transformers.BertModel(
        transformers.BertConfig(
            vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
        )
    ).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(network).save_pretrained(tmp_path)
    with pytest.raises(ModelNotFoundError, match="cannot be loaded as a network that reads a text and writes one"):
        load_llm(f"seq2seq:{tmp_path}")
    with pytest.raises(ModelNotFoundError):
        load_llm(f"seq2seq:{tmp_path / 'nowhere'}")
