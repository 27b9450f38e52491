"""Averages of word vectors by hand in numpy; every file format against gensim's own readers; training."""

import gzip
import json
import math
import os
import re
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from gensim.models import FastText, KeyedVectors, Word2Vec
from gensim.models.fasttext import load_facebook_vectors, save_facebook_model

from evalkit.compute import Compute
from evalkit.contracts import Coverage, Fittable
from evalkit.errors import ConfigError, EvalkitError, ModelNotFoundError, SpecError
from evalkit.models import words as module
from evalkit.models.words import load_fasttext, load_glove, load_word2vec
from evalkit.registry.options import TrainedWordOptions, WordOptions

WORDS = {"cat": [0.5, -1, 2], "Dog": [4, 0, -2.5], "dog": [1, 1, 1], "straße": [0.25, 8, -3]}
LINES = [" ".join([word, *map(str, vector)]) for word, vector in WORDS.items()]
TEXT = ["cat DOG", "Dog straße unknown", "dog, cat?", "nothing"]


def glove(path: Path, **options: object):
    return load_glove(str(path), WordOptions(**options), Compute())


def word2vec(path: Path | str, **options: object):
    return load_word2vec(str(path), TrainedWordOptions(**options), Compute())


def fasttext(path: Path | str, **options: object):
    return load_fasttext(str(path), TrainedWordOptions(**options), Compute())


def keyed(words: Mapping[str, list[float]]) -> KeyedVectors:
    vectors = KeyedVectors(3)
    vectors.add_vectors(list(words), np.array(list(words.values()), dtype=np.float32))
    return vectors


def written(path: Path, content: str | bytes) -> Path:
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


# Averages, on real data


@pytest.fixture(scope="module")
def glove_file(data_dir: Path) -> Path:
    return data_dir / "glove-6b-50d-slice" / "glove.6B.50d.slice.txt.gz"


@pytest.fixture(scope="module")
def table(glove_file: Path) -> dict[str, np.ndarray]:
    with gzip.open(glove_file, "rt", encoding="utf-8") as lines:
        fields = (line.rstrip("\n").split(" ") for line in lines)
        return {word: np.array(numbers, dtype=np.float64) for word, *numbers in fields}


@pytest.fixture(scope="module")
def sentences(data_dir: Path) -> list[str]:
    rows = map(json.loads, (data_dir / "stsb-en" / "dev.jsonl").read_text().splitlines()[:500])
    return [row[side] for row in rows for side in ("sentence1", "sentence2")]


def looked_up(text: str, table: Mapping[str, np.ndarray], max_length: int | None = None) -> list[str]:
    tokens = re.findall(r"\w+", text)[:max_length]
    return [token if token in table else token.lower() for token in tokens]


def weighted(texts: list[str], table: Mapping[str, np.ndarray], weight: Callable[[str], float], by_count: bool):
    rows = []
    for text in texts:
        known = [word for word in looked_up(text, table) if word in table]
        total = sum((weight(word) * table[word] for word in known), start=np.zeros(50))
        over = len(known) if by_count else sum(map(weight, known))
        rows.append(total / over if known else total)
    return np.array(rows)


def test_mean_by_hand(glove_file: Path, table, sentences: list[str]):
    expected = weighted(sentences, table, lambda word: 1.0, by_count=True)
    vectors = glove(glove_file).encode(sentences, "sentence")
    assert vectors.shape == (1000, 50)
    np.testing.assert_allclose(vectors, expected, rtol=1e-6, atol=1e-7)


def test_idf_by_hand(glove_file: Path, table, sentences: list[str]):
    corpus, asked = sentences[:600], sentences
    df = Counter(word for text in corpus for word in set(looked_up(text, table)))
    assert any(df[word] == 0 for text in asked for word in looked_up(text, table) if word in table)
    expected = weighted(asked, table, lambda word: math.log(601 / (1 + df[word])) + 1, by_count=False)
    vectors = glove(glove_file, weighting="idf").fit(corpus).encode(asked, "sentence")
    np.testing.assert_allclose(vectors, expected, rtol=1e-5, atol=1e-6)


def test_sif_by_hand(glove_file: Path, table, sentences: list[str]):
    corpus, asked = sentences[:600], [*sentences, "zzzz"]
    counts = Counter(word for text in corpus for word in looked_up(text, table))

    def weight(word: str) -> float:
        return 1e-3 / (1e-3 + counts[word] / counts.total())

    averages = weighted(corpus, table, weight, by_count=True)
    component = np.linalg.svd(averages, full_matrices=False)[2][0]
    expected = weighted(asked, table, weight, by_count=True)
    expected -= np.outer(expected @ component, component)
    vectors = glove(glove_file, weighting="sif").fit(corpus).encode(asked, "sentence")
    np.testing.assert_allclose(vectors, expected, rtol=1e-4, atol=1e-6)
    assert not vectors[-1].any()
    assert np.linalg.norm(averages @ component) > 0.5 * np.linalg.norm(averages)


@pytest.mark.parametrize("weighting", ["mean", "idf", "sif"])
def test_blocks_do_not_show(glove_file: Path, sentences: list[str], weighting: str, monkeypatch):
    def encode(finished: Callable[[int], None]) -> np.ndarray:
        model = glove(glove_file, weighting=weighting)
        fitted = model.fit(sentences) if isinstance(model, Fittable) else model
        return fitted.encode(sentences, "sentence", finished)

    whole = encode(lambda finished: None)
    monkeypatch.setattr(module, "TEXTS_AT_ONCE", 300)
    counts: list[int] = []
    np.testing.assert_allclose(encode(counts.append), whole, rtol=1e-5, atol=1e-6)
    assert counts == [300, 300, 300, 100]


def test_coverage_by_hand(glove_file: Path, table, sentences: list[str]):
    tokens = [word for text in sentences for word in looked_up(text, table)]
    unknown = sum(word not in table for word in tokens)
    assert 0 < unknown < len(tokens)
    assert glove(glove_file).coverage(sentences) == Coverage(len(tokens), unknown)
    kept = [word for text in sentences for word in looked_up(text, table, 2)]
    assert glove(glove_file, max_length=2).coverage(sentences).tokens == len(kept)


def test_max_length_counts_tokens_known_or_not(tmp_path: Path):
    path = written(tmp_path / "g.txt", "\n".join(LINES))
    vectors = glove(path, max_length=2).encode(["zzz cat dog", "cat"], "query")
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_a_word_is_looked_up_as_it_is_then_lower_cased(tmp_path: Path):
    path = written(tmp_path / "g.txt", "\n".join(LINES))
    vectors = glove(path).encode(["Dog", "dog", "DOG", "Straße", "Cats"], "query")
    expected = [WORDS["Dog"], WORDS["dog"], WORDS["dog"], WORDS["straße"], [0, 0, 0]]
    np.testing.assert_array_equal(vectors, np.array(expected, dtype=np.float32))


def test_only_what_needs_the_corpus_is_fitted(tmp_path: Path):
    path = written(tmp_path / "g.txt", "\n".join(LINES))
    assert not isinstance(glove(path), Fittable)
    assert isinstance(glove(path, weighting="idf"), Fittable)
    assert isinstance(word2vec("train"), Fittable)


def test_identity_follows_the_bytes_not_the_name(tmp_path: Path):
    first = glove(written(tmp_path / "a.txt", "\n".join(LINES)), weighting="sif")
    second = glove(written(tmp_path / "b.txt", "\n".join(LINES)), weighting="sif")
    other = glove(written(tmp_path / "c.txt", "\n".join(LINES[:2])), weighting="sif")
    assert first.identity == second.identity
    assert first.identity["weights"] == sha256("\n".join(LINES).encode()).hexdigest()
    assert first.identity != other.identity
    assert first.identity["family"] == "glove"
    corpus = sha256(b"".join(sha256(text.encode()).digest() for text in TEXT)).hexdigest()
    assert first.fit(TEXT).identity == {**first.identity, "corpus": corpus}


# Files


def test_all_formats_of_plain_vectors_give_the_same(tmp_path: Path):
    vectors = keyed(WORDS)
    models = {}
    for suffix in ("", ".gz"):
        models[f"glove{suffix}"] = glove(written(tmp_path / f"g.txt{suffix}", "\n".join(LINES) + "\n"))
        vectors.save_word2vec_format(tmp_path / f"w.txt{suffix}", binary=False)
        vectors.save_word2vec_format(tmp_path / f"w.bin{suffix}", binary=True)
        models[f"text{suffix}"] = word2vec(tmp_path / f"w.txt{suffix}")
        models[f"binary{suffix}"] = word2vec(tmp_path / f"w.bin{suffix}")
        spaced = "\n".join(["4 3", *(f"{line} " for line in LINES)]) + "\n"
        models[f"vec{suffix}"] = fasttext(written(tmp_path / f"f.vec{suffix}", spaced))
    os.rename(tmp_path / "w.bin", tmp_path / "misnamed.txt")
    models["misnamed"] = word2vec(tmp_path / "misnamed.txt")
    os.rename(tmp_path / "w.txt.gz", tmp_path / "misnamed.bin")
    models["misnamed gz"] = word2vec(tmp_path / "misnamed.bin")
    expected = [
        np.mean([WORDS["cat"], WORDS["dog"]], axis=0), np.mean([WORDS["Dog"], WORDS["straße"]], axis=0),
        np.mean([WORDS["cat"], WORDS["dog"]], axis=0), np.zeros(3),
    ]  # fmt: skip
    for name, model in models.items():
        np.testing.assert_allclose(model.encode(TEXT, "query"), expected, rtol=1e-6, err_msg=name)


def test_binary_with_a_newline_after_each_vector_as_the_c_tool_writes(tmp_path: Path):
    rows = b"".join(w.encode() + b" " + struct.pack("<3f", *v) + b"\n" for w, v in WORDS.items())
    model = word2vec(written(tmp_path / "w.bin", b"4 3\n" + rows))
    np.testing.assert_array_equal(model.encode(["straße"], "query"), [np.float32(WORDS["straße"])])


def test_binary_whose_first_number_begins_with_a_newline_byte(tmp_path: Path):
    vector = struct.pack("<i2f", 0x3F00000A, 1.0, 2.0)
    model = word2vec(written(tmp_path / "w.bin", b"1 3\ncat " + vector))
    np.testing.assert_array_equal(model.encode(["cat"], "query"), [np.frombuffer(vector, dtype="<f4")])


def test_agrees_with_gensims_reader_on_real_glove(glove_file: Path, tmp_path: Path):
    peer = KeyedVectors.load_word2vec_format(glove_file, no_header=True)
    ours = glove(glove_file)._vectors
    assert list(peer.key_to_index) == sorted(ours.rows, key=ours.rows.__getitem__)
    np.testing.assert_array_equal(ours.of(peer.index_to_key), peer.vectors)
    peer.save_word2vec_format(tmp_path / "w.bin", binary=True)
    np.testing.assert_array_equal(word2vec(tmp_path / "w.bin")._vectors.of(peer.index_to_key), peer.vectors)


def test_words_with_spaces_bad_unicode_blank_lines_and_repeats_are_read(tmp_path: Path):
    content = b"cat 1 2\n. . . 3 4\n\xff\xfe 5 6\r\n\ncat 7 8\ndog 0 1e-1"
    model = glove(written(tmp_path / "g.txt", content))
    np.testing.assert_array_equal(model.encode(["cat", "dog"], "query"), np.float32([[1, 2], [0, 0.1]]))


@pytest.fixture(scope="module")
def facebook(tmp_path_factory) -> Path:
    sentences = [["cat", "dog", "cat"], ["dog", "bird", "straße"], ["sings", "a", "bird"]] * 3
    model = FastText(sentences, vector_size=6, min_count=1, bucket=50, seed=1, workers=1)
    path = tmp_path_factory.mktemp("facebook") / "model.bin"
    save_facebook_model(model, str(path))
    return path


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_facebook_format_agrees_with_gensim(facebook: Path, tmp_path: Path, suffix: str):
    peer = load_facebook_vectors(str(facebook))
    model = fasttext(written(tmp_path / f"model.bin{suffix}", facebook.read_bytes()))
    known, unknown = ["cat", "straße", "bird", "a"], ["catdog", "ärger"]
    texts = [*known, *unknown, "CATDOG"]
    expected = [peer[word] for word in [*known, *unknown, "catdog"]]
    np.testing.assert_allclose(model.encode(texts, "query"), expected, rtol=1e-6)
    assert model.coverage(["cat catdog", "zzz"]) == Coverage(3, 0)


def test_subwords_need_an_n_gram(tmp_path: Path):
    trained = FastText([["house", "garden"]] * 3, vector_size=4, min_count=1, bucket=20, min_n=6, max_n=6)
    save_facebook_model(trained, str(tmp_path / "m.bin"))
    model = fasttext(tmp_path / "m.bin")
    assert model.coverage(["house ab tomato"]) == Coverage(3, 1)
    assert not model.encode(["ab"], "query").any()


# What is wrong with a file

GLOVE_ALLOWED = "Allowed: GloVe text (a word and its numbers a line, no header line); .gz too."
WORD2VEC_ALLOWED = (
    "Allowed: word2vec text or binary (a first line 'COUNT DIM', then words and their numbers); .gz too."
)
FASTTEXT_ALLOWED = "Allowed: fastText .vec (as word2vec text) or .bin (not quantised, no classifier); .gz too."
CAT, DOG = (w + b" " + struct.pack("<2f", 1, 2) for w in (b"cat", b"dog"))
AS_BINARY = "read as binary, since its first word does not have 2 numbers in text, it"


@pytest.mark.parametrize(
    ("load", "content", "reason"),
    [
        (glove, b"", "it is empty"),
        (glove, b"\n", "it holds no vectors"),
        (glove, b"cat 1 2\ndog 1\n", "line 2 is not a word and 2 numbers: it begins with b'dog 1\\n'"),
        (glove, b"cat 1 2\ndog 1 2 3", "line 2 is not a word and 2 numbers: it begins with b'dog 1 2 3'"),
        (glove, b"cat 1 2\ndog 1 x\n", "line 2 is not a word and 2 numbers: it begins with b'dog 1 x\\n'"),
        (glove, b"hello\n", "line 1 is not a word and 1 numbers: it begins with b'hello\\n'"),
        (glove, b"cat 1 nan\n", "1 of its vectors are not finite, the first is number 1"),
        (glove, b"2 2\ncat 1 2\ndog 3 4\n", "the first line b'2 2' is a header, so read it as word2vec:PATH"),
        (word2vec, b"", "it is empty"),
        (word2vec, b"cat 1 2\ndog 3 4\n", "the first line is not 'COUNT DIM' but begins with b'cat 1 2\\n'"),
        (word2vec, b"2 0\n", "the first line is not 'COUNT DIM' but begins with b'2 0\\n'"),
        (word2vec, b"0 2\n", "it holds no vectors"),
        (word2vec, b"3 2\ncat 1 2\ndog 3 4\n", "its first line says 3 words, but there are 2"),
        (word2vec, b"1 2\ncat 1 2\ndog 3 4\n", "its first line says 1 words, but there are 2"),
        (word2vec, b"2 2\ncat 1 2\ndog 3 4 5\n", "line 3 is not a word and 2 numbers: it begins with b'dog 3 4 5\\n'"),
        (word2vec, b"2 2\n" + CAT, AS_BINARY + " is too short for the 2 words of its first line"),
        (word2vec, b"2 2\n" + CAT + DOG[:-2], AS_BINARY + " ends after 1 of the 2 words of its first line"),
        (word2vec, b"1 2\n" + CAT + DOG, AS_BINARY + " goes on after the 1 words of its first line"),
        (fasttext, b"2 2\ncat 1 2\n", "its first line says 2 words, but there are 1"),
        (fasttext, b"no vectors", "the first line is not 'COUNT DIM' but begins with b'no vectors'"),
    ],
)  # fmt: skip
def test_says_what_is_wrong_with_a_file(tmp_path: Path, load, content: bytes, reason: str):
    path = written(tmp_path / "vectors", content)
    with pytest.raises(ModelNotFoundError) as error:
        load(path)
    allowed = {glove: GLOVE_ALLOWED, word2vec: WORD2VEC_ALLOWED, fasttext: FASTTEXT_ALLOWED}[load]
    assert str(error.value) == f"cannot read {str(path)!r}: {reason.replace('PATH', str(path))}. {allowed}"


def test_a_missing_file_is_said(tmp_path: Path):
    with pytest.raises(ModelNotFoundError) as error:
        glove(tmp_path / "none.txt")
    assert str(error.value) == f"no file '{tmp_path}/none.txt' with word vectors. {GLOVE_ALLOWED}"
    with pytest.raises(ModelNotFoundError, match="no file"):
        word2vec(tmp_path)


def test_a_cut_off_gzip_file_is_said(tmp_path: Path, glove_file: Path):
    path = tmp_path / "g.txt.gz"
    path.write_bytes(glove_file.read_bytes()[:10_000])
    with pytest.raises(ModelNotFoundError, match="cannot read .*Compressed file ended before"):
        glove(path)


def test_a_facebook_file_cut_off_anywhere_is_said(facebook: Path, tmp_path: Path):
    whole = facebook.read_bytes()
    input_vectors = 8 + 56 + 28 + sum(len(w.encode()) + 10 for w in ["cat", "dog", "bird", "straße", "sings", "a"])
    input_vectors += 17 + 4 * 6 * (6 + 50)
    for end in range(1, input_vectors, 7):
        with pytest.raises(ModelNotFoundError, match="cannot read .*Allowed: fastText"):
            fasttext(written(tmp_path / "m.bin", whole[:end]))
    fasttext(written(tmp_path / "m.bin", whole[:input_vectors]))


def test_facebook_files_of_other_kinds_are_refused(facebook: Path, tmp_path: Path):
    whole = bytearray(facebook.read_bytes())
    labels = whole.copy()
    labels[8 + 56 + 8 : 8 + 56 + 12] = struct.pack("<i", 2)
    with pytest.raises(ModelNotFoundError, match="it is a classifier or was pruned, which cannot be read"):
        fasttext(written(tmp_path / "labels.bin", bytes(labels)))
    buckets = whole.copy()
    buckets[8 + 8 * 4 : 8 + 9 * 4] = struct.pack("<i", 51)
    with pytest.raises(ModelNotFoundError, match="it is quantised, or its counts contradict each other"):
        fasttext(written(tmp_path / "buckets.bin", bytes(buckets)))


# Training


@pytest.mark.parametrize(("load", "peer"), [(word2vec, Word2Vec), (fasttext, FastText)])
def test_training_is_gensims_on_lower_cased_words(load, peer, sentences: list[str]):
    options = {"size": 12, "window": 3, "epochs": 2, "min_count": 2, "sg": 1, "seed": 7}
    more = {"bucket": module.FASTTEXT_BUCKET} if peer is FastText else {}
    tokens = [re.findall(r"\w+", text.lower()) for text in sentences]
    trained = peer(tokens, vector_size=12, window=3, epochs=2, min_count=2, sg=1, seed=7, workers=1, **more).wv
    fitted = load("train", **options).fit(sentences)
    asked = ["A man", "man"]
    vectors = fitted.encode(asked, "query")
    np.testing.assert_allclose(vectors, [(trained["a"] + trained["man"]) / 2, trained["man"]], rtol=1e-5)
    other = load("train", **options | {"seed": 8}).fit(sentences)
    assert (other.encode(asked, "query") != vectors).any()
    unknown = fitted.coverage(["man zzzzzqqq"])
    assert unknown == Coverage(2, 0 if peer is FastText else 1)


PROGRAM = """
from hashlib import sha256
from evalkit.compute import Compute
from evalkit.registry import build, parse_spec
texts = ["the cat sat on the mat", "a dog and a cat", "birds sing to the dog"] * 40
for spec in ("word2vec:train?epochs=3&size=20", "fasttext:train?epochs=3&size=20&weighting=sif"):
    print(sha256(build(parse_spec(spec), Compute()).fit(texts).encode(texts, "query").tobytes()).hexdigest())
"""


def test_training_does_not_depend_on_the_hash_seed():
    outputs = set()
    for seed in ("0", "1", "12345"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert len(set(outputs.pop().split())) == 2


def test_long_texts_are_trained_on_whole(monkeypatch):
    monkeypatch.setattr(module, "GENSIM_SENTENCE", 5)
    fitted = word2vec("train", size=4, epochs=1).fit(["a b c d e f g h i j k", ""])
    assert fitted.coverage(["a f k"]) == Coverage(3, 0)
    assert [len(piece) for piece in module._pieces([list("abcdefg"), []])] == [5, 2]


# What is wrong with a spec or a corpus


def test_options_of_training_do_not_go_with_a_file(tmp_path: Path):
    path = written(tmp_path / "w.txt", "1 2\ncat 1 2\n")
    with pytest.raises(SpecError) as error:
        word2vec(path, seed=0, sg=1)
    assert str(error.value) == (
        f"word2vec:{path}: seed, sg would be ignored, since the vectors of a file are trained already. "
        "Leave out, or train on the corpus: word2vec:train."
    )
    with pytest.raises(SpecError, match="window would be ignored"):
        fasttext(path, window=5)
    word2vec(path, weighting="mean", dim=1)


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (
            lambda path: word2vec("train").encode(["cat"], "query"),
            "word2vec has not seen a corpus yet: call fit(texts) and use the copy it returns.",
        ),
        (
            lambda path: fasttext("train").fit(["", "!"]),
            "word vectors cannot be trained: no word of the 2 texts is there at least min_count=1 times. "
            "Give a larger corpus, or a smaller min_count.",
        ),
        (
            lambda path: word2vec("train", min_count=3).fit(["cat cat dog"]),
            "word vectors cannot be trained: no word of the 1 texts is there at least min_count=3 times. "
            "Give a larger corpus, or a smaller min_count.",
        ),
        (
            lambda path: glove(path, weighting="sif").fit(["unknown words", ""]),
            "glove with weighting=sif cannot be fitted: none of the corpus's 2 words has a vector. "
            "Choose vectors of the corpus's language, or weighting=mean.",
        ),
        (
            lambda path: glove(path, dim=4).encode(["cat"], "query"),
            "dim=4 is more than the model's 3 dimensions; choose at most that.",
        ),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, fit: Callable[[Path], object], message: str):
    path = written(tmp_path / "g.txt", "\n".join(LINES))
    with pytest.raises(EvalkitError) as error:
        fit(path)
    assert str(error.value) == message
    assert isinstance(error.value, ConfigError | SpecError)
