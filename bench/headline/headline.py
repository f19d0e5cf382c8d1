"""What a stored prefix is worth on a GPU: time to first token, what it does to others, how many requests a second are served,
against recomputing and against what else there is.

    python bench/headline/headline.py --out FOLDER [--shape llama-8b] [--rates 5,10,20,40] [--contexts 4,8,16,32]

Needs a CUDA GPU, vLLM, `shadowserve` and `redis-server` on the PATH. All engines run at once on one GPU, one measured at a
time, so that a table is one run. Results are one JSON file a cell in FOLDER: a run that was cut off goes on where it stopped,
and headline_report.py makes tables and pictures of them.
"""

import argparse
import json
import pathlib
import platform
import subprocess
import tempfile
import time

from engines import Engines, say
from headline_world import World
from hits import fetched_too_little
from shapes import SHAPES, token_bytes, write_model
from systems import SYSTEMS, Places, calibrated, through_plane

HERE = pathlib.Path(__file__).resolve().parent
PROMPTS = 3  # different ones of each length; repetitions take turns
STREAMS = 16
WINDOW_S = 1.0
STREAM_TOKENS_A_WINDOW = 250  # more than any engine decodes in one stream
# The data plane without one of its ideas: two parts in all of it instead of some in every stage; symbols and values through
# memory between stages instead of one pass.
PLANES = {"two-slots": ["--fetch-slots", "2"], "stages-apart": ["--separate-stages", "true"]}


class Bench:
    def __init__(self, out: pathlib.Path, chosen: argparse.Namespace):
        self._out = out
        self._chosen = chosen
        self._shape = SHAPES[chosen.shape]
        self._work = pathlib.Path(tempfile.mkdtemp(prefix="headline-"))
        self._world = World(self._work, chosen.plane_cores, chosen.store_cores, chosen.store_servers)
        self._engines = Engines(self._work, out, chosen.engine_cores)

    def start_engines(self, systems: list[str]) -> None:
        model = write_model(self._work / "model", self._shape)
        self._world.link(None, engines=0)
        calibration = self._work / "made-up.cal"
        if any(map(calibrated, systems)):
            from made_up_calibration import made_up_calibration  # torch and the codec: not for those who need none

            calibration.write_bytes(made_up_calibration(self._shape))
        places = Places(self._world.socket, self._world.store_ports, self._world.peer_link.ports, str(calibration))
        self._engines.start(systems, places, {"model": model, "kv_gib": self._chosen.kv_gib})

    def ask(self, system: str, **what) -> dict:
        """What the engine measured, and what the data plane moved meanwhile: vLLM's own counts leave steps out."""
        self._world.peer_link.wait_until_quiet()
        before = self._moved(system)
        answer = self._engines.ask(system, what)
        after = self._moved(system)
        return answer | {"moved": {name: after[name] - before[name] for name in after}}

    def _moved(self, system: str) -> dict[str, int]:
        return self._world.moved() if through_plane(system) else {"wire_bytes": self._world.peer_link.passed_bytes()}

    def fill(self, system: str, seeds: list[int], tokens: int) -> None:
        """Prompts are computed, one by one, and the store has them."""
        for seed in seeds:
            self.ask(system, do="ttft", seeds=[seed], tokens=tokens)
            self._world.wait_until_saved()

    def cell(self, name: str, measure) -> None:
        """Measured once, however often the bench is started."""
        file = self._out / f"{self._chosen.shape}-{name}.json"
        if file.exists():
            return say(f"{name}: there already")
        began_s = time.monotonic()
        try:
            measured = measure()
        except (EOFError, OSError):  # an engine's failure under load is a result, too
            return say(f"{name}: its engine ended")
        if fetched_too_little(name, measured, token_bytes(self._shape)):
            return say(f"{name}: not kept, for nothing was fetched: these were no hits")
        file.write_text(json.dumps(measured))
        say(f"{name}: {time.monotonic() - began_s:.1f} s")

    def attached(self) -> int:
        return sum(map(through_plane, self._engines.names()))

    def run(self) -> None:
        contexts = [int(each) * 1024 for each in self._chosen.contexts.split(",")]
        seeds = {tokens: [tokens + number for number in range(PROMPTS)] for tokens in contexts}
        systems = self._engines.names()
        self._world.link(None, self.attached())
        for system in systems:  # graphs and kernels warm up; stored prompts of the next cells
            self.ask(system, do="ttft", seeds=[7, 8], tokens=2048)
        for tokens in contexts:
            if "recompute" in systems:
                self.cell(f"recompute-ttft-{tokens}", lambda: self.ask(
                    "recompute", do="ttft", seeds=(seeds[tokens] * 2)[:5], tokens=tokens))  # fmt: skip
            for system in systems:
                if system != "recompute" and (system != "uncompressed" or tokens <= 16384):
                    self.fill(system, seeds[tokens], tokens)
                    say(f"{system}: {tokens} tokens saved, {self._world.moved()['saved']} parts in all")
        first, *others = [float(each) for each in self._chosen.rates.split(",")] + [None]
        self._rate(first, contexts, seeds)
        # What matters most comes first: time on such machines may end.
        for gbit in [float(each) for each in self._chosen.stream_rates.split(",") if each]:
            self._streams(gbit, seeds)
        if self._chosen.ablations and "shadowserve" in systems:
            self._ablations(first, contexts, seeds)
        for gbit in others:
            self._rate(gbit, contexts, seeds)

    def _rate(self, gbit: float | None, contexts: list[int], seeds: dict[int, list[int]]) -> None:
        self._world.link(gbit, self.attached())
        label = "unlimited" if gbit is None else f"{gbit:g}gbit"
        for system in self._engines.names():
            for tokens in contexts:
                if system == "recompute" or self._skipped(system, gbit, tokens):
                    continue
                repeats = 5 if not system.startswith("lmcache") else 3
                self.cell(f"{system}-ttft-{label}-{tokens}", lambda: self.ask(
                    system, do="ttft", seeds=(seeds[tokens] * 2)[:repeats], tokens=tokens))  # fmt: skip
        if gbit is not None and gbit in [float(each) for each in self._chosen.loaded_rates.split(",") if each]:
            self._loaded(gbit, label, seeds)

    def _skipped(self, system: str, gbit: float | None, tokens: int) -> bool:
        """What would take minutes and say little: uncompressed KV on slow links, LMCache away from the rate of the table."""
        if system == "uncompressed":
            return tokens > 16384 or (gbit is not None and gbit < 20)
        return system.startswith("lmcache") and gbit not in (10, 20)

    def _loaded(self, gbit: float, label: str, seeds: dict[int, list[int]]) -> None:
        tokens = self._chosen.loaded_context * 1024
        for outputs in [int(each) for each in self._chosen.outputs.split(",")]:
            self._loaded_with(gbit, label, seeds, tokens, outputs)

    def _loaded_with(self, gbit: float, label: str, seeds: dict[int, list[int]], tokens: int, outputs: int) -> None:
        """Poisson arrivals at the chosen rates, and as many requests as the system can serve."""
        for system in self._engines.names():
            if system == "synchronous" or (system.startswith("lmcache") and gbit != 20):
                continue
            link = "" if system == "recompute" else f"-{label}"
            what = dict(seconds=self._chosen.load_seconds, seeds=seeds[tokens], tokens=tokens, outputs=outputs)
            for per_s in [float(each) for each in self._chosen.arrivals.split(",")]:
                self.cell(f"{system}-poisson{link}-{tokens}-{outputs}-{per_s:g}", lambda: self.ask(system, do="poisson", per_s=per_s, **what))
            self.cell(f"{system}-closed{link}-{tokens}-{outputs}", lambda: self.ask(system, do="closed", in_flight=self._chosen.in_flight, **what))

    def _ablations(self, gbit: float, contexts: list[int], seeds: dict[int, list[int]]) -> None:
        """One hit in flight, with data planes that lack something; the synchronous engine is a system of its own."""
        for name, plane_options in PLANES.items():
            for rate, label in ((gbit, f"{gbit:g}gbit"), (None, "unlimited")):
                self._world.link(rate, self.attached(), plane_options)
                for tokens in contexts:
                    self.cell(f"{name}-ttft-{label}-{tokens}", lambda: self.ask(
                        "shadowserve", do="ttft", seeds=(seeds[tokens] * 2)[:5], tokens=tokens))  # fmt: skip

    def _streams(self, gbit: float, seeds: dict[int, list[int]]) -> None:
        self._world.link(gbit, self.attached())
        link = "" if gbit == 20 else f"{gbit:g}gbit-"
        settings = dict(do="streams", streams=STREAMS, window_s=WINDOW_S)
        if (quiet := next(filter(through_plane, self._engines.names()), None)) and not link:
            self.cell(f"{quiet}-streams-nothing", lambda: self.ask(quiet, windows=self._windows(0), seeds=[], tokens=0, **settings))
        for system in self._engines.names():
            for tokens in (8192, 16384):
                if link and system in ("recompute", "synchronous"):
                    continue
                if system != "uncompressed" and tokens in seeds:
                    self.cell(f"{system}-streams-{link}{tokens}", lambda: self.ask(
                        system, windows=self._windows(tokens), seeds=seeds[tokens], tokens=tokens, **settings))  # fmt: skip

    def _windows(self, tokens: int) -> int:
        """In fours, see streams(). No more than the KV cache has room for: prompts that wait for pages would say nothing."""
        for_streams = self._chosen.kv_gib * 2**30 / token_bytes(self._shape) - tokens
        fours = min(self._chosen.stream_seconds / WINDOW_S / 4, for_streams / STREAMS / STREAM_TOKENS_A_WINDOW / 4)
        return 4 * max(1, int(fours))

    def close(self) -> None:
        self._engines.close()
        self._world.close()


def machine() -> dict:
    import torch
    import vllm

    return {
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none", "torch": torch.__version__, "vllm": vllm.__version__,
        "cpu": next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line), ""),
        "python": platform.python_version(), "commit": commit(), "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--out", type=pathlib.Path, required=True, help="folder for the results")
    arguments.add_argument("--shape", choices=SHAPES, default="llama-8b")
    arguments.add_argument("--systems", default="recompute,shadowserve,uncompressed", help=", ".join(SYSTEMS))
    arguments.add_argument("--rates", default="5,10,20,40", help="Gbit/s of the link; unlimited is always measured too, last; streams behind the first")
    arguments.add_argument("--contexts", default="4,8,16,32", help="prompt lengths in units of 1,024 tokens")
    arguments.add_argument("--stream-seconds", type=float, default=16, help="of each interference cell, half of them with others")
    arguments.add_argument("--loaded-rates", default="10,20,40", help="Gbit/s at which requests also come at random and all at once; may be empty")
    arguments.add_argument("--arrivals", default="2,4,6", help="Poisson arrivals a second")
    arguments.add_argument("--load-seconds", type=float, default=8)
    arguments.add_argument("--in-flight", type=int, default=12, help="requests at once at full load; the KV cache has to hold them")
    arguments.add_argument("--loaded-context", type=int, default=8, help="prompt length under load, in units of 1,024 tokens")
    arguments.add_argument("--outputs", default="32", help="tokens of each answer under load, one number or several")
    arguments.add_argument("--stream-rates", default="20", help="Gbit/s at which prompts come beside running streams")
    arguments.add_argument("--ablations", action="store_true", help="also data planes that lack something, at the first of --rates")
    arguments.add_argument("--plane-cores", default="10-13", help="set aside for the data plane")
    arguments.add_argument("--engine-cores", default="0-8")
    arguments.add_argument("--store-cores", default="0-9", help="of redis-server, which stands for another machine")
    arguments.add_argument("--store-servers", type=int, default=1, help="redis-servers that share the records, behind one link")
    arguments.add_argument("--kv-gib", type=float, default=16, help="KV cache of each engine, beside its weights")
    arguments.add_argument("--commit", help="of the code, where there is no git")
    chosen = arguments.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    described = machine()
    if chosen.commit:
        described["commit"] = chosen.commit
    described["store_servers"] = chosen.store_servers
    (chosen.out / f"{chosen.shape}-machine.json").write_text(json.dumps(described))
    bench = Bench(chosen.out, chosen)
    try:
        bench.start_engines(chosen.systems.split(","))
        bench.run()
    finally:
        bench.close()


if __name__ == "__main__":
    main()
