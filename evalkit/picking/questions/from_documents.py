"""Questions made from the documents alone, without a language model: the weakest kind."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from evalkit.errors import ConfigError
from evalkit.picking.documents import Folder, SourceFile
from evalkit.picking.questions.filters import Candidate, Reasons, filtered, words
from evalkit.picking.questions.question import Question, QuestionSet, Span

VERSION = 1
"""Of the rules below; part of the provenance."""
HEADING = re.compile(r"^#{1,6}[ \t]+(?P<heading>\S.*?)[ \t]*#*[ \t]*$", re.MULTILINE)
SENTENCE = re.compile(r"(?<!\S)[A-Z](?:[^.!?\n|]|\n(?!\s*\n)|[.!?](?=\S))*[.!?](?=\s|$)")
DEFINITION = re.compile(r"(?P<term>(?:An? |The )?[A-Z][\w-]*(?: [\w-]+){0,3}?) (?P<verb>is|are) (?:an?|the) \w")
PRONOUNS = {
    "it", "this", "that", "these", "those", "there", "here", "he", "she", "they", "we", "you", "what", "which",
}  # fmt: skip
COUNT = 100
"""Questions made if not said otherwise."""
WORDS_ANSWERED = 8
"""The fewest words of a section or sentence that answers a question."""
MASKED = 3
"""Key terms that are taken out of a sentence."""
REASONS: Reasons = {"too short an answer": lambda each: len(words(each.answer)) < WORDS_ANSWERED}


def questions_from_documents(folder: Folder, *, count: int = COUNT, seed: int = 0) -> QuestionSet:
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
    asked = filtered(candidates, folder, REASONS, drops)
    kept = _chosen(asked, count, seed)
    if not kept:
        why = "; ".join(f"{number} {reason}" for reason, number in drops.items()) or "no headings and no sentences"
        raise ConfigError(f"no question can be made from the documents in {folder.path}: {why}. Give --questions.")
    questions = [
        Question(f"q{number}", candidate.text, (candidate.span,), {"kind": candidate.kind})
        for number, candidate in enumerate(kept, start=1)
    ]
    return QuestionSet(tuple(questions), "from documents", made_from(folder, count, seed), dict(drops))


def made_from(folder: Folder, count: int, seed: int) -> dict[str, object]:
    """All that decides which questions are made, as plain data."""
    return {"version": VERSION, "seed": seed, "asked_for": count, "documents": folder.content_hash}


def _headings(file: SourceFile) -> Iterator[Candidate]:
    found = list(HEADING.finditer(file.text))
    ends = [*(heading.start() for heading in found[1:]), len(file.text)]
    for heading, end in zip(found, ends, strict=False):  # without a heading there is an end too many
        answer = file.text[heading.end() : end]
        start = heading.end() + len(answer) - len(answer.lstrip())
        span = Span(file.name, start, start + len(answer.strip()))
        yield Candidate("heading", heading["heading"].replace("`", ""), span, answer.strip(), file.text)


def _definitions(file: SourceFile) -> Iterator[Candidate]:
    for sentence in SENTENCE.finditer(file.text):
        defined = DEFINITION.match(" ".join(sentence[0].split()))
        if defined and defined["term"].split()[0].lower() not in PRONOUNS:
            term = re.sub(r"^(A|An|The) ", lambda article: article[0].lower(), defined["term"])
            span = Span(file.name, sentence.start(), sentence.end())
            yield Candidate("definition", f"What {defined['verb']} {term}?", span, sentence[0], file.text)


def _masked(folder: Folder) -> Iterator[Candidate]:
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]

    places = [(file, sentence) for file in folder.files for sentence in SENTENCE.finditer(file.text)]
    if not places:
        return
    vectorizer = TfidfVectorizer(stop_words="english", token_pattern=r"(?u)\b[^\W\d_]{3,}\b")
    try:
        weights = vectorizer.fit_transform([sentence[0] for _, sentence in places])
    except ValueError:  # "empty vocabulary": nothing but stop words
        return
    terms = vectorizer.get_feature_names_out()
    for (file, sentence), row in zip(places, weights, strict=True):
        rarest = row.indices[np.lexsort((row.indices, -row.data))][:MASKED]
        if len(rarest) == MASKED:
            pattern = "|".join(re.escape(str(terms[term])) for term in rarest)
            text = re.sub(rf"\b(?:{pattern})\b", "…", " ".join(sentence[0].split()), flags=re.IGNORECASE)
            span = Span(file.name, sentence.start(), sentence.end())
            yield Candidate("masked", text, span, sentence[0], file.text)


def _chosen(candidates: Sequence[Candidate], count: int, seed: int) -> list[Candidate]:
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
