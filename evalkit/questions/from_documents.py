"""Questions made from the documents alone, without a language model: the weakest kind."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.documents import Folder, SourceFile
from evalkit.errors import ConfigError
from evalkit.questions.question import Question, QuestionSet, Span

VERSION = 1
"""Of the rules below; part of the provenance."""
HEADING = re.compile(r"^#{1,6}[ \t]+(?P<heading>\S.*?)[ \t]*#*[ \t]*$", re.MULTILINE)
SENTENCE = re.compile(r"(?<!\S)[A-Z](?:[^.!?\n|]|\n(?!\s*\n)|[.!?](?=\S))*[.!?](?=\s|$)")
DEFINITION = re.compile(r"(?P<term>(?:An? |The )?[A-Z][\w-]*(?: [\w-]+){0,3}?) (?P<verb>is|are) (?:an?|the) \w")
PRONOUNS = {
    "it",
    "this",
    "that",
    "these",
    "those",
    "there",
    "he",
    "she",
    "they",
    "we",
    "you",
    "what",
    "which",
    "here",
}
WORDS_ASKED, WORDS_ANSWERED = 3, 8
"""The fewest words of a heading that is a question, and of a section or sentence that answers one."""
MASKED = 3
"""Key terms that are taken out of a sentence."""
SAME = 0.8
"""Share of common words from which two questions are near-duplicates."""


@dataclass(frozen=True)
class _Candidate:
    kind: str
    text: str
    span: Span
    answer: str


def questions_from_documents(folder: Folder, *, count: int = 100, seed: int = 0) -> QuestionSet:
    """At most `count` questions, evenly over the files, each with the place that answers it; origin "from documents".

    Three kinds, told by the tag `kind`: "heading" (a Markdown or HTML heading, answered by its section), "definition"
    ("What is X?", answered by "X is a …") and "masked" (a sentence whose three rarest words, by TF-IDF, are taken
    out). The words of such a question are the document's own, which flatters models that match words; that the rarest
    are taken out makes it less so. They tell models apart, but not how well any will serve real questions.

    `drops` counts what was left out, by reason. Raises ConfigError if nothing is left.
    """
    drops: Counter[str] = Counter()
    candidates = [candidate for file in folder.files for candidate in (*_headings(file), *_definitions(file))]
    candidates += _masked(folder)
    kept = _chosen(_filtered(candidates, folder, drops), count, seed)
    if not kept:
        why = "; ".join(f"{number} {reason}" for reason, number in drops.items()) or "no headings and no sentences"
        raise ConfigError(f"no question can be made from the documents in {folder.path}: {why}. Give --questions.")
    questions = [
        Question(f"q{number}", candidate.text, (candidate.span,), {"kind": candidate.kind})
        for number, candidate in enumerate(kept, start=1)
    ]
    provenance = {"version": VERSION, "seed": seed, "asked_for": count, "documents": folder.content_hash}
    return QuestionSet(tuple(questions), "from documents", provenance, dict(drops))


def _headings(file: SourceFile) -> Iterator[_Candidate]:
    found = list(HEADING.finditer(file.text))
    ends = [*(heading.start() for heading in found[1:]), len(file.text)]
    for heading, end in zip(found, ends, strict=False):  # without a heading there is an end too many
        answer = file.text[heading.end() : end]
        start = heading.end() + len(answer) - len(answer.lstrip())
        span = Span(file.name, start, start + len(answer.strip()))
        yield _Candidate("heading", heading["heading"].replace("`", ""), span, answer.strip())


def _definitions(file: SourceFile) -> Iterator[_Candidate]:
    for sentence in SENTENCE.finditer(file.text):
        defined = DEFINITION.match(" ".join(sentence[0].split()))
        if defined and defined["term"].split()[0].lower() not in PRONOUNS:
            term = re.sub(r"^(A|An|The) ", lambda article: article[0].lower(), defined["term"])
            span = Span(file.name, sentence.start(), sentence.end())
            yield _Candidate("definition", f"What {defined['verb']} {term}?", span, sentence[0])


def _masked(folder: Folder) -> Iterator[_Candidate]:
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]

    places = [(file.name, sentence) for file in folder.files for sentence in SENTENCE.finditer(file.text)]
    if not places:
        return
    vectorizer = TfidfVectorizer(stop_words="english", token_pattern=r"(?u)\b[^\W\d_]{3,}\b")
    try:
        weights = vectorizer.fit_transform([sentence[0] for _, sentence in places])
    except ValueError:  # "empty vocabulary": nothing but stop words
        return
    terms = vectorizer.get_feature_names_out()
    for (name, sentence), row in zip(places, weights, strict=True):
        rarest = row.indices[np.lexsort((row.indices, -row.data))][:MASKED]
        if len(rarest) == MASKED:
            pattern = "|".join(re.escape(str(terms[term])) for term in rarest)
            text = re.sub(rf"\b(?:{pattern})\b", "…", " ".join(sentence[0].split()), flags=re.IGNORECASE)
            yield _Candidate("masked", text, Span(name, sentence.start(), sentence.end()), sentence[0])


def _filtered(candidates: Sequence[_Candidate], folder: Folder, drops: Counter[str]) -> list[_Candidate]:
    """The candidates that can be asked, in order; each dropped one is counted with the first reason that holds."""
    everything = " ".join(" ".join(file.text.split()) for file in folder.files)
    kept: list[_Candidate] = []
    seen: list[set[str]] = []
    reasons: dict[str, Callable[[_Candidate], bool]] = {
        "too short a question": lambda each: len(_words(each.text)) < WORDS_ASKED,
        "too short an answer": lambda each: len(_words(each.answer)) < WORDS_ANSWERED,
        "answer in several places": lambda each: everything.count(" ".join(each.answer.split())) > 1,
        "near-duplicate": lambda each: any(_alike(set(_words(each.text)), other) for other in seen),
    }
    for candidate in candidates:
        reason = next((reason for reason, holds in reasons.items() if holds(candidate)), None)
        if reason:
            drops[reason] += 1
        else:
            kept.append(candidate)
            seen.append(set(_words(candidate.text)))
    return kept


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _alike(words: set[str], others: set[str]) -> bool:
    return len(words & others) >= SAME * len(words | others)


def _chosen(candidates: Sequence[_Candidate], count: int, seed: int) -> list[_Candidate]:
    """`count` of them by turns, over the files and their kinds, in a seeded order; then in the documents' order."""
    order = np.random.default_rng(seed).permutation(len(candidates))
    turn: Counter[tuple[str, str]] = Counter()
    by_turn: list[tuple[int, int, int]] = []
    for number in order.tolist():
        group = candidates[number].span.file, candidates[number].kind
        by_turn.append((turn[group], len(by_turn), number))
        turn[group] += 1
    chosen = sorted(number for _, _, number in sorted(by_turn)[:count])
    return [candidates[number] for number in chosen]
