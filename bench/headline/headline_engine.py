"""One system under test: an engine in a process of its own that does what the driver asks, and says how long it took.

    python headline_engine.py ADDRESS OPTIONS     (started by headline.py)

OPTIONS are JSON: model, kv_gib, kv_transfer_config. Prompts are drawn from a seed, so that driver and engines need to
exchange nothing else.
"""

import json
import multiprocessing.connection
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from engine_client import Client  # noqa: E402
from load import Load  # noqa: E402

MAX_TOKENS = 33 * 1024
STREAM_PROMPT = 100
WARM_TOKENS = 20


def open_engine(model: str, kv_gib: float, kv_transfer_config: dict | None):
    from vllm import LLM

    options = dict(
        model=model, load_format="dummy", skip_tokenizer_init=True, dtype="bfloat16", max_model_len=MAX_TOKENS,
        # Fixed: vLLM's own sizing looks at the memory that is free, and other engines start at the same time.
        kv_cache_memory_bytes=int(kv_gib * 2**30), gpu_memory_utilization=0.1,
        enable_prefix_caching=False, seed=0, disable_log_stats=False,
    )  # fmt: skip
    if kv_transfer_config:
        options["kv_transfer_config"] = kv_transfer_config
    return LLM(**options)


class System:
    def __init__(self, llm):
        self._llm = llm
        self._client = Client(llm)

    def prompt(self, seed: int, tokens: int) -> list[int]:
        source = random.Random(seed)
        return [source.randrange(10, 30000) for _ in range(tokens)]

    def ttft(self, seeds: list[int], tokens: int) -> dict:
        """One request in flight; seconds each."""
        return {"ttft_s": [self._client.time_to_first_token_s(self.prompt(seed, tokens)) for seed in seeds]}

    def streams(self, streams: int, windows: int, window_s: float, seeds: list[int], tokens: int) -> dict:
        """`streams` requests decode all the time. In half of the windows of `window_s` the prompts of `seeds` come beside them,
        back to back, one in flight; in the others nothing does. Gaps between tokens as the client sees them, for both; of those
        beside, also the steps that compute the end of a prompt apart from all others. Without `seeds` nothing ever comes: then the ratio
        is noise.
        Streams grow, and every step with them: windows come as alone, beside, beside, alone, so that this is the same for both."""
        client = self._client
        prompts = [self.prompt(seed, tokens) for seed in seeds]  # drawn before: that takes a step's time
        names = [client.send(self.prompt(100 + number, STREAM_PROMPT), MAX_TOKENS - 1024) for number in range(streams)]
        while min(len(client.token_times_s[name]) for name in names) < WARM_TOKENS:
            client.step()
        gaps_s: dict[str, list[float]] = {"alone": [], "beside": [], "tails": [], "beside_without_tails": []}
        others: list[str] = []
        for window in range(windows):
            beside = window % 4 in (1, 2)
            began_s = time.perf_counter()
            while time.perf_counter() < began_s + window_s:
                if beside and prompts and (not others or client.first_token_s[others[-1]] > 0):
                    others.append(client.send(prompts[len(others) % len(prompts)], 1))
                client.step()
            if others and client.first_token_s[others[-1]] < 0:
                client.finish({others[-1]})
            gaps = _gaps(client, names, began_s, time.perf_counter())
            gaps_s["beside" if beside else "alone"] += [gap_s for _, gap_s in gaps]
            # The step that ends a prompt brings its first token together with the streams' next ones.
            tails_s = {client.token_times_s[name][0] for name in others}
            if beside:
                gaps_s["tails"] += [gap_s for at_s, gap_s in gaps if at_s in tails_s]
                gaps_s["beside_without_tails"] += [gap_s for at_s, gap_s in gaps if at_s not in tails_s]
        client.abort(set(names))
        time.sleep(0.5)
        client.drain()
        return {
            "gaps": {turn: spread(values) for turn, values in gaps_s.items() if values}, "others_ttft_s": [client.first_token_s[name] for name in others],
            "others_per_s": len(others) / (windows // 2 * window_s),
        }  # fmt: skip


    def poisson(self, per_s: float, seconds: float, seeds: list[int], tokens: int, outputs: int) -> dict:
        return self._load(seeds, tokens, outputs).poisson(per_s, seconds, seed=1)

    def closed(self, in_flight: int, seconds: float, seeds: list[int], tokens: int, outputs: int) -> dict:
        return self._load(seeds, tokens, outputs).closed(in_flight, seconds)

    def _load(self, seeds: list[int], tokens: int, outputs: int) -> Load:
        prompts = [self.prompt(seed, tokens) for seed in seeds]
        return Load(self._client, prompts, outputs, self.prompt(99, STREAM_PROMPT), MAX_TOKENS - 1024)


def spread(values: list[float]) -> dict:
    """Mean and thousandths, so that a result is small enough to keep."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return {
        "mean_s": sum(ordered) / len(ordered), "count": len(ordered),
        "permille_s": [round(ordered[round(part * last / 1000)], 6) for part in range(1001)],
    }  # fmt: skip


def _gaps(client: Client, names: list[str], began_s: float, ended_s: float) -> list[tuple[float, float]]:
    """When each token but the first came, and how long after the one before."""
    gaps = []
    for name in names:
        times = [at for at in client.token_times_s[name] if began_s <= at <= ended_s]
        gaps += [(after, after - before) for before, after in zip(times, times[1:])]
    return gaps


def main() -> None:
    address, options = sys.argv[1:]
    with multiprocessing.connection.Client(address, "AF_UNIX") as driver:
        began_s = time.monotonic()
        system = System(open_engine(**json.loads(options)))
        driver.send({"start_s": time.monotonic() - began_s})
        while (asked := driver.recv()) is not None:
            what = asked.pop("do")
            driver.send(getattr(system, what)(**asked))


if __name__ == "__main__":
    main()
