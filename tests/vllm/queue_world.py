"""vLLM's own scheduler with both halves of the connector, over a store in a dictionary: thousands of steps a second, none of
which computes anything."""

from __future__ import annotations

import collections
import inspect
import random
from types import SimpleNamespace
from typing import Any

from fake_native import FakeLookup, FakeTransfer
from shadowserve.vllm.scheduler import SchedulerSide
from shadowserve.vllm.work import KEY_BYTES, StepResults
from shadowserve.vllm.worker import WorkerSide
from vllm.config import CacheConfig, DeviceConfig, KVTransferConfig, ModelConfig, ParallelConfig, SchedulerConfig, VllmConfig
from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorBase_V1
from vllm.sampling_params import SamplingParams
from vllm.utils.hashing import sha256
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
from vllm.v1.outputs import KVConnectorOutput, ModelRunnerOutput
from vllm.v1.request import Request, RequestStatus
from vllm.v1.structured_output import StructuredOutputManager

CHUNK, PAGE = 256, 16
MODEL_TOKENS_MAX = 8192
IN_FLIGHT = 24


class QueueConnector(KVConnectorBase_V1):
    """The scheduler's half as ShadowServeConnector wires it; `lookup` is set by the world before a scheduler is made."""

    lookup: FakeLookup

    def __init__(self, config, role, kv_cache_config=None):
        super().__init__(config, role, kv_cache_config)
        self.side = SchedulerSide(
            self.lookup, chunk_tokens=CHUNK, page_tokens=PAGE, min_fetch_tokens=CHUNK, fetches=True, saves=True,
            saves_generated=True, shares_pages=True,
        )  # fmt: skip

    def on_new_request(self, request):
        self.side.track(request)

    def get_num_new_matched_tokens(self, request, computed):
        return self.side.matched_tokens(request, computed)

    def update_state_after_alloc(self, request, blocks, external):
        self.side.allocated(request, blocks, external)

    def build_connector_meta(self, output):
        return self.side.step(output)

    def update_connector_output(self, output):
        report = output.kv_connector_worker_meta
        self.side.ended(report.results if report is not None else [], set(output.finished_sending or ()))

    def request_finished(self, request, block_ids):
        return self.side.finished(request, block_ids), None

    def has_pending_block_frees(self):
        return self.side.frees_pages_soon()

    def has_pending_push_work(self):
        return self.side.frees_pages_soon()

    # The worker's half is driven by the world itself.
    def start_load_kv(self, *_, **__): ...
    def wait_for_layer_load(self, *_): ...
    def save_kv_layer(self, *_, **__): ...
    def wait_for_save(self): ...


class SlowTransfer(FakeTransfer):
    """Ends loads and saves some steps after they were asked for, in any order."""

    def __init__(self, store: set[bytes], source: random.Random, steps: tuple[int, int], failing: float):
        super().__init__()
        self.failed = 0
        self._failing = failing
        self._store, self._random, self._steps = store, source, steps
        self._due: list[tuple[int, tuple]] = []
        self._now = 0

    def fetch(self, job, keys, first_chunk, first_token, page_ids) -> None:
        chunks, error = len(keys) // KEY_BYTES, None
        if self._random.random() < self._failing:
            self.failed += 1
            chunks, error = self._random.choice((0, self._random.randrange(chunks))), "plane_down"
        self._end_later(("fetched", job, error, chunks, None))

    def save(self, job, keys, first_chunk, page_ids) -> None:
        self._store |= {keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)}
        self._end_later(("saved", job, None, 0, None))

    def cancel(self, job) -> None:
        for number, (_, event) in enumerate(self._due):
            if event[1] == job:
                self._due[number] = (self._now, (event[0], job, "cancelled", 0, None))

    def _end_later(self, event: tuple) -> None:
        self._due.append((self._now + self._random.randint(*self._steps), event))

    def poll(self) -> list[tuple]:
        self._now += 1
        ended = [event for at, event in self._due if at <= self._now]
        self._due = [(at, event) for at, event in self._due if at > self._now]
        return ended


def new_scheduler(model: str, pages: int, asynchronous: bool) -> Scheduler:
    def fitting(kind, **wanted) -> Any:
        """Options that this vLLM knows."""
        return kind(**{name: value for name, value in wanted.items() if name in inspect.signature(kind).parameters})

    model_config = ModelConfig(model=model, tokenizer=model, dtype="bfloat16", max_model_len=MODEL_TOKENS_MAX)
    scheduler_config = SchedulerConfig(
        max_num_seqs=IN_FLIGHT, max_num_batched_tokens=8192, max_model_len=MODEL_TOKENS_MAX, is_encoder_decoder=False,
        enable_chunked_prefill=True, async_scheduling=asynchronous,
    )  # fmt: skip
    config = VllmConfig(
        model_config=model_config, scheduler_config=scheduler_config, device_config=DeviceConfig("cpu"),
        cache_config=fitting(CacheConfig, block_size=PAGE, enable_prefix_caching=True), parallel_config=ParallelConfig(),
        kv_transfer_config=KVTransferConfig(kv_connector="QueueConnector", kv_connector_module_path=__name__, kv_role="kv_both", kv_load_failure_policy="recompute"),
    )  # fmt: skip
    config.cache_config.num_gpu_blocks = pages
    spec = FullAttentionSpec(block_size=PAGE, num_kv_heads=1, head_size=16, dtype=model_config.dtype)
    kv_cache = KVCacheConfig(num_blocks=pages, kv_cache_tensors=[], kv_cache_groups=[KVCacheGroupSpec(["layer"], spec)])
    kind = AsyncScheduler if asynchronous else Scheduler
    return kind(vllm_config=config, kv_cache_config=kv_cache, structured_output_manager=StructuredOutputManager(config), block_size=PAGE)


class QueueWorld:
    """One thread of everything. `asynchronous`: a step is scheduled before the output of the one before it has come."""

    def __init__(self, model: str, pages: int, seed: int, asynchronous: bool, failing: float):
        init_none_hash(sha256)
        self.random = random.Random(seed)
        self.store: set[bytes] = set()
        QueueConnector.lookup = FakeLookup(self.store, CHUNK, patience=3)
        self.scheduler = new_scheduler(model, pages, asynchronous)
        self._transfer = SlowTransfer(self.store, self.random, (1, 12), failing)
        self._worker = WorkerSide(
            self._transfer, chunk_tokens=CHUNK, page_tokens=PAGE, logger=SimpleNamespace(warning=lambda *_: None)
        )
        self._steps_ahead = 1 if asynchronous else 0
        self._queued: collections.deque = collections.deque()
        self._hasher = get_request_block_hasher(PAGE, sha256)
        self._names = 0
        self.loads = 0
        self.open: dict[str, int] = {}  # request -> tokens it has made

    def failed_loads(self) -> int:
        return self._transfer.failed

    def send(self, prompt: list[int], tokens: int) -> str:
        self._names += 1
        name = str(self._names)
        sampling = SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True)
        wanted = {"request_id": name, "prompt_token_ids": prompt, "sampling_params": sampling, "pooling_params": None,
                  "eos_token_id": 0, "block_hasher": self._hasher}  # fmt: skip
        known = inspect.signature(Request.__init__).parameters
        request = Request(**{each: value for each, value in wanted.items() if each in known})
        self.scheduler.add_request(request)
        self.open[name] = 0
        return name

    def abort(self, name: str) -> None:
        self.scheduler.finish_requests(name, RequestStatus.FINISHED_ABORTED)
        del self.open[name]

    def step(self) -> list[str]:
        """Schedules a step and takes the output of an earlier one; gives the requests that have ended."""
        if self.scheduler.has_requests():
            output = self.scheduler.schedule()
            self._queued.append((output, self._execute(output)))
        if not self._queued or len(self._queued) <= self._steps_ahead and self.scheduler.has_requests():
            return []
        ended = []
        output, computed = self._queued.popleft()
        for outputs in self.scheduler.update_from_output(output, computed).values():
            for each in outputs.outputs:
                if each.request_id in self.open:
                    self.open[each.request_id] += len(each.new_token_ids)
                    if each.finish_reason is not None:
                        ended.append(each.request_id)
                        del self.open[each.request_id]
        return ended

    def _execute(self, output) -> ModelRunnerOutput:
        """What the workers make of a step: a token for each request whose last token is computed in it, and the transfers."""
        work = output.kv_connector_metadata
        self.loads += len(work.loads)
        self._worker.before_forward(work)
        self._worker.start_loads(work)
        self._worker.start_saves(work)
        sent, received = self._worker.ended()
        results = self._worker.take_results()
        names, tokens = list(output.num_scheduled_tokens), []
        for name in names:
            request = self.scheduler.requests[name]
            # schedule() has counted this step's tokens already.
            tokens.append([self.random.randrange(4, 8192)] if request.num_computed_tokens >= request.num_tokens else [])
        transfers = KVConnectorOutput(
            finished_sending=sent or None, finished_recving=received or None,
            kv_connector_worker_meta=StepResults(results) if results else None, invalid_block_ids=self._worker.take_bad_pages(),
        )  # fmt: skip
        return ModelRunnerOutput(
            req_ids=names, req_id_to_index={name: at for at, name in enumerate(names)}, sampled_token_ids=tokens,
            kv_connector_output=transfers,
        )  # fmt: skip
