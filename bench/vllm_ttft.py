"""Time to first token of a prefix computed and fetched, and what fetching does to a running stream's time per token.

    python bench/vllm_ttft.py --model DIR --socket PATH [--json FILE]

Needs a running data plane (`shadowserve plane --cores 1 --socket PATH`), best with a fresh store, and two quiet cores:
the engine computes on core 0. Requests that are computed and requests that are fetched take turns, so that what else
the machine does hits both alike. Times are measured where a client in the same process sees tokens.
"""

import argparse
import json
import os
import random
import time

from engine_client import Client, median_and_spread

STREAM_TOKENS_MAX = 4000
CHUNK_TOKENS = 256


def measure_ttft(client: Client, llm, prefix_tokens: int, repetitions: int, draw) -> dict:
    computed, fetched = [], []
    for _ in range(repetitions):
        prompt = draw(prefix_tokens)
        computed.append(client.time_to_first_token_s(prompt))
        client.settle(1.0)
        llm.reset_prefix_cache()
        fetched.append(client.time_to_first_token_s(prompt))
        llm.reset_prefix_cache()
    return {"computed_s": median_and_spread(computed), "fetched_s": median_and_spread(fetched)}


def measure_tpot(client: Client, llm, prefix_tokens: int, others: int, every_s: float, draw) -> dict:
    """Time per token of one stream: alone, while others are fetched, and while as many others are computed."""
    stored = [draw(prefix_tokens) for _ in range(others)]
    for prompt in stored:
        client.time_to_first_token_s(prompt)
    client.settle(2.0)
    llm.reset_prefix_cache()
    window_s = others * every_s
    phases = {
        "alone": [],
        "others_fetched": stored,
        "alone_again": [],
        "others_computed": [draw(prefix_tokens) for _ in range(others)],
    }
    return {phase: _stream(client, prompts, every_s, window_s, draw) for phase, prompts in phases.items()}


def _stream(client: Client, prompts: list[list[int]], every_s: float, window_s: float, draw) -> dict:
    stream = client.send(draw(100), STREAM_TOKENS_MAX)
    while len(client.token_times_s[stream]) < 10:
        client.step()
    began_s = time.perf_counter()
    waiting, names = list(prompts), []
    while (now_s := time.perf_counter()) < began_s + window_s:
        if waiting and now_s >= began_s + every_s * len(names):
            names.append(client.send(waiting.pop(0), 1))
        client.step()
    times_s = [time_s for time_s in client.token_times_s[stream] if time_s >= began_s]
    client.abort({stream})
    gaps_s = [after - before for before, after in zip(times_s, times_s[1:])]
    first_s = [client.first_token_s[name] for name in names if client.first_token_s[name] > 0]
    result = {
        "tpot_mean_s": (times_s[-1] - times_s[0]) / len(gaps_s),
        "tpot_s": median_and_spread(gaps_s),
        "tpot_p99_s": sorted(gaps_s)[int(0.99 * (len(gaps_s) - 1))],
    }
    if first_s:
        result["others_ttft_s"] = median_and_spread(first_s)
    client.settle(1.0)
    return result


def open_engine(chosen: argparse.Namespace):
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "0")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from vllm import LLM

    settings = {"socket": chosen.socket, "profile": chosen.profile, "save_generated": False}
    if chosen.link_core is not None:
        settings["core"] = chosen.link_core
    return LLM(
        model=chosen.model,
        dtype="bfloat16",
        enforce_eager=True,
        max_model_len=8192,
        max_num_batched_tokens=2048,
        seed=0,
        kv_transfer_config={
            "kv_connector": "ShadowServeConnector",
            "kv_connector_module_path": "shadowserve.vllm.connector",
            "kv_role": "kv_both",
            "kv_load_failure_policy": "recompute",
            "kv_connector_extra_config": settings,
        },
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--model", required=True, help="directory, e.g. made by tools/models/tiny_llama.py")
    arguments.add_argument("--socket", required=True, help="the data plane's socket")
    arguments.add_argument("--profile", default="kv4")
    arguments.add_argument("--prefix-tokens", type=int, default=4096)
    arguments.add_argument("--repetitions", type=int, default=9)
    arguments.add_argument("--others", type=int, default=20, help="prefixes fetched beside the stream")
    arguments.add_argument("--every-ms", type=int, default=250, help="time between them")
    arguments.add_argument("--link-core", type=int, default=1, help="core of the thread that places pages")
    arguments.add_argument("--seed", type=int, default=int(time.time()), help="another one for each run on one store")
    arguments.add_argument("--json", help="also write the figures to this file")
    chosen = arguments.parse_args()

    llm = open_engine(chosen)
    client = Client(llm)
    source = random.Random(chosen.seed)
    vocabulary = llm.get_tokenizer().vocab_size

    def draw(tokens: int) -> list[int]:
        return [source.randrange(4, vocabulary) for _ in range(tokens)]

    client.time_to_first_token_s(draw(chosen.prefix_tokens))  # warm
    figures = {
        "profile": chosen.profile,
        "prefix_tokens": chosen.prefix_tokens,
        "ttft": measure_ttft(client, llm, chosen.prefix_tokens, chosen.repetitions, draw),
        "tpot": measure_tpot(client, llm, chosen.prefix_tokens, chosen.others, chosen.every_ms / 1e3, draw),
    }
    print_figures(figures)
    if chosen.json:
        with open(chosen.json, "w") as file:
            json.dump(figures, file, indent=2)


def print_figures(figures: dict) -> None:
    print(f"\n{figures['prefix_tokens']}-token prefixes, profile {figures['profile']}; median [p25 .. p75]")
    for name, spread in figures["ttft"].items():
        print(f"  TTFT {name[:-2]:<18} {_ms(spread)}")
    alone_s = figures["tpot"]["alone"]["tpot_mean_s"]
    for phase, result in figures["tpot"].items():
        ratio = result["tpot_mean_s"] / alone_s
        others = f"   others' TTFT {_ms(result['others_ttft_s'])}" if "others_ttft_s" in result else ""
        print(f"  TPOT {phase:<18} mean {result['tpot_mean_s'] * 1e3:6.2f} ms = {ratio:.3f} x alone, "
              f"p99 {result['tpot_p99_s'] * 1e3:6.2f} ms{others}")  # fmt: skip


def _ms(spread: dict) -> str:
    return f"{spread['median'] * 1e3:7.1f} ms [{spread['p25'] * 1e3:.1f} .. {spread['p75'] * 1e3:.1f}], {spread['count']}x"


if __name__ == "__main__":
    main()
