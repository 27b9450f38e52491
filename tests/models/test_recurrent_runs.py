"""`cove:` and `elmo:` through the command line, on a bundled task."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from recurrent_data import (
    DIM,
    context_vectors,
    elmo_arrays,
    elmo_options,
    encoder_arrays,
    save_cove,
    save_elmo,
)
from scipy.stats import spearmanr

PAIRS = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "tasks" / "sts-mini" / "test.jsonl").read_text("utf-8").splitlines()
]


def scores_of(folder: Path) -> dict[str, float]:
    with (folder / "scores.csv").open(encoding="utf-8") as file:
        return {
            row["model"]: float(row["score"]) for row in csv.DictReader(file) if row["metric"] == "spearman(cosine)"
        }


def test_a_run_on_sts_mini(evalkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    arrays, sizes = encoder_arrays(), elmo_options()
    words = sorted(
        {word for pair in PAIRS for side in ("sentence1", "sentence2") for word in re.findall(r"\w+", pair[side])}
    )
    glove = dict(zip(words, np.random.default_rng(0).standard_normal((len(words), DIM)), strict=True))
    save_cove(tmp_path / "cove", arrays, glove=glove)
    save_elmo(tmp_path / "elmo", sizes, elmo_arrays(sizes))
    monkeypatch.chdir(tmp_path)
    models = ["cove:cove", "cove:cove?glove=false&pooling=max", "elmo:elmo", "elmo:elmo?layer=0"]
    given = ["--tasks", "sts-mini", "--device", "cpu", "--no-store", "--allow-pickle"]
    status, _, errors = evalkit("run", "--models", ",".join(models), *given, "--out", tmp_path / "out")
    assert (status, errors) == (0, "")
    scores = scores_of(tmp_path / "out")
    assert set(scores) == set(models)
    assert len(set(scores.values())) == len(models)

    def cosine(pair: dict[str, str]) -> float:
        sides = []
        for side in ("sentence1", "sentence2"):
            read = np.array([glove[word] for word in re.findall(r"\w+", pair[side])])
            sides.append(np.hstack([read, context_vectors(read, arrays)]).mean(axis=0))
        return sides[0] @ sides[1] / np.linalg.norm(sides[0]) / np.linalg.norm(sides[1])

    expected = spearmanr([cosine(pair) for pair in PAIRS], [pair["score"] for pair in PAIRS]).statistic
    assert scores["cove:cove"] == pytest.approx(expected, abs=1e-6)


def test_a_missing_folder_fails_only_its_own_cells(evalkit, tmp_path: Path):
    models = "bow,elmo:nowhere"
    status, _, _ = evalkit("run", "--models", models, "--tasks", "sts-mini", "--device", "cpu", "--out", tmp_path)
    assert status == 1
    reasons = [failure["reason"] for failure in json.loads((tmp_path / "run.json").read_text("utf-8"))["failures"]]
    assert reasons == ["no folder 'nowhere'. It must hold the two released files, *options.json and *.hdf5."]
    assert set(scores_of(tmp_path)) == {"bow"}
