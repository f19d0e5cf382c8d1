"""The half of the connector in vLLM's worker: hands loads and saves to the link thread and reports how they end."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from shadowserve.vllm.shards import ONE_SHARD, Shard
from shadowserve.vllm.work import Load, Result, Save, StepWork

if TYPE_CHECKING:
    from logging import Logger

    from shadowserve._native import Transfer

FAILURE_LOG_INTERVAL_S = 1.0


class WorkerSide:
    """Called on the worker's thread only. Never waits: fetching, placing and gathering happen on the link thread."""

    def __init__(
        self,
        transfer: "Transfer",
        *,
        chunk_tokens: int,
        page_tokens: int,
        logger: "Logger",
        compute_stream: Callable[[], int] | None = None,
        shard: Shard = ONE_SHARD,
    ):
        """`compute_stream`: for pages on a GPU, the CUDA stream that the engine computes in at the moment."""
        self._where = shard.named(" on {}")
        self._saves_itself = shard.saves
        self._transfer = transfer
        self._compute_stream = compute_stream
        self._chunk_tokens = chunk_tokens
        self._page_tokens = page_tokens
        self._logger = logger
        self._loads: dict[int, Load] = {}
        self._aborted: set[int] = set()  # loads whose request is gone
        self._saves: dict[int, Save] = {}
        self._withdrawn: set[int] = set()  # saves whose pages are no longer the request's
        self._finishing: set[str] = set()
        self._results: list[Result] = []
        self._bad_pages: set[int] = set()
        self._logged_at_s = float("-inf")
        self._not_logged = 0

    # ---- work of a step, in the order in which vLLM calls ----

    def before_forward(self, work: StepWork) -> None:
        """The requests named as preempted lose their pages in this step's forward pass."""
        for job, save in self._saves.items():
            if save.request_id in work.preempted and job not in self._withdrawn:
                self._transfer.cancel(job)
                self._withdrawn.add(job)
        for job, load in self._loads.items():
            if load.request_id in work.aborted and job not in self._aborted:
                self._transfer.cancel(job)
                self._aborted.add(job)
        if work.loads_may_start_early:
            # vLLM may start asynchronous loads behind the forward pass, which on a CPU engine has run to its end by then.
            self.start_loads(work)

    def start_loads(self, work: StepWork) -> None:
        if work.loads:
            self._fence()
        for load in work.loads:
            if load.job not in self._loads:
                self._loads[load.job] = load
                self._transfer.fetch(
                    load.job, load.keys, load.first_chunk, load.first_token, load.page_ids
                )
                if load.request_id in work.aborted:
                    self._transfer.cancel(load.job)
                    self._aborted.add(load.job)
        work.loads.clear()

    def start_saves(self, work: StepWork) -> None:
        """Behind the forward pass that completes the chunks."""
        if not self._saves_itself:
            # Another rank holds the same and saves it; every worker reports every job.
            self._results.extend(Result(save.job, None, 0) for save in work.saves)
            work.saves.clear()
        if work.saves:
            self._fence()
        for save in work.saves:
            self._saves[save.job] = save
            self._transfer.save(save.job, save.keys, save.first_chunk, save.page_ids)
        work.saves.clear()
        self._finishing |= work.finishing

    def _fence(self) -> None:
        """A GPU works behind our back: pages are ours once it has passed what it was given so far."""
        if self._compute_stream is not None:
            self._transfer.fence(self._compute_stream())

    # ---- what has ended ----

    def ended(self) -> tuple[set[str], set[str]]:
        """Requests whose pages are no longer read, of those that ended; and requests whose load ended, well or not."""
        received = set()
        if self._loads or self._saves:
            for kind, job, error, chunks_placed, _ in self._transfer.poll():
                if kind == "fetched":
                    received.add(self._load_ended(job, error, chunks_placed))
                else:
                    self._gathered(job, error)
        sent = set()
        if self._finishing:
            read = {save.request_id for job, save in self._saves.items() if job not in self._withdrawn}
            sent = self._finishing - read
            self._finishing &= read
        return sent, received

    def loads_open(self) -> int:
        """Loads of which ended() has not told the end."""
        return len(self._loads)

    def take_results(self) -> list[Result]:
        results, self._results = self._results, []
        return results

    def take_bad_pages(self) -> set[int]:
        """Pages that a load should have filled and did not."""
        bad_pages, self._bad_pages = self._bad_pages, set()
        return bad_pages

    def _load_ended(self, job: int, error: str | None, chunks_placed: int) -> str:
        load = self._loads.pop(job)
        self._results.append(Result(job, error, chunks_placed))
        aborted = job in self._aborted
        self._aborted.discard(job)
        if chunks_placed < load.chunks and not aborted:
            first_token = max(load.first_token, (load.first_chunk + chunks_placed) * self._chunk_tokens)
            last_token = (load.first_chunk + load.chunks) * self._chunk_tokens
            self._bad_pages.update(
                load.page_ids[first_token // self._page_tokens : last_token // self._page_tokens]
            )
            self._log_failure(load.request_id, error, last_token - first_token)
        return load.request_id

    def _gathered(self, job: int, error: str | None) -> None:
        del self._saves[job]
        self._withdrawn.discard(job)
        self._results.append(Result(job, error, 0))

    def _log_failure(self, request_id: str, error: str | None, tokens: int) -> None:
        now_s = time.monotonic()
        if now_s - self._logged_at_s < FAILURE_LOG_INTERVAL_S:
            self._not_logged += 1
            return
        others = f" ({self._not_logged} failures before it not logged)" if self._not_logged else ""
        self._logger.warning(
            "Fetch for request %s failed%s: %s; %d tokens are recomputed%s",
            request_id, self._where, error, tokens, others,
        )  # fmt: skip
        self._logged_at_s = now_s
        self._not_logged = 0
