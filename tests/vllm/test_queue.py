"""Nobody waits for good: vLLM's own scheduler with a KV cache that holds a few of many requests, which come, load, fail to load, save,
are preempted and aborted."""

import random

import pytest

pytest.importorskip("vllm")

import shadowserve.vllm.landed as landed  # noqa: E402
from queue_world import IN_FLIGHT, QueueWorld  # noqa: E402
from vllm.v1.core.sched.scheduler import Scheduler  # noqa: E402

pytestmark = pytest.mark.quick

PAGES = 330  # the longest prompt and its answer fit, and little beside them
REQUESTS = 250
STOPPED_STEPS = 400  # no load, save or abort takes so long
SEEDS = range(3)


@pytest.fixture
def requests_queue_in_order(monkeypatch):
    """As in vLLM 0.24, where one that does not fit may stand before loaded ones; later ones take those first."""
    monkeypatch.setattr(Scheduler, "_holds_kv_blocks", staticmethod(lambda request: False), raising=False)


def prompts() -> list[list[int]]:
    """Of a shared prefix, or a part of it, and a tail."""
    source = random.Random(3)
    prefixes = [[source.randrange(10, 500) for _ in range(source.randint(512, 4096))] for _ in range(8)]
    made = []
    for _ in range(64):
        prefix = source.choice(prefixes)
        kept = len(prefix) if source.random() < 0.7 else source.randrange(256, len(prefix))
        made.append(prefix[:kept] + [source.randrange(10, 500) for _ in range(source.randint(16, 700))])
    return made


def served(world: QueueWorld) -> tuple[int, int]:
    """Requests that were sent, and those of them that ended or were aborted before everything stood still."""
    asked, sent, gone, quiet_steps, aborts = prompts(), 0, 0, 0, {}
    for step in range(10**6):
        while sent < REQUESTS and len(world.open) < IN_FLIGHT:
            name = world.send(world.random.choice(asked), world.random.randint(4, 48))
            sent += 1
            if world.random.random() < 0.15:
                aborts[name] = step + world.random.randint(0, 60)
        for name in [name for name, at in aborts.items() if at <= step]:
            del aborts[name]
            if name in world.open:
                world.abort(name)
                gone += 1
        before = sum(world.open.values())
        ended = world.step()
        gone += len(ended)
        quiet_steps = 0 if ended or sum(world.open.values()) != before else quiet_steps + 1
        if not world.open and sent == REQUESTS or quiet_steps > STOPPED_STEPS:
            return sent, gone
    raise AssertionError("it neither ends nor stands still")


def trials(model, failing: float = 0.0) -> list[bool]:
    """Whether all requests were served: seeds, with a step scheduled ahead of the one that computes and without. `failing`: share of
    the loads that bring nothing, or not all."""
    ends = []
    for seed in SEEDS:
        for asynchronous in (True, False):
            world = QueueWorld(str(model), PAGES, seed, asynchronous, failing)
            sent, gone = served(world)
            ends.append(sent == gone == REQUESTS)
            if ends[-1]:
                assert world.loads > 10 and bool(world.failed_loads()) == (failing > 0), "the test has to bring about what it tests"
    return ends


def test_all_requests_get_their_turn(tiny_model):
    assert all(trials(tiny_model))


def test_all_requests_get_their_turn_where_vllm_keeps_them_in_order(tiny_model, requests_queue_in_order):
    assert all(trials(tiny_model))


@pytest.mark.parametrize("failing", [0.1, 0.5])
def test_all_requests_get_their_turn_where_loads_fail(tiny_model, failing):
    assert all(trials(tiny_model, failing))


@pytest.mark.parametrize("failing", [0.1, 0.5])
def test_and_where_vllm_keeps_them_in_order(tiny_model, requests_queue_in_order, failing):
    assert all(trials(tiny_model, failing))


def test_who_is_asked_again_is_not_waited_for(tiny_model, monkeypatch):
    """The negative control: a request whose load brought nothing holds no pages, and would wait for itself."""
    monkeypatch.setattr(landed.Landed, "remove", lambda self, request_id: None)
    assert not all(trials(tiny_model, failing=0.1))


def test_without_the_rule_for_loaded_requests_some_wait_for_good(tiny_model, requests_queue_in_order, monkeypatch):
    monkeypatch.setattr(landed, "LANDED_STEPS_MAX", 10**9)
    assert not all(trials(tiny_model))
