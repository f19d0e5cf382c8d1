"""Profile kv4 on a GPU: quantizing with torch on saving; on loading one kernel that dequantizes and scatters a chunk.

The arithmetic is ShadowServe's, bit for bit (docs/formats/record-v1.md): K 16 levels per channel in groups of 128 tokens with a
bf16 step and minimum, V 15 levels per token and head with a bf16 scale. Symbols are bytes [layer][K|V][token][channel], channel =
head x head_dim + dim. Scales are bf16: for every layer and group [step|minimum][channel], then for every layer [token][head].
"""

import dataclasses

import torch
import triton
import triton.language as tl

KEY_LEVELS = 16
VALUE_LEVELS = 15
GROUP_TOKENS = 128
MAGNITUDE_END = 2.0**119  # scales stay below it, so that nothing overflows
TOKEN_BLOCK = 16
CHANNEL_BLOCK_MAX = 1024


@dataclasses.dataclass(frozen=True)
class ChunkShape:
    """Of a chunk's KV in all layers."""

    layers: int
    kv_heads: int
    head_dim: int
    tokens: int

    def __post_init__(self) -> None:
        if self.tokens % GROUP_TOKENS != 0:
            raise ValueError(f"gpu_decompress: chunk_tokens is {self.tokens}; it has to be a multiple of {GROUP_TOKENS}")

    @property
    def channels(self) -> int:
        return self.kv_heads * self.head_dim

    @property
    def groups(self) -> int:
        return self.tokens // GROUP_TOKENS

    @property
    def symbols(self) -> int:
        return self.layers * 2 * self.tokens * self.channels

    @property
    def key_scales(self) -> int:
        return self.layers * self.groups * 2 * self.channels

    @property
    def scales(self) -> int:
        return self.key_scales + self.layers * self.tokens * self.kv_heads


def quantizable(values: torch.Tensor) -> bool:
    """Neither infinite, nor NaN, nor of a size that scales cannot have."""
    return bool(values.abs().max() < MAGNITUDE_END)


def quantize(shape: ChunkShape, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`values` [layers, 2, tokens, channels] bf16 -> symbols, the same in bytes, and scales [shape.scales] bf16."""
    exact = values.float()
    keys = exact[:, 0].unflatten(1, (shape.groups, GROUP_TOKENS))
    low, high = keys.amin(2, keepdim=True), keys.amax(2, keepdim=True)
    step = _bf16_above((high - low) / (KEY_LEVELS - 1))
    key_symbols = torch.round((keys - low) / _divisor(step)).clamp(0, KEY_LEVELS - 1).flatten(1, 2)
    zero = VALUE_LEVELS // 2
    heads = exact[:, 1].unflatten(2, (shape.kv_heads, shape.head_dim))
    scale = _bf16_above(heads.abs().amax(3, keepdim=True) / zero)
    value_symbols = torch.round(heads / _divisor(scale)).clamp(-zero, zero).add(zero).flatten(2, 3)
    symbols = torch.stack([key_symbols, value_symbols], dim=1).to(torch.uint8)
    key_scales = torch.cat([step, low.to(torch.bfloat16)], dim=2)
    return symbols, torch.cat([key_scales.flatten(), scale.flatten()])


def dequantize(shape: ChunkShape, symbols: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """The inverse, with torch alone: what the kernel is compared with."""
    key_scales, value_scales = scales.float().split([shape.key_scales, shape.scales - shape.key_scales])
    step, low = key_scales.view(shape.layers, shape.groups, 2, 1, shape.channels).unbind(2)
    keys = symbols[:, 0].unflatten(1, (shape.groups, GROUP_TOKENS)).clamp(max=KEY_LEVELS - 1).float()
    scale = value_scales.view(shape.layers, shape.tokens, shape.kv_heads, 1)
    heads = symbols[:, 1].unflatten(2, (shape.kv_heads, shape.head_dim)).clamp(max=VALUE_LEVELS - 1).float()
    found = [(keys * step + low).flatten(1, 2), ((heads - VALUE_LEVELS // 2) * scale).flatten(2, 3)]
    return torch.stack(found, dim=1).to(torch.bfloat16)


def _bf16_above(values: torch.Tensor) -> torch.Tensor:
    """Smallest bf16 not below a float32 that is not negative."""
    return ((values.view(torch.int32) + 0xFFFF) >> 16).to(torch.int16).view(torch.bfloat16)


def _divisor(scale: torch.Tensor) -> torch.Tensor:
    """A zero scale only ever meets zeros."""
    return torch.where(scale == 0, 1.0, scale.float())


@dataclasses.dataclass(frozen=True)
class PageStrides:
    """Of a layer's pages [page, K|V, token, channel], in elements; channels of a token are in one piece."""

    page: int
    kind: int
    token: int
    page_tokens: int


def dequantize_scatter(
    shape: ChunkShape,
    strides: PageStrides,
    symbols: torch.Tensor,
    scales: torch.Tensor,
    page_ids: torch.Tensor,
    layer_pages: torch.Tensor,
    first_token: int,
) -> None:
    """A chunk's tokens from `first_token` on go to pages `page_ids` (int32, one for every page_tokens of the chunk) of every
    layer; `layer_pages`: int64 addresses of the layers' pages (bf16). One launch on the current stream."""
    channel_block = min(CHANNEL_BLOCK_MAX, triton.next_power_of_2(shape.channels))
    grid = (2 * shape.layers, shape.tokens // TOKEN_BLOCK, triton.cdiv(shape.channels, channel_block))
    _dequantize_scatter[grid](
        symbols, scales, page_ids, layer_pages, first_token,
        TOKENS=shape.tokens, HEADS=shape.kv_heads, HEAD_DIM=shape.head_dim, CHANNELS=shape.channels,
        GROUPS=shape.groups, GROUP=GROUP_TOKENS, KEY_SCALES=shape.key_scales,
        KEY_LAST=KEY_LEVELS - 1, VALUE_LAST=VALUE_LEVELS - 1,
        PAGE_TOKENS=strides.page_tokens, PAGE_STRIDE=strides.page, KIND_STRIDE=strides.kind, TOKEN_STRIDE=strides.token,
        TOKENS_HERE=TOKEN_BLOCK, CHANNELS_HERE=channel_block, num_warps=8,
    )  # fmt: skip


# A request may start anywhere in its first chunk: no kernel of its own for 0, 1 and multiples of 16.
@triton.jit(do_not_specialize=["first_token"])
def _dequantize_scatter(
    symbols, scales, page_ids, layer_pages, first_token,
    TOKENS: tl.constexpr, HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, CHANNELS: tl.constexpr,
    GROUPS: tl.constexpr, GROUP: tl.constexpr, KEY_SCALES: tl.constexpr,
    KEY_LAST: tl.constexpr, VALUE_LAST: tl.constexpr,
    PAGE_TOKENS: tl.constexpr, PAGE_STRIDE: tl.constexpr, KIND_STRIDE: tl.constexpr, TOKEN_STRIDE: tl.constexpr,
    TOKENS_HERE: tl.constexpr, CHANNELS_HERE: tl.constexpr,
):  # fmt: skip
    plane = tl.program_id(0)
    layer = plane // 2
    kind = plane % 2
    token_first = tl.program_id(1) * TOKENS_HERE
    tokens = token_first + tl.arange(0, TOKENS_HERE)
    channels = tl.program_id(2) * CHANNELS_HERE + tl.arange(0, CHANNELS_HERE)
    exists = channels < CHANNELS
    wanted = (tokens >= first_token)[:, None] & exists[None, :]
    place = plane.to(tl.int64) * (TOKENS * CHANNELS) + tokens[:, None] * CHANNELS + channels[None, :]
    symbol = tl.load(symbols + place, mask=wanted, other=0).to(tl.int32)
    if kind == 0:
        channel_steps = scales + (layer * GROUPS + token_first // GROUP) * (2 * CHANNELS) + channels
        step = tl.load(channel_steps, mask=exists, other=0).to(tl.float32)
        low = tl.load(channel_steps + CHANNELS, mask=exists, other=0).to(tl.float32)
        # The product is exact, so that a fused multiply-add gives the same.
        values = tl.minimum(symbol, KEY_LAST).to(tl.float32) * step[None, :] + low[None, :]
    else:
        token_scales = scales + KEY_SCALES + (layer * TOKENS + tokens) * HEADS
        scale = tl.load(token_scales[:, None] + (channels // HEAD_DIM)[None, :], mask=wanted, other=0).to(tl.float32)
        values = (tl.minimum(symbol, VALUE_LAST) - VALUE_LAST // 2).to(tl.float32) * scale
    page = tl.load(page_ids + tokens // PAGE_TOKENS).to(tl.int64)
    target = page * PAGE_STRIDE + kind * KIND_STRIDE + (tokens % PAGE_TOKENS) * TOKEN_STRIDE
    pages = tl.multiple_of(tl.cast(tl.load(layer_pages + layer), tl.pointer_type(tl.bfloat16)), 16)
    tl.store(pages + target[:, None] + channels[None, :], values.to(tl.bfloat16), mask=wanted)
