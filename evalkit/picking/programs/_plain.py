"""Write a program that searches as the choice does, with the libraries of its models and numpy."""

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

from evalkit.models.bm25 import Bm25Options
from evalkit.picking._recommendation import named
from evalkit.picking.documents import SENTENCE, Chunking
from evalkit.picking.programs._parts import (
    BM25,
    BUILD_VECTORS,
    BUILD_WORDS,
    CUT,
    CUT_EVALKIT,
    CUT_WHOLE,
    FIRST_K,
    FIRST_TOKENS,
    HEADER,
    INDEX,
    LOAD_VECTORS,
    LOAD_WORDS,
    MAIN,
    OPEN_INDEX,
    RANK,
    RANK_RERANKED,
    READ,
    RERANKER,
    RRF,
    SENTENCE_TRANSFORMER,
    SIMILARITIES,
    STATIC,
    VECTORS_SCORES,
    WEIGHTED,
    WORDS_SCORES,
)
from evalkit.picking.programs._winner import Model, NotPlainError, Winner
from evalkit.reporting.write import SEARCH, WORDS
from evalkit.search.ranking import Fusion

STANDARD = (
    "import json", "import shutil", "import sys", "from collections import defaultdict",
    "from functools import cache", "from hashlib import sha256",
)  # fmt: skip
OF_VECTORS = ("query_prompt", "document_prompt", "sentence_prompt", "max_length", "dim", "normalize", "similarity")


@dataclass(frozen=True)
class Part:
    """What a model adds to a program: its imports, the packages to install, functions and constants, a line each in
    `build` and in the start of `Index`, a method of `Index` that scores, and the call of it.
    """

    imports: tuple[str, ...]
    packages: tuple[str, ...]
    code: str
    constants: dict[str, str]
    build: str = ""
    load: str = ""
    method: str = ""
    scores: str = ""


def plain_program(winner: Winner) -> str:
    """Return the program. Raises NotPlainError if the choice has something that is evalkit's own."""
    chunker = Chunking.labelled(winner.choice.chunking).chunker
    if chunker != SENTENCE:
        raise NotPlainError(f"the chunker {chunker} is run by it")
    models = [_first_stage(model) for model in winner.models]
    if len({part.scores for part in models}) < len(models):
        raise NotPlainError(f"{winner.choice.model} fuses two models of vectors")
    behind = [] if winner.reranker is None else [cross_encoder(winner.reranker)]
    methods = [part.method for part in models]
    scores = models[0].scores
    if winner.fusion is not None:
        methods.append(_fused(winner.fusion, [part.scores for part in models]))
        scores = "self.fused(question)"
    search = RANK_RERANKED if behind else RANK
    index = INDEX.substitute(
        build="\n".join(part.build for part in models),
        load="\n".join(part.load for part in models),
        methods="\n".join(methods),
        search=search.substitute(scores=scores),
    )
    return assemble(winner, SEARCH, [*models, *behind], [OPEN_INDEX, index], ("import numpy as np",), ("numpy",))


def assemble(
    winner: Winner,
    file: str,
    used: Sequence[Part],
    code: Sequence[str],
    imports: Sequence[str],
    packages: Sequence[str],
) -> str:
    """Return a program of its parts: header, reading and cutting, what models add, `code`, and a command line."""
    chunking = Chunking.labelled(winner.choice.chunking)
    cut = CUT_WHOLE
    if chunking.size is not None:
        by = CUT if chunking.chunker == SENTENCE else CUT_EVALKIT
        cut = by.substitute(size=chunking.size, overlap=chunking.overlap, chunker=repr(chunking.chunker))
    third = {*imports, *(line for part in used for line in part.imports)}
    own = {line for line in third if line.startswith("from words")}
    handed_on = FIRST_K if winner.tokens is None else FIRST_TOKENS
    body = [READ.substitute(cut=cut), *(part.code for part in used if part.code), handed_on, *code, MAIN]
    standard = {line for line in STANDARD if line.rpartition(" ")[2] in "".join(body)}
    standard |= {line for line in third if line.startswith("from importlib")} | {"from pathlib import Path"}
    blocks = ["\n".join(sorted(lines, key=_order)) for lines in (standard, third - own - standard, own) if lines]
    packages = [*packages, *(name for part in used for name in part.packages)]
    if chunking.size is not None or winner.tokens is not None:
        packages.append("llama-index-core")
    constants = dict(winner.constants)
    if OPEN_INDEX in code:
        constants["INDEX"] = f'HERE / "index_{file.removesuffix(".py")}"  # made anew when a document changes'
    for part in used:
        constants |= part.constants
    header = HEADER.substitute(
        choice=named(winner.choice),
        file=file,
        packages=" ".join(dict.fromkeys(packages)),
        imports="\n\n".join(blocks) + "\n",
        constants="\n".join(f"{name} = {value}" for name, value in constants.items()),
    )
    return "\n\n".join([header, *body])


def _order(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line


def _first_stage(model: Model) -> Part:
    known = {"sbert": _sentence_transformer, "static": _static, "bm25": _bm25}
    if model.spec.family not in known:
        raise NotPlainError(f"{model.spec} is run by evalkit's own code")
    return known[model.spec.family](model)


def _sentence_transformer(model: Model) -> Part:
    return _vectors(model, sentence_transformer(model, SENTENCE_TRANSFORMER))


def sentence_transformer(model: Model, template: Template) -> Part:
    """Return a model of sentence-transformers as a part, without its place in an index."""
    options = model.only(*OF_VECTORS, "revision", "dtype")
    unit = ", normalize_embeddings=True" if _scaled(model) else ""
    prompts = {
        f"{role}_prompt": (f", prompt={options[f'{role}_prompt']!r}" if f"{role}_prompt" in options else "") + unit
        for role in ("query", "document")
    }
    loaded = f"SentenceTransformer({model.arguments(truncate_dim=options.get('dim'))})"
    lines = [f"return {loaded}"]
    if "max_length" in options:
        lines = [f"model = {loaded}", f"model.max_seq_length = {options['max_length']}", "return model"]
    return Part(
        ("from sentence_transformers import SentenceTransformer", *model.imports),
        ("sentence-transformers", *model.packages),
        template.substitute(load="\n".join(f"    {line}" for line in lines), **prompts),
        {"MODEL": model.weights},
    )


def _static(model: Model) -> Part:
    options = model.only(*OF_VECTORS)
    if "dim" in options and _similarity(model) != "cosine":
        raise NotPlainError(f"{model.spec} compares shortened vectors by {_similarity(model)}")
    given = [f"{name}={options[name]!r}" for name in ("normalize", "max_length") if name in options]
    query, document = (options.get(f"{role}_prompt") or "" for role in ("query", "document"))
    code = STATIC.substitute(
        arguments=", ".join(["MODEL", *given]),
        documents=f"[{document!r} + text for text in texts]" if document else "texts",
        query=f"{query!r} + question" if query else "question",
        leading=f"[:, :{options['dim']}]" if "dim" in options else "",
    )
    part = Part(
        ("from model2vec import StaticModel", *model.imports),
        ("model2vec", *model.packages),
        code,
        {"MODEL": model.weights},
    )
    return _vectors(model, part)


def _vectors(model: Model, part: Part) -> Part:
    """Return the part of a model of vectors with their place in an index."""
    similarity = _similarity(model)
    method = VECTORS_SCORES.substitute(similarity=similarity, scores=SIMILARITIES[similarity])
    return Part(
        part.imports, part.packages, part.code, part.constants,
        BUILD_VECTORS, LOAD_VECTORS, method, "self.by_vectors(question)",
    )  # fmt: skip


def _similarity(model: Model) -> str:
    return str(model.options.get("similarity") or model.setting("similarity") or "cosine")


def _scaled(model: Model) -> bool:
    """Tell whether vectors are scaled to length 1 after they are cut; raises NotPlainError if they must not be."""
    scaled = model.options.get("normalize")
    if scaled is False and _similarity(model) != "cosine":
        raise NotPlainError(f"{model.spec} leaves out a step of the checkpoint")
    return bool(scaled or ("dim" in model.options and model.setting("normalize")))


def _bm25(model: Model) -> Part:
    model.only("k1", "b", "stop_words", "stemmer")
    options = model.spec.options
    assert isinstance(options, Bm25Options)
    language = options.stop_words or "english"
    imports, name = ["import bm25s", f"from {WORDS.removesuffix('.py')} import words"], "frozenset()"
    if language != "none":
        listed = f"STOPWORDS_{'EN' if language == 'english' else language.upper()}"
        imports.append(f"from bm25s.stopwords import {listed}")
        name = f"frozenset({listed})"
    kept = "[word for word in words(text.lower()) if word not in STOP_WORDS]"
    if options.stemmer is not None:
        imports.append("import Stemmer")
    code = BM25.substitute(
        stop_words=name,
        stemmer="" if options.stemmer is None else f'\nSTEMMER = Stemmer.Stemmer("{options.stemmer}")',
        terms=kept if options.stemmer is None else f"STEMMER.stemWords({kept})",
    )
    return Part(
        tuple(imports), ("bm25s", "regex", *(["PyStemmer"] if options.stemmer else [])), code, {},
        BUILD_WORDS.substitute(k1=repr(options.k1), b=repr(options.b)), LOAD_WORDS,
        WORDS_SCORES, "self.by_words(question)",
    )  # fmt: skip


def cross_encoder(model: Model) -> Part:
    """Return a reranker as a part. Raises NotPlainError if it is no cross-encoder."""
    if model.spec.family != "ce":
        raise NotPlainError(f"{model.spec} reranks by evalkit's own code")
    options = model.only("max_length", "revision", "dtype")
    raw = model.setting("activation") == "Identity"
    code = RERANKER.substitute(
        arguments=model.arguments(max_length=options.get("max_length")).replace("MODEL", "RERANKER", 1),
        activation=", activation_fn=Identity()" if raw else "",
    )
    imports = ("from sentence_transformers import CrossEncoder", *(["from torch.nn import Identity"] if raw else []))
    return Part(
        (*imports, *model.imports), ("sentence-transformers", *model.packages), code, {"RERANKER": model.weights}
    )


def _fused(fusion: Fusion, scores: Sequence[str]) -> str:
    lists = ", ".join(scores)
    if fusion.method == "rrf":
        return RRF.substitute(k=fusion.k, lists=lists)
    return WEIGHTED.substitute(weight=repr(fusion.weight), lists=lists)
