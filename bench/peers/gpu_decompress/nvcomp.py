"""nvCOMP's low-level batched API, as far as it is needed here, for version 6; REQUIRES libnvcomp.so.6.

All pointers are device addresses as integers. Nothing here waits for the GPU.
"""

import ctypes
import dataclasses
import os
import pathlib
import sys

LIBRARY = "libnvcomp.so.6"
SUCCESS = 0
# Frames begin at multiples of this: the strictest that the coders ask for (ANS, in and out).
ALIGNMENT = 16


class AnsCompressOptions(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int), ("data_type", ctypes.c_int), ("max_sub_chunk_count", ctypes.c_uint8),
        ("states_per_lane", ctypes.c_uint8), ("histogram_reduction_log2", ctypes.c_uint8), ("reserved", ctypes.c_char * 53),
    ]  # fmt: skip


class AnsDecompressOptions(ctypes.Structure):
    _fields_ = [
        ("backend", ctypes.c_int), ("data_type", ctypes.c_int), ("max_sub_chunk_count", ctypes.c_uint8),
        ("states_per_lane", ctypes.c_uint8), ("skip_validate", ctypes.c_uint8), ("reserved", ctypes.c_char * 53),
    ]  # fmt: skip


class DeflateCompressOptions(ctypes.Structure):
    _fields_ = [("algorithm", ctypes.c_int), ("reserved", ctypes.c_char * 60)]


class DeflateDecompressOptions(ctypes.Structure):
    _fields_ = [("backend", ctypes.c_int), ("sort_before_hw_decompress", ctypes.c_int), ("reserved", ctypes.c_char * 56)]


TYPE_CHAR, TYPE_INFERRED = 0, 0xFF
ENTROPY_ONLY = 0  # of Deflate's algorithms: Huffman codes without matches

# Name -> what its functions are called, how it compresses, how it decompresses. Zero means the library's default. "ans-named"
# reads the same bytes as "ans", but says beforehand what they are, which nvCOMP has faster kernels for.
CODERS = {
    "ans": ("ANS", AnsCompressOptions(0, TYPE_CHAR, 0, 2), AnsDecompressOptions(0, TYPE_INFERRED)),
    "deflate": ("Deflate", DeflateCompressOptions(ENTROPY_ONLY), DeflateDecompressOptions(0)),
    "ans-named": ("ANS", AnsCompressOptions(0, TYPE_CHAR, 0, 2), AnsDecompressOptions(0, TYPE_CHAR, 0, 2)),
}


@dataclasses.dataclass(frozen=True)
class Frames:
    """A batch: device addresses of arrays with one entry a frame."""

    count: int
    sources: int  # addresses, 8 bytes each
    source_sizes: int  # bytes, 8 bytes each
    targets: int  # addresses, 8 bytes each
    target_sizes: int  # bytes that came out, 8 bytes each: written
    statuses: int  # 4 bytes each: written, SUCCESS where all is well


class Coder:
    """One coder of CODERS for frames of at most `frame_bytes`."""

    def __init__(self, name: str, frame_bytes: int):
        if name not in CODERS:
            raise ValueError(f"gpu_decompress: there is no coder '{name}'; known are {', '.join(CODERS)}")
        self.name = name
        stem, self._compress_options, self._decompress_options = CODERS[name]
        self._frame_bytes = frame_bytes
        self._stem = "nvcompBatched" + stem
        self._library = load_library()

    def coded_bytes_max(self) -> int:
        """Of one frame."""
        size = ctypes.c_size_t()
        options = self._compress_options
        self._call("CompressGetMaxOutputChunkSize", [ctypes.c_size_t, type(options), ctypes.c_void_p],
                   self._frame_bytes, options, ctypes.addressof(size))  # fmt: skip
        return size.value

    def compress_temp_bytes(self, frames: int) -> int:
        return self._temp_bytes("CompressGetTempSize", self._compress_options, frames)

    def decompress_temp_bytes(self, frames: int) -> int:
        return self._temp_bytes("DecompressGetTempSize", self._decompress_options, frames)

    def compress(self, frames: Frames, temp: int, temp_bytes: int, stream: int) -> None:
        """Each target REQUIRES room for coded_bytes_max()."""
        options = self._compress_options
        size, address = ctypes.c_size_t, ctypes.c_void_p
        self._call(
            "CompressAsync",
            [address, address, size, size, address, size, address, address, type(options), address, address],
            frames.sources, frames.source_sizes, self._frame_bytes, frames.count, temp, temp_bytes, frames.targets,
            frames.target_sizes, options, frames.statuses, stream,
        )  # fmt: skip

    def decompress(self, frames: Frames, room: int, temp: int, temp_bytes: int, stream: int) -> None:
        """`room`: address of the sizes of the targets, 8 bytes each."""
        options = self._decompress_options
        size, address = ctypes.c_size_t, ctypes.c_void_p
        self._call(
            "DecompressAsync",
            [address, address, address, address, size, address, size, address, type(options), address, address],
            frames.sources, frames.source_sizes, room, frames.target_sizes, frames.count, temp, temp_bytes, frames.targets,
            options, frames.statuses, stream,
        )  # fmt: skip

    def _temp_bytes(self, function: str, options: ctypes.Structure, frames: int) -> int:
        size = ctypes.c_size_t()
        self._call(
            function,
            [ctypes.c_size_t, ctypes.c_size_t, type(options), ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p],
            frames, self._frame_bytes, options, ctypes.addressof(size), frames * self._frame_bytes, None,
        )  # fmt: skip
        return size.value

    def _call(self, function: str, types: list, *arguments) -> None:
        called = getattr(self._library, self._stem + function)
        called.argtypes = types
        status = called(*arguments)
        if status != SUCCESS:
            raise RuntimeError(f"gpu_decompress: {self._stem}{function} failed with status {status} (nvcompStatus_t)")


def library_version() -> int:
    class Properties(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint32), ("cudart_version", ctypes.c_uint32)]

    found = Properties()
    load_library().nvcompGetProperties(ctypes.byref(found))
    return found.version


def load_library() -> ctypes.PyDLL:
    """Where the package nvidia-libnvcomp put it, or wherever the loader finds one. PyDLL keeps Python's lock during a call: calls only
    queue work, and who lets the lock go has to wait for the engine's thread to get it back."""
    for folder in sys.path:
        library = pathlib.Path(folder or os.curdir) / "nvidia/libnvcomp/lib64" / LIBRARY
        if library.is_file():
            return ctypes.PyDLL(str(library))
    try:
        return ctypes.PyDLL(LIBRARY)
    except OSError as error:
        raise RuntimeError(
            f"gpu_decompress: {LIBRARY} is neither in a package on PYTHONPATH nor where the loader looks; "
            "install nvidia-libnvcomp-cu13"
        ) from error
