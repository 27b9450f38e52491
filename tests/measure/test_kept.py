"""What was measured is kept for the same work, and for no other."""

from evalkit.compute import Compute
from evalkit.models.registry import build, parse_spec
from evalkit.runner.context import RunContext
from evalkit.runner.measure._child import kept_or_measured
from evalkit.runner.measure._rounds import Limits
from evalkit.runner.measure._timing import FirstWork, SecondWork
from evalkit.tasks import load_task

LIMITS = Limits(queries=2, seconds=1.0, seed=0)


def kept(folder, work, spec="tfidf", limits=LIMITS) -> str:
    """What comes of it, in full: times are never the same twice."""
    return repr(kept_or_measured(folder, work, build(parse_spec(spec), Compute()), spec, RunContext(), limits, None))


def first(queries=4, candidates=3):
    return FirstWork((load_task("rag-mini", max_queries=queries),), candidates)


def test_it_is_used_again_and_for_nothing_else(tmp_path):
    once = kept(tmp_path, first())
    assert kept(tmp_path, first()) == once
    assert kept(None, first()) != once
    others = [
        kept(tmp_path, first(), spec="tfidf?ngrams=2"),
        kept(tmp_path, first(queries=5)),
        kept(tmp_path, first(candidates=2)),
        kept(tmp_path, first(), limits=Limits(3, 1.0, 0)),
    ]
    assert len({once, *others}) == 5
    assert len(list(tmp_path.iterdir())) == 5


def test_a_reranker_s_too(tmp_path):
    task = load_task("rag-mini", max_queries=4)

    def second(score):
        found = ((0, score), (5, 0.5))
        return SecondWork((task,), ((0, (0, 1), (found, found)),))

    once = kept(tmp_path, second(1.0))
    assert kept(tmp_path, second(1.0)) == once
    assert kept(tmp_path, second(2.0)) != once
    assert len(list(tmp_path.iterdir())) == 2
