"""One thread that brings loads from the store into pages: it receives a chunk while the GPU works on the chunk before."""

import collections
import dataclasses
import queue
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from gpu_decompress.chunk_codec import ChunkUnpacker, DamagedChunk, Slot
from gpu_decompress.step_planner import Load
from gpu_decompress.store_reader import StoreReader

if TYPE_CHECKING:
    from logging import Logger

# Chunks received and not copied by the GPU yet; a copy takes a tenth of what receiving takes.
SLOTS = 4
# How long this thread may wait for Python's lock while the engine's thread computes; 5 ms, the default, is two chunks' time.
LOCK_WAIT_S = 0.0005


@dataclasses.dataclass
class Ending:
    """A load whose last work is queued on the GPU."""

    load: Load
    queued: int
    """Chunks; the others failed."""
    verdict: torch.Tensor
    """bool, once done: which chunks came out damaged."""
    done: torch.cuda.Event


class Loader:
    """start() and ended() are called in the engine's worker thread and never wait."""

    def __init__(self, unpacker: ChunkUnpacker, reader: StoreReader, logger: "Logger", device: torch.device, deadline_s: float):
        """`deadline_s`: for a whole load, from when it is begun."""
        self._unpacker = unpacker
        self._reader = reader
        self._logger = logger
        self._device = device
        self._deadline_s = deadline_s
        # 0 is CUDA's lowest priority: where both have blocks to run, the engine's do not wait for ours.
        self._stream = torch.cuda.Stream(device, priority=0)
        self._slots: collections.deque[tuple[Slot, torch.cuda.Event]] = collections.deque(
            (unpacker.slot(pinned=True), torch.cuda.Event(blocking=True)) for _ in range(SLOTS)
        )
        self._asked: queue.SimpleQueue[tuple[Load, torch.cuda.Event] | None] = queue.SimpleQueue()
        self._endings: collections.deque[Ending] = collections.deque()
        sys.setswitchinterval(LOCK_WAIT_S)
        self._thread = threading.Thread(target=self._run, name="gpu-decompress-loader", daemon=True)
        self._thread.start()

    def start(self, load: Load) -> None:
        """The load's pages are written once the GPU has passed what the current stream has been given so far: it may still read
        what they held before."""
        passed = torch.cuda.Event()
        passed.record(torch.cuda.current_stream(self._device))
        self._asked.put((load, passed))

    def ended(self) -> list[tuple[Load, int]]:
        """Loads that have ended, and how many leading chunks of each are in their pages."""
        found = []
        while self._endings and self._endings[0].done.query():
            ending = self._endings.popleft()
            damaged = ending.verdict.tolist()
            placed = damaged.index(True) if True in damaged else ending.queued
            if placed < ending.queued:
                self._logger.warning("Load of request %s: chunk %d came out damaged", ending.load.request_id, placed)
            found.append((ending.load, placed))
        return found

    def close(self) -> None:
        self._asked.put(None)
        self._thread.join()
        self._stream.synchronize()

    def _run(self) -> None:
        torch.cuda.set_device(self._device)
        # vLLM may have made the tensors in inference mode, which only code in that mode may write.
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            while (asked := self._asked.get()) is not None:
                self._load(*asked)

    def _load(self, load: Load, passed: torch.cuda.Event) -> None:
        queued = 0
        try:
            self._reader.begin(load.chunks, time.monotonic() + self._deadline_s)
            self._stream.wait_event(passed)
            for _, chunk_bytes in load.chunks:
                self._place(load, queued, chunk_bytes)
                queued += 1
        except Exception as error:  # whatever it is, nobody may wait for this load for ever: the rest is computed
            self._reader.reset()
            expected = isinstance(error, (OSError, DamagedChunk))
            self._logger.warning("Load of request %s failed at chunk %d: %s", load.request_id, queued, error, exc_info=not expected)
        verdict = torch.zeros(max(1, queued), dtype=torch.bool, pin_memory=True)
        if queued:
            self._unpacker.judge(queued, verdict)
        done = torch.cuda.Event()
        done.record(self._stream)
        self._endings.append(Ending(load, queued, verdict, done))

    def _place(self, load: Load, number: int, chunk_bytes: int) -> None:
        slot, copied = self._slots[0]
        if chunk_bytes > len(slot.chunk):
            raise DamagedChunk(f"a chunk of {chunk_bytes} bytes")
        copied.synchronize()
        self._reader.receive(memoryview(slot.chunk)[:chunk_bytes])
        page_ids = self._pages_of(load, number)
        first_token = load.first_token if number == 0 else 0
        self._unpacker.unpack(slot, chunk_bytes, number, page_ids, first_token, self._stream.cuda_stream)
        copied.record(self._stream)
        self._slots.rotate(-1)

    def _pages_of(self, load: Load, number: int) -> Sequence[int]:
        pages = len(load.page_ids) // len(load.chunks)
        return load.page_ids[number * pages : (number + 1) * pages]
