"""Proves, before any page is trusted, that we lay out pages exactly as the engine's attention kernel does."""

from typing import TYPE_CHECKING

import torch

from shadowserve import _native
from shadowserve.vllm.cache_kind import CacheKind, distinct_values
from shadowserve.vllm.latent_pages import latent_pages, prove_latent_layout
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
    if model.latent:
        prove_latent_layout(model, latent_pages(model, model.layer_names[0], first), layers)
        return "plain"
    isas = {getattr(layers[name], "isa", None) for name in model.layer_names}
    if len(isas) != 1:
        raise NotSupported(f"a mixture of attention kernels ({sorted(map(str, isas))})", "use one kernel for all layers")
    isa = isas.pop()
    if isa not in LAYOUT_OF_ISA:
        raise NotSupported(f"the page layout of the attention kernel '{isa}'", f"supported are {', '.join(LAYOUT_OF_ISA)}")
    prove_layout(LAYOUT_OF_ISA[isa], isa, model.page_tokens, model.kv_heads, model.head_dim, model.kind)
    return LAYOUT_OF_ISA[isa]


def _check_tensor(model: ServedModel, name: str, pages: torch.Tensor, first: torch.Tensor) -> None:
    if pages.device.type != "cpu":
        raise NotSupported(f"a KV cache in {pages.device.type} memory", "use the CPU backend of vLLM")
    check_alike(model, pages, first)
    if model.latent:
        latent_pages(model, name, pages)
        return
    inner = (model.kv_heads, model.page_tokens, 2 * model.head_dim)
    if pages.dim() != 4 or tuple(pages.shape[1:]) != inner:
        raise NotSupported(f"{name}: pages of shape {tuple(pages.shape)}", f"expected [pages, {inner}]")
    if pages.stride()[2:] != (2 * model.head_dim, 1):
        raise NotSupported(f"{name}: pages with strides {pages.stride()}", "expected each head of a page in one piece")


def check_alike(model: ServedModel, pages: torch.Tensor, first: torch.Tensor) -> None:
    """Wherever they are: pages hold what the model computes, in every layer like in the first."""
    if pages.dtype != model.dtype:
        raise NotSupported(f"a KV cache of {pages.dtype} where {model.dtype} was announced", "use another kv_cache_dtype")
    if (pages.shape, pages.stride(), pages.device) != (first.shape, first.stride(), first.device):
        raise NotSupported("a model whose layers differ in shape", "serve this model without the connector")


def prove_layout(
    layout: str, isa: str, page_tokens: int, kv_heads: int, head_dim: int, kind: CacheKind
) -> None:
    """Lets vLLM's own operator write two scratch pages, and compares every bit with what we would place and gather."""
    from vllm import _custom_ops as ops

    shape = (2 * page_tokens, kv_heads, head_dim)
    (key, key_stored), (value, value_stored) = distinct_values(shape, kind, seed=1), distinct_values(shape, kind, seed=2)
    pages = torch.zeros((2, kv_heads, page_tokens, 2 * head_dim), dtype=kind.stored)
    halves = pages.view(2, kv_heads, 2 * page_tokens, head_dim).chunk(2, dim=2)
    # As in serving: a prompt's chunk that ends inside a page, then single tokens, then the rest.
    for begin, end in _uneven_pieces(2 * page_tokens):
        slots = torch.arange(begin, end, dtype=torch.int64)
        ops.cpu_attn_reshape_and_cache(key[begin:end], value[begin:end], *halves, slots, isa, **_told(kind))
    head_stride_bytes = pages.stride(1) * pages.element_size()
    for number in range(2):
        tokens = slice(number * page_tokens, (number + 1) * page_tokens)
        canonical = torch.stack([key_stored[tokens], value_stored[tokens]]).contiguous()
        written = pages[number]
        placed = torch.zeros_like(written)
        gathered = torch.zeros_like(canonical)
        sizes = (page_tokens, kv_heads, head_dim)
        _native.place_page(layout, *sizes, canonical.data_ptr(), placed.data_ptr(), head_stride_bytes, kind.number)
        _native.gather_page(layout, *sizes, written.data_ptr(), head_stride_bytes, gathered.data_ptr(), kind.number)
        for ours, theirs in ((placed, written), (gathered, canonical)):
            if not torch.equal(ours.view(kind.bits), theirs.view(kind.bits)):
                raise NotSupported(
                    f"the page layout of this vLLM's attention kernel '{isa}' (it is not our '{layout}')",
                    "use the vLLM version named in the documentation",
                )


def _told(kind: CacheKind) -> dict[str, str]:
    return {} if kind.cache_dtype == "auto" else {"kv_cache_dtype": kind.cache_dtype}


def _uneven_pieces(tokens: int) -> list[tuple[int, int]]:
    cuts = [0, min(13, tokens - 2), min(14, tokens - 1), min(15, tokens), tokens]
    return [(begin, end) for begin, end in zip(cuts, cuts[1:]) if begin < end]
