"""Encoding speed: evalkit's `sbert:` against sentence-transformers' `encode`, same weights, texts, dtype and threads.

sentence-transformers runs at its better batch size of 32 and 128, which is found first, on the same texts. On the
CPU the model is all-MiniLM-L6-v2 on STS-B sentences and on every second 10-K chunk; in bf16 ours has bf16 weights,
and the peer its better of autocast and bf16 weights, beside its float32, which is what its users run. The share of
the machine's matrix rate is tokens times the multiplications of the model's weight matrices and attention, over the
time, over the rate of large products, which are timed in turn with the rest: torch's plain product (sgemm in
float32), and on a CPU also one whose right side is packed beforehand.
`--device cuda` compares a BERT-base- and a bge-large-shaped model with random weights.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer
from side_by_side import data_dir, measure, report, table
from transformer import Shape

from evalkit.compute import Compute, Dtype
from evalkit.contracts import no_progress
from evalkit.models._kernels import PackedLinear
from evalkit.models.sbert import Sbert, SbertOptions
from evalkit.models.weights import locate

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
FLOAT32: Dtype = "float32"
SHAPES = {"bert-base shape": (768, 12, 12, 3072), "bge-large shape": (1024, 24, 16, 4096)}


MATRIX_SIZE = {"cpu": 2048, "cuda": 8192}
PRODUCTS = 10


def matrix_products(device: str, dtype: Dtype, packed: bool) -> Callable[[], None]:
    """Ten products of large square matrices, plain or with one side packed beforehand as our linear layers are."""
    size = MATRIX_SIZE[device]
    left, right = (torch.randn((size, size), device=device, dtype=getattr(torch, dtype)) for _ in range(2))
    layer = torch.nn.Linear(size, size, bias=False, device=device, dtype=getattr(torch, dtype))
    if packed:
        PackedLinear.pack(layer)
    multiply = layer if packed else partial(torch.matmul, other=right)

    @torch.inference_mode()
    def run() -> None:
        for _ in range(PRODUCTS):
            multiply(left)
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def peer_encode(model: SentenceTransformer, size: int, autocast: bool, texts: list[str]) -> np.ndarray:
    """sentence-transformers' own encode, to float32 on the CPU."""
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=autocast):
        return model.encode(texts, batch_size=size, convert_to_tensor=True).float().cpu().numpy()


def peer(folder: Path, texts: list[str], device: str, dtype: Dtype) -> tuple[str, Callable[[], np.ndarray]]:
    """sentence-transformers at its best setting for these texts, found on a quarter of them."""
    candidates = {}
    for way in ["float32"] if dtype == "float32" else ["autocast", "weights"]:
        weights = torch.bfloat16 if way == "weights" else torch.float32
        model = SentenceTransformer(str(folder), device=device, model_kwargs={"dtype": weights})
        for size in (32, 128) if device == "cpu" else (32, 128, 512):
            candidates[f"batch {size}, {way}"] = partial(peer_encode, model, size, way == "autocast")
    sample = texts[:: max(1, min(4, len(texts) // 64))]
    times = measure({name: partial(encode, sample) for name, encode in candidates.items()}, 2)
    best = min(times, key=lambda name: statistics.median(times[name]))
    return best, partial(candidates[best], texts)


def compare(
    folder: Path, title: str, texts: list[str], compute: Compute, rounds: int, notes: dict[str, object]
) -> tuple[list[dict[str, object]], np.ndarray]:
    """Rows of one comparison, and our vectors."""
    ours = Sbert(folder, SbertOptions(), compute)
    theirs = dict(peer(folder, texts, compute.device, dtype) for dtype in dict.fromkeys((compute.dtype, FLOAT32)))

    def encode() -> np.ndarray:
        return ours.derive(ours.raw(texts, "", no_progress))

    vectors = encode()
    expected = next(iter(theirs.values()))()
    notes[f"{title}: largest difference"] = float(np.abs(vectors - expected).max())
    if compute.dtype == "float32" and compute.device == "cpu" and np.abs(vectors - expected).max() > 1e-6:
        sys.exit(f"{title}: vectors differ by {np.abs(vectors - expected).max()}")
    ways = {"evalkit": encode, **{f"sentence-transformers ({best})": way for best, way in theirs.items()}}
    kinds = ("plain", "packed") if compute.device == "cpu" else ("plain",)
    products = {kind: matrix_products(compute.device, compute.dtype, kind == "packed") for kind in kinds}
    seconds = measure({**ways, **products}, rounds, warm_up=False)
    operations_timed = PRODUCTS * 2 * MATRIX_SIZE[compute.device] ** 3
    rates = {kind: operations_timed / statistics.median(seconds.pop(kind)) for kind in kinds}
    notes[f"{title}: rate of matrix products, GFLOP/s"] = {kind: round(rate / 1e9, 1) for kind, rate in rates.items()}
    tokenizer = SentenceTransformer(str(folder), device="cpu")
    limit = tokenizer.max_seq_length or 512
    lengths = np.array([min(limit, len(ids)) for ids in tokenizer.tokenizer(texts)["input_ids"]])
    config = json.loads((folder / "config.json").read_text())
    shape = Shape(config["num_hidden_layers"], config["hidden_size"], config["intermediate_size"])
    work = shape.operations(lengths)
    rows = table(seconds, "evalkit")
    for row, times in zip(rows, seconds.values(), strict=True):
        median = statistics.median(times)
        row["tokens_per_s"] = round(lengths.sum() / median)
        for kind, rate in rates.items():
            row[f"share_of_{kind}_rate"] = round(work / median / rate, 3)
    return rows, vectors


def sts_spearman(vectors: np.ndarray, rows: list[dict]) -> float:
    """Spearman of the cosine on sentence pairs laid out as all first, then all second sentences."""
    half = len(rows)
    return float(spearmanr((vectors[:half] * vectors[half:]).sum(axis=1), [row["score"] for row in rows])[0])


def on_cpu(rounds: int, quick: bool) -> None:
    """MiniLM on real texts in float32 and bf16."""
    pairs = [json.loads(line) for line in (data_dir() / "stsb-en/test.jsonl").read_text().splitlines()]
    chunks = [
        json.loads(line)["text"] for line in (data_dir() / "llamaindex-10k-val/corpus.jsonl").read_text().splitlines()
    ]
    if quick:
        pairs, chunks = pairs[:300], chunks[:60]
    texts = {
        "STS-B sentences": [row[key] for key in ("sentence1", "sentence2") for row in pairs],
        "10-K chunks": chunks[::2],
    }
    parts: dict[str, list[dict[str, object]]] = {}
    notes: dict[str, object] = {"threads": torch.get_num_threads(), "quick": quick}
    spearman = {}
    for dtype in ("float32", "bfloat16"):
        for name, part in texts.items():
            title = f"{name}, {dtype}"
            parts[title], vectors = compare(locate(MINILM), title, part, Compute("cpu", dtype), rounds, notes)
            if name == "STS-B sentences":
                spearman[dtype] = sts_spearman(vectors, pairs)
    notes["STS-B Spearman"] = spearman
    report("encode", parts, notes)


def on_gpu(rounds: int, quick: bool) -> None:
    """Random weights of two shapes, bf16 and float32, on random words."""
    from transformers import BertConfig, BertModel

    rng = np.random.default_rng(0)
    tokenizer_folder = locate(MINILM)
    vocabulary = [w for w in (tokenizer_folder / "vocab.txt").read_text().split() if w.isalpha()]
    parts: dict[str, list[dict[str, object]]] = {}
    notes: dict[str, object] = {"device": torch.cuda.get_device_name(), "quick": quick}
    for shape, (hidden, layers, heads, inner) in SHAPES.items():
        with tempfile.TemporaryDirectory() as name:
            from sentence_transformers.base.modules import Transformer
            from sentence_transformers.sentence_transformer.modules import Pooling
            from transformers import AutoTokenizer

            config = BertConfig(hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
                                intermediate_size=inner)  # fmt: skip
            BertModel(config).save_pretrained(f"{name}/bert")
            AutoTokenizer.from_pretrained(str(tokenizer_folder), model_max_length=512).save_pretrained(f"{name}/bert")
            modules = Transformer(f"{name}/bert", max_seq_length=512)
            SentenceTransformer(modules=[modules, Pooling(hidden, "mean")]).save(f"{name}/model")
            for title, low, high, count in (("short", 5, 40, 40_000), ("long", 300, 480, 4_000)):
                texts = [
                    " ".join(rng.choice(vocabulary, size=rng.integers(low, high)))
                    for _ in range(count // (20 if quick else 1))
                ]
                for dtype in ("bfloat16", "float32"):
                    full = f"{shape}, {title} texts, {dtype}"
                    parts[full], _ = compare(
                        Path(f"{name}/model"), full, texts, Compute("cuda", dtype), rounds, notes
                    )
    report("encode_cuda", parts, notes)


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few texts, to see that it works")
    arguments = parser.parse_args()
    (on_gpu if arguments.device == "cuda" else on_cpu)(arguments.rounds, arguments.quick)


if __name__ == "__main__":
    main()
