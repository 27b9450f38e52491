"""On a CUDA device: the scores of a CPU, and memory that is given back. Skipped elsewhere."""

import pytest

import evalkit

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]
MODEL = "all-MiniLM-L6-v2"
KEYS = {
    "models": [f"sbert:{MODEL}", f"bert:{MODEL}?pooling=cls", f"bert:{MODEL}?pooling=max"],
    "tasks": "rag-mini,sts-mini",
    "rerankers": [f"maxsim:{MODEL}"],
    "no_store": True,
}
BFLOAT16 = 0.02
"""What a mean over these tasks may move by in bfloat16, which keeps eight bits of a number."""


def scores(**keys):
    results = evalkit.run(**KEYS, **keys)
    assert not results.failures
    columns = ["task", "model", "reranker", "metric"]
    return results.scores.astype(dict.fromkeys(columns, str)).set_index(columns)["score"]


@pytest.fixture(scope="module")
def on_cpu():
    return scores(device="cpu")


def test_float32_gives_the_scores_of_a_cpu(on_cpu):
    found = scores(device="cuda")
    assert found.to_numpy() == pytest.approx(on_cpu[found.index].to_numpy(), abs=1e-4)


def test_bfloat16_stays_within_its_tolerance(on_cpu):
    found = scores(device="cuda", dtype="bfloat16")
    assert found.to_numpy() == pytest.approx(on_cpu[found.index].to_numpy(), abs=BFLOAT16)


def test_models_of_a_grid_give_their_memory_back():
    evalkit.run(**KEYS, device="cuda")
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    evalkit.run(**{**KEYS, "models": [f"sbert:{MODEL}"]}, device="cuda")
    one = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    evalkit.run(**KEYS, device="cuda")
    assert torch.cuda.memory_allocated() <= before + 1e6
    # Three models one after the other need no more than one, but for what is under way.
    assert torch.cuda.max_memory_allocated() <= 1.5 * one


def test_a_batch_that_does_not_fit_is_halved():
    """A cap on the memory, below what the batches of this run take by themselves."""
    expected = scores(device="cuda")
    torch.cuda.empty_cache()
    used = torch.cuda.max_memory_allocated()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, 0.6 * used / total))
    try:
        found = scores(device="cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert found.to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-4)
