"""Every format of word vectors against gensim's own readers, and what is said of files that break it."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from gensim.models import FastText, KeyedVectors
from gensim.models.fasttext import load_facebook_vectors, save_facebook_model
from word_data import LINES, TEXT, WORDS, fasttext, glove, word2vec, written

from evalkit.contracts import Coverage
from evalkit.errors import ModelNotFoundError


@pytest.fixture(scope="module")
def glove_file(data_dir: Path) -> Path:
    return data_dir / "glove-6b-50d-slice" / "glove.6B.50d.slice.txt.gz"


def keyed() -> KeyedVectors:
    vectors = KeyedVectors(3)
    vectors.add_vectors(list(WORDS), np.array(list(WORDS.values()), dtype=np.float32))
    return vectors


def test_all_formats_of_plain_vectors_give_the_same(tmp_path: Path):
    vectors = keyed()
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
        (word2vec, b"2 2\ncat 1 2\ndog 3 4 5\n",
         "line 3 is not a word and 2 numbers: it begins with b'dog 3 4 5\\n'"),
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
    with pytest.raises(ModelNotFoundError, match=r"cannot read .*Compressed file ended before"):
        glove(path)


def test_a_facebook_file_cut_off_anywhere_is_said(facebook: Path, tmp_path: Path):
    whole = facebook.read_bytes()
    input_vectors = 8 + 56 + 28 + sum(len(w.encode()) + 10 for w in ["cat", "dog", "bird", "straße", "sings", "a"])
    input_vectors += 17 + 4 * 6 * (6 + 50)
    for end in range(1, input_vectors, 7):
        with pytest.raises(ModelNotFoundError, match=r"cannot read .*Allowed: fastText"):
            fasttext(written(tmp_path / "m.bin", whole[:end]))
    fasttext(written(tmp_path / "m.bin", whole[:input_vectors]))
    with pytest.raises(ModelNotFoundError, match="it ends after 0 of its 6 words"):
        fasttext(written(tmp_path / "m.bin", whole[: 8 + 56 + 28 + 1]))


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
