"""The half of the connector beside vLLM's scheduler: what is stored, what to fetch, what to save. Never waits."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from shadowserve.vllm.block_tables import BlockTables
from shadowserve.vllm.landed import Landed
from shadowserve.vllm.request_identity import chain_request
from shadowserve.vllm.shards import Reports
from shadowserve.vllm.work import KEY_BYTES, Load, Result, Save, StepWork, nth_key

if TYPE_CHECKING:
    from vllm.v1.core.kv_cache_manager import KVCacheBlocks
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.request import Request

    from shadowserve._native import Lookup


@dataclasses.dataclass
class Tracked:
    """A request from its arrival to its end."""

    request: "Request"
    keys: bytes = b""
    """Of its leading complete chunks, as far as they were needed."""
    lookup: int | None = None
    """The lookup under way."""
    hits: int | None = None
    """Answer of the lookup since the request last had no blocks: leading chunks that are stored."""
    load: Load | None = None
    """Under way."""
    load_failed: bool = False
    """Once is enough: the rest is computed, however often the request is scheduled anew."""
    save_next: int = 0
    """Chunks below it are stored, or claimed for saving by this or another request."""
    saves: set[int] = dataclasses.field(default_factory=set)
    """Jobs whose pages may still be read."""


class SchedulerSide:
    """Called on the scheduler's thread only."""

    def __init__(
        self,
        lookup: "Lookup | None",
        *,
        chunk_tokens: int,
        page_tokens: int,
        min_fetch_tokens: int,
        fetches: bool,
        saves: bool,
        saves_generated: bool,
        shares_pages: bool,
        workers: int = 1,
    ):
        """`lookup` may be None for who neither fetches nor saves. `shares_pages`: the engine's own prefix cache is on, so
        that a prefix loaded once serves later requests. `workers`: each does its part of every job."""
        self._lookup = lookup
        self._chunk_tokens = chunk_tokens
        self._pages_per_chunk = chunk_tokens // page_tokens
        self._min_fetch_tokens = min_fetch_tokens
        self._fetches = fetches
        self._saves = saves
        self._saves_generated = saves and saves_generated
        self._shares_pages = shares_pages
        self._numbers = itertools.count(1)
        self._tracked: dict[str, Tracked] = {}
        self._loads: dict[int, Load] = {}
        self._gathering: dict[int, Save] = {}
        self._arriving: dict[bytes, int] = {}  # key of a chunk that is being loaded -> job
        self._finishing: set[str] = set()  # requests whose pages vLLM keeps for us
        self._landed = Landed()
        self._reports = Reports(workers)
        self._block_tables = BlockTables()
        self._work = StepWork()

    # ---- a request arrives, and is scheduled ----

    def track(self, request: "Request") -> None:
        """Starts the lookup at once, so that its answer is there when the request's turn comes."""
        # A streaming session rewrites its tokens; embeddings have none.
        if request.resumable or request.prompt_embeds is not None or request.prompt_token_ids is None:
            return
        tracked = self._tracked[request.request_id] = Tracked(request)
        if self._reads(request):
            self._start_lookup(tracked)

    def matched_tokens(self, request: "Request", computed: int) -> tuple[int | None, bool]:
        """How many tokens behind the first `computed` ones can be loaded; None: not known yet, ask again."""
        self._landed.remove(request.request_id)
        if self._landed.wait_too_long():
            return None, False
        tracked = self._tracked.get(request.request_id)
        if tracked is None or tracked.load_failed or not self._reads(request):
            return 0, False
        stored_at_most = request.num_tokens // self._chunk_tokens * self._chunk_tokens
        if not self._worth_fetching(stored_at_most - computed):
            return 0, False
        if tracked.hits is None:
            if tracked.lookup is None:
                self._start_lookup(tracked)
            if tracked.lookup is None:
                return 0, False
            hits = self._lookup.poll(tracked.lookup)
            if hits is None:
                return None, False
            # An answer is read once; what is asked later is a new question.
            self._drop_lookup(tracked)
            tracked.hits = hits
        tokens = tracked.hits * self._chunk_tokens - computed
        if not self._worth_fetching(tokens):
            return 0, False
        if self._shares_pages and nth_key(tracked.keys, computed // self._chunk_tokens) in self._arriving:
            # Another request is loading this very chunk. Its pages will be ours as a local hit: fetch nothing twice.
            return None, False
        return tokens, True

    def allocated(self, request: "Request", blocks: "KVCacheBlocks", external: int) -> None:
        """The request has blocks; its last `external` computed tokens are to be loaded."""
        tracked = self._tracked.get(request.request_id)
        if tracked is None:
            return
        if external > 0:
            self._plan_load(tracked, blocks.get_block_ids()[0], external)
        if tracked.hits is not None:
            tracked.save_next = max(tracked.save_next, tracked.hits)
        if tracked.load is None:
            # Preempted later, the request will have more tokens and the store other chunks: ask anew then.
            self._drop_lookup(tracked)

    def _reads(self, request: "Request") -> bool:
        return self._fetches and not request.skip_reading_prefix_cache

    def _worth_fetching(self, tokens: int) -> bool:
        return tokens > 0 and tokens >= self._min_fetch_tokens

    def _start_lookup(self, tracked: Tracked) -> None:
        self._chain_to(tracked, tracked.request.num_tokens // self._chunk_tokens)
        if tracked.keys:
            tracked.lookup = next(self._numbers)
            self._lookup.start(tracked.lookup, tracked.keys)

    def _drop_lookup(self, tracked: Tracked) -> None:
        if tracked.lookup is not None:
            self._lookup.forget(tracked.lookup)
        tracked.lookup = tracked.hits = None

    def _chain_to(self, tracked: Tracked, chunks: int) -> None:
        tracked.keys += chain_request(
            self._lookup, tracked.request, tracked.keys[-KEY_BYTES:], self._chunk_tokens,
            len(tracked.keys) // KEY_BYTES, chunks,
        )

    def _plan_load(self, tracked: Tracked, block_ids: list[int], external: int) -> None:
        assert tracked.hits is not None and tracked.load is None
        first_token = tracked.hits * self._chunk_tokens - external
        first_chunk = first_token // self._chunk_tokens
        load = Load(
            job=next(self._numbers),
            request_id=tracked.request.request_id,
            keys=tracked.keys[first_chunk * KEY_BYTES : tracked.hits * KEY_BYTES],
            first_chunk=first_chunk,
            first_token=first_token,
            page_ids=list(block_ids[: tracked.hits * self._pages_per_chunk]),
        )
        tracked.load = self._loads[load.job] = load
        for index in range(load.chunks):
            self._arriving.setdefault(nth_key(load.keys, index), load.job)
        self._work.loads.append(load)

    # ---- a step ----

    def step(self, output: "SchedulerOutput") -> StepWork:
        """The worker's part of the step that vLLM has just scheduled."""
        work, self._work = self._work, StepWork()
        self._landed.stepped(output.num_scheduled_tokens)
        self._block_tables.note(output)
        copies = getattr(output, "kv_cache_block_copies", None)  # not before vLLM 0.32
        work.loads_may_start_early = not output.new_block_ids_to_zero and not copies
        work.preempted = set(output.preempted_req_ids or ())
        for request_id in work.preempted:
            if tracked := self._tracked.get(request_id):
                # Saves that the worker has to cancel come back as failed; then they may be claimed again.
                tracked.save_next = 0
                tracked.saves.clear()
                if tracked.load is None:
                    self._drop_lookup(tracked)
        if self._saves:
            for request_id, scheduled in output.num_scheduled_tokens.items():
                if tracked := self._tracked.get(request_id):
                    request = tracked.request
                    computed = min(request.num_computed_tokens + scheduled, request.num_prompt_tokens)
                    if computed // self._chunk_tokens > tracked.save_next:
                        block_ids = self._block_tables.of(output, request_id)
                        work.saves.extend(self._plan_saves(tracked, computed, block_ids))
        return work

    def _plan_saves(self, tracked: Tracked, computed: int, block_ids: list[int]) -> Iterator[Save]:
        """One job for each run of chunks, complete once `computed` tokens are, that nobody else saves."""
        chunks = min(computed // self._chunk_tokens, len(block_ids) // self._pages_per_chunk)
        self._chain_to(tracked, chunks)
        claimed = (
            index
            for index in range(tracked.save_next, chunks)
            if self._lookup.claim_save(nth_key(tracked.keys, index))
        )
        tracked.save_next = max(tracked.save_next, chunks)
        for first, last in _runs(claimed):
            save = Save(
                job=next(self._numbers),
                request_id=tracked.request.request_id,
                keys=tracked.keys[first * KEY_BYTES : (last + 1) * KEY_BYTES],
                first_chunk=first,
                page_ids=list(block_ids[: (last + 1) * self._pages_per_chunk]),
            )
            tracked.saves.add(save.job)
            self._gathering[save.job] = save
            yield save

    # ---- the worker reports, and a request ends ----

    def ended(self, results: list[Result], sent: set[str]) -> None:
        """`results` of single workers. Their engine tells of requests in `sent` only once all workers did."""
        self._finishing -= sent
        for result in filter(None, map(self._reports.add, results)):
            if load := self._loads.pop(result.job, None):
                self._load_ended(load, result)
            elif save := self._gathering.pop(result.job, None):
                self._gathering_ended(save, result)

    def _load_ended(self, load: Load, result: Result) -> None:
        for index in range(load.chunks):
            if self._arriving.get(nth_key(load.keys, index)) == load.job:
                del self._arriving[nth_key(load.keys, index)]
        tracked = self._tracked.get(load.request_id)
        if tracked is not None and tracked.load is load:
            tracked.load = None
            self._landed.add(load.request_id)
        if result.chunks_placed == load.chunks:
            self._lookup.fetch_ended(None, nth_key(load.keys, load.chunks - 1))
            return
        if result.error == "cancelled":
            return  # by an abort: it says nothing about the store
        failed = load.first_chunk + result.chunks_placed
        failed_key = nth_key(load.keys, result.chunks_placed)
        self._lookup.fetch_ended(result.error, failed_key)
        if tracked is not None:
            tracked.load_failed = True
            tracked.save_next = min(tracked.save_next, failed)
        # Who was told of the same chunk and waits for its turn would only fail likewise.
        for other in self._tracked.values():
            if other.hits is not None and other.hits > failed and nth_key(other.keys, failed) == failed_key:
                other.hits = failed

    def _gathering_ended(self, save: Save, result: Result) -> None:
        if tracked := self._tracked.get(save.request_id):
            tracked.saves.discard(save.job)
        if result.error is not None:
            for index in range(save.chunks):
                # Claims are free again. Not the error itself: a slow save is no reason to stop fetching.
                self._lookup.fetch_ended("cancelled", nth_key(save.keys, index))

    def finished(self, request: "Request", block_ids: list[int]) -> bool:
        """The request ends. True: its pages are still to be read, keep them until it is reported as sent."""
        tracked = self._tracked.pop(request.request_id, None)
        self._landed.remove(request.request_id)
        if tracked is None:
            return False
        self._drop_lookup(tracked)
        if tracked.load is not None:
            # vLLM keeps the pages until the load is reported as received, without being asked.
            self._work.aborted.add(request.request_id)
            return False
        if self._saves_generated:
            # The last sampled token has no KV yet; steps in flight may not have written theirs.
            in_flight = getattr(request, "num_in_flight_tokens", 0)  # not before vLLM 0.32
            computed = min(request.num_computed_tokens - in_flight, request.num_tokens - 1)
            if computed // self._chunk_tokens > tracked.save_next:
                self._work.saves.extend(self._plan_saves(tracked, computed, block_ids))
        if not tracked.saves:
            return False
        self._finishing.add(request.request_id)
        self._work.finishing.add(request.request_id)
        return True

    def frees_pages_soon(self) -> bool:
        """Ended requests hold pages only until they are gathered: better wait for those than preempt someone."""
        return bool(self._finishing)


def _runs(indices: Iterator[int]) -> Iterator[tuple[int, int]]:
    """Groups ascending indices into (first, last) of consecutive ones."""
    first = last = None
    for index in indices:
        if last is not None and index == last + 1:
            last = index
            continue
        if first is not None:
            yield first, last
        first = last = index
    if first is not None:
        yield first, last
