"""Ways for KV to arrive in an engine's pages while it computes, each at a chosen rate of delivered values."""

import ctypes
import pathlib
import subprocess
import time

from compute import HEAD_DIM, KV_HEADS, LAYERS

STAGING_BYTES = 512 << 20
BLOCKS = 4096  # of 16 tokens: 8 GiB of pages
PAGE_BYTES = 16 * KV_HEADS * HEAD_DIM * 2  # a layer's keys or values


class Idle:
    name = "nothing (noise)"

    def start(self, gb_per_s: float) -> None:
        self._began_s = time.perf_counter()

    def stop(self) -> tuple[int, float]:
        """Bytes of values that arrived, and the seconds that took."""
        return 0, time.perf_counter() - self._began_s

    def close(self) -> None:
        pass


class Staging:
    """The engine's staging memory and the connector's moves from there into pages, in this process."""

    def __init__(self, programs: pathlib.Path, direct: bool = False, kv_heads: int = KV_HEADS):
        self._library = ctypes.CDLL(str(programs / "libss_scatter.so"))
        self._library.scatter_create.restype = ctypes.c_void_p
        self._library.scatter_create.argtypes = [ctypes.c_uint32] * 4 + [ctypes.c_uint64, ctypes.c_bool]
        self._library.scatter_staging_handle.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        self._library.scatter_start.argtypes = [ctypes.c_void_p, ctypes.c_double]
        self._library.scatter_stop.argtypes = [ctypes.c_void_p]
        self._library.scatter_stop.restype = ctypes.c_uint64
        self._scatter = self._library.scatter_create(LAYERS, kv_heads, HEAD_DIM, BLOCKS, STAGING_BYTES, direct)

    def handle(self) -> str:
        out = ctypes.create_string_buffer(256)
        size = self._library.scatter_staging_handle(self._scatter, out)
        return out.raw[:size].hex()

    def start(self, gb_per_s: float) -> None:
        self._library.scatter_start(self._scatter, gb_per_s)

    def stop(self) -> int:
        return self._library.scatter_stop(self._scatter)


class Dma:
    """The data plane's copy engine in a process of its own; values are then in staging memory."""

    name = "DMA by the data plane"

    def __init__(self, programs: pathlib.Path, staging: Staging, cores: str, *options: str):
        self._process = subprocess.Popen(
            ["taskset", "-c", cores, str(programs / "gpu_deliverer"), *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._say(staging.handle())
        if self._process.stdout.readline().strip() != "ready":
            raise SystemExit("interference: gpu_deliverer did not start")

    def _say(self, line: str) -> None:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def start(self, gb_per_s: float) -> None:
        self._say(f"{gb_per_s}")

    def stop(self) -> tuple[int, float]:
        self._say("stop")
        count, seconds = self._process.stdout.readline().split()
        return int(count), float(seconds)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(10)


class DmaInPieces(Dma):
    """The same in copies of a few microseconds: what an engine's own copies may have to wait for."""

    name = "DMA by the data plane, 128 KiB a copy"

    def __init__(self, programs: pathlib.Path, staging: Staging, cores: str):
        super().__init__(programs, staging, cores, "--slot-bytes", str(128 << 10))


class DmaIntoPages(Dma):
    """Straight into pages, from another process: no staging memory, no scatter. ShadowServe does not do that."""

    name = "DMA straight into pages by another process"

    def __init__(self, programs: pathlib.Path, pages: Staging, cores: str):
        super().__init__(programs, pages, cores, "--page-bytes", str(PAGE_BYTES))


class DirectPages:
    """All that a fetch costs the GPU with direct_pages: copies from host memory into pages, started in the engine's process. A copy
    is 16 tokens of a layer's keys or values."""

    def __init__(self, programs: pathlib.Path, kv_heads: int = KV_HEADS):
        self._moves = Staging(programs, direct=True, kv_heads=kv_heads)
        self.name = f"copies straight into pages, {kv_heads * HEAD_DIM * 2 * 16 >> 10} KiB each (ShadowServe, direct_pages)"

    def start(self, gb_per_s: float) -> None:
        self._began_s = time.perf_counter()
        self._moves.start(gb_per_s)

    def stop(self) -> tuple[int, float]:
        return self._moves.stop(), time.perf_counter() - self._began_s

    def close(self) -> None:
        pass


class DmaAndScatter:
    """All that a fetch costs the GPU: copies into staging memory, and scatters from there into pages, at the same rate."""

    name = "DMA and scatter (ShadowServe)"

    def __init__(self, dma: Dma, staging: Staging):
        self._dma, self._staging = dma, staging

    def start(self, gb_per_s: float) -> None:
        self._dma.start(gb_per_s)
        self._staging.start(gb_per_s)

    def stop(self) -> tuple[int, float]:
        scattered = self._staging.stop()
        copied, seconds = self._dma.stop()
        return min(scattered, copied), seconds

    def close(self) -> None:
        pass
