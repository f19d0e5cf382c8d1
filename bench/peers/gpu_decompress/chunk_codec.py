"""A chunk as the store holds it, and the way between those bytes and the pages of a KV cache on a GPU.

Bytes of a chunk: MAGIC, then the coded size of every frame (uint32), the scales, and the coded frames; each of the four begins at a
multiple of 16, and so does every frame. A frame is 64 KiB of symbols, coded alone; the last may be shorter.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from gpu_decompress.nvcomp import ALIGNMENT, SUCCESS, Coder, Frames
from gpu_decompress.quantized import ChunkShape, PageStrides, dequantize_scatter, quantizable, quantize

MAGIC = b"kv4 frames 64Ki1"
FRAME_BYTES = 64 << 10


class DamagedChunk(Exception):
    """What the store gave is no chunk of this shape."""


def aligned(count: int) -> int:
    return -(-count // ALIGNMENT) * ALIGNMENT


@dataclasses.dataclass(frozen=True)
class Pages:
    """The KV cache: one tensor [page, K|V, token, head, dim] a layer, bf16, channels of a token in one piece."""

    layers: list[torch.Tensor]

    @property
    def device(self) -> torch.device:
        return self.layers[0].device

    @property
    def strides(self) -> PageStrides:
        page, kind, token = self.layers[0].stride()[:3]
        return PageStrides(page, kind, token, page_tokens=self.layers[0].shape[2])

    def addresses(self) -> torch.Tensor:
        return torch.tensor([layer.data_ptr() for layer in self.layers], dtype=torch.int64, device=self.device)


class ChunkBytes:
    """Where everything is in a chunk of one shape. Sizes and places in bytes."""

    def __init__(self, shape: ChunkShape):
        self.frames = -(-shape.symbols // FRAME_BYTES)
        self.sizes_at = len(MAGIC)
        self.scales_at = aligned(self.sizes_at + 4 * self.frames)
        self.scales_end = self.scales_at + 2 * shape.scales
        self.frames_at = aligned(self.scales_end)
        # 16 levels need half a byte: coded symbols that outgrow bytes are not worth storing.
        self.bytes_max = self.frames_at + aligned(shape.symbols)
        self.frame_sizes = np.full(self.frames, FRAME_BYTES, dtype=np.int64)
        self.frame_sizes[-1] = shape.symbols - (self.frames - 1) * FRAME_BYTES

    def frame_places(self, chunk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Begin and size of every coded frame, int64. Raises DamagedChunk."""
        if len(chunk) < self.frames_at or chunk[: len(MAGIC)].tobytes() != MAGIC:
            raise DamagedChunk("a chunk of another shape")
        sizes = chunk[self.sizes_at : self.sizes_at + 4 * self.frames].view(np.uint32).astype(np.int64)
        ends = self.frames_at + np.cumsum(-(-sizes // ALIGNMENT) * ALIGNMENT)
        if ends[-1] != len(chunk):
            raise DamagedChunk("frames that do not fill their chunk")
        return ends - (-(-sizes // ALIGNMENT) * ALIGNMENT), sizes


class Slot:
    """A chunk on its way to the GPU: pinned, with room in front for what the kernels need to be told of it, so that both go over in
    one copy."""

    def __init__(self, layout: ChunkBytes, pages_per_chunk: int, pinned: bool):
        self.page_ids_at = 16 * layout.frames
        self.chunk_at = aligned(self.page_ids_at + 4 * pages_per_chunk)
        self.bytes = torch.zeros(self.chunk_at + layout.bytes_max, dtype=torch.uint8, pin_memory=pinned)
        told = self.bytes.numpy()
        self.chunk = told[self.chunk_at :]
        """uint8, to be received into."""
        self.frames = told[: self.page_ids_at].view(np.int64).reshape(2, layout.frames)
        """Addresses and sizes of coded frames."""
        self.page_ids = told[self.page_ids_at : self.page_ids_at + 4 * pages_per_chunk].view(np.int32)


class ChunkUnpacker:
    """Queues what turns a received chunk into pages. One at a time, all on one stream: buffers are used again without waiting."""

    def __init__(self, shape: ChunkShape, coder: Coder, pages: Pages, chunks_max: int):
        """`chunks_max`: of a load."""
        self.layout = ChunkBytes(shape)
        self._shape = shape
        self._coder = coder
        self._strides = pages.strides
        self._pages_per_chunk = shape.tokens // self._strides.page_tokens
        on_gpu = dict(device=pages.device)
        self._layer_pages = pages.addresses()
        self.symbols = torch.empty(shape.symbols, dtype=torch.uint8, **on_gpu)
        """Of the chunk that was unpacked last."""
        frames = self.layout.frames
        self._targets = self.symbols.data_ptr() + FRAME_BYTES * torch.arange(frames, dtype=torch.int64, **on_gpu)
        self._room = torch.from_numpy(self.layout.frame_sizes).to(pages.device)
        self._sizes_found = torch.empty((chunks_max, frames), dtype=torch.int64, **on_gpu)
        self._statuses = torch.empty((chunks_max, frames), dtype=torch.int32, **on_gpu)
        self._temp = torch.empty(max(ALIGNMENT, coder.decompress_temp_bytes(frames)), dtype=torch.uint8, **on_gpu)
        slot = self.slot(pinned=False)
        self._arrived = torch.empty_like(slot.bytes, **on_gpu)
        # Made once: every call of torch lets Python's lock go, and getting it back from the engine's thread takes time.
        self._page_ids = self._arrived[slot.page_ids_at : slot.page_ids_at + 4 * self._pages_per_chunk].view(torch.int32)
        scales = self._arrived[slot.chunk_at + self.layout.scales_at : slot.chunk_at + self.layout.scales_end]
        self._scales = scales.view(torch.bfloat16)

    def slot(self, pinned: bool) -> Slot:
        return Slot(self.layout, self._pages_per_chunk, pinned)

    def unpack(self, slot: Slot, chunk_bytes: int, number: int, page_ids: Sequence[int], first_token: int, stream: int) -> None:
        """Chunk `number` of a load, received into `slot`: its tokens from `first_token` on go to `page_ids`, one for every
        page of the chunk. Returns when all is queued on `stream`, which is current; the slot is in use until its copy is over.
        Raises DamagedChunk before anything is queued."""
        begins, sizes = self.layout.frame_places(slot.chunk[:chunk_bytes])
        slot.frames[0] = self._arrived.data_ptr() + slot.chunk_at + begins
        slot.frames[1] = sizes
        slot.page_ids[:] = page_ids
        end = slot.chunk_at + chunk_bytes
        self._arrived[:end].copy_(slot.bytes[:end], non_blocking=True)
        self.decompress(number, stream)
        dequantize_scatter(
            self._shape, self._strides, self.symbols, self._scales, self._page_ids, self._layer_pages, first_token
        )

    def decompress(self, number: int, stream: int) -> None:
        """The first half of unpack(), of the slot that was copied last."""
        count = self.layout.frames
        frames = Frames(
            count=count,
            sources=self._arrived.data_ptr(),
            source_sizes=self._arrived.data_ptr() + 8 * count,
            targets=self._targets.data_ptr(),
            target_sizes=self._sizes_found.data_ptr() + 8 * count * number,
            statuses=self._statuses.data_ptr() + 4 * count * number,
        )
        self._coder.decompress(frames, self._room.data_ptr(), self._temp.data_ptr(), self._temp.numel(), stream)

    def judge(self, chunks: int, verdict: torch.Tensor) -> None:
        """Queues the answer to which of a load's first `chunks` were damaged; `verdict` [at least chunks] bool, pinned."""
        wrong = (self._statuses[:chunks] != SUCCESS) | (self._sizes_found[:chunks] != self._room)
        verdict[:chunks].copy_(wrong.any(dim=1), non_blocking=True)


class ChunkPacker:
    """The way back, on the current stream; waits for the GPU."""

    def __init__(self, shape: ChunkShape, coder: Coder, pages: Pages):
        self._shape = shape
        self._coder = coder
        self._pages = pages
        self._layout = ChunkBytes(shape)

    def pack(self, page_ids: Sequence[int], stream: int) -> bytes | None:
        """Bytes of the chunk in `page_ids`; None: it cannot be quantized."""
        ids = torch.tensor(page_ids, dtype=torch.int64, device=self._pages.device)
        gathered = [layer[ids].transpose(0, 1).reshape(2, self._shape.tokens, self._shape.channels) for layer in self._pages.layers]
        values = torch.stack(gathered)
        if not quantizable(values):
            return None
        symbols, scales = quantize(self._shape, values)
        return self.pack_symbols(symbols, scales, stream)

    def pack_symbols(self, symbols: torch.Tensor, scales: torch.Tensor, stream: int) -> bytes | None:
        coded, sizes = self._compress(symbols, stream)
        padded = [(size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT for size in sizes]
        body = torch.cat([frame[:size] for frame, size in zip(coded, padded)]).cpu().numpy()
        layout = self._layout
        chunk = np.zeros(layout.frames_at + len(body), dtype=np.uint8)
        chunk[: len(MAGIC)] = np.frombuffer(MAGIC, dtype=np.uint8)
        chunk[layout.sizes_at : layout.sizes_at + 4 * layout.frames] = np.array(sizes, dtype=np.uint32).view(np.uint8)
        chunk[layout.scales_at : layout.scales_end] = scales.view(torch.uint8).cpu().numpy()
        chunk[layout.frames_at :] = body
        return chunk.tobytes() if len(chunk) <= layout.bytes_max else None

    def _compress(self, symbols: torch.Tensor, stream: int) -> tuple[torch.Tensor, list[int]]:
        """Coded frames, each in a row of its own, and their sizes in bytes."""
        count, device = self._layout.frames, symbols.device
        numbers = torch.arange(count, dtype=torch.int64, device=device)
        coded = torch.zeros((count, aligned(self._coder.coded_bytes_max())), dtype=torch.uint8, device=device)
        temp = torch.empty(max(ALIGNMENT, self._coder.compress_temp_bytes(count)), dtype=torch.uint8, device=device)
        symbols = symbols.contiguous()
        sources = symbols.data_ptr() + FRAME_BYTES * numbers
        targets = coded.data_ptr() + coded.stride(0) * numbers
        source_sizes = torch.from_numpy(self._layout.frame_sizes).to(device)
        sizes = torch.zeros(count, dtype=torch.int64, device=device)
        statuses = torch.zeros(count, dtype=torch.int32, device=device)
        frames = Frames(
            count, sources.data_ptr(), source_sizes.data_ptr(), targets.data_ptr(), sizes.data_ptr(), statuses.data_ptr()
        )
        self._coder.compress(frames, temp.data_ptr(), temp.numel(), stream)
        if bool((statuses != SUCCESS).any()):
            raise RuntimeError(f"gpu_decompress: nvCOMP could not compress, statuses {statuses.unique().tolist()}")
        return coded, sizes.tolist()
