"""vLLM's own benchmark against vLLM's own server: the second run finds in the store what the first has computed."""

import json
import pathlib
import urllib.request

import pytest

pytest.importorskip("vllm")

from device import ON_GPU  # noqa: E402
from metrics_page import chunk_counters  # noqa: E402
from processes import ENGINES_CORE, ApiServer, alone, wait_for  # noqa: E402

pytestmark = [pytest.mark.engine, pytest.mark.skipif(ON_GPU, reason="this server takes a GPU for itself")]

PROMPTS = 6
PROMPT_TOKENS = 1024
ANSWER_TOKENS = 8
CHUNK = 256


@pytest.fixture(scope="module")
def server(tiny_model, plane, redis, tmp_path_factory):
    """Without vLLM's own prefix cache: whatever is not computed has come from the store."""
    redis.ensure_up()
    plane.ensure_up()
    server = ApiServer(tmp_path_factory.mktemp("server"), tiny_model, plane.socket)
    with alone(ENGINES_CORE):
        try:
            server.start()
            complete(server, "warm up " * 300)
            yield server
        finally:
            server.stop()


def complete(server: ApiServer, prompt: str) -> None:
    body = json.dumps({"model": "tiny", "prompt": prompt, "max_tokens": 4, "ignore_eos": True}).encode()
    request = urllib.request.Request(server.url + "/v1/completions", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=60).read()


def settled_counters(server: ApiServer) -> dict[str, float]:
    """vLLM publishes the counts of a step with a later one: short requests, which ask for no chunk, bring them out."""

    def settled() -> dict[str, float] | None:
        complete(server, "hello")
        with urllib.request.urlopen(server.url + "/metrics", timeout=10) as page:
            counters = chunk_counters(page.read().decode())
        done = counters["chunks_saved"] + counters["chunks_save_failed"] == counters["chunks_save_asked"]
        return counters if done and counters["chunks_fetched"] == placed_or_failed(counters) else None

    return wait_for("all fetches and saves ended", settled, every_s=0.2)


def placed_or_failed(counters: dict[str, float]) -> float:
    return counters["chunks_placed"] + counters["chunks_failed"]


def bench(server: ApiServer, model: pathlib.Path) -> dict:
    """`vllm bench serve`, in this process: importing vLLM twice more would take longer than the test."""
    from vllm.benchmarks.serve import add_cli_args, main
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = FlexibleArgumentParser()
    add_cli_args(parser)
    return main(parser.parse_args([
        "--backend", "openai", "--base-url", server.url, "--endpoint", "/v1/completions",
        "--model", str(model), "--served-model-name", "tiny", "--dataset-name", "random", "--seed", "7",
        "--num-prompts", str(PROMPTS), "--random-input-len", str(PROMPT_TOKENS),
        "--random-output-len", str(ANSWER_TOKENS), "--ignore-eos", "--max-concurrency", "2", "--disable-tqdm",
    ]))  # fmt: skip


def test_the_second_run_hits_answers_sooner_and_the_funnel_adds_up(server, tiny_model):
    before = settled_counters(server)
    cold = bench(server, tiny_model)
    between = settled_counters(server)
    hit = bench(server, tiny_model)
    after = settled_counters(server)
    for run in (cold, hit):
        assert (run["completed"], run["failed"]) == (PROMPTS, 0)
        assert run["total_output_tokens"] == PROMPTS * ANSWER_TOKENS
    asked = PROMPTS * PROMPT_TOKENS // CHUNK
    assert between["chunks_asked"] - before["chunks_asked"] == asked
    assert between["chunks_placed"] == before["chunks_placed"], "the first run has to compute"
    assert after["chunks_placed"] - between["chunks_placed"] == asked, "the second one nothing but the last token"
    assert after["chunks_asked"] == after["chunks_found"] + after["chunks_not_found"]
    assert after["chunks_fetched"] == placed_or_failed(after)
    assert hit["mean_ttft_ms"] < cold["mean_ttft_ms"]
