"""The half beside vLLM's scheduler: which prefixes are stored, what to load and what to save in a step."""

import array
import dataclasses
import hashlib
from typing import TYPE_CHECKING

from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorMetadata

from gpu_decompress.store_reader import StoreCommands

if TYPE_CHECKING:
    from logging import Logger

    from vllm.v1.core.kv_cache_manager import KVCacheBlocks
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.request import Request


@dataclasses.dataclass(frozen=True)
class Load:
    """Chunks to fetch, and where their tokens go, from `first_token` of the first of them on."""

    request_id: str
    chunks: tuple[tuple[str, int], ...]  # name, bytes
    first_token: int
    page_ids: tuple[int, ...]  # of all these chunks


@dataclasses.dataclass(frozen=True)
class Save:
    """Chunks that are complete in their pages once this step is computed."""

    names: tuple[str, ...]
    page_ids: tuple[int, ...]


@dataclasses.dataclass
class StepWork(KVConnectorMetadata):
    loads: list[Load] = dataclasses.field(default_factory=list)
    saves: list[Save] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Tracked:
    """A request from its arrival to its end."""

    request: "Request"
    names: list[str]
    """Of its prompt's complete chunks."""
    stored: list[int] | None = None
    """Bytes of the leading chunks that are stored; None: not asked yet."""
    loaded: bool = False
    """One load a request: if it fails, or the request loses its pages, the rest is computed."""
    saved: int = 0
    """Leading chunks that are stored or planned to be."""
    page_ids: list[int] = dataclasses.field(default_factory=list)


class StepPlanner:
    def __init__(self, store: StoreCommands, logger: "Logger", *, root: str, prefix: str, chunk_tokens: int, page_tokens: int):
        """`root` names everything besides tokens that decides a chunk's bytes."""
        self._store = store
        self._logger = logger
        self._root = hashlib.sha256(root.encode()).digest()
        self._prefix = prefix
        self._chunk_tokens = chunk_tokens
        self._pages_per_chunk = chunk_tokens // page_tokens
        self._tracked: dict[str, Tracked] = {}
        self._work = StepWork()

    def track(self, request: "Request") -> None:
        # Embeddings and media are not told apart by tokens, nor are adapters.
        if request.prompt_token_ids is not None and not request.mm_features and request.lora_request is None:
            self._tracked[request.request_id] = Tracked(request, self._chunk_names(request.prompt_token_ids))

    def _chunk_names(self, tokens: list[int]) -> list[str]:
        names, digest = [], self._root
        for begin in range(0, len(tokens) - self._chunk_tokens + 1, self._chunk_tokens):
            digest = hashlib.sha256(digest + array.array("i", tokens[begin : begin + self._chunk_tokens]).tobytes()).digest()
            names.append(f"{self._prefix}:{digest.hex()}")
        return names

    def matched_tokens(self, request: "Request", computed: int) -> tuple[int, bool]:
        """How many tokens behind the first `computed` can be loaded. That may be the whole prompt: vLLM then computes the last
        token once more by itself, in order to sample from it."""
        tracked = self._tracked.get(request.request_id)
        if tracked is None or tracked.loaded or len(tracked.names) * self._chunk_tokens - computed < self._chunk_tokens:
            return 0, False
        if tracked.stored is None:
            tracked.stored = self._lookup(tracked.names)
            tracked.saved = len(tracked.stored)
        tokens = len(tracked.stored) * self._chunk_tokens - computed
        return (tokens, True) if tokens >= self._chunk_tokens else (0, False)

    def _lookup(self, names: list[str]) -> list[int]:
        try:
            return self._store.chunk_sizes(names)
        except OSError as error:
            self._logger.warning("No lookup: %s", error)
            return []

    def allocated(self, request: "Request", blocks: "KVCacheBlocks", external: int) -> None:
        tracked = self._tracked.get(request.request_id)
        # vLLM calls a second time, with 0, when the load is over.
        if tracked is None or external == 0:
            return
        tracked.loaded = True
        end = len(tracked.stored)
        first, first_token = divmod(end * self._chunk_tokens - external, self._chunk_tokens)
        page_ids = blocks.get_block_ids()[0][first * self._pages_per_chunk : end * self._pages_per_chunk]
        chunks = tuple(zip(tracked.names[first:end], tracked.stored[first:end]))
        self._work.loads.append(Load(request.request_id, chunks, first_token, tuple(page_ids)))

    def step(self, output: "SchedulerOutput") -> StepWork:
        """The worker's part of the step that vLLM has just scheduled."""
        self._note_pages(output)
        work, self._work = self._work, StepWork()
        for request_id, scheduled in output.num_scheduled_tokens.items():
            if tracked := self._tracked.get(request_id):
                chunks = (tracked.request.num_computed_tokens + scheduled) // self._chunk_tokens
                chunks = min(chunks, len(tracked.names))
                if chunks > tracked.saved:
                    page_ids = tracked.page_ids[tracked.saved * self._pages_per_chunk : chunks * self._pages_per_chunk]
                    work.saves.append(Save(tuple(tracked.names[tracked.saved : chunks]), tuple(page_ids)))
                    tracked.saved = chunks
        return work

    def _note_pages(self, output: "SchedulerOutput") -> None:
        """A step says only which pages are new."""
        for new in output.scheduled_new_reqs:
            if tracked := self._tracked.get(new.req_id):
                tracked.page_ids = list(new.block_ids[0])
        cached = output.scheduled_cached_reqs
        for request_id, page_ids in zip(cached.req_ids, cached.new_block_ids, strict=True):
            if tracked := self._tracked.get(request_id):
                if request_id in cached.resumed_req_ids:
                    tracked.page_ids = []
                tracked.page_ids.extend(page_ids[0] if page_ids is not None else [])

    def finished(self, request: "Request") -> None:
        self._tracked.pop(request.request_id, None)
