"""Engines in a process of their own: sharing, not sharing, memory pressure, the lossy profile."""

import pytest

pytest.importorskip("vllm")

from device import PAGE_TOKENS  # noqa: E402
from engine import ANSWER_TOKENS, random_prompt  # noqa: E402
from other_engines import run_engines, wanted_engine  # noqa: E402
from test_fetch import CHUNK, KV4_LOSS, ROUNDING  # noqa: E402

pytestmark = pytest.mark.engine

FEW_PAGES = {"num_gpu_blocks_override": 4608 // PAGE_TOKENS, "max_model_len": 4096}
STORED = random_prompt(2048, seed=70)
CROWD = [random_prompt(1020, seed=72 + number) for number in range(5)]  # four fit, until they grow
CROWD_TOKENS = 150
# With FEW_PAGES none of these fits beside the stored part of another one.
PREFIX = random_prompt(1792, seed=90)
CROWDED = [PREFIX + random_prompt(1100, seed=91 + number) for number in range(4)]
LOSSY = [random_prompt(2048, seed=80 + number) for number in range(3)]


@pytest.fixture(scope="module")
def computed(raw_engine, redis, plane) -> dict:
    """What the shared engine, of the same weights, says to the same prompts."""
    redis.ensure_up()
    plane.ensure_up()
    raw_engine.wait_until_connected()
    answers = {
        "stored": raw_engine.compute_and_store(STORED)[0],
        "crowd": [raw_engine.ask(prompt, tokens=CROWD_TOKENS)[0] for prompt in CROWD],
        "crowded": raw_engine.compute_and_store(*CROWDED),
        "lossy": [raw_engine.ask(prompt)[0] for prompt in LOSSY],
    }
    raw_engine.wait_until_saved()
    return answers


@pytest.fixture(scope="module")
def reports(computed, tiny_model, plane, tmp_path_factory):
    """One process for all engines: most of a start is importing vLLM."""

    def ask(*prompts, tokens=ANSWER_TOKENS, **more) -> dict:
        return {"prompts": prompts, "tokens": tokens} | more

    def engine(*steps, **more) -> dict:
        return wanted_engine(tiny_model, plane.socket, steps, **more)

    reports, log = run_engines(
        tmp_path_factory.mktemp("engines"),
        engine(ask(STORED), profile="raw"),
        engine(
            ask(STORED, forgets=True), ask(*CROWD, tokens=CROWD_TOKENS),
            profile="raw", model_fingerprint="other", changes=FEW_PAGES,
        ),
        engine(
            ask(PREFIX, forgets=True), ask(*CROWDED),
            profile="raw", model_fingerprint="crowded", changes=FEW_PAGES,
        ),
        engine(*[ask(prompt, forgets=True) for prompt in [*LOSSY, *LOSSY]], profile="kv4"),
    )  # fmt: skip
    return dict(zip(("same", "other_model", "crowded", "kv4"), reports)) | {"log": log}


def test_another_process_with_other_python_hashes_shares_records(reports, computed):
    assert reports["same"]["hash"] != hash("text"), "the test has to bring about what it tests"
    (step,) = reports["same"]["steps"]
    assert step["totals"]["fetch_placed"] == 2048 // CHUNK
    assert step["answers"][0].agrees_with(computed["stored"], ROUNDING)
    assert "page layout" in reports["log"] and "profile raw" in reports["log"], "the line at the start"


def test_another_model_shares_nothing(reports):
    totals = reports["other_model"]["steps"][0]["totals"]
    assert totals["fetch_asked"] == 0
    assert totals["save_asked"] >= 2048 // CHUNK


def test_preempted_requests_answer_right(reports, computed):
    """Too few pages for what the engine is asked."""
    assert reports["other_model"]["preemptions"] > 0, "the test has to bring about what it tests"
    step = reports["other_model"]["steps"][1]
    for mine, yours in zip(step["answers"], computed["crowd"], strict=True):
        assert mine.agrees_with(yours, ROUNDING)
    totals = step["totals"]
    assert totals["fetch_asked"] == totals["fetch_placed"] + sum(totals["fetch_failed"].values())


def test_requests_that_fit_only_one_after_the_other_all_get_their_turn(reports, computed):
    """A request that waits for pages may stand before a loaded one that holds them (test_scheduler_side.py has the rule)."""
    step = reports["crowded"]["steps"][1]
    assert step["totals"]["fetch_placed"] >= 1792 // CHUNK, "the test has to bring about what it tests"
    for mine, yours in zip(step["answers"], computed["crowded"], strict=True):
        assert mine.agrees_with(yours, ROUNDING)


def test_kv4_answers_are_close(reports, computed):
    steps = reports["kv4"]["steps"]
    assert steps[2]["totals"]["fetch_asked"] == 0, "records of another profile are not found"
    totals = steps[-1]["totals"]
    assert totals["fetch_placed"] == 3 * 2048 // CHUNK
    for step, expected in zip(steps[3:], computed["lossy"], strict=True):
        assert 0 < step["pages"]["relative_error"] < 0.2
        first = step["answers"][0].logprobs[0]
        for token, logprob in expected.logprobs[0].items():
            assert abs(first.get(token, logprob) - logprob) < KV4_LOSS
    assert totals["fetch_wire_bytes"] < totals["fetch_value_bytes"] / 4, "4 bits a value and less on the wire"
