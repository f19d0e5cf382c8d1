"""The control plane of ShadowServe; include/shadowserve/shadowserve.h says everything that is not said here."""

from collections.abc import Buffer, Sequence
from typing import Any, Literal, Optional, Union

KEY_BYTES: int

Ints = Union[Sequence[int], Buffer]
"""A list of ints, or a one-dimensional array of 32-bit or 64-bit integers."""
Memory = Union[int, Buffer]
"""An address, or a contiguous buffer that is large enough."""
Layout = Literal["vec", "vec16", "amx", "plain", "strided"]
Event = tuple[Literal["fetched", "gathered"], int, Optional[str], int, int]
"""Kind, id, name of the error or None, chunks_placed, chunks."""

class Lookup:
    """Beside the scheduler. `options` are the fields of ss_options by name; None stands for the default.
    ValueError says which option is wrong, or which name was meant."""

    def __init__(self, options: dict[str, Any]) -> None: ...
    def chain(self, parent: Optional[bytes], tokens: Ints, extra: bytes = b"") -> bytes:
        """KEY_BYTES for every whole chunk of `tokens`."""
    def start(self, id: int, keys: bytes) -> None: ...
    def poll(self, id: int) -> Optional[int]:
        """None: not known yet."""
    def forget(self, id: int) -> None: ...
    def fetch_ended(self, error: Optional[str], key: bytes) -> None: ...
    def claim_save(self, key: bytes) -> bool: ...
    def profile(self) -> str:
        """As Transfer.profile()."""
    def stats(self) -> dict[str, int]:
        """The fields of ss_lookup_stats."""
    def close(self) -> None: ...

class Transfer:
    """In the worker. Never raises for what a request asks: a refused job ends with an event that says why."""

    def __init__(self, options: dict[str, Any]) -> None: ...
    def register_pages(
        self,
        layout: Layout,
        layer_ptrs: Ints,
        pages: int,
        page_tokens: int,
        page_stride_bytes: int,
        head_stride_bytes: int,
        plane_stride_bytes: int = 0,
        token_stride_bytes: int = 0,
    ) -> None:
        """The memory has to stay until close(). Plane and token strides: of pages on a GPU, layout "strided"."""
    def fence(self, cuda_stream: int) -> None:
        """Pages on a GPU: what is asked for from now on touches them behind what this stream was given so far."""
    def fetch(self, id: int, keys: bytes, first_chunk: int, first_token: int, page_ids: Ints) -> None: ...
    def save(self, id: int, keys: bytes, first_chunk: int, page_ids: Ints) -> None: ...
    def cancel(self, id: int) -> None: ...
    def poll(self) -> list[Event]: ...
    def profile(self) -> str:
        """In use, as keys name it: "generic", or "balanced:" and the hash of its calibration. Never "auto"."""
    def profile_reason(self) -> str:
        """Why this one, for a log."""
    def stats(self) -> dict[str, Any]:
        """The fields of ss_transfer_stats; fetch_failed and save_failed as {error name: chunks}."""
    def close(self) -> None:
        """Nothing touches the pages any more once it returns."""

def place_page(
    layout: Layout,
    page_tokens: int,
    kv_heads: int,
    head_dim: int,
    values: Memory,
    page: Memory,
    head_stride_bytes: int,
    element: int = 1,
    planes_per_layer: int = 2,
) -> None: ...
def gather_page(
    layout: Layout,
    page_tokens: int,
    kv_heads: int,
    head_dim: int,
    page: Memory,
    head_stride_bytes: int,
    values: Memory,
    element: int = 1,
    planes_per_layer: int = 2,
) -> None: ...
def model_fingerprint(directory: str, extra: str = "") -> str: ...
def model_fingerprints(directory: str, extra: str) -> tuple[str, str]:
    """With `extra`, and of the weights alone: what a calibration names. Reads the files once."""
def error_names() -> list[str]:
    """By error code."""
def version() -> str: ...
