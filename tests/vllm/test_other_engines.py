"""Engines in processes of their own: sharing, not sharing, the lossy profile, memory pressure, refusals."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("vllm")

from engine import ANSWER_TOKENS, Answer, random_prompt  # noqa: E402
from test_fetch import CHUNK, KV4_LOSS, ROUNDING  # noqa: E402

pytestmark = pytest.mark.engine

SCRIPT = pathlib.Path(__file__).with_name("engine_process.py")
PREEMPTING = {"num_gpu_blocks_override": 36, "max_model_len": 4096}  # 4,608 tokens of KV cache


def run_engine(tiny_model, plane, asks, tokens=ANSWER_TOKENS, changes=None, hash_seed="0", **settings) -> dict:
    work = {
        "model": str(tiny_model), "socket": plane.socket, "asks": asks, "tokens": tokens, "changes": changes,
        "settings": {"lookup_timeout_ms": 1000} | settings,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(SCRIPT), json.dumps(work)],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report = json.loads(done.stdout.strip().splitlines()[-1])
    report["answers"] = [
        [Answer(tokens, [{int(token): value for token, value in at.items()} for at in best]) for tokens, best in ask]
        for ask in report["answers"]
    ]
    report["log"] = done.stdout + done.stderr
    return report


def test_another_process_with_other_python_hashes_shares_records(engine, tiny_model, plane):
    prompt = random_prompt(2048, seed=70)
    (computed,) = engine.compute_and_store(prompt)
    other = run_engine(tiny_model, plane, [[prompt]], hash_seed="4711", profile="raw")
    assert other["totals"]["fetch_placed"] == 2048 // CHUNK
    assert other["answers"][0][0].agrees_with(computed, ROUNDING)
    assert "page layout" in other["log"] and "profile raw" in other["log"], "the line at the start"


def test_another_model_shares_nothing_and_preempted_requests_answer_right(engine, tiny_model, plane):
    """One engine start for both: other weights by name, and too few pages for what it is asked."""
    stored = random_prompt(2048, seed=71)
    engine.compute_and_store(stored)
    crowd = [random_prompt(1020, seed=72 + number) for number in range(5)]  # four fit, until they grow
    expected = [engine.ask(prompt, tokens=150)[0] for prompt in crowd]
    other = run_engine(
        tiny_model, plane, [[stored], crowd], tokens=150, changes=PREEMPTING, profile="raw", model_fingerprint="other"
    )
    assert other["preemptions"] > 0, "the test has to bring about what it tests"
    for mine, yours in zip(other["answers"][1], expected):
        assert mine.agrees_with(yours, ROUNDING)
    # Nothing of the first prompt was found, whose records exist under the true fingerprint.
    again = other["totals"]["fetch_asked"]
    assert other["totals"]["save_asked"] >= 2048 // CHUNK
    assert again == other["totals"]["fetch_placed"] + sum(other["totals"]["fetch_failed"].values())


def test_kv4_answers_are_close(engine, tiny_model, plane):
    prompts = [random_prompt(2048, seed=80 + number) for number in range(3)]
    computed = engine.compute_and_store(*prompts)
    # The small cache of this engine makes room for each next prompt by dropping the one before.
    report = run_engine(
        tiny_model, plane, [[prompt] for prompt in [*prompts, *prompts]], changes=PREEMPTING, profile="kv4"
    )
    assert report["totals"]["fetch_placed"] >= 2 * 2048 // CHUNK
    assert 0 < report["relative_error"] < 0.2
    for ask, expected in zip(report["answers"][3:], computed):
        first = ask[0]
        for token, logprob in expected.logprobs[0].items():
            assert abs(first.logprobs[0].get(token, logprob) - logprob) < KV4_LOSS
    value_bytes, wire_bytes = report["totals"]["fetch_value_bytes"], report["totals"]["fetch_wire_bytes"]
    assert wire_bytes < value_bytes / 4, "4 bits a value and less on the wire"


def test_an_engine_with_a_wrong_setting_does_not_start(tiny_model, plane):
    work = {"model": str(tiny_model), "socket": plane.socket, "asks": [], "tokens": 1, "settings": {"sokcet": "x"}}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), json.dumps(work)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode != 0
    assert "did you mean 'socket'" in done.stdout + done.stderr
