"""Late chunking against transformers and numpy alone, with tiny checkpoints."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from fakes import FakeEmbedder, failures, ranked, retrieval_task, run
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tiny_models import POSITIONS, MakeModel

from evalkit.cell import Cell
from evalkit.compute import Compute
from evalkit.errors import ConfigError
from evalkit.models.bert import BertOptions, load_bert
from evalkit.models.registry import build, parse_spec
from evalkit.models.sbert import SbertOptions, load_sbert
from evalkit.store import Store
from evalkit.tasks.build import with_parts
from evalkit.types import Part

SHORT = "a cat sat. the dog ran"
LONG = "words of a text that is longer than the model can read at once, and its end is seen by the last window only"
PARTS = [
    Part(SHORT, 0, 10), Part(LONG, 0, 40), Part(SHORT, 11, len(SHORT)), Part(LONG, 30, 70), Part(LONG, 64, len(LONG)),
    Part(SHORT, 0, len(SHORT)),
]  # fmt: skip


def by_hand(folder: Path, parts: list[Part], prompt: str = "", layer: int = -1) -> np.ndarray:
    """The means of token vectors: windows are made of the tokens' ids, a quarter of each shared with the one before.

    The tokenizer of the tiny models makes one token of each letter.
    """
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    found = []
    for part in parts:
        letters = [hit.start() for hit in re.finditer(r"\S", prompt + part.text)]
        ids = tokenizer(prompt + part.text, add_special_tokens=False)["input_ids"]
        assert len(ids) == len(letters)
        room = POSITIONS - 2
        step = room - room // 4
        vectors = np.zeros((0, 16))
        start = 0
        while len(vectors) < len(ids):
            window = [tokenizer.cls_token_id, *ids[start : start + room], tokenizer.sep_token_id]
            with torch.no_grad():
                hidden = (
                    model(torch.tensor([window]), output_hidden_states=True).hidden_states[layer][0].numpy()[1:-1]
                )
            vectors = np.concatenate([vectors, hidden[len(vectors) - start :]])
            start += step
        inside = [row for row, place in enumerate(letters) if part.start <= place - len(prompt) < part.end]
        found.append(vectors[inside].mean(axis=0))
    return np.array(found)


def in_context(model, parts):
    keys = [str(row) for row in range(len(parts))]
    return model.in_context(dict(zip(keys, parts, strict=True))), keys


@pytest.mark.parametrize(("kind", "layer", "prompt"), [("bert", -1, ""), ("bert", 1, "say "), ("roberta", -1, "")])
def test_bert_pools_over_the_tokens_of_each_part(tiny: MakeModel, kind, layer, prompt):
    model = load_bert(str(tiny(kind)), BertOptions(layer=layer, document_prompt=prompt), Compute())
    late, keys = in_context(model, PARTS)
    found = late.encode(keys, "document")
    np.testing.assert_allclose(found, by_hand(tiny(kind), PARTS, prompt, layer), rtol=1e-4, atol=1e-5)
    alone = model.encode([part.text[part.start : part.end] for part in PARTS], "document")
    assert np.abs(found - alone).max() > 0.01, "the whole changes the parts"


def test_queries_are_read_as_ever(tiny: MakeModel):
    model = load_bert(str(tiny("bert")), BertOptions(), Compute())
    late, _ = in_context(model, PARTS)
    np.testing.assert_array_equal(late.encode(["a cat", "dog"], "query"), model.encode(["a cat", "dog"], "query"))
    assert late.identity != model.identity


def test_sentence_transformers_with_what_follows_the_pooling(tiny: MakeModel, tmp_path):
    torch.manual_seed(0)
    dense = Dense(16, 12, activation_function=torch.nn.Tanh())
    steps = [Transformer(str(tiny("bert"))), Pooling(16, pooling_mode="mean"), dense, Normalize()]
    SentenceTransformer(modules=steps, device="cpu").save(str(tmp_path))
    late, keys = in_context(load_sbert(str(tmp_path), SbertOptions(document_prompt="say "), Compute()), PARTS)
    pooled = by_hand(tiny("bert"), PARTS, "say ")
    weight, bias = dense.linear.weight.detach().numpy(), dense.linear.bias.detach().numpy()
    expected = np.tanh(pooled @ weight.T + bias)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(late.encode(keys, "document"), expected, rtol=1e-4, atol=1e-5)


def test_models_that_do_not_pool_the_mean_are_refused(tiny: MakeModel, tmp_path):
    with pytest.raises(ConfigError, match=r"its pooling: cls\)"):
        load_bert(str(tiny("bert")), BertOptions(pooling="cls"), Compute()).in_context({})
    SentenceTransformer(modules=[Transformer(str(tiny("bert"))), Pooling(16, pooling_mode="max")]).save(str(tmp_path))
    with pytest.raises(ConfigError, match=r"its pooling: max\)"):
        load_sbert(str(tmp_path), SbertOptions(), Compute()).in_context({})
    kept = load_sbert(str(tmp_path), SbertOptions(pooling="mean"), Compute())
    assert kept.in_context({}).parts == {}


def test_a_grid_reads_documents_in_their_wholes(tiny: MakeModel, tmp_path):
    spec = f"bert:{tiny('bert')}"
    texts = {str(row): part.text[part.start : part.end] for row, part in enumerate(PARTS)}
    task = with_parts(retrieval_task(texts, {"q": "the dog"}), PARTS)
    plain = retrieval_task(texts, {"q": "the dog"}, name="plain")
    models = {"late": build(parse_spec(spec), Compute()), "words": build(parse_spec("bm25"), Compute())}
    fake = FakeEmbedder({})
    store = Store(tmp_path)
    outcome = run([task], {**models, "fake": fake}, depth=6, candidates=6, store=store)
    assert set(failures(outcome)) == {("pets", "fake", "none")}
    assert "gives no token vectors" in failures(outcome)["pets", "fake", "none"]
    query = models["late"].encode(["the dog"], "query")[0].astype(float)
    vectors = by_hand(tiny("bert"), PARTS)
    cosines = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    assert ranked(outcome, task, "late")["q"] == [str(row) for row in np.argsort(-cosines)]
    # From the store, and beside the same texts read alone, it is the same.
    again = run([plain, task], {"late": build(parse_spec(spec), Compute())}, depth=6, candidates=6, store=store)
    assert ranked(again, task, "late") == ranked(outcome, task, "late")
    assert ranked(again, plain, "late") != ranked(again, task, "late")
    assert again.rankings[Cell("pets", "test", "late")].scores[0] == pytest.approx(-np.sort(-cosines), abs=1e-5)
    assert ranked(outcome, task, "words") == ranked(run([plain], models, depth=6, candidates=6), plain, "words")
    assert plain.content_hash != task.content_hash
