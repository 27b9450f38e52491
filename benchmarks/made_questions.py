"""Whether questions made from documents put models in the order that real questions do.

On every set the same models are ranked twice: by real questions, and by questions that evalkit makes from the
documents, which are then searched without them. Of the two orders Kendall's tau is computed (b, for ties), and the
loss: what the model that is best by made questions scores less, on the real ones, than the one that is best there.
With few real questions the real order is uncertain itself: beside each tau stands that of the orders by two random
halves of the real questions, on average.

Sets: a part of Cranfield (650 abstracts, 120 questions) and of LlamaIndex's 10-K set (395 passages, 200 of its
questions, which a language model wrote) from DATA; the documentation of Flask and the German FAQ of Debian from DOCS,
with the questions in made_questions/; evalkit's own docs/how with the questions of examples/pick.
benchmarks/made_questions/README.md says where DOCS come from.

    python benchmarks/made_questions.py --data DATA --docs DOCS [--store STORE] [--out reports/benchmarks]
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

import evalkit
from evalkit.picking.documents import Chunking, Folder, read_folder, split, with_texts
from evalkit.picking.documents._folder import SourceFile
from evalkit.picking.questions import (
    Origin,
    Question,
    QuestionSet,
    Span,
    make_task,
    questions_from_documents,
    read_questions,
    searched,
    with_overlap,
)
from evalkit.picking.questions.overlap import HALVES, TAG
from evalkit.stats.step_down import told_apart

ROOT = Path(__file__).parents[1]
MINILM = "all-MiniLM-L6-v2?max_length=128"
STATIC = "static:{data}/potion-base-4m-int8"
MODELS = (
    "bm25", "tfidf", "lsa?components=64", STATIC, f"{STATIC}?dim=64",
    "glove:{data}/glove-6b-50d-slice/glove.6B.50d.slice.txt.gz",
    MINILM, "all-MiniLM-L6-v2?max_length=24", "bert:all-MiniLM-L6-v2?pooling=cls&max_length=48",
    "bert:all-MiniLM-L6-v2?pooling=max&max_length=48",
    f"rrf({STATIC}, bm25)", f"rrf({MINILM}, bm25)", f"weighted({MINILM}, bm25)",
)  # fmt: skip
METRICS = ("nDCG@10", "hit_rate@5")
TAU, LOSS = 0.7, 0.02
"""What is asked of made questions on each set, before a model is recommended by them."""
HALVINGS = 200


@dataclass(frozen=True)
class Subject:
    """A set of documents with real questions, and how the documents are cut."""

    name: str
    folder: Folder
    real: QuestionSet
    chunking: Chunking


@dataclass(frozen=True)
class Asked:
    """What models score on questions: by metric a row a question and a column a model; and the questions' tags."""

    values: dict[str, pd.DataFrame]
    tags: dict[str, dict[str, str]]
    overlap: float

    def of(self, tag: str, value: str) -> "Asked":
        """Only the questions with this tag."""
        ids = [name for name, tags in self.tags.items() if tags.get(tag) == value]
        kept = {metric: frame[frame.index.isin(ids)] for metric, frame in self.values.items()}
        return replace(self, values=kept, overlap=float("nan"))


def subjects(data: Path, docs: Path) -> Iterator[Subject]:
    """The sets, the small ones first."""
    how = read_folder(ROOT / "docs" / "how")
    yield Subject(
        "docs/how", how, read_questions(ROOT / "examples" / "pick" / "questions.csv", how), Chunking(128, 16)
    )
    for name in ("debian-faq-de", "flask"):
        folder = read_folder(docs / name)
        written = read_questions(Path(__file__).parent / "made_questions" / f"{name}.csv", folder)
        yield Subject(name, folder, written, Chunking(256, 32))
    yield _of_task("llamaindex-10k-val", data, 200, 395)
    yield _of_task("cranfield", data, 120, 650)


def _of_task(name: str, data: Path, questions: int, documents: int) -> Subject:
    """A part of a retrieval task: some questions, all that answers them, and other documents up to a number."""
    task = evalkit.load_task(str(data / name), on_bad_data="warn")
    rng = np.random.default_rng(0)
    texts = {each.id: each.text for each in task.corpus if each.text.strip()}
    queries = {each.id: each.text for each in task.queries}
    drawn = sorted(rng.choice(sorted(queries), questions, replace=False).tolist())
    answers = {query: [document for document in task.qrels[query] if document in texts] for query in drawn}
    needed = {document for each in answers.values() for document in each}
    others = sorted(texts.keys() - needed)
    more = rng.choice(others, max(0, min(documents, len(texts)) - len(needed)), replace=False).tolist()
    files = tuple(SourceFile(key, text) for key, text in texts.items() if key in needed or key in set(more))
    folder = with_texts(Folder(data / name, files, (), ""), {file.name: file.text for file in files})
    real = [
        Question(query, queries[query], tuple(Span(each, 0, len(texts[each])) for each in answers[query]))
        for query in drawn
        if answers[query]
    ]
    return Subject(name, folder, QuestionSet(tuple(real), Origin.GIVEN), Chunking.whole)


def ask(subject: Subject, questions: QuestionSet, models: Sequence[str], store: Path | None) -> Asked:
    """Put questions to all models."""
    folder, moved = searched(subject.folder, questions)
    chunks = split(folder, subject.chunking)
    tagged = with_overlap(moved, chunks)
    task = make_task(subject.name, folder, subject.chunking, chunks, tagged)
    run = evalkit.run(
        models=models, tasks=task, top_k=[5, 10], metrics=",".join(METRICS), device="cpu", on_bad_data="warn",
        **({"no_store": True} if store is None else {"store": store}),
    )  # fmt: skip
    records = run.records.astype({"model": str, "metric": str, "id": str})
    values = {
        metric: records[records["metric"] == metric].pivot_table(index="id", columns="model", values="value")
        for metric in METRICS
    }
    overlap = float(str(tagged.provenance[TAG]))
    return Asked(values, {each.id: dict(each.tags) for each in tagged.questions}, overlap)


def row(real: Asked, made: Asked, metric: str) -> dict[str, object]:
    """How far the two orders of models agree, and what it costs to choose by the made one."""
    truth = real.values[metric].mean()
    by_made = made.values[metric].mean().reindex(truth.index)
    return {
        "tau": float(kendalltau(truth, by_made).statistic),
        "loss": float(truth.max() - truth[by_made.idxmax()]),
        "chosen": str(by_made.idxmax()),
        "best": str(truth.idxmax()),
    }


def halves(real: Asked, metric: str) -> float:
    """Kendall's tau of the orders by two random halves of the real questions, on average."""
    values = real.values[metric].to_numpy()
    taus = []
    for seed in range(HALVINGS):
        order = np.random.default_rng(seed).permutation(len(values))
        first, second = order[: len(order) // 2], order[len(order) // 2 :]
        taus.append(kendalltau(values[first].mean(axis=0), values[second].mean(axis=0)).statistic)
    return float(np.nanmean(taus))


def pairs_apart(asked: Asked, metric: str) -> str:
    """How many pairs of models the questions tell apart, of how many."""
    p = told_apart(asked.values[metric].to_numpy(), level=0.05, seed=0)[1]
    pairs = np.triu_indices(len(p), 1)
    return f"{int((p[pairs] <= 0.05).sum())} of {len(pairs[0])}"


def short(spec: str) -> str:
    """A spec without the folder that its weights are in."""
    return " ".join(
        part.rsplit("/", 1)[-1].join((part.split(":", 1)[0] + ":", "")) if "/" in part else part
        for part in spec.split(" ")
    )


def main() -> None:
    """Run it all and write made_questions.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--docs", type=Path, required=True)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "reports" / "benchmarks")
    given = parser.parse_args()
    models = [model.format(data=given.data) for model in MODELS]
    lines: list[str] = []
    details: list[str] = []
    for subject in subjects(given.data, given.docs):
        real = ask(subject, subject.real, models, given.store)
        made = ask(subject, questions_from_documents(subject.folder), models, given.store)
        kinds = sorted({tags["kind"] for tags in made.tags.values()})
        parts = {"all": made, **{f"{half} overlap": made.of(TAG, half) for half in HALVES}}
        if len(kinds) > 1:
            parts.update({f"{kind}s": made.of("kind", kind) for kind in kinds})
        for name, part in parts.items():
            found = {metric: row(real, part, metric) for metric in METRICS}
            cells = [f"{each['tau']:.2f} | {each['loss']:.3f}" for each in found.values()]
            n = len(part.values[METRICS[0]])
            lines.append(
                f"| {subject.name} | {name} | {n} | {' | '.join(cells)} | {short(str(found[METRICS[0]]['chosen']))} |"
            )
            print(lines[-1], flush=True)
        details.append(
            f"| {subject.name} | {len(subject.real.questions)} | {real.overlap:.2f} | {made.overlap:.2f} | "
            f"{halves(real, METRICS[0]):.2f} | {halves(real, METRICS[1]):.2f} | {pairs_apart(real, METRICS[0])} | "
            f"{pairs_apart(made, METRICS[0])} | {short(str(row(real, made, METRICS[0])['best']))} |"
        )
        print(details[-1], flush=True)
        (given.out / "made_questions.md").write_text(report(lines, details), encoding="utf-8")


def report(lines: Sequence[str], details: Sequence[str]) -> str:
    """The page."""
    return f"""# Questions made from documents, and real ones

Written by `benchmarks/made_questions.py`, with {len(MODELS)} models: BM25, TF-IDF, LSA, static vectors in two
lengths, GloVe, MiniLM with three poolings and lengths, and three hybrids. Asked of made questions on each set: tau at
least {TAU:g}, loss at most {LOSS:g}.

| Set | Made questions | n | tau, {METRICS[0]} | loss | tau, {METRICS[1]} | loss | Chosen by {METRICS[0]} |
| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |
{chr(10).join(lines)}

Overlap is the share of a question's words that stand in the passages that answer it. Tau of halves: of the orders by
two random halves of the real questions, on average, which is what so many real questions agree with themselves.

| Set | Real questions | Their overlap | Overlap of the made | Tau of halves, {METRICS[0]} | {METRICS[1]} | \
Pairs told apart by real ones | By made ones | Best by real ones |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |
{chr(10).join(details)}
"""


if __name__ == "__main__":
    main()
