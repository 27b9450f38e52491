"""The most similar pair among 10,000 sentences: all pairs through a cross-encoder, or vectors and a search.

Reimers & Gurevych (2019) give 65 hours for BERT as a cross-encoder on a V100 GPU, and for SBERT about 5 seconds to
encode and 0.01 seconds to compare. Here all is measured on the CPU with evalkit's own models, in float32: pair
rates on pairs drawn at random from the 49,995,000 of 10,000 distinct STS-B sentences, times their number; the time
to encode the sentences; and an exact search of each sentence's nearest other. The MiniLM models are trained; those
of BERT-base's shape have random weights, which takes as long, and pool the mean as SBERT does. Hours and, for the
BERT-base shape, the encoding of 10,000 sentences are extrapolated from the sample that the table and notes give.
"""

import argparse
import json
import math
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from side_by_side import data_dir, measure, report
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from evalkit.compute import Compute
from evalkit.models._dense import DenseEmbedder
from evalkit.models.bert import Bert, BertOptions, load_bert
from evalkit.models.cross_encoder import CrossEncoder, PairOptions, load_cross_encoder
from evalkit.models.sbert import SbertOptions, load_sbert
from evalkit.search.exact import search
from evalkit.types import FloatArray

SENTENCES = 10_000
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
PAPER = {"cross-encoder hours": 65, "encode s": 5, "search s": 0.01, "hardware": "V100 GPU"}


def sts_sentences(limit: int) -> list[str]:
    """The first distinct sentences of STS-B's splits."""
    found: dict[str, None] = {}
    for split in ("train", "dev", "test"):
        for line in (data_dir() / "stsb-en" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines():
            pair = json.loads(line)
            found.update(dict.fromkeys((pair["sentence1"], pair["sentence2"])))
    if len(found) < limit:
        raise SystemExit(f"STS-B has {len(found)} distinct sentences, fewer than {limit}")
    return list(found)[:limit]


def bert_base(folder: Path) -> None:
    """A network of BERT-base's shape with random weights, one label, and the tokenizer of uncased BERT."""
    torch.manual_seed(0)
    BertForSequenceClassification(BertConfig(num_labels=1)).eval().save_pretrained(folder)
    AutoTokenizer.from_pretrained(data_dir() / "ce-minilm").save_pretrained(folder)


def pair_seconds(reranker: CrossEncoder, sentences: list[str], n_pairs: int, rounds: int) -> float:
    """Median seconds a pair, over random pairs."""
    rng = np.random.default_rng(0)
    left, right = ([sentences[row] for row in rng.choice(len(sentences), n_pairs, replace=False)] for _ in range(2))
    seconds = measure({"pairs": lambda: reranker.score(left, right)}, rounds)
    return median(seconds["pairs"]) / n_pairs


def sentence_seconds(embedder: DenseEmbedder, sentences: list[str], rounds: int) -> float:
    """Median seconds a sentence."""
    seconds = measure({"sentences": partial(embedder.encode, sentences, "sentence")}, rounds)
    return median(seconds["sentences"]) / len(sentences)


def best_pair(vectors: np.ndarray) -> tuple[int, int, float]:
    """The two rows most alike, and their cosine: each row's best two, of which one may be itself."""
    run = search(vectors, vectors, [str(row) for row in range(len(vectors))], "cosine", 2)
    scores: FloatArray = np.where(run.documents == np.arange(len(vectors))[:, None], -np.inf, run.scores)
    row, place = np.unravel_index(np.argmax(scores), scores.shape)
    return int(row), int(run.documents[row, place]), float(scores[row, place])


def row(
    what: str, pair_s: float, sentence_s: float, search_s: float, n_sentences: int, sampled: int
) -> dict[str, object]:
    """A line of the table: measured rates scaled to all pairs and all sentences."""
    pairs = math.comb(n_sentences, 2)
    encode_s = sentence_s * n_sentences
    return {
        "models": what,
        "pairs_per_s": round(1 / pair_s, 1),
        "cross_encoder_hours": round(pair_s * pairs / 3600, 2),
        "encode_s": round(encode_s, 2),
        "encoded": sampled,
        "search_s": round(search_s, 3),
        "times_faster": round(pair_s * pairs / (encode_s + search_s)),
    }


def main() -> None:
    """Measure two sizes of model and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1,000 sentences, 32 pairs, 1 round")
    quick = parser.parse_args().quick
    n_sentences, n_pairs, rounds = (1_000, 32, 1) if quick else (SENTENCES, 384, 3)
    sample = n_sentences // 10
    sentences = sts_sentences(n_sentences)
    sampled = [sentences[row] for row in np.random.default_rng(0).choice(n_sentences, sample, replace=False)]
    minilm = load_sbert(MINILM, SbertOptions(), Compute())
    small_ce = load_cross_encoder(str(data_dir() / "ce-minilm"), PairOptions(), Compute())
    with tempfile.TemporaryDirectory() as name:
        bert_base(Path(name))
        large_ce = load_cross_encoder(name, PairOptions(), Compute())
        large: Bert = load_bert(name, BertOptions(), Compute())
        pair_s = [pair_seconds(model, sentences, n_pairs, rounds) for model in (small_ce, large_ce)]
        sentence_s = [sentence_seconds(minilm, sentences, rounds), sentence_seconds(large, sampled, rounds)]
    vectors = minilm.encode(sentences, "sentence")
    wide = np.random.default_rng(0).standard_normal((n_sentences, 768), dtype=np.float32)
    found = measure({"384": lambda: best_pair(vectors), "768": lambda: best_pair(wide)}, rounds=5)
    search_s = [median(found["384"]), median(found["768"])]
    first, second, cosine = best_pair(vectors)
    rows = [
        row("MiniLM, 6 layers of 384", pair_s[0], sentence_s[0], search_s[0], n_sentences, n_sentences),
        row("BERT-base shape, 12 layers of 768", pair_s[1], sentence_s[1], search_s[1], n_sentences, sample),
    ]
    notes = {
        "sentences": n_sentences,
        "pairs": math.comb(n_sentences, 2),
        "pairs measured": n_pairs,
        "threads": torch.get_num_threads(),
        "most similar": {"cosine": round(cosine, 4), "sentences": [sentences[first], sentences[second]]},
        "paper": PAPER,
        "quick": quick,
    }
    report("tenk_pairs", {"the most similar pair": rows}, notes)


if __name__ == "__main__":
    main()
