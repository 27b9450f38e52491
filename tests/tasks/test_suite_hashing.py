"""The content hash changes with what is scored, and with nothing else."""

from dataclasses import replace
from hashlib import sha256

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evalkit.tasks._hashing import hash_retrieval, hash_sts
from evalkit.types import Document, Query

CORPUS = (Document("d1", "one"), Document("d2", "two"))
QUERIES = (Query("q1", "first"), Query("q2", "second"))
QRELS = {"q1": {"d1": 1.0, "d2": 0.0}, "q2": {"d2": 2.0}}
PAIRS = st.lists(st.tuples(st.text(), st.text(), st.floats(allow_nan=False, allow_infinity=False)), max_size=4)


def hashed(corpus=CORPUS, queries=QUERIES, qrels=QRELS):
    return hash_retrieval(corpus, queries, qrels)


def hashed_pairs(pairs):
    return hash_sts([p[0] for p in pairs], [p[1] for p in pairs], np.array([p[2] for p in pairs], dtype=float))


def test_hash_is_that_of_json_lines():
    records = (
        '["document", "d1", "one"]\n["document", "d2", "two"]\n'
        '["query", "q1", "first"]\n["query", "q2", "second"]\n'
        '["grade", "q1", "d1", 1.0]\n["grade", "q1", "d2", 0.0]\n["grade", "q2", "d2", 2.0]\n'
    )
    assert hashed() == sha256(records.encode()).hexdigest()
    assert hashed_pairs([("a", "é", 0.5)]) == sha256(b'["pair", "a", "\\u00e9", 0.5]\n').hexdigest()


def test_order_and_types_of_the_same_numbers_do_not_matter():
    reversed_qrels = {"q2": {"d2": 2}, "q1": {"d2": 0, "d1": 1}}
    assert hashed(CORPUS[::-1], QUERIES[::-1], reversed_qrels) == hashed()
    assert hashed(queries=(Query("q1", "first", {"language": "en"}), QUERIES[1])) == hashed()


def test_every_part_counts():
    variants = [
        hashed(),
        hashed(corpus=CORPUS[:1]),
        hashed(corpus=(replace(CORPUS[0], text="One"), CORPUS[1])),
        hashed(corpus=(replace(CORPUS[0], title="One"), CORPUS[1])),
        hashed(corpus=(replace(CORPUS[0], id="d3"), CORPUS[1])),
        hashed(queries=QUERIES[:1]),
        hashed(queries=(replace(QUERIES[0], text="First"), QUERIES[1])),
        hashed(qrels={**QRELS, "q2": {"d2": 1.0}}),
        hashed(qrels={**QRELS, "q2": {"d1": 2.0}}),
        hashed(qrels={"q1": QRELS["q1"]}),
        hashed(CORPUS + tuple(Document(q.id, q.text) for q in QUERIES), ()),
    ]
    assert len(set(variants)) == len(variants)


@given(PAIRS, PAIRS)
def test_sts_hashes_are_equal_exactly_when_the_pairs_are(left, right):
    # repr tells -0.0 from 0.0, which the hash may do as well.
    assert (hashed_pairs(left) == hashed_pairs(right)) == (repr(left) == repr(right))


@given(st.text(), st.text(), st.integers(min_value=0))
def test_text_cannot_move_between_fields(first, second, cut):
    joined = first + second
    cut %= len(joined) + 1
    moved = (joined[:cut], joined[cut:])
    assert (hashed_pairs([(*moved, 1.0)]) == hashed_pairs([(first, second, 1.0)])) == (moved == (first, second))
    documents = [hash_retrieval([Document(*ends)], [], {}) for ends in (moved, (first, second))]
    assert (documents[0] == documents[1]) == (moved == (first, second))


@given(
    st.dictionaries(st.text(), st.dictionaries(st.text(), st.floats(0, 3), max_size=3), max_size=3),
    st.randoms(),
)
def test_order_of_qrels_does_not_matter(qrels, random):
    shuffled = [(query, list(grades.items())) for query, grades in qrels.items()]
    random.shuffle(shuffled)
    for _, grades in shuffled:
        random.shuffle(grades)
    assert hashed(qrels={query: dict(grades) for query, grades in shuffled}) == hashed(qrels=qrels)
