"""How well a pick keeps its time: budgets beside the wall clock of the whole command.

The passages of LlamaIndex's 10-K set as files, their questions, three models, their hybrids and a cross-encoder: the
cross-encoder alone would take longer than most of the budgets. Each pick is a process with a store of its own.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from side_by_side import data_dir, report

from evalkit.tasks import load_task

BUDGETS = (30, 60, 120)
QUESTIONS = 100


def main() -> None:
    """Run a pick with each of the budgets, and report."""
    data = data_dir()
    task = load_task(str(data / "llamaindex-10k-val"), max_queries=QUESTIONS)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        (top / "docs").mkdir()
        for document in task.corpus:
            (top / "docs" / f"{document.id}.txt").write_text(document.text, encoding="utf-8")
        asked = [
            {"question": query.text, "file": f"{found}.txt"}
            for query in task.queries
            for found in task.qrels[query.id]
        ]
        (top / "questions.jsonl").write_text("\n".join(map(json.dumps, asked)), encoding="utf-8")
        for number, budget in enumerate(BUDGETS):
            out = top / f"out-{number}"
            command = [
                sys.executable, "-m", "evalkit", "pick", str(top / "docs"),
                "--questions", str(top / "questions.jsonl"),
                "--models", f"bm25,static:{data / 'potion-base-4m-int8'},all-MiniLM-L6-v2?max_length=128",
                "--rerankers", f"ce:{data / 'ce-minilm'}?max_length=128", "--device", "cpu",
                "--store", str(top / f"store-{number}"), "--out", str(out),
                "--budget", f"{budget}s",
            ]  # fmt: skip
            started = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            seconds = time.perf_counter() - started
            rows.append(
                {
                    "budget": budget,
                    "seconds": round(seconds, 1),
                    "of_budget": round(seconds / budget, 2),
                    "status": done.returncode,
                    **_told(out),
                }
            )
            print(rows[-1])
    report("budget", {"picks": rows}, {"questions": str(QUESTIONS)})


def _told(out: Path) -> dict[str, object]:
    if not (out / "run.json").is_file():
        return {}
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    budget = run["pick"]["budget"] or {}
    return {
        "parts": run["pick"]["seconds"],
        "cut": len(budget.get("cut", ())),
        "untried": len(budget.get("untried", ())),
    }


if __name__ == "__main__":
    main()
