"""Caches of other kinds on the real vLLM: fp8, and the latent vectors of multi-head latent attention."""

import itertools

import pytest

pytest.importorskip("vllm")

from device import ON_GPU  # noqa: E402
from engine import ANSWER_TOKENS, Answer, random_prompt  # noqa: E402
from other_engines import run_engines, wanted_engine  # noqa: E402
from test_fetch import CHUNK, ROUNDING  # noqa: E402

pytestmark = pytest.mark.engine

STORED = random_prompt(1024, seed=890)
LONGER = STORED[:700] + random_prompt(400, seed=891)  # two chunks of it are stored
E5M2 = [] if ON_GPU else ["e5m2"]  # vLLM 0.24's attention on GPUs asserts that there is none
DIRECT = ["direct", "direct latent"] if ON_GPU else []  # parts copied straight into pages: there are no other pages than a GPU's
SHORT = {"max_model_len": 4096, "max_num_batched_tokens": 4096}
# Single tokens of a latent model go through another kernel than prompts, which rounds in other places: without us,
# the same question asked as prompt and as answer differs by up to 0.2 in log probability.
LATENT_ROUNDING = 0.4


def trip(**more) -> list[dict]:
    """Compute and store, fetch all, fetch a part, and fetch with the pages damaged."""
    once = {"tokens": ANSWER_TOKENS, "forgets": True}
    return [
        {"prompts": [STORED]} | once,
        {"prompts": [STORED]} | once,
        {"prompts": [LONGER]} | once,
        {"prompts": [STORED], "damages": True} | once,
    ]


def fresh() -> list[dict]:
    """What has no prefix in common with anything that is stored for this engine."""
    return [{"prompts": [LONGER], "tokens": ANSWER_TOKENS, "forgets": True}]


@pytest.fixture(scope="module")
def reports(tiny_model, latent_model, redis, plane, tmp_path_factory) -> dict:
    """One process for all engines: most of a start is importing vLLM."""
    redis.ensure_up()
    plane.ensure_up()

    def engine(model, steps, changes=None, **settings) -> dict:
        return wanted_engine(model, plane.socket, steps, changes=SHORT | (changes or {}), **settings)

    e4m3, e5m2 = {"kv_cache_dtype": "fp8_e4m3"}, {"kv_cache_dtype": "fp8_e5m2"}
    wanted = {
        "e4m3": engine(tiny_model, trip(), e4m3),
        "e4m3 alone": engine(tiny_model, fresh(), e4m3, model_fingerprint="other"),
        **{kind: engine(tiny_model, trip()[:2], e5m2, profile="raw") for kind in E5M2},
        "bf16": engine(tiny_model, trip()[:1], profile="raw"),
        "latent": engine(latent_model, trip()),
        "latent alone": engine(latent_model, fresh(), model_fingerprint="other"),
        "latent kv4": engine(latent_model, trip()[:2], profile="kv4"),
    }
    if DIRECT:
        direct = {"direct_pages": True, "model_fingerprint": "direct"}
        wanted["direct"] = engine(tiny_model, trip(), profile="raw", **direct)
        wanted["direct alone"] = engine(tiny_model, fresh(), model_fingerprint="another")
        wanted["direct latent"] = engine(latent_model, trip()[:2], **direct)
    reports, log = run_engines(tmp_path_factory.mktemp("kinds"), *wanted.values())
    return dict(zip(wanted, reports, strict=True)) | {"log": log}


def placed(step: dict, before: dict | None = None) -> int:
    return step["totals"]["fetch_placed"] - (before["totals"]["fetch_placed"] if before else 0)


def answer(step: dict) -> Answer:
    (only,) = step["answers"]
    return only


@pytest.mark.parametrize("kind", ["e4m3", *E5M2, "latent", *DIRECT])
def test_a_full_hit_gives_the_same_pages_and_answer(reports, kind):
    computed, fetched, *_ = reports[kind]["steps"]
    assert placed(computed) == 0 and placed(fetched) == len(STORED) // CHUNK
    assert len(fetched["pages"]["loaded"]) == len(STORED) // CHUNK
    for key, pages in fetched["pages"]["loaded"].items():
        assert pages == fetched["pages"]["saved"][key], "lossless: bit-identical"
    assert answer(fetched).agrees_with(answer(computed), LATENT_ROUNDING if "latent" in kind else ROUNDING)


@pytest.mark.parametrize("kind", ["e4m3", "latent", *DIRECT[:1]])
def test_a_part_of_a_prompt_is_fetched_and_the_rest_computed_behind_it(reports, kind):
    steps, (alone,) = reports[kind]["steps"], reports[f"{kind} alone"]["steps"]
    assert placed(alone) == 0 and placed(steps[2], steps[1]) == 700 // CHUNK
    assert answer(steps[2]).agrees_with(answer(alone), LATENT_ROUNDING if "latent" in kind else ROUNDING)


@pytest.mark.parametrize("kind", ["e4m3", "latent", *DIRECT[:1]])
def test_damaged_pages_change_the_answer(reports, kind):
    """Without this the tests above would prove nothing."""
    steps = reports[kind]["steps"]
    assert placed(steps[3], steps[2]) == len(STORED) // CHUNK
    assert not answer(steps[3]).agrees_with(answer(steps[0]), LATENT_ROUNDING if "latent" in kind else ROUNDING)


def test_no_kind_finds_what_another_one_stored(reports):
    """All of these engines asked the same store for the same tokens of the same weights."""
    for kind in (*E5M2, "bf16"):
        first = reports[kind]["steps"][0]["totals"]
        assert first["fetch_asked"] == 0 and first["save_stored"] > 0
    saved = [set(reports[kind]["steps"][0]["pages"]["saved"]) for kind in ("e4m3", *E5M2, "bf16")]
    assert all(saved) and not any(one & other for one, other in itertools.combinations(saved, 2))


def test_bytes_of_each_kind(reports):
    """What crosses to the pages: 8,192 bytes a token in bf16, half in fp8, 4 layers of 576 values of the latent model."""
    for kind, token_bytes in (("e4m3", 4096), *((kind, 4096) for kind in E5M2), ("latent", 4 * 576 * 2)):
        totals = reports[kind]["steps"][1]["totals"]
        assert totals["fetch_value_bytes"] == len(STORED) * token_bytes


def test_the_default_is_lossless_for_these(reports):
    assert "profile raw, because a cache of fp8_e4m3 is stored as it is" in reports["log"]
    assert "profile raw, because nobody measured what a lossy one costs a latent cache (MLA)" in reports["log"]


def test_a_lossy_profile_of_a_latent_cache_is_close(reports):
    computed, fetched = reports["latent kv4"]["steps"]
    assert placed(fetched) == len(STORED) // CHUNK
    assert 0 < fetched["pages"]["relative_error"] < 0.2
    totals = fetched["totals"]
    assert totals["fetch_wire_bytes"] < totals["fetch_value_bytes"] / 3.5
