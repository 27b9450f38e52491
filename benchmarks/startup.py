"""Start-up time: `evalkit --help` and `evalkit models` against `mteb --help`, as whole processes.

Every reading starts a new process of the command that pip installed and waits for its end, in turn. Both commands
are in the file cache and byte-compiled by a first start that is not counted. mteb's list of models is left out: it
builds far more than ours.
"""

import argparse
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from side_by_side import measure, report, table

COMMANDS = (("evalkit", "--help"), ("evalkit", "models"), ("mteb", "--help"))
TARGET_S = 0.3
TARGET_TIMES = 10


def start(command: tuple[str, ...]) -> None:
    """Run a command of this environment to its end; raises CalledProcessError if it fails."""
    program = Path(sys.executable).parent / command[0]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run([program, *command[1:]], check=True, capture_output=True, env=environment)


def main() -> None:
    """Time the commands and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 rounds instead of 15")
    quick = parser.parse_args().quick
    seconds = measure({" ".join(command): partial(start, command) for command in COMMANDS}, 3 if quick else 15)
    rows = table(seconds, ours="evalkit --help")
    ours = [row for row in rows if str(row["way"]).startswith("evalkit")]
    notes = {
        "target": f"each of ours within {TARGET_S} s, mteb at least {TARGET_TIMES} times as long",
        "met": all(float(str(row["median_s"])) <= TARGET_S for row in ours)
        and all(float(str(rows[-1]["median_s"])) >= TARGET_TIMES * float(str(row["median_s"])) for row in ours),
        "quick": quick,
    }
    report("startup", {"whole processes": rows}, notes)


if __name__ == "__main__":
    main()
