"""The embedder × reranker grid: evalkit against LlamaIndex and mteb, each as its user would write it.

Six embedders, four rerankers, 20 candidates, hit rate and MRR at 5, on a sample of questions about a 10-K report.
LlamaIndex: an index an embedder, then a `RetrieverEvaluator` a cell, with its default batch sizes. mteb: a search an
embedder, then its reranking of the saved top 20. It has neither TF-IDF nor averages of word vectors nor late
interaction of a plain encoder, and its BM25 drops what is not in BM25's own top 20 when it reranks: on mteb's cells
(bm25, static, bert and sbert, alone and behind the cross-encoder) all sides are compared apart.
All sides load their models within the time measured, and all modules before it. With `--dtype bfloat16` all sides
have bf16 weights; a float32 run also times evalkit in bf16 beside the others' float32, which their users run.
"""

import argparse
import logging
import os
import re
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import Any

import bm25s
import mteb
import numpy as np
import torch
from bm25s.tokenization import STOPWORDS_EN
from datasets import Dataset, disable_progress_bars
from gensim.models import KeyedVectors
from llama_index.core import VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.evaluation import RetrieverEvaluator
from llama_index.core.postprocessor import SentenceTransformerRerank
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
from llama_index.retrievers.bm25 import BM25Retriever
from model2vec import StaticModel
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.model_implementations.bm25 import BM25Search
from mteb.models.model_implementations.model2vec_models import Model2VecModel
from mteb.models.model_meta import ModelMeta, ScoringFunction
from mteb.models.sentence_transformer_wrapper import CrossEncoderWrapper, SentenceTransformerEncoderWrapper
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from side_by_side import data_dir, measure, report, table
from sklearn.feature_extraction.text import TfidfVectorizer
from transformers import AutoModel, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

import evalkit
from evalkit.models.weights import locate
from evalkit.tasks import load_task
from evalkit.types import RetrievalTask

TOP, CANDIDATES = 5, 20
WORD = r"\w+"
"""What the peers take for a word, as evalkit does in English."""
MINILM = "all-MiniLM-L6-v2"
MTEB_EMBEDDERS = ("bm25", "static", "bert", "sbert")
MTEB_RERANKERS = ("none", "ce")

Cells = dict[tuple[str, str], tuple[float, float]]
"""Hit rate and MRR by embedder and reranker."""


class Ours:
    """evalkit, and the store of its last cold run."""

    def __init__(self, folder: Path, source: str, queries: int, dtype: str) -> None:
        data = data_dir()
        self.models = {
            "bm25": "bm25",
            "tfidf": "tfidf",
            "glove": f"glove:{data / 'glove-6b-50d-slice' / 'glove.6B.50d.slice.txt.gz'}",
            "static": f"static:{data / 'potion-base-4m-int8'}",
            "bert": f"bert:{MINILM}?pooling=cls",
            "sbert": f"sbert:{MINILM}",
        }
        self.rerankers = {
            "none": "none",
            "bm25": "bm25",
            "maxsim": f"maxsim:{MINILM}",
            "ce": f"ce:{data / 'ce-minilm'}",
        }
        self._folder, self._store = folder, folder
        self._given = {"tasks": [source], "max_queries": queries, "dtype": dtype, "device": "cpu"}
        self.cells: Cells = {}
        self.work_of: dict[str, str] = {}

    def cold(self, models: Sequence[str] = (), rerankers: Sequence[str] = ()) -> None:
        """With a new store."""
        self._store = Path(tempfile.mkdtemp(dir=self._folder))
        self.cells = self._run(
            "cold",
            {name: self.models[name] for name in models or self.models},
            {name: self.rerankers[name] for name in rerankers or self.rerankers},
        )

    def warm(self) -> None:
        """The same grid again."""
        assert self._run("warm", self.models, self.rerankers) == self.cells

    def added(self) -> None:
        """One more embedder in a finished grid."""
        self._run("added", {**self.models, "shorter": f"sbert:{MINILM}?max_length=128"}, self.rerankers)

    def _run(self, what: str, models: dict[str, str], rerankers: dict[str, str]) -> Cells:
        results = evalkit.run(
            models=list(models.values()), rerankers=list(rerankers.values()), top_k=TOP, candidates=CANDIDATES,
            store=self._store, out=self._folder / "out", **self._given,
        )  # fmt: skip
        assert not results.failures, results.failures
        self.work_of[what] = "{computed} texts and pairs computed, {reused} shared".format(**results.provenance)
        scores = results.scores.set_index(["model", "reranker", "metric"])["score"]
        return {
            (model, reranker): (scores[spec, other, f"hit_rate@{TOP}"], scores[spec, other, f"MRR@{TOP}"])
            for model, spec in models.items()
            for reranker, other in rerankers.items()
        }


class Embedding(BaseEmbedding):
    """LlamaIndex's interface to a function from texts to vectors."""

    _encode: Callable[[list[str]], np.ndarray]

    def __init__(self, encode: Callable[[list[str]], np.ndarray]) -> None:
        super().__init__(model_name="custom")
        self._encode = encode

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._encode(texts).tolist()

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embeddings([query])[0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


class TfidfRetriever(BaseRetriever):
    """One sparse product a query: the in-memory vector store would keep the zeros as Python floats."""

    def __init__(self, nodes: list[TextNode]) -> None:
        super().__init__()
        self._nodes = nodes
        self._vectorizer = TfidfVectorizer(token_pattern=WORD)
        self._matrix = self._vectorizer.fit_transform([node.text for node in nodes])
        self.similarity_top_k = TOP

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        scores = (self._matrix @ self._vectorizer.transform([query_bundle.query_str]).T).toarray().ravel()
        best = np.argsort(-scores, kind="stable")[: self.similarity_top_k]
        return [NodeWithScore(node=self._nodes[row], score=float(scores[row])) for row in best]


class Rerank(BaseNodePostprocessor):
    """The best nodes by a function from a query and texts to scores."""

    _score: Callable[[str, list[str]], np.ndarray]

    def __init__(self, score: Callable[[str, list[str]], np.ndarray]) -> None:
        super().__init__()
        self._score = score

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        assert query_bundle is not None
        scores = self._score(query_bundle.query_str, [node.text for node in nodes])
        for node, score in zip(nodes, scores, strict=True):
            node.score = float(score)
        return sorted(nodes, key=lambda node: -(node.score or 0))[:TOP]


def word_averages(path: Path) -> Callable[[list[str]], np.ndarray]:
    """Means of GloVe vectors."""
    vectors = KeyedVectors.load_word2vec_format(str(path), no_header=True)

    def encode(texts: list[str]) -> np.ndarray:
        words = [[word for word in re.findall(WORD, text.lower()) if word in vectors] for text in texts]
        return np.array([np.mean(vectors[found], axis=0) for found in words])

    return encode


def bm25_scores(texts: list[str]) -> Callable[[str, list[str]], np.ndarray]:
    """BM25 of a query and some of these texts."""
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, token_pattern=WORD, show_progress=False), show_progress=False)
    rows = {text: row for row, text in enumerate(texts)}

    def score(query: str, documents: list[str]) -> np.ndarray:
        tokens = bm25s.tokenize(query, token_pattern=WORD, return_ids=False, show_progress=False)[0]
        return index.get_scores(tokens)[[rows[document] for document in documents]]

    return score


def maxsim_scores(folder: Path, dtype: torch.dtype) -> Callable[[str, list[str]], np.ndarray]:
    """Late interaction of a query's tokens with each text's."""
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    model = AutoModel.from_pretrained(str(folder), dtype=dtype).eval()

    @torch.inference_mode()
    def tokens(texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        features = tokenizer(texts, padding=True, truncation=True, max_length=512, return_tensors="pt")
        hidden = model(**features).last_hidden_state.float()
        return torch.nn.functional.normalize(hidden, dim=-1), features["attention_mask"].bool()

    def score(query: str, documents: list[str]) -> np.ndarray:
        asked = tokens([query])[0][0]
        found, mask = tokens(documents)
        cosines = (asked @ found.transpose(1, 2)).masked_fill(~mask[:, None], -torch.inf)
        return cosines.amax(dim=2).mean(dim=1).numpy()

    return score


class LlamaIndex:
    """LlamaIndex; `seconds` holds those of each part of the last run."""

    def __init__(self, task: RetrievalTask, minilm: Path, cls: Path, dtype: torch.dtype) -> None:
        self._task, self._minilm, self._cls, self._dtype = task, minilm, cls, dtype
        self.cells: Cells = {}
        self.seconds: dict[tuple[str, str], float] = {}

    def run(self) -> None:
        """All cells."""
        self.cells, self.seconds = {}, {}
        texts = [document.content for document in self._task.corpus]
        rerankers: dict[str, list[BaseNodePostprocessor]] = {"none": []}
        with self._timed("load", "bm25"):
            rerankers["bm25"] = [Rerank(bm25_scores(texts))]
        with self._timed("load", "maxsim"):
            rerankers["maxsim"] = [Rerank(maxsim_scores(self._minilm, self._dtype))]
        with self._timed("load", "ce"):
            cross_encoder = SentenceTransformerRerank(model=str(data_dir() / "ce-minilm"), top_n=TOP, device="cpu")
            cross_encoder._model.to(self._dtype)  # it gives no way to choose; the checkpoint's float16 is slower
            rerankers["ce"] = [cross_encoder]
        for embedder in ("bm25", "tfidf", "glove", "static", "bert", "sbert"):
            with self._timed(embedder, "index"):
                retriever = self._retriever(embedder)
            for reranker, processors in rerankers.items():
                with self._timed(embedder, reranker):
                    self.cells[embedder, reranker] = self._evaluate(retriever, processors)

    def seconds_of(self, embedders: Sequence[str], rerankers: Sequence[str]) -> float:
        """What a run of these cells alone takes."""
        kept = {*((e, r) for e in embedders for r in ("index", *rerankers)), *(("load", r) for r in rerankers)}
        return sum(seconds for part, seconds in self.seconds.items() if part in kept)

    def _evaluate(self, retriever: Any, processors: list[BaseNodePostprocessor]) -> tuple[float, float]:
        retriever.similarity_top_k = CANDIDATES if processors else TOP
        evaluator = RetrieverEvaluator.from_metric_names(
            ["hit_rate", "mrr"], retriever=retriever, node_postprocessors=processors
        )
        found = [
            evaluator.evaluate(query.text, list(self._task.qrels[query.id])).metric_vals_dict
            for query in self._task.queries
        ]
        return mean(each["hit_rate"] for each in found), mean(each["mrr"] for each in found)

    def _retriever(self, embedder: str) -> Any:
        nodes = [TextNode(id_=document.id, text=document.content) for document in self._task.corpus]
        data = data_dir()
        if embedder == "bm25":
            return BM25Retriever.from_defaults(nodes=nodes, skip_stemming=True, token_pattern=WORD)
        if embedder == "tfidf":
            return TfidfRetriever(nodes)
        if embedder == "glove":
            model: BaseEmbedding = Embedding(word_averages(data / "glove-6b-50d-slice" / "glove.6B.50d.slice.txt.gz"))
        elif embedder == "static":
            model = Embedding(StaticModel.from_pretrained(data / "potion-base-4m-int8").encode)
        else:
            folder = self._cls if embedder == "bert" else self._minilm
            model = HuggingFaceEmbedding(str(folder), device="cpu", model_kwargs={"dtype": self._dtype})
        return VectorStoreIndex(nodes, embed_model=model).as_retriever()

    @contextmanager
    def _timed(self, *part: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[part] = time.perf_counter() - started  # type: ignore[index]


class Sampled(AbsTaskRetrieval):
    """mteb's task over local data."""

    metadata = TaskMetadata(
        name="Sampled", description="questions about a 10-K report", type="Retrieval", category="t2t",
        dataset={"path": "local/sampled", "revision": "1"}, eval_splits=["test"], eval_langs=["eng-Latn"],
        main_score=f"hit_rate_at_{TOP}",
    )  # fmt: skip
    k_values = (1, TOP, CANDIDATES)

    def __init__(self, task: RetrievalTask) -> None:
        super().__init__()
        split = {
            "corpus": Dataset.from_list([{"id": each.id, "title": "", "text": each.content} for each in task.corpus]),
            "queries": Dataset.from_list([{"id": each.id, "text": each.text} for each in task.queries]),
            "relevant_docs": {key: {doc: int(grade) for doc, grade in of.items()} for key, of in task.qrels.items()},
            "top_ranked": None,
        }
        self.dataset = {"default": {"test": split}}  # type: ignore[dict-item]
        self.data_loaded = True


class Mteb:
    """mteb's two stages, for the cells that it has."""

    def __init__(self, folder: Path, task: RetrievalTask, minilm: Path, cls: Path, dtype: torch.dtype) -> None:
        self._folder, self._task, self._minilm, self._cls, self._dtype = folder, task, minilm, cls, dtype
        self.cells: Cells = {}

    def run(self) -> None:
        """Search with each embedder, and rerank what it found."""
        cross_encoder = CrossEncoder(
            str(data_dir() / "ce-minilm"), device="cpu", max_length=512, model_kwargs={"dtype": self._dtype}
        )
        for embedder in MTEB_EMBEDDERS:
            saved = Path(tempfile.mkdtemp(dir=self._folder))
            first, second = Sampled(self._task), Sampled(self._task)
            self.cells[embedder, "none"] = self._evaluate(self._model(embedder), first, saved)
            second.convert_to_reranking(saved, top_k=CANDIDATES)
            self.cells[embedder, "ce"] = self._evaluate(CrossEncoderWrapper(cross_encoder), second)

    def _model(self, embedder: str) -> Any:
        if embedder in ("bert", "sbert"):
            folder = self._cls if embedder == "bert" else self._minilm
            kwargs = {"dtype": self._dtype}
            return SentenceTransformerEncoderWrapper(str(folder), device="cpu", model_kwargs=kwargs)
        model: Any = BM25Search(tokenizer=_words, freq_threshold=0)
        if embedder == "static":
            model = Model2VecModel(str(data_dir() / "potion-base-4m-int8"))
        model.mteb_model_meta = ModelMeta.create_empty(
            {"name": f"local/{embedder}", "revision": "1", "similarity_fn_name": ScoringFunction.COSINE}
        )
        return model

    def _evaluate(self, model: Any, task: Sampled, saved: Path | None = None) -> tuple[float, float]:
        results = mteb.evaluate(model, task, cache=None, prediction_folder=saved, show_progress_bar=False)
        scores = results.task_results[0].scores["test"][0]
        return scores[f"hit_rate_at_{TOP}"], scores[f"mrr_at_{TOP}"]


def _words(text: str) -> list[str]:
    """evalkit's words for BM25, for mteb's."""
    return [word for word in re.findall(WORD, text.lower()) if word not in STOPWORDS_EN]


def with_cls_pooling(minilm: Path, folder: Path) -> Path:
    """The same weights as a sentence-transformers folder that pools the first token."""
    transformer = Transformer(str(minilm), max_seq_length=512)
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="cls")
    SentenceTransformer(modules=[transformer, pooling], device="cpu").save(str(folder))
    return folder


def differences(ours: Cells, theirs: Cells) -> str:
    """The largest differences from our hit rates and MRRs, and where."""
    told = []
    for number, metric in enumerate((f"hit rate@{TOP}", f"MRR@{TOP}")):
        gaps = {cell: abs(ours[cell][number] - theirs[cell][number]) for cell in theirs}
        apart = [" × ".join(cell) for cell, gap in gaps.items() if gap > 1e-6]
        told.append(f"{metric} {max(gaps.values()):.4f}" + (f" ({', '.join(apart)})" if apart else ""))
    return f"largest difference over {len(theirs)} cells: " + "; ".join(told)


def main() -> None:
    """Run the grid on all sides and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=40, help="questions sampled, seeded")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--rounds", type=int, default=1, help="a run of all sides takes minutes")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    disable_progress_bars()
    disable_progress_bar()
    source, dtype = str(data_dir() / "llamaindex-10k-val"), getattr(torch, options.dtype)
    task = load_task(source, max_queries=options.queries, seed=0)
    assert isinstance(task, RetrievalTask)
    minilm = locate(f"sentence-transformers/{MINILM}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        cls = with_cls_pooling(minilm, folder / "cls")
        ours = Ours(folder, source, options.queries, options.dtype)
        same_cells = Ours(folder, source, options.queries, options.dtype)
        in_bf16 = Ours(folder, source, options.queries, "bfloat16")
        llama_index, by_mteb = LlamaIndex(task, minilm, cls, dtype), Mteb(folder, task, minilm, cls, dtype)
        llama_index_parts: list[float] = []

        def run_llama_index() -> None:
            llama_index.run()
            llama_index_parts.append(llama_index.seconds_of(MTEB_EMBEDDERS, MTEB_RERANKERS))

        same_cells.cold(["bm25"], ["none"])  # a first run also imports
        seconds = measure(
            {
                "evalkit cold": ours.cold,
                "evalkit cold, bfloat16": in_bf16.cold,
                "LlamaIndex": run_llama_index,
                "evalkit cold, mteb's cells": lambda: same_cells.cold(MTEB_EMBEDDERS, MTEB_RERANKERS),
                "mteb": by_mteb.run,
                "evalkit warm": ours.warm,
                "evalkit, one more embedder": ours.added,
            },
            options.rounds,
            warm_up=False,
        )
    cold, warm, added = (seconds[f"evalkit{name}"] for name in (" cold", " warm", ", one more embedder"))
    fewer = {
        "evalkit cold": seconds["evalkit cold, mteb's cells"],
        "LlamaIndex": llama_index_parts,
        "mteb": seconds["mteb"],
    }
    bf16 = {"evalkit cold, bfloat16": seconds["evalkit cold, bfloat16"], "LlamaIndex": seconds["LlamaIndex"]}
    parts = {
        f"All {len(ours.cells)} cells": {"evalkit cold": cold, "LlamaIndex": seconds["LlamaIndex"]},
        f"The {len(by_mteb.cells)} cells that mteb has": fewer,
        f"All {len(ours.cells)} cells, evalkit in bfloat16": bf16,
        "All cells again": {"evalkit warm": warm, "evalkit cold": cold, "LlamaIndex": seconds["LlamaIndex"]},
        "One more embedder, 28 cells": {"evalkit, finished grid there": added, "evalkit cold, 24 cells": cold},
    }
    notes = {
        "task": f"{len(task.corpus)} passages, {len(task.queries)} of its questions; {options.dtype}, CPU",
        "load average": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "LlamaIndex against evalkit": differences(ours.cells, llama_index.cells),
        "mteb against evalkit": differences(ours.cells, by_mteb.cells),
        "evalkit in bfloat16 against evalkit": differences(ours.cells, in_bf16.cells),
        "evalkit cold": ours.work_of["cold"],
        "evalkit cold, mteb's cells": same_cells.work_of["cold"],
        "evalkit, one more embedder": ours.work_of["added"],
        "cells that mteb has": ", ".join(" × ".join(cell) for cell in by_mteb.cells),
        "LlamaIndex's seconds": {" ".join(part): round(each, 2) for part, each in llama_index.seconds.items()},
    }
    report(f"grid-{options.dtype}", {title: table(times, next(iter(times))) for title, times in parts.items()}, notes)


if __name__ == "__main__":
    main()
