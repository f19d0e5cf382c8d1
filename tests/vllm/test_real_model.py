"""Gemma 3 270M with its real weights reads an English document: fetched against computed, lossless and lossy."""

import math
import pathlib
import warnings
from statistics import mean

import pytest

pytest.importorskip("vllm")

from other_engines import run_engines, wanted_engine  # noqa: E402

pytestmark = pytest.mark.engine

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "LICENSE"
QUESTION = "\n\nQuestion: What does this license allow, and under which conditions?\nAnswer:"
CHUNK = 256
CHUNKS = 6
PROMPT_TOKENS = CHUNKS * CHUNK + 8  # the document is cut so that the last chunk ends shortly before the answer
ANSWER_TOKENS = 24
SMALL = {"max_model_len": 2048, "max_num_seqs": 8}
# In log probability of the tokens of the answer. Computed one by one or all together they differ by bfloat16 rounding
# (0.07 at most, measured); kv4 is allowed to lose more (measured: 0.1 on average, 0.45 at most; damaged pages: 2.7).
ROUNDING = 0.2
KV4_MEAN_LOSS = 0.25
KV4_LOSS = 1.0


@pytest.fixture(scope="module")
def reports(gemma_model, plane, redis, tmp_path_factory):
    """Each engine computes the prompt, forgets it, fetches it, and retraces its first answer on fetched pages."""
    import tokenizers

    redis.ensure_up()
    plane.ensure_up()
    tokenizer = tokenizers.Tokenizer.from_file(str(gemma_model / "tokenizer.json"))
    document = tokenizer.encode(DOCUMENT.read_text()).ids
    question = tokenizer.encode(QUESTION, add_special_tokens=False).ids
    prompt = document[: PROMPT_TOKENS - len(question)] + question
    assert len(prompt) == PROMPT_TOKENS

    def engine(profile: str):
        ask = {"prompts": [prompt], "tokens": ANSWER_TOKENS, "forgets": True}
        again = {"retraces": 0, "forgets": True}
        damaged = {"retraces": 0, "forgets": True, "damages": True}
        return wanted_engine(gemma_model, plane.socket, [ask, ask, again, damaged], changes=SMALL, profile=profile)

    for attempt in range(2):
        (raw, kv4), _ = run_engines(tmp_path_factory.mktemp("gemma"), engine("raw"), engine("kv4"))
        if not any(has_nan(run["steps"][0]) for run in (raw, kv4)):
            break
        # Seen once on a busy machine: vLLM's very first decode on the CPU gave NaN. There is nothing to compare with then.
        warnings.warn(f"vLLM computed NaN before anything was fetched (attempt {attempt + 1})", stacklevel=1)
        redis.ask("FLUSHALL")
    return {"raw": raw["steps"], "kv4": kv4["steps"]}


def has_nan(step: dict) -> bool:
    (answer,) = step["answers"]
    return any(math.isnan(value) for position in answer.logprobs for value in position.values())


def answers_of(steps: list[dict]) -> list:
    return [step["answers"][0] for step in steps]


def test_no_answer_is_nan(reports):
    """Computed or fetched: pages that are not what they should be can show like this."""
    assert not any(has_nan(step) for steps in reports.values() for step in steps)


@pytest.mark.parametrize("profile", ["raw", "kv4"])
def test_the_prompt_is_computed_first_and_fetched_whole_afterwards(reports, profile):
    """Also for the second profile: it does not see the records of the first."""
    placed = [step["totals"]["fetch_placed"] for step in reports[profile]]
    assert placed == [0, CHUNKS, 2 * CHUNKS, 3 * CHUNKS]
    assert not any(reports[profile][-1]["totals"]["fetch_failed"].values())


def test_lossless_pages_are_bit_identical(reports):
    saved = reports["raw"][0]["pages"]["saved"]
    for step in reports["raw"][1:3]:
        loaded = step["pages"]["loaded"]
        assert len(loaded) == CHUNKS
        assert {key: saved[key] for key in loaded} == loaded
        assert step["pages"]["relative_error"] == 0.0


def test_lossless_answers_are_the_same(reports):
    computed, fetched, retraced, _ = answers_of(reports["raw"])
    assert fetched.agrees_with(computed, ROUNDING)
    assert max(computed.losses(retraced)) < ROUNDING


def test_kv4_loses_little(reports):
    computed, _, retraced, _ = answers_of(reports["kv4"])
    assert computed.agrees_with(answers_of(reports["raw"])[0], ROUNDING), "nothing was lossy yet"
    assert 0 < reports["kv4"][1]["pages"]["relative_error"] < 0.25
    losses = computed.losses(retraced)
    assert mean(losses) < KV4_MEAN_LOSS and max(losses) < KV4_LOSS
    totals = reports["kv4"][-1]["totals"]
    assert totals["fetch_wire_bytes"] < totals["fetch_value_bytes"] / 4


@pytest.mark.parametrize("profile", ["raw", "kv4"])
def test_damaged_pages_lose_more(reports, profile):
    """Without this the tests above would prove nothing."""
    computed, _, _, damaged = answers_of(reports[profile])
    assert mean(computed.losses(damaged)) > KV4_LOSS
