"""Figures that others have published, computed again through the public entry point."""

from pathlib import Path

import pytest

import evalkit

MODEL = "all-MiniLM-L6-v2"
SBERT, MEAN, CLS, MAX = f"sbert:{MODEL}", f"bert:{MODEL}", f"bert:{MODEL}?pooling=cls", f"bert:{MODEL}?pooling=max"


@pytest.mark.slow
def test_all_minilm_l6_v2_on_the_english_sts_benchmark(data_dir: Path) -> None:
    """Spearman of the cosine on the test split: 0.8203 (MTEB's STSBenchmark).

    `with_mteb/test_mteb_local.py` has mteb compute it too, in every run of the suite.
    """
    results = evalkit.run(models=[SBERT], tasks=[str(data_dir / "stsb-en")])
    assert not results.failures
    stsb = results.leaderboard().set_index("model")
    assert stsb.loc[SBERT, "spearman(cosine)"] == pytest.approx(0.8203, abs=0.0002)


@pytest.mark.slow
def test_mean_pooling_is_what_the_checkpoint_does_and_cls_and_max_are_worse(data_dir: Path) -> None:
    results = evalkit.run(models=[SBERT, MEAN, CLS, MAX], tasks=[str(data_dir / "stsb-en")], max_queries=300)
    assert not results.failures
    stsb = results.leaderboard().set_index("model")
    assert set(stsb.index) == {SBERT, MEAN, CLS, MAX}
    assert stsb.loc[MEAN, "spearman(cosine)"] == pytest.approx(stsb.loc[SBERT, "spearman(cosine)"], abs=1e-6)
    assert stsb.loc[[CLS, MAX], "spearman(cosine)"].between(0.6, 0.8).all()
