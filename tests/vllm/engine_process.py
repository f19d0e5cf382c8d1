"""Engines one after the other in one process: `python engine_process.py SCRIPT REPORT`, both JSON files.

The script is a list of engines: {"model", "socket", "changes", "settings", "steps"}. A step is a dict:
  prompts   asked at once, `tokens` each
  retraces  instead of prompts: number of an earlier step whose prompt is asked about each token of its answer
  damages   the pages are damaged once they are loaded
  forgets   afterwards the engine forgets all prefixes
The report has for each engine {"steps": [{"answers", "totals", "pages"}], "preemptions", "hash"}.
"""

import json
import os
import pathlib
import sys


def main() -> None:
    import conftest  # noqa: F401  (sets the environment before vLLM is imported)

    # Scheduler and worker in this process: vLLM is imported once instead of three times.
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": "1"}
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:-1] or cores)  # the last one is the data plane's
    script, report = map(pathlib.Path, sys.argv[1:])
    report.write_text(json.dumps([run(engine) for engine in json.loads(script.read_text())]))


def run(wanted: dict) -> dict:
    from engine import Engine

    engine = Engine(wanted["model"], wanted["socket"], wanted["changes"], **wanted["settings"])
    try:
        engine.wait_until_connected()
        asked, steps = [], []
        for step in wanted["steps"]:
            engine.call("probe_damage", step.get("damages", False))
            if "retraces" in step:
                (prompt,), (answer,) = asked[step["retraces"]]
                answers = [engine.retrace(prompt, answer.tokens)]
            else:
                answers = engine.ask(*step["prompts"], tokens=step["tokens"])
            asked.append((step.get("prompts"), answers))
            engine.wait_until_saved()
            steps.append({
                "answers": [[answer.tokens, answer.logprobs] for answer in answers],
                "totals": engine.totals(),
                "pages": engine.call("probe_report"),
            })  # fmt: skip
            if step.get("forgets"):
                engine.forget_prefixes()
        return {"steps": steps, "preemptions": engine.vllm_metric("num_preemptions"), "hash": hash("text")}
    finally:
        engine.stop()


if __name__ == "__main__":
    main()
