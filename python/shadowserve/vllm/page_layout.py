"""Proves, before any page is trusted, that we lay out pages exactly as the engine's attention kernel does."""

from typing import TYPE_CHECKING

import torch

from shadowserve import _native
from shadowserve.vllm.served_model import NotSupported, ServedModel

if TYPE_CHECKING:
    from collections.abc import Mapping

# What vLLM calls its CPU kernels -> our name of the page layout they use.
LAYOUT_OF_ISA = {"vec": "vec", "vec16": "vec16", "amx": "amx"}


def page_layout(model: ServedModel, kv_caches: "Mapping[str, torch.Tensor]", layers: "Mapping[str, object]") -> str:
    """Returns the proved layout of every layer's pages. Raises NotSupported, and then the engine must not start."""
    first = kv_caches[model.layer_names[0]]
    for name in model.layer_names:
        _check_tensor(model, name, kv_caches[name], first)
    isas = {getattr(layers[name], "isa", None) for name in model.layer_names}
    if len(isas) != 1:
        raise NotSupported(f"a mixture of attention kernels ({sorted(map(str, isas))})", "use one kernel for all layers")
    isa = isas.pop()
    if isa not in LAYOUT_OF_ISA:
        raise NotSupported(f"the page layout of the attention kernel '{isa}'", f"supported are {', '.join(LAYOUT_OF_ISA)}")
    prove_layout(LAYOUT_OF_ISA[isa], isa, model.page_tokens, model.kv_heads, model.head_dim, model.dtype)
    return LAYOUT_OF_ISA[isa]


def _check_tensor(model: ServedModel, name: str, pages: torch.Tensor, first: torch.Tensor) -> None:
    if pages.device.type != "cpu":
        raise NotSupported(f"a KV cache in {pages.device.type} memory", "use the CPU backend of vLLM")
    check_alike(model, pages, first)
    inner = (model.kv_heads, model.page_tokens, 2 * model.head_dim)
    if pages.dim() != 4 or tuple(pages.shape[1:]) != inner:
        raise NotSupported(f"{name}: pages of shape {tuple(pages.shape)}", f"expected [pages, {inner}]")
    if pages.stride()[2:] != (2 * model.head_dim, 1):
        raise NotSupported(f"{name}: pages with strides {pages.stride()}", "expected each head of a page in one piece")


def check_alike(model: ServedModel, pages: torch.Tensor, first: torch.Tensor) -> None:
    """Wherever they are: pages hold what the model computes, in every layer like in the first."""
    if pages.dtype != model.dtype:
        raise NotSupported(f"a KV cache of {pages.dtype} for a model of {model.dtype}", "use kv_cache_dtype auto")
    if (pages.shape, pages.stride(), pages.device) != (first.shape, first.stride(), first.device):
        raise NotSupported("a model whose layers differ in shape", "serve this model without the connector")


def prove_layout(
    layout: str, isa: str, page_tokens: int, kv_heads: int, head_dim: int, dtype: torch.dtype
) -> None:
    """Lets vLLM's own operator write two scratch pages, and compares every bit with what we would place and gather."""
    from vllm import _custom_ops as ops

    shape = (2 * page_tokens, kv_heads, head_dim)
    key, value = distinct_values(shape, dtype, seed=1), distinct_values(shape, dtype, seed=2)
    pages = torch.zeros((2, kv_heads, page_tokens, 2 * head_dim), dtype=dtype)
    halves = pages.view(2, kv_heads, 2 * page_tokens, head_dim).chunk(2, dim=2)
    # As in serving: a prompt's chunk that ends inside a page, then single tokens, then the rest.
    for begin, end in _uneven_pieces(2 * page_tokens):
        slots = torch.arange(begin, end, dtype=torch.int64)
        ops.cpu_attn_reshape_and_cache(key[begin:end], value[begin:end], *halves, slots, isa)
    head_stride_bytes = pages.stride(1) * pages.element_size()
    for number in range(2):
        tokens = slice(number * page_tokens, (number + 1) * page_tokens)
        canonical = torch.stack([key[tokens], value[tokens]]).contiguous()
        written = pages[number]
        placed = torch.zeros_like(written)
        gathered = torch.zeros_like(canonical)
        sizes = (page_tokens, kv_heads, head_dim)
        _native.place_page(layout, *sizes, canonical.data_ptr(), placed.data_ptr(), head_stride_bytes)
        _native.gather_page(layout, *sizes, written.data_ptr(), head_stride_bytes, gathered.data_ptr())
        for ours, theirs in ((placed, written), (gathered, canonical)):
            if not torch.equal(ours.view(torch.int16), theirs.view(torch.int16)):
                raise NotSupported(
                    f"the page layout of this vLLM's attention kernel '{isa}' (it is not our '{layout}')",
                    "use the vLLM version named in the documentation",
                )


def distinct_values(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> torch.Tensor:
    """Random finite numbers: with 30,000 different ones no two rows or columns are alike."""
    generator = torch.Generator().manual_seed(seed)
    # Positive bit patterns below infinity (0x7f80 in bfloat16, 0x7c00 in float16), no zeros, no subnormals.
    bits = torch.randint(0x0400, 0x7C00, shape, dtype=torch.int16, generator=generator)
    return bits.view(dtype)


def _uneven_pieces(tokens: int) -> list[tuple[int, int]]:
    cuts = [0, min(13, tokens - 2), min(14, tokens - 1), min(15, tokens), tokens]
    return [(begin, end) for begin, end in zip(cuts, cuts[1:]) if begin < end]
