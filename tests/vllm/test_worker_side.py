"""The worker's half alone, with a transfer that a test steps by hand."""

import logging

import pytest
from fake_native import FakeTransfer

pytest.importorskip("vllm")

from shadowserve.vllm.shards import ONE_SHARD, Shard  # noqa: E402
from shadowserve.vllm.work import KEY_BYTES, Load, Result, Save, StepWork  # noqa: E402
from shadowserve.vllm.worker import WorkerSide  # noqa: E402

pytestmark = pytest.mark.quick


def make_worker(shard: Shard = ONE_SHARD) -> tuple[WorkerSide, FakeTransfer]:
    transfer = FakeTransfer()
    logger = logging.getLogger("test_worker_side")
    return WorkerSide(transfer, chunk_tokens=256, page_tokens=128, logger=logger, shard=shard), transfer


def load(job: int = 1, request_id: str = "a", first_token: int = 128) -> Load:
    return Load(job, request_id, bytes(4 * KEY_BYTES), first_token // 256, first_token, list(range(50, 58)))


def save(job: int = 2, request_id: str = "a") -> Save:
    return Save(job, request_id, bytes(KEY_BYTES), 0, [50, 51])


def test_a_load_is_submitted_once_and_reported_when_its_event_comes():
    worker, transfer = make_worker()
    work = StepWork(loads=[load()], loads_may_start_early=True)
    worker.before_forward(work)
    worker.start_loads(work)
    assert list(transfer.fetched) == [1]
    assert worker.ended() == (set(), set())
    transfer.events = [("fetched", 1, None, 4, 4)]
    assert worker.ended() == (set(), {"a"})
    assert worker.take_results() == [Result(1, None, 4)]
    assert worker.take_bad_pages() == set()


def test_saves_are_handed_over_once_however_often_vllm_says_so_in_a_step():
    worker, transfer = make_worker()
    work = StepWork(saves=[save()], finishing={"a"})
    worker.start_saves(work)
    assert list(transfer.saved) == [2]
    transfer.saved.clear()
    worker.start_saves(work)
    assert not transfer.saved
    transfer.events = [("gathered", 2, None, 0, 1)]
    assert worker.ended() == ({"a"}, set())
    assert worker.ended() == (set(), set())


def test_loads_wait_for_the_forward_pass_when_pages_are_still_prepared():
    worker, transfer = make_worker()
    work = StepWork(loads=[load()])
    worker.before_forward(work)
    assert not transfer.fetched
    worker.start_loads(work)
    assert list(transfer.fetched) == [1]


@pytest.mark.parametrize("placed, bad", [(0, range(51, 58)), (1, range(52, 58)), (3, range(56, 58))])
def test_exactly_the_pages_that_were_not_placed_are_bad(placed, bad, caplog):
    worker, transfer = make_worker()
    worker.start_loads(StepWork(loads=[load()]))
    transfer.events = [("fetched", 1, "record_corrupt", placed, 4)]
    assert worker.ended() == (set(), {"a"}), "a failed load is received, too"
    assert worker.take_bad_pages() == set(bad)
    assert worker.take_bad_pages() == set()
    (record,) = caplog.records
    assert f"record_corrupt; {len(bad) * 128} tokens" in record.getMessage()


def test_an_aborted_load_is_cancelled_and_received_only_when_its_event_comes():
    worker, transfer = make_worker()
    worker.start_loads(StepWork(loads=[load()]))
    worker.before_forward(StepWork(aborted={"a"}))
    assert transfer.cancelled == [1]
    assert worker.ended() == (set(), set())
    transfer.events = [("fetched", 1, "cancelled", 1, 4)]
    assert worker.ended() == (set(), {"a"})
    assert worker.take_bad_pages() == set()


def test_sent_only_when_all_saves_of_a_finishing_request_are_gathered():
    worker, transfer = make_worker()
    worker.start_saves(StepWork(saves=[save(2), save(3), save(4, "b")]))
    transfer.events = [("gathered", 2, None, 0, 1)]
    assert worker.ended() == (set(), set())
    worker.start_saves(StepWork(finishing={"a"}))
    assert worker.ended() == (set(), set())
    transfer.events = [("gathered", 3, "deadline", 0, 1), ("gathered", 4, None, 0, 1)]
    assert worker.ended() == ({"a"}, set()), "b did not ask for it"
    assert worker.ended() == (set(), set()), "only once"


def test_sent_at_once_when_the_last_save_was_gathered_before():
    worker, transfer = make_worker()
    worker.start_saves(StepWork(saves=[save()]))
    transfer.events = [("gathered", 2, None, 0, 1)]
    worker.ended()
    worker.start_saves(StepWork(finishing={"a"}))
    assert worker.ended() == ({"a"}, set())


def test_preemption_cancels_saves_and_nobody_waits_for_them():
    worker, transfer = make_worker()
    worker.start_saves(StepWork(saves=[save(2), save(3, "b")]))
    worker.before_forward(StepWork(preempted={"a"}))
    worker.before_forward(StepWork(preempted={"a"}))
    assert transfer.cancelled == [2]
    worker.start_saves(StepWork(finishing={"a"}))
    assert worker.ended() == ({"a"}, set())
    transfer.events = [("gathered", 2, "cancelled", 0, 1)]
    assert worker.ended() == (set(), set())
    assert worker.take_results() == [Result(2, "cancelled", 0)]


def test_failures_are_logged_at_most_once_a_second_and_counted(caplog):
    worker, transfer = make_worker()
    for job in range(10):
        worker.start_loads(StepWork(loads=[load(job, f"request-{job}")]))
        transfer.events = [("fetched", job, "deadline", 0, 4)]
        worker.ended()
    assert len(caplog.records) == 1


@pytest.mark.parametrize("shard, where", [(ONE_SHARD, "failed: deadline"), (Shard.of(1, 2, 2), "failed on rank 1 of 2: deadline")])
def test_the_log_names_the_rank_where_there_are_several(shard, where, caplog):
    worker, transfer = make_worker(shard)
    worker.start_loads(StepWork(loads=[load()]))
    transfer.events = [("fetched", 1, "deadline", 0, 4)]
    worker.ended()
    (record,) = caplog.records
    assert where in record.getMessage()
