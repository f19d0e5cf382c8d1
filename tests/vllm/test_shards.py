"""Several workers without an engine: their reports, step by step, through vLLM's own aggregator and our scheduler's half."""

import copy
import logging
import pickle
from types import SimpleNamespace

import pytest
from fake_native import FakeLookup, FakeTransfer

pytest.importorskip("vllm")

from test_scheduler_side import (  # noqa: E402
    CHUNK, PAGE, FakeBlocks, FakeRequest, answered, keys_of, make_side, prompt, schedule,
)  # fmt: skip

from shadowserve.vllm.shards import Reports, Shard  # noqa: E402
from shadowserve.vllm.work import Result, StepResults  # noqa: E402
from shadowserve.vllm.worker import WorkerSide  # noqa: E402

pytestmark = pytest.mark.quick


class Engine:
    """The scheduler's half, `shards` workers of a model of `heads` (one each, if not told), and between them what vLLM does with the outputs of a step."""

    def __init__(self, lookup: FakeLookup, shards: int, heads: int | None = None):
        from vllm.distributed.kv_transfer.kv_connector.utils import KVOutputAggregator

        self.side = make_side(lookup, workers=shards)
        self.transfers = [FakeTransfer() for _ in range(shards)]
        self.workers = [
            WorkerSide(
                transfer, chunk_tokens=CHUNK, page_tokens=PAGE, logger=logging.getLogger("test_shards"),
                shard=Shard.of(rank, shards, heads or shards),
            )
            for rank, transfer in enumerate(self.transfers)
        ]  # fmt: skip
        self._aggregator = KVOutputAggregator(shards)

    def start(self, work) -> None:
        for worker in self.workers:
            own = copy.deepcopy(work)  # every worker's process reads its own
            worker.before_forward(own)
            worker.start_loads(own)
            worker.start_saves(own)

    def step(self):
        """Every worker reports what ended; returns what vLLM's scheduler is told."""
        from vllm.v1.outputs import KVConnectorOutput, ModelRunnerOutput

        outputs = []
        for worker in self.workers:
            sent, received = worker.ended()
            results = worker.take_results()
            told = KVConnectorOutput(
                finished_sending=sent or None, finished_recving=received or None,
                kv_connector_worker_meta=StepResults(results) if results else None,
                invalid_block_ids=worker.take_bad_pages(),
            )  # fmt: skip
            # As from another process: what is empty is otherwise one and the same object.
            outputs.append(pickle.loads(pickle.dumps(ModelRunnerOutput.with_kv_conn_output_only(told))))
        told = self._aggregator.aggregate(outputs).kv_connector_output
        report = told.kv_connector_worker_meta
        self.side.ended(report.results if report is not None else [], set(told.finished_sending or ()))
        return SimpleNamespace(
            received=set(told.finished_recving or ()), sent=set(told.finished_sending or ()), bad=told.invalid_block_ids
        )


@pytest.fixture
def lookup() -> FakeLookup:
    return FakeLookup(stored=set(), chunk_tokens=CHUNK)


def saving(engine: Engine):
    """The engine, in which the one chunk of request "a" is computed and being saved; the request, its blocks, and the save."""
    request, blocks = FakeRequest("a", prompt(256)), {"a": FakeBlocks(2)}
    engine.side.track(request)
    answered(engine.side, request)
    engine.side.allocated(request, blocks["a"], 0)
    work = schedule(engine.side, {"a": 256}, blocks)
    (save,) = work.saves
    engine.start(work)
    request.num_computed_tokens = 256
    return engine, request, blocks, save


def loading(lookup: FakeLookup, shards: int = 2, heads: int | None = None):
    """An engine in which the request "a" of four stored chunks is being loaded by every worker."""
    tokens = prompt(1024)
    keys = keys_of(lookup, tokens)
    lookup.stored = set(keys)
    engine, request, blocks = Engine(lookup, shards, heads), FakeRequest("a", tokens), {"a": FakeBlocks(8)}
    engine.side.track(request)
    answered(engine.side, request)
    engine.side.allocated(request, blocks["a"], 1024)
    work = schedule(engine.side, {}, blocks)
    (load,) = work.loads
    engine.start(work)
    for transfer in engine.transfers:
        assert transfer.fetched[load.job][0] == b"".join(keys), "every worker is told of the whole chunks"
    return engine, request, load, keys


def test_a_load_is_over_when_every_worker_is_done(lookup):
    engine, _, load, keys = loading(lookup, shards=3)
    for transfer in engine.transfers[:2]:
        transfer.events = [("fetched", load.job, None, 4, 4)]
        told = engine.step()
        assert not told.received and not lookup.ended, "somebody is still writing to the pages"
    engine.transfers[2].events = [("fetched", load.job, None, 4, 4)]
    assert engine.step().received == {"a"}
    assert lookup.ended == [(None, keys[3])]


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("placed", [(4, 1), (3, 1)])
def test_the_worker_that_placed_fewest_decides_whoever_reports_first(lookup, first, placed):
    engine, request, load, keys = loading(lookup)
    bad = set()
    for rank in (first, 1 - first):
        error = None if placed[rank] == 4 else ("miss", "record_corrupt")[rank]
        engine.transfers[rank].events = [("fetched", load.job, error, placed[rank], 4)]
        told = engine.step()
        bad |= told.bad
    assert told.received == {"a"}
    assert bad == set(load.page_ids[1 * CHUNK // PAGE :]), "of both workers together, and no page more"
    assert lookup.ended == [("record_corrupt", keys[1])]
    assert engine.side.matched_tokens(request, 0) == (0, False), "the rest is computed, by all workers"


def test_in_the_same_step_too(lookup):
    engine, _, load, keys = loading(lookup)
    engine.transfers[0].events = [("fetched", load.job, None, 4, 4)]
    engine.transfers[1].events = [("fetched", load.job, "deadline", 0, 4)]
    told = engine.step()
    assert told.received == {"a"} and told.bad == set(load.page_ids)
    assert lookup.ended == [("deadline", keys[0])]


def test_pages_are_kept_until_every_worker_has_gathered_them(lookup):
    engine, request, blocks, save = saving(Engine(lookup, 2))
    engine.transfers[0].events = [("gathered", save.job, None, 0, 1)]
    engine.step()
    assert engine.side.finished(request, blocks["a"].ids) is True, "one worker has yet to read them"
    engine.start(schedule(engine.side, {}, blocks))
    assert not engine.step().sent
    assert engine.side.frees_pages_soon()
    engine.transfers[1].events = [("gathered", save.job, "deadline", 0, 1)]
    assert engine.step().sent == {"a"}
    assert not engine.side.frees_pages_soon()
    assert [error for error, _ in lookup.ended] == ["cancelled"], "one shard is missing: the chunk may be claimed again"


def test_an_abort_reaches_every_worker(lookup):
    engine, request, load, _ = loading(lookup)
    engine.transfers[0].events = [("fetched", load.job, None, 4, 4)]
    engine.step()
    assert engine.side.finished(request, []) is False
    engine.start(schedule(engine.side, {}, {}))
    assert [transfer.cancelled for transfer in engine.transfers] == [[], [load.job]], "the first was done"
    assert not engine.step().received
    engine.transfers[1].events = [("fetched", load.job, "cancelled", 2, 4)]
    told = engine.step()
    assert told.received == {"a"} and not told.bad and not lookup.ended


@pytest.mark.parametrize(
    "heads, ranks, indices, savers",
    [
        (8, 1, [0], [0]),
        (8, 4, [0, 1, 2, 3], [0, 1, 2, 3]),
        (4, 4, [0, 1, 2, 3], [0, 1, 2, 3]),
        (2, 8, [0, 0, 0, 0, 1, 1, 1, 1], [0, 4]),  # as vLLM gives heads to ranks
        (1, 4, [0, 0, 0, 0], [0]),
        (3, 4, [0, 1, 2, 3], [0, 1, 2, 3]),  # no engine divides heads so: nothing is taken for the same
    ],
)
def test_ranks_that_hold_the_same_heads_are_one_shard(heads, ranks, indices, savers):
    shards = [Shard.of(rank, ranks, heads) for rank in range(ranks)]
    assert [shard.index for shard in shards] == indices
    assert [shard.rank for shard in shards if shard.saves] == savers
    assert {shard.count for shard in shards} == {max(indices) + 1}


def test_what_ranks_hold_alike_is_saved_once_and_loaded_by_each(lookup):
    engine, request, blocks, save = saving(Engine(lookup, 4, heads=2))
    assert [list(transfer.saved) for transfer in engine.transfers] == [[save.job], [], [save.job], []]
    engine.step()
    assert engine.side.finished(request, blocks["a"].ids) is True, "two have yet to gather"
    engine.start(schedule(engine.side, {}, blocks))
    engine.transfers[0].events = [("gathered", save.job, None, 0, 1)]
    assert not engine.step().sent
    engine.transfers[2].events = [("gathered", save.job, None, 0, 1)]
    assert engine.step().sent == {"a"} and not lookup.ended

    loads, _, load, _ = loading(lookup, shards=4, heads=2)
    assert [list(transfer.fetched) for transfer in loads.transfers] == [[load.job]] * 4


def test_every_job_is_told_of_once_and_nothing_is_left():
    reports = Reports(3)
    ends = []
    for rank in range(3):
        for job in range(5):
            ends.append(reports.add(Result(job, None if rank else "miss", 4 + rank)))
    assert ends[:10] == [None] * 10
    assert ends[10:] == [Result(job, "miss", 4) for job in range(5)]
    assert not reports._open
    assert Reports(1).add(Result(7, None, 2)) == Result(7, None, 2)
