"""Runs engines in a process of their own, and reads what they report."""

import json
import os
import pathlib
import subprocess
import sys

from engine import LIMITS, Answer
from processes import ENGINES_CORE, alone

SCRIPT = pathlib.Path(__file__).with_name("engine_process.py")
SECONDS_MAX = 400


def wanted_engine(model: pathlib.Path, socket: str, steps: list[dict], changes: dict | None = None, **settings) -> dict:
    return {
        "model": str(model), "socket": socket, "steps": steps, "changes": changes or {},
        "settings": LIMITS | settings,
    }  # fmt: skip


def run_engines(folder: pathlib.Path, *engines: dict, hash_seed: str = "4711") -> tuple[list[dict], str]:
    """The report of each engine (see engine_process.py) with real Answers, and the log of all."""
    script, report, log = (folder / name for name in ("script.json", "report.json", "engines.log"))
    script.write_text(json.dumps(engines))
    with alone(ENGINES_CORE), open(log, "w") as out:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), str(script), str(report)],
            env=os.environ | {"PYTHONHASHSEED": hash_seed}, stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.STDOUT, timeout=SECONDS_MAX,
        )  # fmt: skip
    assert done.returncode == 0, log.read_text()[-5000:]
    reports = json.loads(report.read_text())
    for step in (step for one in reports for step in one["steps"]):
        step["answers"] = [
            Answer(tokens, [{int(token): value for token, value in at.items()} for at in best])
            for tokens, best in step["answers"]
        ]
    return reports, log.read_text()
