"""Hours of everything at once: hits, misses, saves, preemptions and aborts, with every answer checked and memory watched.

    python bench/soak/mixed_load.py --model FOLDER --minutes 30 --out FILE.json [--device cuda]

Needs vLLM, `shadowserve` and `redis-server` on the PATH, and a model whose weights are not random noise alone: answers of one that
knows nothing hang on rounding (tools/models/tiny_llama.py makes one that is fine). An engine of its own computes the answers, while the one
under test starts. That has too few pages for its load, fetches and saves with profile `raw`; and for comparison one without a connector has the
same load for a fifth of the time, two minutes at most, unless --compared names an earlier run's result on such a machine. An answer leaves the
computed one where two tokens are nearly as likely and sums are added in another order: that is so for both. Ends with 1 when it happens
more often, or at clearer tokens, where KV is fetched, or when memory kept growing.
"""

import argparse
import concurrent.futures
import contextlib
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "headline")]

from answers import Answers, gap_where_it_leaves  # noqa: E402
from engine_client import Client  # noqa: E402
from headline_world import World  # noqa: E402

IN_FLIGHT = 24
OUTPUTS = (4, 48)  # least and most tokens of an answer
ABORTED = 0.15  # of all requests, at a random moment
GAPS = (0, 0.1, 0.3)  # nats
DIRECT_PAGES = {"auto": None, "yes": True, "no": False}
COMPARED_SHARE, COMPARED_MAX_S = 0.2, 120  # of the time, for the engine without a connector


def open_engine(chosen: argparse.Namespace, socket: str | None):
    """`socket`: of the data plane; None: no connector."""
    from vllm import LLM

    connected = {
        "kv_transfer_config": {
            "kv_connector": "ShadowServeConnector", "kv_connector_module_path": "shadowserve.vllm.connector", "kv_role": "kv_both",
            "kv_load_failure_policy": "recompute",
            "kv_connector_extra_config": {"socket": socket, "profile": "raw", "fetch_timeout_ms": 5000, "direct_pages": DIRECT_PAGES[chosen.direct_pages]},
        },
    }  # fmt: skip
    return LLM(
        model=chosen.model, dtype="bfloat16", max_model_len=8192, kv_cache_memory_bytes=chosen.pages_mib << 20, gpu_memory_utilization=0.2,
        max_num_seqs=IN_FLIGHT, enable_prefix_caching=True, seed=0, disable_log_stats=False, **(connected if socket else {}),
    )  # fmt: skip


class Soak:
    """One thread; `answers` are the computed ones."""

    def __init__(self, client: Client, answers: Answers, seed: int):
        self._client = client
        self._answers = answers
        self._random = random.Random(seed)
        self._open: dict[str, tuple[int, float]] = {}  # request -> its prompt, and when it is aborted (seconds; inf: never)
        self.counts = {"sent": 0, "ended": 0, "aborted": 0}
        self.gaps: list[float] = []  # nats by which the computed token was ahead, of answers that left
        self.control_gaps: list[float] = []  # the same, compared with another prompt's answer

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
        for against, gaps in ((number, self.gaps), ((number + 1) % len(self._answers), self.control_gaps)):
            if (gap := gap_where_it_leaves(tokens, self._answers.computed(against))) is not None:
                gaps.append(gap)
        self._client.forget(name)


def departures(gaps: list[float], ended: int) -> dict[str, float]:
    """Shares of answers that left the computed ones at tokens ahead by more than so many nats."""
    return {f"over {least:g} nats": sum(gap > least for gap in gaps) / max(1, ended) for least in GAPS}


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
    arguments.add_argument("--direct-pages", choices=DIRECT_PAGES, default="auto", help="whether parts are copied straight into pages on a GPU")
    arguments.add_argument("--compared", type=pathlib.Path, help="result of an earlier run: its engine without a connector is what this one is compared with")
    arguments.add_argument("--sample-seconds", type=float, default=10)
    chosen = arguments.parse_args()
    result = run(chosen)
    chosen.out.write_text(json.dumps(result, indent=1))
    print(json.dumps({name: value for name, value in result.items() if name != "samples"}, indent=1))
    return 0 if not result["failures"] else 1


def run(chosen: argparse.Namespace) -> dict:
    seconds = chosen.minutes * 60
    with contextlib.closing(World(pathlib.Path(tempfile.mkdtemp(prefix="mixed-load-")), chosen.plane_cores)) as world:
        world.link(None, engines=0)
        computing = concurrent.futures.ThreadPoolExecutor(1).submit(Answers.computed_by_another_process, chosen.model, chosen.prompts, OUTPUTS[1])
        with load_of(chosen, computing, world.socket) as (soak, llm):
            samples = []
            until_s = time.monotonic() + seconds
            while time.monotonic() < until_s:
                soak.run(min(chosen.sample_seconds, until_s - time.monotonic()))
                samples.append(memory(chosen.device, world.plane_pid()))
                print(f"{seconds - until_s + time.monotonic():.0f} s: {soak.counts}, {world.moved()}, MiB {samples[-1]}", flush=True)
            soak.drain()
            preempted = preemptions(llm)
        moved = world.moved()
    result = {
        "minutes": chosen.minutes, "direct_pages": chosen.direct_pages, **soak.counts, "preemptions": preempted, "moved": moved,
        "left": departures(soak.gaps, soak.counts["ended"]), **without_connector(chosen, computing, seconds),
        "left_control": departures(soak.control_gaps, soak.counts["ended"]),
        "memory_first": samples[0], "memory_last": samples[-1], "samples": samples,
    }  # fmt: skip
    return result | {"failures": failures(result)}


def without_connector(chosen: argparse.Namespace, computing: concurrent.futures.Future, seconds: float) -> dict:
    """How often answers leave the computed ones where nothing is fetched."""
    names = ("left_without_connector", "ended_without_connector")
    if chosen.compared:
        earlier = json.loads(chosen.compared.read_text())
        return {name: earlier[name] for name in names} | {"compared_with": f"an earlier run of {earlier['minutes']:g} minutes"}
    with load_of(chosen, computing, None) as (compared, _):
        compared.run(min(seconds * COMPARED_SHARE, COMPARED_MAX_S))
        compared.drain()
    return dict(zip(names, (departures(compared.gaps, compared.counts["ended"]), compared.counts["ended"]), strict=True))


@contextlib.contextmanager
def load_of(chosen: argparse.Namespace, computing: concurrent.futures.Future, socket: str | None):
    """`computing` ends with the answers; the engine starts meanwhile."""
    llm = open_engine(chosen, socket)
    try:
        yield Soak(Client(llm), computing.result(), seed=1), llm
    finally:
        llm.llm_engine.engine_core.shutdown()


def failures(result: dict) -> list[str]:
    """What must not be. A share may differ by three times its own noise."""
    found = [f"{name} kept growing" for name in grew(result["samples"])]
    for name, share in result["left"].items():
        other = result["left_without_connector"][name]
        noise = 3 * math.sqrt(max(other, 1 / result["ended_without_connector"]) / min(result["ended"], result["ended_without_connector"]))
        if share > other + noise:
            found.append(f"{share:.3f} of the answers left the computed ones {name}, without fetching {other:.3f}")
    if (control := result["left_control"][f"over {GAPS[0]} nats"]) < 0.9:
        found.append(f"only {control:.2f} of another prompt's answers leave the computed ones: the comparison sees nothing")
    if not result["moved"]["fetched"]:
        found.append("nothing was fetched: the KV cache holds all prompts (--pages-mib, or more --prompts)")
    return found


if __name__ == "__main__":
    sys.exit(main())
