"""A calibrated profile from the model's folder to a fetched answer, and who is refused or finds nothing."""

import hashlib
import os
import pathlib
import random
import subprocess
import sys
from types import SimpleNamespace

import pytest

pytest.importorskip("vllm")

from engine import ANSWER_TOKENS, random_prompt  # noqa: E402
from other_engines import run_engines, wanted_engine  # noqa: E402
from processes import ENGINES_CORE, alone  # noqa: E402
from test_fetch import CHUNK  # noqa: E402
from test_served_model import config, groups, spec  # noqa: E402

from shadowserve import _native  # noqa: E402
from shadowserve.vllm.connector import ShadowServeConnector  # noqa: E402
from shadowserve.vllm.work import ProfileInUse  # noqa: E402
from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorRole  # noqa: E402

TINY_CALIBRATION = pathlib.Path(__file__).resolve().parents[1] / "golden" / "tiny.cal"  # 2 layers, 2 heads of 16
SCALAR_AT = 68 + 24 + 16  # of the second point in a calibration file: balanced
HASH_BYTES = 32
PROMPTS = [random_prompt(1024, seed=90 + number) for number in range(2)]
# In log probability of the first token's best candidates (measured: 0.25 at most; damaged pages have to lose more).
LOSS = 0.5


@pytest.fixture(scope="module")
def calibration(tiny_model, tmp_path_factory) -> pathlib.Path:
    """Of the tiny model, from few words of its own: enough to code with, in half a minute."""
    import tokenizers

    folder = tmp_path_factory.mktemp("calibration")
    words = tokenizers.Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
    source = random.Random(7)
    texts = []
    for number in range(3):
        texts.append(folder / f"{number}.txt")
        texts[-1].write_text(words.decode([source.randrange(4, 8192) for _ in range(300)]))
    out = folder / "tiny-llama.cal"
    with alone(ENGINES_CORE):
        subprocess.run(
            [sys.executable, "-m", "shadowserve.calibration", str(tiny_model), "--out", str(out),
             "--text", *map(str, texts), "--prefix-tokens", "256", "--suffix-tokens", "32"],
            check=True, stdin=subprocess.DEVNULL, timeout=120, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    return out


@pytest.fixture(scope="module")
def other_calibration(calibration) -> pathlib.Path:
    """The same but for one number, with a hash that fits."""
    data = bytearray(calibration.read_bytes())
    data[SCALAR_AT + 1] ^= 1
    data[-HASH_BYTES:] = hashlib.sha256(data[:-HASH_BYTES]).digest()
    changed = calibration.with_name("other.cal")
    changed.write_bytes(data)
    return changed


@pytest.fixture(scope="module")
def reports(tiny_model, plane, redis, calibration, other_calibration, tmp_path_factory):
    redis.ensure_up()
    plane.ensure_up()
    steps = [{"prompts": [prompt], "tokens": ANSWER_TOKENS, "forgets": True} for prompt in PROMPTS]

    def engine(path: pathlib.Path, *, steps: list[dict]) -> dict:
        return wanted_engine(tiny_model, plane.socket, steps, profile="balanced", calibration=str(path))

    (first, other), log = run_engines(
        tmp_path_factory.mktemp("engines"),
        engine(calibration, steps=[*steps, *steps, steps[0] | {"damages": True}]),
        engine(other_calibration, steps=steps),
    )
    return {"first": first["steps"], "other": other["steps"], "log": log}


def loss(expected: dict, got: dict) -> float:
    """At least: what is not named any more is no better than what is named last."""
    best, now = expected["answers"][0].logprobs[0], got["answers"][0].logprobs[0]
    return max(abs(now.get(token, min(now.values())) - logprob) for token, logprob in best.items())


@pytest.mark.engine
def test_a_prompt_that_was_forgotten_is_fetched_whole(reports):
    computed, fetched, damaged = reports["first"][:2], reports["first"][2:4], reports["first"][4]
    assert computed[-1]["totals"]["fetch_asked"] == 0
    totals = fetched[-1]["totals"]
    assert totals["fetch_placed"] == len(PROMPTS) * 1024 // CHUNK
    assert not any(totals["fetch_failed"].values())
    assert totals["fetch_wire_bytes"] < totals["fetch_value_bytes"] / 2, "2.5 times less: random weights bear little"
    for before, after in zip(computed, fetched, strict=True):
        assert 0 < after["pages"]["relative_error"] < 0.1, "what is fetched is close to what was computed, not the same"
        assert loss(before, after) < LOSS
    assert loss(computed[0], damaged) > LOSS, "negative control"


@pytest.mark.engine
def test_an_engine_with_another_calibration_finds_nothing(reports):
    totals = reports["other"][-1]["totals"]
    assert totals["fetch_asked"] == 0
    assert totals["save_stored"] >= len(PROMPTS) * 1024 // CHUNK, "and stores its own"


def connector(model: pathlib.Path, **settings) -> ShadowServeConnector:
    """The scheduler's half for a model of tiny.cal's shape."""
    wanted = config(model={"model": str(model)})
    wanted.kv_transfer_config = SimpleNamespace(
        kv_connector_extra_config={"socket": "/tmp/nobody.sock", "profile": "balanced"} | settings,
        kv_load_failure_policy="recompute", is_kv_consumer=True, is_kv_producer=True,
    )  # fmt: skip
    wanted.cache_config.enable_prefix_caching = True
    return ShadowServeConnector(
        wanted, KVConnectorRole.SCHEDULER, groups(spec(num_kv_heads=2, head_size=16))
    )


@pytest.fixture
def model(tmp_path) -> pathlib.Path:
    (tmp_path / "model.bin").write_bytes(b"w" * 1000)
    return tmp_path


@pytest.mark.quick
def test_a_calibration_for_other_weights_is_refused_naming_both(model, tmp_path):
    with pytest.raises(ValueError, match="is for weights with fingerprint") as refused:
        connector(model, calibration=str(TINY_CALIBRATION))
    assert bytes(range(32)).hex() in str(refused.value)
    assert _native.model_fingerprint(str(model)) in str(refused.value)
    assert str(TINY_CALIBRATION) in str(refused.value)
    own = bytearray(TINY_CALIBRATION.read_bytes())
    own[36:68] = bytes.fromhex(_native.model_fingerprint(str(model)))
    own[-HASH_BYTES:] = hashlib.sha256(own[:-HASH_BYTES]).digest()
    (tmp_path / "own.cal").write_bytes(own)
    connector(model, calibration=str(tmp_path / "own.cal")).shutdown()


@pytest.mark.quick
def test_an_engine_without_a_calibration_is_told_how_to_make_one(model):
    with pytest.raises(ValueError, match="shadowserve calibrate MODEL"):
        connector(model, model_fingerprint="weights that nobody reads")


@pytest.mark.quick
def test_the_scheduler_takes_over_what_the_worker_settled_on(model):
    scheduler = connector(model, profile="auto")
    assert scheduler._lookup is None, "nothing is looked up before it is known"
    scheduler.set_xfer_handshake_metadata({0: ProfileInUse("generic")})
    assert scheduler._lookup.profile() == "generic"
    scheduler.set_xfer_handshake_metadata({0: ProfileInUse(f"balanced:{'ab' * 32}")})
    assert scheduler._lookup.profile() == f"balanced:{'ab' * 32}"
    scheduler.shutdown()


@pytest.mark.quick
def test_workers_of_different_profiles_fetch_and_save_nothing(model, monkeypatch):
    scheduler, said = connector(model, profile="auto"), []
    monkeypatch.setattr("shadowserve.vllm.connector.logger.warning", lambda text, *values: said.append(text % values))
    scheduler.set_xfer_handshake_metadata({0: ProfileInUse("generic"), 1: ProfileInUse("generic")})
    assert scheduler._lookup is not None and not said, "the negative control"
    scheduler.set_xfer_handshake_metadata({0: ProfileInUse("generic"), 1: ProfileInUse(f"balanced:{'ab' * 32}")})
    assert scheduler._lookup is None and "different profiles (rank 0 generic, rank 1 balanced:" in said[0]
    scheduler.shutdown()
