"""The GPU's own decompression: coded chunks are copied over, and nvCOMP and a kernel turn them into pages (bench/peers)."""

import threading
import time

import numpy as np
import torch
from compute import HEAD_DIM, KV_HEADS, LAYERS
from gpu_decompress.chunk_codec import FRAME_BYTES, ChunkPacker, ChunkUnpacker, Pages
from gpu_decompress.nvcomp import Coder
from gpu_decompress.quantized import ChunkShape, quantize

CHUNK_TOKENS, PAGE_TOKENS, PAGES, SLOTS = 256, 16, 1024, 4


class GpuDecompression:
    """Chunks of made-up values at a chosen rate, on a stream of the lowest priority."""

    def __init__(self, coder: str):
        self.name = f"nvCOMP {coder}, dequantized and scattered by the GPU"
        self._shape = ChunkShape(LAYERS, KV_HEADS, HEAD_DIM, CHUNK_TOKENS)
        layers = [torch.zeros((PAGES, 2, PAGE_TOKENS, KV_HEADS, HEAD_DIM), dtype=torch.bfloat16, device="cuda") for _ in range(LAYERS)]
        pages, chosen = Pages(layers), Coder(coder, FRAME_BYTES)
        self._unpacker = ChunkUnpacker(self._shape, chosen, pages, 1)
        self._stream = torch.cuda.Stream(priority=0)
        values = torch.randn((LAYERS, 2, CHUNK_TOKENS, KV_HEADS * HEAD_DIM), device="cuda").to(torch.bfloat16)
        packer = ChunkPacker(self._shape, chosen, pages)
        blob = packer.pack_symbols(*quantize(self._shape, values), torch.cuda.current_stream().cuda_stream)
        self._chunk_bytes = len(blob)
        self._slots = [(self._unpacker.slot(pinned=True), torch.cuda.Event(blocking=True)) for _ in range(SLOTS)]
        for slot, _ in self._slots:
            slot.chunk[: len(blob)] = np.frombuffer(blob, dtype=np.uint8)
        self._chunks = 0
        self._run_one(0)
        torch.cuda.synchronize()  # kernels are compiled

    def _run_one(self, number: int) -> None:
        slot, over = self._slots[number % SLOTS]
        over.synchronize()
        pages_a_chunk = CHUNK_TOKENS // PAGE_TOKENS
        first = number * pages_a_chunk % PAGES
        with torch.cuda.stream(self._stream):
            self._unpacker.unpack(slot, self._chunk_bytes, 0, range(first, first + pages_a_chunk), 0, self._stream.cuda_stream)
            over.record(self._stream)

    def start(self, gb_per_s: float) -> None:
        self._began_s = time.perf_counter()
        self._stopping = False
        self._chunks = 0
        self._thread = threading.Thread(target=self._run, args=(gb_per_s,))
        self._thread.start()

    def _run(self, gb_per_s: float) -> None:
        chunk_s = 2 * self._shape.symbols / gb_per_s / 1e9 if gb_per_s else 0
        while not self._stopping:
            wait_s = self._began_s + self._chunks * chunk_s - time.perf_counter()
            if wait_s > 0:
                time.sleep(min(wait_s, 0.01))
                continue
            self._run_one(self._chunks)
            self._chunks += 1

    def stop(self) -> tuple[int, float]:
        """Bytes of values that are in pages, and the seconds that took."""
        self._stopping = True
        self._thread.join()
        self._stream.synchronize()
        return self._chunks * 2 * self._shape.symbols, time.perf_counter() - self._began_s

    def close(self) -> None:
        pass
