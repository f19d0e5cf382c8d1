"""What travels between the two halves of the connector: work from the scheduler, results from the worker."""

import dataclasses

from vllm.distributed.kv_transfer.kv_connector.v1.base import (
    KVConnectorHandshakeMetadata,
    KVConnectorMetadata,
    KVConnectorWorkerMetadata,
)

KEY_BYTES = 32


@dataclasses.dataclass(frozen=True)
class Load:
    """Fetch chunks [first_chunk, first_chunk + chunks) of a request and place their tokens from first_token on."""

    job: int
    request_id: str
    keys: bytes
    first_chunk: int
    first_token: int
    page_ids: list[int]  # the request's block table from token 0

    @property
    def chunks(self) -> int:
        return len(self.keys) // KEY_BYTES


@dataclasses.dataclass(frozen=True)
class Save:
    """Gather and save chunks [first_chunk, first_chunk + chunks) of a request, which are complete in its pages."""

    job: int
    request_id: str
    keys: bytes
    first_chunk: int
    page_ids: list[int]  # the request's block table from token 0

    @property
    def chunks(self) -> int:
        return len(self.keys) // KEY_BYTES


@dataclasses.dataclass
class StepWork(KVConnectorMetadata):
    """The worker's part in one engine step."""

    loads: list[Load] = dataclasses.field(default_factory=list)
    saves: list[Save] = dataclasses.field(default_factory=list)
    preempted: set[str] = dataclasses.field(default_factory=set)
    """Requests whose pages may be overwritten from this step on: their saves end now."""
    aborted: set[str] = dataclasses.field(default_factory=set)
    """Requests that ended while their load was under way; their pages stay theirs until the load is reported."""
    finishing: set[str] = dataclasses.field(default_factory=set)
    """Requests that ended with saves not gathered; their pages stay theirs until they are reported as sent."""
    loads_may_start_early: bool = False
    """Nothing else writes to the loads' pages in this step, so they need not wait until its forward pass is over."""


@dataclasses.dataclass(frozen=True)
class Result:
    """How a load (placed) or the gathering of a save ended in one worker, or in all (shards.py); `error` is the name of an
    Error, or None."""

    job: int
    error: str | None
    chunks_placed: int


@dataclasses.dataclass
class StepResults(KVConnectorWorkerMetadata):
    """The jobs that ended in one engine step: of one worker, or of all, each of which reports every job once."""

    results: list[Result] = dataclasses.field(default_factory=list)

    def aggregate(self, other: KVConnectorWorkerMetadata) -> "StepResults":
        assert isinstance(other, StepResults)
        return StepResults(self.results + other.results)


@dataclasses.dataclass(frozen=True)
class ProfileInUse(KVConnectorHandshakeMetadata):
    """What a worker tells the scheduler's half at start, once: its keys have to be of this profile."""

    name: str
    """As _native.Transfer.profile() gives it: with the hash of its calibration, never "auto"."""


def nth_key(keys: bytes, index: int) -> bytes:
    return keys[index * KEY_BYTES : (index + 1) * KEY_BYTES]
