"""The default profile: generic until the model's calibration is published, balanced for every engine that starts then."""

import os
import pathlib
import subprocess
import sys
from statistics import mean

import pytest

pytest.importorskip("vllm")

from other_engines import run_engines, wanted_engine  # noqa: E402
from processes import ENGINES_CORE, DataPlane, alone, shadowserve_command  # noqa: E402
from test_real_model import ANSWER_TOKENS, CHUNK, DOCUMENT, SMALL  # noqa: E402

pytestmark = pytest.mark.engine

OTHER_MODELS = pathlib.Path(__file__).resolve().parents[1] / "golden" / "tiny.cal"
CALIBRATED_FROM = ["docs/running.md", "src/codec/codec.cc", "ARCHITECTURE.md"]
CALIBRATED_CHARACTERS = 3000
CHUNKS = 5
# In log probability of the answer's tokens; measured: 0.1 in the mean, damaged pages several times as much.
MEAN_LOSS = 0.25


@pytest.fixture(scope="module")
def own_plane(tmp_path_factory):
    """With a store that nobody else uses: what is published in it concerns no other test."""
    plane = DataPlane(tmp_path_factory.mktemp("own-plane"), "memory:?limit=1GB")
    plane.start()
    yield plane
    plane.stop()


@pytest.fixture(scope="module")
def calibration(gemma_model, tmp_path_factory) -> pathlib.Path:
    """From little text: enough to code with."""
    folder = tmp_path_factory.mktemp("calibration")
    texts, out = [folder / pathlib.Path(name).name for name in CALIBRATED_FROM], folder / "gemma.cal"
    for name, text in zip(CALIBRATED_FROM, texts):
        text.write_text((DOCUMENT.parent / name).read_text()[:CALIBRATED_CHARACTERS])
    with alone(ENGINES_CORE):
        subprocess.run(
            [sys.executable, "-m", "shadowserve.calibration", str(gemma_model), "--out", str(out),
             "--text", *map(str, texts), "--prefix-tokens", "512", "--suffix-tokens", "64"],
            check=True, stdin=subprocess.DEVNULL, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    return out


def publish(plane: DataPlane, file: pathlib.Path) -> None:
    subprocess.run(
        [shadowserve_command(), "calibration", "publish", str(file), "--socket", plane.socket], check=True, timeout=30
    )


@pytest.fixture(scope="module")
def reports(gemma_model, own_plane, calibration, tmp_path_factory):
    """Of engines that name no profile: one before the calibration was published, and two behind it."""
    import tokenizers

    words = tokenizers.Tokenizer.from_file(str(gemma_model / "tokenizer.json"))
    prompt = words.encode(DOCUMENT.read_text()).ids[: CHUNKS * CHUNK + 8]
    ask = {"prompts": [prompt], "tokens": ANSWER_TOKENS, "forgets": True}
    again, damaged = {"retraces": 0, "forgets": True}, {"retraces": 0, "forgets": True, "damages": True}

    def engine(*steps: dict) -> dict:
        return wanted_engine(gemma_model, own_plane.socket, list(steps), changes=SMALL)

    publish(own_plane, OTHER_MODELS)
    (before,), before_log = run_engines(tmp_path_factory.mktemp("before"), engine(ask, again))
    publish(own_plane, calibration)
    (first, second), behind_log = run_engines(
        tmp_path_factory.mktemp("behind"), engine(ask), engine(ask, again, damaged)
    )
    return {
        "before": before["steps"], "first": first["steps"], "second": second["steps"],
        "before_log": before_log, "behind_log": behind_log,
    }  # fmt: skip


def ratio(steps: list[dict]) -> float:
    totals = steps[-1]["totals"]
    return totals["fetch_value_bytes"] / totals["fetch_wire_bytes"]


def test_without_a_calibration_of_this_model_it_is_generic(reports):
    """There was one in the store: another model's."""
    assert "profile generic, because the data plane gave no calibration" in reports["before_log"]
    assert "none was published for these weights" in reports["before_log"]
    assert reports["before"][1]["totals"]["fetch_placed"] == CHUNKS
    computed, retraced = (step["answers"][0] for step in reports["before"])
    assert mean(computed.losses(retraced)) < MEAN_LOSS


def test_with_a_published_calibration_it_is_balanced(reports):
    assert reports["behind_log"].count("profile balanced, because the data plane has a calibration of this model") == 2
    assert "profile generic" not in reports["behind_log"]
    totals = reports["first"][0]["totals"]
    assert totals["fetch_asked"] == 0, "records of generic are not found"
    assert totals["save_stored"] >= CHUNKS, "and stores its own"


def test_a_second_engine_fetches_what_the_first_stored(reports):
    """It never saw the prompt: keys and records are the same in both, and so is the calibration."""
    placed = [step["totals"]["fetch_placed"] for step in reports["second"]]
    assert placed == [CHUNKS, 2 * CHUNKS, 3 * CHUNKS]
    assert not any(reports["second"][-1]["totals"]["fetch_failed"].values())
    computed = reports["first"][0]["answers"][0]
    fetched, _, damaged = (step["answers"][0] for step in reports["second"])
    same = sum(one == other for one, other in zip(computed.tokens[:4], fetched.tokens[:4]))
    assert same >= 1 and computed.agrees_with(fetched, 4 * MEAN_LOSS)
    assert mean(fetched.losses(damaged)) > 4 * MEAN_LOSS, "negative control"


def test_records_are_smaller_with_the_calibration(reports):
    assert ratio(reports["before"]) > 4.2, "measured: 4.5"
    assert ratio(reports["second"]) > 1.15 * ratio(reports["before"]), "5.8, from little text and a short context"
