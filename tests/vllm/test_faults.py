"""Everything that can go wrong around an engine ends as: computed, correct, in time, counted, one log line."""

import dataclasses
import threading
import time

import pytest

pytest.importorskip("vllm")

from device import ON_GPU  # noqa: E402
from engine import LIMITS, Answer, Engine, random_prompt  # noqa: E402
from processes import ENGINES_CORE, alone, wait_for  # noqa: E402
from test_fetch import CHUNK, ROUNDING  # noqa: E402

from shadowserve.vllm.worker import FAILURE_LOG_INTERVAL_S  # noqa: E402

pytestmark = pytest.mark.engine

TOKENS = 2048
# And the grace that both ends allow.
LIMITS_S = (LIMITS["fetch_timeout_ms"] + LIMITS["lookup_timeout_ms"]) / 1000 + 1.0


@pytest.fixture(scope="module", autouse=True)
def undisturbed():
    """Every test here judges how long something took."""
    with alone(ENGINES_CORE):
        yield


@dataclasses.dataclass
class Known:
    """A prompt that was computed and stored, and forgotten by the engine."""

    prompt: list[int]
    answer: Answer
    seconds: float
    keys: list[str]  # of its chunks, in order, in hexadecimal


@pytest.fixture
def known(engine, redis, request) -> Known:
    redis.ask("FLUSHALL")
    if ON_GPU:  # so quick that the failure of the test before would keep this one's out of the log
        time.sleep(FAILURE_LOG_INTERVAL_S)
    seed = 1000 + sum(request.node.name.encode())
    prompt = random_prompt(TOKENS, seed)
    engine.call("probe_report")
    before = set(engine.call("probe_report")["saved"])
    seconds, answer = engine.seconds_to_answer(prompt)
    engine.wait_until_saved()
    engine.forget_prefixes()
    keys = [key for key in engine.call("probe_report")["saved"] if key not in before]
    assert len(keys) == TOKENS // CHUNK
    engine.call("probe_log")
    return Known(prompt, answer, seconds, keys)


@dataclasses.dataclass
class Outcome:
    placed: int
    failed: dict[str, int]
    log: list[str]


def ask_again(engine: Engine, known: Known) -> Outcome:
    """The answer has to be right and in time, whatever happened."""
    before = engine.totals()
    seconds, answer = engine.seconds_to_answer(known.prompt)
    after = engine.totals()
    assert answer.agrees_with(known.answer, ROUNDING)
    check_in_time(engine, known, seconds, prompts=1, times=4)
    failed = {
        reason: count - before["fetch_failed"].get(reason, 0)
        for reason, count in after["fetch_failed"].items()
        if count > before["fetch_failed"].get(reason, 0)
    }
    log = [line for line in engine.call("probe_log") if "failed" in line]
    return Outcome(after["fetch_placed"] - before["fetch_placed"], failed, log)


def check_in_time(engine: Engine, known: Known, seconds: float, prompts: int, times: int) -> None:
    """No more than all limits and `times` what computing as many prompts costs - as long as the machine is what it was
    when that was measured. Where it is not, computing them costs what it costs now."""
    computing_s = prompts * known.seconds
    if seconds >= LIMITS_S + times * computing_s + 2:
        seed = time.monotonic_ns()  # prompts that nobody has stored
        with engine.timed() as took:
            engine.ask(*[random_prompt(TOKENS, seed + number) for number in range(prompts)])
        computing_s = took.seconds
    assert seconds < LIMITS_S + times * computing_s + 2


def check_recovered(engine: Engine, known: Known) -> None:
    """What was recomputed has been saved again, and is fetched whole."""
    engine.wait_until_saved()
    engine.forget_prefixes()
    outcome = ask_again(engine, known)
    assert (outcome.placed, outcome.failed, outcome.log) == (TOKENS // CHUNK, {}, [])


# ---- records: the store may return anything ----


def flip_bit(record: bytes) -> bytes:
    middle = len(record) // 2
    return record[:middle] + bytes([record[middle] ^ 1]) + record[middle + 1 :]


def of_version_2(record: bytes) -> bytes:
    return record[:8] + (2).to_bytes(2, "little") + record[10:]


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda record: record[: len(record) // 2], "record_truncated"),
        (lambda record: record[:10], "record_truncated"),
        (lambda record: b"", "record_truncated"),
        (flip_bit, "record_corrupt"),
        (of_version_2, "record_version"),
        (lambda record: b"x" * len(record), "record_malformed"),
    ],
    ids=["half", "ten-bytes", "empty", "bit-flip", "next-version", "garbage"],
)
def test_a_damaged_chunk_and_all_behind_it_are_recomputed(engine, redis, known, change, reason):
    for name in redis.records():
        if known.keys[2].encode() in name:
            redis.ask("SET", name, change(redis.ask("GET", name)))
    outcome = ask_again(engine, known)
    assert outcome.placed == 2
    assert sum(outcome.failed.values()) == TOKENS // CHUNK - 2
    assert reason in outcome.failed
    assert len(outcome.log) == 1 and reason in outcome.log[0] and f"{TOKENS - 2 * CHUNK} tokens" in outcome.log[0]
    check_recovered(engine, known)


def test_a_record_of_another_chunk_is_foreign(engine, redis, known):
    first, third = (f"ss1:{known.keys[number]}:0" for number in (0, 2))
    redis.ask("SET", third, redis.ask("GET", first))
    outcome = ask_again(engine, known)
    assert outcome.placed == 2 and "record_foreign" in outcome.failed
    check_recovered(engine, known)


def test_a_chunk_that_is_gone_between_lookup_and_fetch(engine, redis, known):
    redis.ask("DEL", *[name for name in redis.records() if known.keys[3].encode() in name and name.endswith(b":1")])
    outcome = ask_again(engine, known)
    assert outcome.placed == 3 and "miss" in outcome.failed
    check_recovered(engine, known)


# ---- the store goes away ----


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_without_the_store_everything_is_computed(engine, redis, known, way):
    getattr(redis, way)()
    outcome = ask_again(engine, known)
    assert outcome.placed == 0
    redis.start()
    wait_until_saving_works(engine)


def wait_until_saving_works(engine: Engine) -> None:
    """The data plane reconnects on its own; fresh prompts show when."""
    seeds = iter(range(int(time.time() * 1000), 1 << 62))

    def works() -> bool:
        before = engine.totals()["save_stored"]
        engine.ask(random_prompt(CHUNK + 10, next(seeds)), tokens=1)
        engine.wait_until_saved()
        return engine.totals()["save_stored"] > before

    wait_for("saving works again", works, every_s=0.3)
    engine.forget_prefixes()


def test_a_store_that_hangs_costs_its_deadline_only(engine, redis, known):
    redis.freeze()
    try:
        outcome = ask_again(engine, known)
        assert outcome.placed == 0
    finally:
        redis.thaw()
    wait_until_saving_works(engine)
    assert ask_again(engine, known).failed == {}


def test_a_store_that_hangs_during_a_fetch_costs_its_deadline_only(engine, redis, known):
    with happening_soon(redis.freeze, after_s=0.02):
        ask_again(engine, known)
    redis.thaw()
    wait_until_saving_works(engine)


# ---- the data plane goes away ----


class happening_soon:
    """Does something in another thread while the body runs."""

    def __init__(self, what, after_s: float):
        self._timer = threading.Timer(after_s, what)

    def __enter__(self):
        self._timer.start()

    def __exit__(self, *_):
        self._timer.join()


def test_without_the_data_plane_everything_is_computed_and_a_new_one_is_found(engine, plane, known):
    plane.kill()
    outcome = ask_again(engine, known)
    assert (outcome.placed, outcome.failed) == (0, {}), "the lookup knows at once"
    plane.start()
    engine.wait_until_connected()
    check_recovered(engine, known)


@pytest.mark.parametrize("after_s", [0.005, 0.02, 0.05])
def test_a_data_plane_killed_under_load(engine, plane, known, after_s):
    others = [random_prompt(TOKENS, seed) for seed in (61, 62, 63)]
    with happening_soon(plane.kill, after_s):
        with engine.timed() as took:
            answer, *_ = engine.ask(known.prompt, *others)
    check_in_time(engine, known, took.seconds, prompts=4, times=2)
    assert answer.agrees_with(known.answer, ROUNDING)
    engine.wait_until_saved()
    plane.start()
    engine.wait_until_connected()
    engine.forget_prefixes()
    ask_again(engine, known)
    check_recovered(engine, known)


@pytest.mark.parametrize("after_s", [0.0, 0.02])
def test_a_data_plane_that_hangs_costs_its_deadline_only(engine, plane, known, after_s):
    with happening_soon(plane.freeze, after_s):
        with engine.timed() as took:
            answer, _ = engine.ask(known.prompt, random_prompt(TOKENS, 64))
    check_in_time(engine, known, took.seconds, prompts=2, times=3)
    assert answer.agrees_with(known.answer, ROUNDING)
    plane.thaw()
    engine.wait_until_saved()
    engine.forget_prefixes()
    # Until its breaker lets a probe through, the engine asks nothing.
    wait_for("fetching works again", lambda: fetches_again(engine, known), every_s=0.5)


def fetches_again(engine: Engine, known: Known) -> bool:
    engine.forget_prefixes()
    return ask_again(engine, known).placed == TOKENS // CHUNK
