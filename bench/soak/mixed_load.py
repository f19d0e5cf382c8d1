"""Hours of everything at once: hits, misses, saves, preemptions and aborts, with every answer checked and memory watched.

    python bench/soak/mixed_load.py --model FOLDER --minutes 30 --out FILE.json [--device cuda]

The same command goes on where FILE ends, with a new engine and data plane: what has been shown counts, however it was stopped.

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
from soak_result import SoakResult, departures  # noqa: E402

IN_FLIGHT = 24
OUTPUTS = (4, 48)  # least and most tokens of an answer
ABORTED = 0.15  # of all requests, at a random moment
DIRECT_PAGES = {"auto": None, "yes": True, "no": False}
COMPARED_SHARE, COMPARED_MAX_S = 0.2, 120  # of the time, for the engine without a connector
SETTINGS = ("model", "device", "prompts", "pages_mib", "direct_pages")  # what runs of one file have in common


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
        self._counts = {"sent": 0, "ended": 0, "aborted": 0}
        self._gaps: list[float] = []  # nats by which the computed token was ahead, of answers that left
        self._control_gaps: list[float] = []  # the same, compared with another prompt's answer

    def seen(self) -> dict:
        """So far, as a run of SoakResult has it."""
        return self._counts | {"left": departures(self._gaps), "left_control": departures(self._control_gaps)}

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
            self._counts["aborted"] += 1
        for name in self._client.step():
            if name in self._open:
                self._check(name, self._open.pop(name)[0])

    def _send(self) -> None:
        number = self._random.randrange(len(self._answers))
        name = self._client.send(self._answers.prompt(number), self._random.randint(*OUTPUTS))
        abort_s = time.monotonic() + self._random.uniform(0, 1) if self._random.random() < ABORTED else float("inf")
        self._open[name] = number, abort_s
        self._counts["sent"] += 1

    def _check(self, name: str, number: int) -> None:
        tokens = self._client.answers[name]
        self._counts["ended"] += 1
        for against, gaps in ((number, self._gaps), ((number + 1) % len(self._answers), self._control_gaps)):
            if (gap := gap_where_it_leaves(tokens, self._answers.computed(against))) is not None:
                gaps.append(gap)
        self._client.forget(name)


def preemptions(llm) -> int:
    return sum(int(each.value) for each in llm.get_metrics() if each.name == "vllm:num_preemptions")


def memory(device: str, plane_pid: int) -> dict[str, float]:
    """MiB: taken on the GPU, resident here and in the data plane, locked by the data plane."""

    def status(pid: str, field: str) -> float:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":")), 0.0)

    taken = {"plane_resident": status(str(plane_pid), "VmRSS"), "plane_locked": status(str(plane_pid), "VmLck"),
             "client_resident": status("self", "VmRSS")}  # fmt: skip
    if device == "cuda":
        asked = subprocess.run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"], capture_output=True, text=True)
        taken["gpu_used"] = float(asked.stdout.split()[0])
    return taken


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", required=True)
    arguments.add_argument("--out", type=pathlib.Path, required=True, help="result; one of an earlier run is continued")
    arguments.add_argument("--minutes", type=float, default=30, help="of load, in all runs together (default: %(default)s)")
    arguments.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    arguments.add_argument("--prompts", type=int, default=64)
    arguments.add_argument("--pages-mib", type=int, default=96, help="KV cache: so small that requests are preempted (default: %(default)s)")
    arguments.add_argument("--plane-cores", default="10-13", help="of the data plane, which the bench itself must be allowed to use")
    arguments.add_argument("--direct-pages", choices=DIRECT_PAGES, default="auto", help="whether parts are copied straight into pages on a GPU")
    arguments.add_argument("--compared", type=pathlib.Path, help="result of an earlier run: its engine without a connector is what this one is compared with")
    arguments.add_argument("--sample-seconds", type=float, default=10)
    chosen = arguments.parse_args()
    try:
        result = SoakResult.continued(chosen.out, {name: getattr(chosen, name) for name in SETTINGS})
    except ValueError as error:
        arguments.error(str(error))
    try:
        run(chosen, result)
    except KeyboardInterrupt:
        print(f"\nstopped; {chosen.out} holds {result.seconds() / 60:.1f} minutes, and the same command goes on from there", file=sys.stderr)
        return 130
    print(json.dumps({name: value for name, value in result.as_json().items() if name != "runs"}, indent=1))
    return 0 if not result.failures() else 1


def run(chosen: argparse.Namespace, result: SoakResult) -> None:
    if result.compared is None and chosen.compared:
        result.compared = compared_by(chosen.compared)
    seconds = chosen.minutes * 60 - result.seconds()
    if seconds <= 0 and result.compared:
        return
    with contextlib.closing(World(pathlib.Path(tempfile.mkdtemp(prefix="mixed-load-")), chosen.plane_cores)) as world:
        world.link(None, engines=0)
        computing = concurrent.futures.ThreadPoolExecutor(1).submit(Answers.computed_by_another_process, chosen.model, chosen.prompts, OUTPUTS[1])
        if seconds > 0:
            with_connector(chosen, world, computing, seconds, result)
    if result.compared is None:
        result.compared = without_connector(chosen, computing)
        result.write(chosen.out)


def with_connector(chosen: argparse.Namespace, world: World, computing: concurrent.futures.Future, seconds: float, result: SoakResult) -> None:
    """`seconds` of load, the result written at each sample."""
    with load_of(chosen, computing, world.socket, seed=1 + len(result.runs)) as (soak, llm):
        samples = []

        def sample(passed_s: float) -> None:
            samples.append(memory(chosen.device, world.plane_pid()))
            done = {"seconds": passed_s, **soak.seen(), "preemptions": preemptions(llm), "moved": world.moved(), "samples": samples}
            result.runs[before:] = [done]
            result.write(chosen.out)
            print(f"{passed_s:.0f} s: {done | {'samples': samples[-1]}}", flush=True)

        before = len(result.runs)
        began_s = time.monotonic()
        while (passed_s := time.monotonic() - began_s) < seconds:
            soak.run(min(chosen.sample_seconds, seconds - passed_s))
            sample(time.monotonic() - began_s)
        soak.drain()
        sample(time.monotonic() - began_s)


def without_connector(chosen: argparse.Namespace, computing: concurrent.futures.Future) -> dict:
    """How often answers leave the computed ones where nothing is fetched."""
    with load_of(chosen, computing, None, seed=1) as (soak, _):
        soak.run(min(chosen.minutes * 60 * COMPARED_SHARE, COMPARED_MAX_S))
        soak.drain()
        seen = soak.seen()
    shares = {name: count / max(1, seen["ended"]) for name, count in seen["left"].items()}
    return {"left_without_connector": shares, "ended_without_connector": seen["ended"]}


def compared_by(file: pathlib.Path) -> dict:
    earlier = json.loads(file.read_text())
    names = ("left_without_connector", "ended_without_connector")
    if any(name not in earlier for name in names):
        raise SystemExit(f"{file} has no engine without a connector: name another --compared, or none")
    return {name: earlier[name] for name in names} | {"compared_with": file.name}


@contextlib.contextmanager
def load_of(chosen: argparse.Namespace, computing: concurrent.futures.Future, socket: str | None, seed: int):
    """`computing` ends with the answers; the engine starts meanwhile."""
    llm = open_engine(chosen, socket)
    try:
        yield Soak(Client(llm), computing.result(), seed), llm
    finally:
        llm.llm_engine.engine_core.shutdown()


if __name__ == "__main__":
    sys.exit(main())
