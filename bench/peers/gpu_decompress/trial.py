"""Tries the peer's parts on a GPU, without an engine or a store: `python -m gpu_decompress.trial`; exit code 0 when all is well.

Prints what nvCOMP decompresses a second: GB/s of symbols (one byte each), and of the bf16 values they stand for, with the
kernel that dequantizes and scatters (bytes of values).
"""

from collections.abc import Callable

import numpy as np
import torch

from gpu_decompress.chunk_codec import FRAME_BYTES, ChunkBytes, ChunkPacker, ChunkUnpacker, DamagedChunk, Pages
from gpu_decompress.nvcomp import CODERS, Coder, library_version
from gpu_decompress.quantized import ChunkShape, dequantize, quantize

PAGE_TOKENS = 16
# One of a Llama-8B; and one with nothing round: frames that end inside planes, fewer channels than a block of the kernel has.
SHAPES = (ChunkShape(layers=32, kv_heads=8, head_dim=128, tokens=256), ChunkShape(layers=3, kv_heads=3, head_dim=64, tokens=256))
CHUNKS = 4  # of the first shape: 64 MiB of symbols
REPEATS = 5
FIRST_TOKEN = 32  # of a chunk whose first pages are shared with another request


class Trial:
    """A cache, some chunks for it, and one coder."""

    def __init__(self, shape: ChunkShape, coder: str, chunks: int):
        torch.manual_seed(1)
        self.shape, self.chunks = shape, chunks
        self.pages_per_chunk = shape.tokens // PAGE_TOKENS
        count = chunks * self.pages_per_chunk + 8
        inner = (2, PAGE_TOKENS, shape.kv_heads, shape.head_dim)
        self.layers = [torch.full((count, *inner), -1.0, dtype=torch.bfloat16, device="cuda") for _ in range(shape.layers)]
        self.order = torch.randperm(count)[: chunks * self.pages_per_chunk].tolist()
        pages = Pages(self.layers)
        chosen = Coder(coder, FRAME_BYTES)
        self.packer = ChunkPacker(shape, chosen, pages)
        self.unpacker = ChunkUnpacker(shape, chosen, pages, chunks)
        self.verdict = torch.zeros(chunks, dtype=torch.bool, pin_memory=True)
        self.stream = torch.cuda.Stream()
        self.sizes = [0] * chunks
        self.values, self.blobs, self.slots = [], [], []
        for _ in range(chunks):
            values = kv_like(shape)
            self.values.append(values)
            self.blobs.append(self.packer.pack_symbols(*quantize(shape, values), torch.cuda.current_stream().cuda_stream))
            self.slots.append(self.unpacker.slot(pinned=True))

    def page_ids(self, number: int) -> list[int]:
        return self.order[number * self.pages_per_chunk : (number + 1) * self.pages_per_chunk]

    def unpack(self, number: int, blob: bytes, first_token: int = 0) -> None:
        self.slots[number].chunk[: len(blob)] = np.frombuffer(blob, dtype=np.uint8)
        self.sizes[number] = len(blob)
        self.queue(number, first_token)

    def queue(self, number: int, first_token: int) -> None:
        """Unpacks what is in the slot."""
        page_ids = self.page_ids(number)
        self.unpacker.unpack(self.slots[number], self.sizes[number], number, page_ids, first_token, self.stream.cuda_stream)

    def run(self, work: Callable[[], None]) -> list[bool]:
        """Which chunks came out damaged."""
        torch.cuda.synchronize()
        with torch.cuda.stream(self.stream):
            work()
            self.unpacker.judge(self.chunks, self.verdict)
        self.stream.synchronize()
        return self.verdict.tolist()

    def found(self, number: int) -> torch.Tensor:
        """Values [layers, 2, tokens, channels] in the chunk's pages."""
        gathered = [layer[self.page_ids(number)].transpose(0, 1) for layer in self.layers]
        return torch.stack(gathered).reshape(self.shape.layers, 2, self.shape.tokens, self.shape.channels)

    def expected(self, number: int) -> torch.Tensor:
        return dequantize(self.shape, *quantize(self.shape, self.values[number]))


def kv_like(shape: ChunkShape) -> torch.Tensor:
    """Keys have channels that stand out; both are bell-shaped."""
    values = torch.randn((shape.layers, 2, shape.tokens, shape.channels), device="cuda")
    values[:, 0] *= 1 + 10 * torch.rand((shape.layers, 1, shape.channels), device="cuda") ** 8
    return values.to(torch.bfloat16)


def same(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.equal(found.contiguous().view(torch.int16), expected.contiguous().view(torch.int16))


def check(what: str, holds: bool) -> None:
    print(f"{'ok' if holds else 'FAILED':7}{what}", flush=True)
    if not holds:
        raise SystemExit(1)


def check_chunks(shape: ChunkShape, coder: str, chunks: int) -> Trial:
    trial = Trial(shape, coder, chunks)
    told = f"{coder}, {shape.layers} layers of {shape.kv_heads} x {shape.head_dim}"
    damaged = trial.run(lambda: [trial.unpack(number, trial.blobs[number]) for number in range(chunks)])
    check(f"{told}: nvCOMP is content with what it compressed", not any(damaged))
    symbols = quantize(shape, trial.values[-1])[0].flatten()
    check(f"{told}: symbols are the same", torch.equal(trial.unpacker.symbols, symbols))
    fits = [same(trial.found(number), trial.expected(number)) for number in range(chunks)]
    check(f"{told}: pages are what torch makes of the symbols", all(fits))
    used = set(trial.order)
    rest = [number for number in range(len(trial.layers[0])) if number not in used]
    check(f"{told}: other pages are as they were", all(bool((layer[rest] == -1).all()) for layer in trial.layers))
    for layer in trial.layers:
        layer.fill_(-1)
    trial.run(lambda: trial.unpack(0, trial.blobs[0], FIRST_TOKEN))
    found, expected = trial.found(0), trial.expected(0)
    expected[:, :, :FIRST_TOKEN] = -1
    check(f"{told}: tokens before the first wanted are as they were", same(found, expected))
    again = trial.packer.pack(trial.page_ids(0), torch.cuda.current_stream().cuda_stream)
    check(f"{told}: packing gathers from pages", again is not None and len(again) > ChunkBytes(shape).frames_at)
    return trial


def check_damage(trial: Trial, coder: str) -> None:
    """Chunks that are not what was saved are noticed, or something else comes out."""
    expected = trial.expected(0)
    damaged = trial.run(lambda: trial.unpack(0, exchanged_frames(trial.unpacker.layout, trial.blobs[0])))
    check(f"{coder}: exchanged frames are noticed or differ", damaged[0] or not same(trial.found(0), expected))
    try:
        trial.unpack(0, trial.blobs[0][:-16])
        check(f"{coder}: a chunk that is too short is refused", False)
    except DamagedChunk:
        check(f"{coder}: a chunk that is too short is refused", True)
    if coder.startswith("ans"):  # of damaged streams nvCOMP promises an error here, but nothing for Deflate
        begins, sizes = trial.unpacker.layout.frame_places(np.frombuffer(trial.blobs[0], dtype=np.uint8))
        flipped = bytearray(trial.blobs[0])
        flipped[begins[1] + sizes[1] // 2] ^= 0x10
        damaged = trial.run(lambda: trial.unpack(0, bytes(flipped)))
        check(f"{coder}: a flipped bit is noticed or differs", damaged[0] or not same(trial.found(0), expected))


def exchanged_frames(layout: ChunkBytes, blob: bytes) -> bytes:
    """The first two frames, whole but in each other's place."""
    chunk = np.frombuffer(blob, dtype=np.uint8).copy()
    begins, sizes = layout.frame_places(chunk)
    frames = np.split(chunk, begins)[1:]
    frames[:2] = frames[1::-1]
    coded_sizes = chunk[layout.sizes_at : layout.sizes_at + 8].view(np.uint32)
    coded_sizes[:] = sizes[1], sizes[0]
    return np.concatenate([chunk[: layout.frames_at], *frames]).tobytes()


def fastest_s(trial: Trial, work: Callable[[], None]) -> float:
    """Time on the GPU, queueing included where that is slower."""
    took_s = []
    for _ in range(REPEATS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        with torch.cuda.stream(trial.stream):
            begin.record()
            work()
            end.record()
        end.synchronize()
        took_s.append(begin.elapsed_time(end) / 1e3)
    return min(took_s)


def print_rates(trial: Trial, coder: str) -> None:
    stream, chunks = trial.stream.cuda_stream, range(trial.chunks)
    trial.run(lambda: [trial.unpack(number, trial.blobs[number]) for number in chunks])
    seconds = fastest_s(trial, lambda: [trial.unpacker.decompress(number, stream) for number in chunks])
    whole_seconds = fastest_s(trial, lambda: [trial.queue(number, 0) for number in chunks])
    symbols = trial.shape.symbols * trial.chunks
    ratio = 2 * symbols / sum(map(len, trial.blobs))
    print(
        f"{coder}: decompression {symbols / seconds / 1e9:.1f} GB/s of symbols, {2 * symbols / seconds / 1e9:.1f} GB/s of values; with the "
        f"copy to the GPU, dequantizing and scattering {2 * symbols / whole_seconds / 1e9:.1f} GB/s of values; ratio {ratio:.2f}"
    )


def main() -> None:
    if not torch.cuda.is_available():
        raise SystemExit("trial: there is no CUDA GPU")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, nvCOMP {library_version()}")
    for coder in CODERS:
        check_chunks(SHAPES[1], coder, chunks=1)
        trial = check_chunks(SHAPES[0], coder, CHUNKS)
        print_rates(trial, coder)
        check_damage(trial, coder)


if __name__ == "__main__":
    main()
