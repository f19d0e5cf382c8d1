"""Hours of everything at once: hits, misses, saves, preemptions and aborts, with every answer checked and memory watched.

    python bench/soak/mixed_load.py --model FOLDER --minutes 30 --out FILE.json [--device cuda]

Needs vLLM, `shadowserve` and `redis-server` on the PATH, and a model whose weights are not random noise alone: answers of one that
knows nothing hang on rounding (tools/models/tiny_llama.py makes one that is fine). Answers of an engine of its own that computes everything
come first; then an engine with too few pages for its load fetches and saves with profile `raw`. An answer is wrong when it
leaves the computed one at a token that was no near-tie there. Ends with 1 when one was wrong or memory kept growing.
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "headline")]

from answers import Answers, leaves_wrongly  # noqa: E402
from engine_client import Client  # noqa: E402
from headline_world import World  # noqa: E402

IN_FLIGHT = 24
OUTPUTS = (4, 48)  # least and most tokens of an answer
ABORTED = 0.15  # of all requests, at a random moment


def open_engine(model: str, socket: str, pages_mib: int):
    from vllm import LLM

    return LLM(
        model=model, dtype="bfloat16", max_model_len=8192, kv_cache_memory_bytes=pages_mib << 20, gpu_memory_utilization=0.2,
        max_num_seqs=IN_FLIGHT, enable_prefix_caching=True, seed=0, disable_log_stats=False,
        kv_transfer_config={
            "kv_connector": "ShadowServeConnector", "kv_connector_module_path": "shadowserve.vllm.connector", "kv_role": "kv_both",
            "kv_load_failure_policy": "recompute",
            "kv_connector_extra_config": {"socket": socket, "profile": "raw", "fetch_timeout_ms": 5000},
        },
    )  # fmt: skip


class Soak:
    """One thread; `answers` are the computed ones."""

    def __init__(self, client: Client, answers: Answers, seed: int):
        self._client = client
        self._answers = answers
        self._random = random.Random(seed)
        self._open: dict[str, tuple[int, float]] = {}  # request -> its prompt, and when it is aborted (seconds; inf: never)
        self.counts = {"sent": 0, "ended": 0, "aborted": 0, "wrong": 0, "left_at_a_tie": 0}
        self.control_flagged = self.control_checked = 0

    def run(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self.step(refill=True)

    def drain(self) -> None:
        while self._open:
            self.step(refill=False)

    def step(self, refill: bool) -> None:
        while refill and len(self._open) < IN_FLIGHT:
            self._send()
        if not self._open:
            return
        now_s = time.monotonic()
        for name in [name for name, (_, abort_s) in self._open.items() if abort_s <= now_s]:
            self._client.abort({name})
            self._client.forget(name)
            del self._open[name]
            self.counts["aborted"] += 1
        for name in self._client.step():
            if name in self._open:
                self._check(name, self._open.pop(name)[0])

    def _send(self) -> None:
        number = self._random.randrange(len(self._answers))
        name = self._client.send(self._answers.prompt(number), self._random.randint(*OUTPUTS))
        abort_s = time.monotonic() + self._random.uniform(0, 1) if self._random.random() < ABORTED else float("inf")
        self._open[name] = number, abort_s
        self.counts["sent"] += 1

    def _check(self, name: str, number: int) -> None:
        tokens = self._client.answers[name]
        self.counts["ended"] += 1
        computed = self._answers.computed(number)
        if tokens != computed.tokens[: len(tokens)]:
            wrong = leaves_wrongly(tokens, computed)
            self.counts["wrong" if wrong else "left_at_a_tie"] += 1
        # The control: another prompt's answer has to be flagged.
        other = self._answers.computed((number + 1) % len(self._answers))
        self.control_checked += 1
        self.control_flagged += leaves_wrongly(tokens, other)
        self._client.forget(name)


def preemptions(llm) -> int:
    return sum(int(each.value) for each in llm.get_metrics() if each.name == "vllm:num_preemptions")


def memory(device: str, plane_pid: int) -> dict[str, float]:
    """MiB: free on the GPU, resident here and in the data plane, locked by the data plane."""

    def status(pid: str, field: str) -> float:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":")), 0.0)

    taken = {"plane_resident": status(str(plane_pid), "VmRSS"), "plane_locked": status(str(plane_pid), "VmLck"),
             "client_resident": status("self", "VmRSS")}  # fmt: skip
    if device == "cuda":
        asked = subprocess.run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"], capture_output=True, text=True)
        taken["gpu_used"] = float(asked.stdout.split()[0])
    return taken


def grew(samples: list[dict]) -> list[str]:
    """What was larger in all of the last quarter than ever in the second, by more than 64 MiB and 2 %."""
    quarter = max(1, len(samples) // 4)
    before, after = samples[quarter : 2 * quarter], samples[-quarter:]
    return [
        name for name in samples[0]
        if before and min(each[name] for each in after) > max(each[name] for each in before) * 1.02 + 64
    ]  # fmt: skip


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--model", required=True)
    arguments.add_argument("--out", type=pathlib.Path, required=True)
    arguments.add_argument("--minutes", type=float, default=30)
    arguments.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    arguments.add_argument("--prompts", type=int, default=64)
    arguments.add_argument("--pages-mib", type=int, default=96, help="KV cache: so small that requests are preempted")
    arguments.add_argument("--plane-cores", default="10-13")
    arguments.add_argument("--sample-seconds", type=float, default=10)
    chosen = arguments.parse_args()
    answers = Answers.computed_by_another_process(chosen.model, chosen.prompts, OUTPUTS[1])
    world = World(pathlib.Path(tempfile.mkdtemp(prefix="mixed-load-")), chosen.plane_cores)
    world.link(None, engines=0)
    llm = open_engine(chosen.model, world.socket, chosen.pages_mib)
    soak = Soak(Client(llm), answers, seed=1)
    samples = []
    until_s = time.monotonic() + chosen.minutes * 60
    while time.monotonic() < until_s:
        soak.run(min(chosen.sample_seconds, until_s - time.monotonic()))
        samples.append(memory(chosen.device, world.plane_pid()))
        print(f"{len(samples) * chosen.sample_seconds:.0f} s: {soak.counts}, {world.moved()}", flush=True)
    soak.drain()
    leaks = grew(samples)
    result = {
        "minutes": chosen.minutes, **soak.counts, "control": f"{soak.control_flagged} of {soak.control_checked} flagged",
        "moved": world.moved(), "preemptions": preemptions(llm), "grew": leaks, "memory_first": samples[0], "memory_last": samples[-1],
        "samples": samples,
    }  # fmt: skip
    chosen.out.write_text(json.dumps(result, indent=1))
    world.close()
    print(json.dumps({name: value for name, value in result.items() if name != "samples"}, indent=1))
    control_works = soak.control_flagged > 0.7 * soak.control_checked
    return 0 if not soak.counts["wrong"] and not leaks and control_works and soak.counts["ended"] else 1


if __name__ == "__main__":
    sys.exit(main())
