"""What one element of a KV cache is, and numbers that prove how an engine lays out its pages."""

import dataclasses

import torch


@dataclasses.dataclass(frozen=True)
class CacheKind:
    """`cache_dtype` is what vLLM's operators are told; `number` is ss_options.element."""

    name: str
    cache_dtype: str
    number: int
    stored: torch.dtype  # of the pages
    computed: torch.dtype  # as K and V are handed to the operator that writes them
    meant: torch.dtype  # what the stored bits mean

    @property
    def bits(self) -> torch.dtype:
        """An integer of the same size, to compare bit for bit."""
        return torch.int16 if self.stored.itemsize == 2 else torch.uint8


def _plain(name: str, number: int, dtype: torch.dtype) -> CacheKind:
    return CacheKind(name, "auto", number, dtype, dtype, dtype)


BF16 = _plain("bf16", 1, torch.bfloat16)
FP16 = _plain("fp16", 2, torch.float16)
FP8_E4M3 = CacheKind("fp8_e4m3", "fp8_e4m3", 3, torch.uint8, torch.bfloat16, torch.float8_e4m3fn)
FP8_E5M2 = CacheKind("fp8_e5m2", "fp8_e5m2", 4, torch.uint8, torch.bfloat16, torch.float8_e5m2)

# By vLLM's kv_cache_dtype. What is quantized by token and head ("fp8_per_token_head", ...) keeps scales beside its pages.
FP8_KINDS = {"fp8": FP8_E4M3, "fp8_e4m3": FP8_E4M3, "fp8_e5m2": FP8_E5M2}


def cache_kind(cache_dtype: str, stored: torch.dtype, computed: torch.dtype) -> CacheKind | None:
    """None: a kind that is not known. `computed`: what the model computes in."""
    if cache_dtype in FP8_KINDS and stored.itemsize == 1:
        return dataclasses.replace(FP8_KINDS[cache_dtype], stored=stored, computed=computed)
    plain = {kind.stored: kind for kind in (BF16, FP16)}
    return plain.get(stored) if cache_dtype in ("auto", "bfloat16", "float16") else None


def distinct_values(shape: tuple[int, ...], kind: CacheKind, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random finite numbers as they are computed, and as they must be cached: exactly, whatever rounds in between.

    No zeros and no subnormals. With 30,000 different ones no two rows or columns are alike; the 112 or 120 positive ones
    of fp8 get as many negative ones, and rows are long enough."""
    generator = torch.Generator().manual_seed(seed)
    if kind.bits is torch.int16:
        # Positive bit patterns below infinity (0x7f80 in bfloat16, 0x7c00 in float16).
        bits = torch.randint(0x0400, 0x7C00, shape, dtype=torch.int16, generator=generator)
        return bits.view(kind.computed), bits.view(kind.stored)
    # Below infinity and NaN of both (0x7f in e4m3, from 0x7c in e5m2); float16 computes all of them, too, but for none of
    # the smallest of e5m2.
    magnitudes = torch.randint(0x08, 0x7B, shape, dtype=torch.int16, generator=generator)
    signs = torch.randint(0, 2, shape, dtype=torch.int16, generator=generator) * 0x80
    bits = (magnitudes + signs).to(torch.uint8)
    return bits.view(kind.meant).to(kind.computed), bits.view(kind.stored)
