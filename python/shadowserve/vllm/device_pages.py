"""A GPU's KV cache, described by strides, and the proof that vLLM's own kernel writes it as we describe it."""

import dataclasses
from typing import TYPE_CHECKING

import torch

from shadowserve.vllm.cache_kind import distinct_values
from shadowserve.vllm.latent_pages import latent_pages, prove_latent_layout
from shadowserve.vllm.page_layout import check_alike
from shadowserve.vllm.served_model import NotSupported, ServedModel

if TYPE_CHECKING:
    from collections.abc import Mapping

# Attention kernels that read what reshape_and_cache_flash writes.
PROVED_BACKENDS = ("FLASH_ATTN", "TRITON_ATTN")
# A copy that the driver is asked for holds its lock for half a microsecond, and the engine's own calls meanwhile. Beside 16 streams
# pieces of 32 KiB cost them less than the kernel, pieces of 16 KiB more (docs/results/headline.md).
LEAST_PIECE_BYTES = 32 << 10


@dataclasses.dataclass(frozen=True)
class DevicePages:
    """Arguments of _native.Transfer.register_pages()."""

    device: int
    pages: int
    plane_stride_bytes: int
    page_stride_bytes: int
    token_stride_bytes: int
    head_stride_bytes: int
    row_bytes: int
    """Of one token in one plane: all heads, without what may lie between them."""
    page_tokens: int

    @property
    def piece_bytes(self) -> int | None:
        """What one copy moves between a page and host memory, where tokens lie in order; None for pages in which heads lie apart."""
        return self.page_tokens * self.row_bytes if self.token_stride_bytes == self.row_bytes else None

    def copied_directly(self, asked: bool | None, plane_elsewhere: bool) -> bool:
        """Whether parts go straight between host memory and these pages. Where they do not, the data plane has to see the GPU."""
        if asked is not None:
            return asked
        return self.piece_bytes is not None and (plane_elsewhere or self.piece_bytes >= LEAST_PIECE_BYTES)


def device_pages(
    model: ServedModel, kv_caches: "Mapping[str, torch.Tensor]", layers: "Mapping[str, object]"
) -> DevicePages:
    """Raises NotSupported, and then the engine must not start."""
    first = kv_caches[model.layer_names[0]]
    if model.latent:
        return _device_latent_pages(model, kv_caches, layers)
    kinds = kind_axis(model, model.layer_names[0], first)
    for name in model.layer_names:
        check_alike(model, kv_caches[name], first)
        backend = layers[name].attn_backend.get_name()
        if backend not in PROVED_BACKENDS:
            raise NotSupported(
                f"the attention backend {backend} on a GPU", f"use --attention-backend {PROVED_BACKENDS[0]}"
            )
    if first.stride(-1) != 1:
        raise NotSupported(f"pages with strides {first.stride()}", "expected each head of a token in one piece")
    prove_device_layout(model, first, kinds)
    bytes_of = [stride * first.element_size() for stride in first.stride()]
    return DevicePages(
        device=first.device.index,
        pages=first.shape[1 - kinds],
        plane_stride_bytes=bytes_of[kinds],
        page_stride_bytes=bytes_of[1 - kinds],
        token_stride_bytes=bytes_of[2],
        head_stride_bytes=bytes_of[3],
        row_bytes=model.kv_heads * model.head_dim * first.element_size(),
        page_tokens=model.page_tokens,
    )


def _device_latent_pages(
    model: ServedModel, kv_caches: "Mapping[str, torch.Tensor]", layers: "Mapping[str, object]"
) -> DevicePages:
    first = latent_pages(model, model.layer_names[0], kv_caches[model.layer_names[0]])
    for name in model.layer_names:
        check_alike(model, kv_caches[name], kv_caches[model.layer_names[0]])
    prove_latent_layout(model, first, layers)
    bytes_of = [stride * first.element_size() for stride in first.stride()]
    return DevicePages(
        device=first.device.index,
        pages=first.shape[0],
        plane_stride_bytes=0,
        page_stride_bytes=bytes_of[0],
        token_stride_bytes=bytes_of[1],
        head_stride_bytes=0,
        row_bytes=first.shape[-1] * first.element_size(),
        page_tokens=model.page_tokens,
    )


def kind_axis(model: ServedModel, name: str, pages: torch.Tensor) -> int:
    """Where K and V are told apart: [2, pages, token, head, dim] or [pages, 2, token, head, dim]."""
    inner = (model.page_tokens, model.kv_heads, model.head_dim)
    if pages.dim() == 5 and tuple(pages.shape[2:]) == inner and 2 in pages.shape[:2]:
        return 0 if pages.shape[0] == 2 else 1
    raise NotSupported(f"{name}: pages of shape {tuple(pages.shape)} on a GPU", f"expected [pages, 2, {inner}]")


def prove_device_layout(model: ServedModel, pages: torch.Tensor, kinds: int) -> None:
    """Lets vLLM's operator write a few scratch pages laid out like `pages`, and looks for every token where we would."""
    from vllm import _custom_ops as ops

    scratch = _scratch_like(pages, kinds, count=3)
    tokens = 3 * model.page_tokens
    shape = (tokens, model.kv_heads, model.head_dim)
    generator = torch.Generator().manual_seed(1)
    (key, key_stored), (value, value_stored) = (
        [each.to(pages.device) for each in distinct_values(shape, model.kind, seed)] for seed in (1, 2)
    )
    slots = torch.randperm(tokens, generator=generator).to(pages.device)
    one = torch.ones((), dtype=torch.float32, device=pages.device)
    halves = scratch.select(kinds, 0), scratch.select(kinds, 1)
    ops.reshape_and_cache_flash(key, value, *halves, slots, model.kind.cache_dtype, one, one)
    for kind, written in ((0, key_stored), (1, value_stored)):
        found = scratch.select(kinds, kind).reshape(shape)[slots]
        if not torch.equal(found.view(model.kind.bits), written.view(model.kind.bits)):
            raise NotSupported(
                "the page layout of this vLLM's attention kernel on a GPU", "use a vLLM version named in the documentation"
            )


def _scratch_like(pages: torch.Tensor, kinds: int, count: int) -> torch.Tensor:
    """Axes in the same order in memory, but only `count` pages."""
    shape = list(pages.shape)
    shape[1 - kinds] = count
    order = sorted(range(pages.dim()), key=lambda axis: -pages.stride(axis))
    back = sorted(range(pages.dim()), key=order.__getitem__)
    return torch.zeros([shape[axis] for axis in order], dtype=pages.dtype, device=pages.device).permute(back)
