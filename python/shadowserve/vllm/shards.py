"""Tensor parallelism: which shard of the model a process holds, and what all workers together say of a job."""

import dataclasses
from typing import TYPE_CHECKING

from shadowserve.vllm.work import Result

if TYPE_CHECKING:
    from vllm.config import VllmConfig


@dataclasses.dataclass(frozen=True)
class Shard:
    """What one of `ranks` workers holds: shard `index` of `count`, the model's KV heads divided by consecutive ranks. Where ranks
    outnumber heads several hold the same shard: all of them the one latent vector of MLA. It is saved by the first of them and
    fetched by each. The scheduler's half speaks for all shards and has rank 0."""

    rank: int
    ranks: int
    index: int
    count: int

    @classmethod
    def of(cls, rank: int, ranks: int, heads: int) -> "Shard":
        """`heads`: of the whole model."""
        count = heads if heads < ranks and ranks % heads == 0 else ranks
        return cls(rank, ranks, rank // (ranks // count), count)

    @classmethod
    def of_worker(cls, config: "VllmConfig") -> "Shard":
        rank = 0
        if config.parallel_config.tensor_parallel_size > 1:
            from vllm.distributed.parallel_state import get_tensor_model_parallel_rank

            rank = get_tensor_model_parallel_rank()
        return cls.of(rank, config.parallel_config.tensor_parallel_size, _heads(config))

    @classmethod
    def of_scheduler(cls, config: "VllmConfig") -> "Shard":
        return cls.of(0, config.parallel_config.tensor_parallel_size, _heads(config))

    @property
    def saves(self) -> bool:
        return self.rank % (self.ranks // self.count) == 0

    def native_options(self) -> dict[str, int]:
        return {"shard": self.index, "shard_count": self.count}

    def named(self, text: str) -> str:
        """`text` with the rank put in for {}, for names and log lines; nothing where there is only one."""
        return text.format(f"rank {self.rank} of {self.ranks}") if self.ranks > 1 else ""


ONE_SHARD = Shard.of(0, 1, 1)


def _heads(config: "VllmConfig") -> int:
    model = config.model_config
    return 1 if model.use_mla else model.get_total_num_kv_heads()


class Reports:
    """Gathers what the workers report of each job, in whatever steps they do: a job has ended once all of them did."""

    def __init__(self, workers: int):
        self._workers = workers
        self._open: dict[int, tuple[int, Result]] = {}

    def add(self, result: Result) -> Result | None:
        """The job's end once this was the last report: the chunks that every worker has placed, and why there are no more."""
        seen, whole = self._open.pop(result.job, (0, result))
        if result.chunks_placed < whole.chunks_placed or whole.error is None:
            whole = dataclasses.replace(result, chunks_placed=min(result.chunks_placed, whole.chunks_placed))
        if seen + 1 == self._workers:
            return whole
        self._open[result.job] = (seen + 1, whole)
        return None
