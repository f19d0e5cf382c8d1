"""Tensor parallelism: which shard of the model a process holds, and what all shards together say of a job."""

import dataclasses
from typing import TYPE_CHECKING

from shadowserve.vllm.work import Result

if TYPE_CHECKING:
    from vllm.config import VllmConfig


@dataclasses.dataclass(frozen=True)
class Shard:
    """Of a worker: its rank. The scheduler's half speaks for all shards and has rank 0."""

    rank: int
    count: int

    @classmethod
    def of_worker(cls, config: "VllmConfig") -> "Shard":
        count = config.parallel_config.tensor_parallel_size
        if count == 1:
            return cls(0, 1)
        from vllm.distributed.parallel_state import get_tensor_model_parallel_rank

        return cls(get_tensor_model_parallel_rank(), count)

    @classmethod
    def of_scheduler(cls, config: "VllmConfig") -> "Shard":
        return cls(0, config.parallel_config.tensor_parallel_size)

    def native_options(self) -> dict[str, int]:
        return {"shard": self.rank, "shard_count": self.count}

    def named(self, text: str) -> str:
        """`text` with the rank put in for {}, for names and log lines; nothing where there is only one."""
        return text.format(f"rank {self.rank} of {self.count}") if self.count > 1 else ""


class Reports:
    """Gathers what the shards report of each job, in whatever steps they do: a job has ended once all of them did."""

    def __init__(self, shards: int):
        self._shards = shards
        self._open: dict[int, tuple[int, Result]] = {}

    def add(self, result: Result) -> Result | None:
        """The job's end once this was the last report: the chunks that every shard has placed, and why there are no more."""
        seen, whole = self._open.pop(result.job, (0, result))
        if result.chunks_placed < whole.chunks_placed or whole.error is None:
            whole = dataclasses.replace(result, chunks_placed=min(result.chunks_placed, whole.chunks_placed))
        if seen + 1 == self._shards:
            return whole
        self._open[result.job] = (seen + 1, whole)
        return None
