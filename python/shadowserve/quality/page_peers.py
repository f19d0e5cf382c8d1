"""Other ways to shrink a KV cache, applied to pages after a lossless fetch, with their bytes counted as they would be kept.

Each takes values [layers, K|V, tokens, channels] (float32; channel = head * head_dim + dim; keys rotated, as cached) and
gives back what a reader would get, and the bytes it takes: scales and zeros included, no entropy coder, for these have none.
"""

from collections.abc import Callable

import torch

Peer = Callable[[torch.Tensor, int], tuple[torch.Tensor, int]]
"""values, kv_heads -> values as a reader gets them, bytes."""

GROUP = 32
"""KIVI's: tokens that share a scale of K's channel, channels that share one of V's token."""
FP8_MOST = 448.0


def _in_groups(values: torch.Tensor, axis: int, bits: int) -> tuple[torch.Tensor, int]:
    """2^bits levels from minimum to maximum of each group along `axis` (3 or less); float16 scale and zero."""
    if values.shape[axis] % GROUP:
        raise ValueError(f"groups of {GROUP} do not divide {values.shape[axis]}")
    groups = values.unflatten(axis, (-1, GROUP))
    least, most = groups.amin(axis + 1, keepdim=True), groups.amax(axis + 1, keepdim=True)
    zeros = least.half().float()
    scales = ((most - least) / (2**bits - 1)).half().float()
    numbers = torch.round((groups - zeros) / torch.where(scales > 0, scales, 1.0)).clamp(0, 2**bits - 1)
    return (numbers * scales + zeros).flatten(axis, axis + 1), values.numel() * bits // 8 + 4 * scales.numel()


def kivi(bits: int) -> Peer:
    """KIVI's quantizer: K per channel, V per token. Its window of recent tokens in full precision is left out: a stored
    prefix has no recent tokens."""

    def peer(values: torch.Tensor, kv_heads: int) -> tuple[torch.Tensor, int]:
        keys, key_bytes = _in_groups(values[:, 0], 1, bits)
        others, value_bytes = _in_groups(values[:, 1], 2, bits)
        return torch.stack([keys, others], dim=1), key_bytes + value_bytes

    return peer


def int8_plain(values: torch.Tensor, kv_heads: int) -> tuple[torch.Tensor, int]:
    """A byte a value, around zero, with a float16 scale for each token and head."""
    heads = values.unflatten(-1, (kv_heads, -1))
    scales = (heads.abs().amax(-1, keepdim=True) / 127).half().float()
    numbers = torch.round(heads / torch.where(scales > 0, scales, 1.0)).clamp(-127, 127)
    return (numbers * scales).flatten(-2), values.numel() + 2 * scales.numel()


def _to_fp8(values: torch.Tensor) -> torch.Tensor:
    return values.clamp(-FP8_MOST, FP8_MOST).to(torch.float8_e4m3fn).float()


def fp8(values: torch.Tensor, kv_heads: int) -> tuple[torch.Tensor, int]:
    """e4m3 as engines cast it when nobody gave them scales: a byte a value, what is beyond 448 clipped."""
    return _to_fp8(values), values.numel()


def fp8_scaled(values: torch.Tensor, kv_heads: int) -> tuple[torch.Tensor, int]:
    """e4m3 with a float32 scale for each layer's K and V, such that their largest value here is 448: no calibration on
    other text could choose it better."""
    scales = values.abs().amax((2, 3), keepdim=True) / FP8_MOST
    return _to_fp8(values / torch.where(scales > 0, scales, 1.0)) * scales, values.numel() + 4 * scales.numel()


def last_bit(values: torch.Tensor, kv_heads: int) -> tuple[torch.Tensor, int]:
    """A control, no codec: every second value moved by its last bit, as a bfloat16 cache has it. An engine that computes
    in bfloat16 rounds differently after any change at all; no codec can be told from a better one below this."""
    bits = values.bfloat16().view(torch.int16)
    chosen = torch.randint(0, 2, bits.shape, dtype=torch.int16, generator=torch.Generator().manual_seed(1))
    return (bits ^ chosen.to(bits.device)).view(torch.bfloat16).float(), 2 * values.numel()


def turned(values: torch.Tensor, kv_heads: int) -> tuple[torch.Tensor, int]:
    """A control, no codec: the right values with the wrong keys, the last token's with the first. (Values and keys turned
    together would cost nothing: attention does not look at their order.) If this cost little, no figure would mean much."""
    return torch.stack([values[:, 0], values[:, 1].flip(1)], dim=1), 2 * values.numel()


PEERS: dict[str, Peer] = {
    "kivi4": kivi(4),
    "kivi2": kivi(2),
    "int8-plain": int8_plain,
    "fp8": fp8,
    "fp8-scaled": fp8_scaled,
    "last-bit": last_bit,
    "turned": turned,
}
CONTROLS = ("last-bit", "turned")
"""Nothing that would be stored like this: they show what a figure is worth."""
