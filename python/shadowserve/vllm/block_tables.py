"""Which blocks a request has in a step, on every version of vLLM."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vllm.v1.core.sched.output import SchedulerOutput


class BlockTables:
    """vLLM 0.32 resolves block ids for connectors. Before, a step said only what was new, and one had to keep count."""

    def __init__(self) -> None:
        self._tables: dict[str, list[int]] = {}

    def note(self, output: "SchedulerOutput") -> None:
        """Of every step, in order, before of() is asked about it."""
        if hasattr(output, "kv_connector_block_state"):
            return
        for request_id in output.finished_req_ids:
            self._tables.pop(request_id, None)
        for new in output.scheduled_new_reqs:
            self._tables[new.req_id] = list(new.block_ids[0])
        cached = output.scheduled_cached_reqs
        for request_id, new_ids in zip(cached.req_ids, cached.new_block_ids, strict=True):
            if request_id in cached.resumed_req_ids:
                self._tables[request_id] = []
            if new_ids is not None:
                self._tables.setdefault(request_id, []).extend(new_ids[0])

    def of(self, output: "SchedulerOutput", request_id: str) -> list[int]:
        """From the request's first token on. REQUIRES that the step schedules the request."""
        if hasattr(output, "kv_connector_block_state"):
            (block_ids,) = output.kv_connector_block_state.resolve_block_ids(request_id)
            return block_ids
        return self._tables[request_id]
