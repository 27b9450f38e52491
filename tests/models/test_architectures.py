"""`bert:` and `sbert:` of every text architecture, in each dtype, against transformers and sentence-transformers."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from test_bert import POOLED
from tiny_architectures import ARCHITECTURES, save_architecture
from tiny_models import POSITIONS

from evalkit.compute import Compute
from evalkit.models.bert import BertOptions, load_bert
from evalkit.models.sbert import SbertOptions, load_sbert

TEXTS = ["a", "the cat sat", "", "zebras and yaks", "q" * 30]
TEXT_ENCODERS = {"t5", "t5-gated", "mt5", "umt5"}
NO_BFLOAT16 = {"deberta", "fnet", "mra", "xlnet"}
"""Those that transformers itself cannot compute in it."""
USUAL = {
    "albert", "bert", "deberta-v2", "distilbert", "electra", "fnet", "gemma3_text", "gpt2", "jina_embeddings_v3",
    "mamba", "mistral", "modernbert", "mpnet", "nomic_bert", "qwen3", "roberta", "t5", "xlm-roberta", "xlnet",
}  # fmt: skip
"""What most checkpoints are; and one of each kind of layout: the rest is slow, for all there are."""


@pytest.fixture(
    scope="module",
    params=[name if name in USUAL else pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES],
)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_architecture(tmp_path_factory.mktemp("architecture") / request.param, request.param)


def by_transformers(folder: Path, dtype: torch.dtype) -> dict[str, np.ndarray]:
    """Vectors of each pooling, one text at a time and so without padding."""
    auto = transformers.AutoModelForTextEncoding if folder.name in TEXT_ENCODERS else transformers.AutoModel
    model = auto.from_pretrained(folder, dtype=dtype).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        inputs = [tokenizer(text, truncation=True, max_length=POSITIONS, return_tensors="pt") for text in TEXTS]
        hidden = [model(**each).last_hidden_state[0].float() for each in inputs]
    return {how: np.array([pool(each).numpy() for each in hidden]) for how, pool in POOLED.items()}


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, in the largest value that is expected."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def allowed(rounded: float) -> float:
    """How far off bfloat16 may be, which rounds elsewhere than torch's own kernels do, which are so far off."""
    return 4 * rounded + 0.01


def test_bert(folder: Path) -> None:
    exact = by_transformers(folder, torch.float32)
    rounded = by_transformers(folder, torch.bfloat16) if folder.name not in NO_BFLOAT16 else None
    for dtype in ("float32", "bfloat16"):
        if dtype == "bfloat16" and rounded is None:
            continue
        network = None
        for how in POOLED:
            model = load_bert(str(folder), BertOptions(pooling=how, max_length=POSITIONS), Compute("cpu", dtype))
            model.__dict__["_network"] = network = network or model._network
            found = distance(model.encode(TEXTS, "sentence"), exact[how])
            assert found < (1e-5 if dtype == "float32" else allowed(distance(rounded[how], exact[how])))


def test_sbert(folder: Path) -> None:
    exact = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, batch_size=1)
    found = load_sbert(str(folder), SbertOptions(), Compute()).encode(TEXTS, "sentence")
    assert distance(found, exact) < 1e-5
    if folder.name not in NO_BFLOAT16:
        peer = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.bfloat16})
        rounded = peer.encode(TEXTS, batch_size=1, convert_to_tensor=True).float().numpy()
        found = load_sbert(str(folder), SbertOptions(), Compute("cpu", "bfloat16")).encode(TEXTS, "sentence")
        assert distance(found, exact) < allowed(distance(rounded, exact))
