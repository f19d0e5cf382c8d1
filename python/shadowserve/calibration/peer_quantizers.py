"""What calibrated profiles are compared with: CacheGen's bins, 4-bit groups, int8, and the calibration-free profile.

Each takes the KV of a prefix as cached and gives back what a reader would get, with the bits a record would take at the
entropy of its symbols (one table a frame, as our coder has it), scales, heads and kept rows counted.
"""

from collections.abc import Callable

import numpy as np
import torch

from shadowserve.calibration.frequency_tables import entropy
from shadowserve.calibration.reference_quantizer import (
    CODER_HEAD,
    CODER_STATES,
    FRAME_ENTRY,
    RECORD_BYTES_MAX,
    RECORD_HEAD,
    ROW_HEAD,
    SEGMENT_HEAD,
    Size,
    int8_rows,
)

CHUNK_TOKENS = 256
GROUP_TOKENS = 128
TABLE_BYTES = 32
TOKENS_A_SINK = 64

Quantizer = Callable[[torch.Tensor, int, int], tuple[torch.Tensor, Size]]
"""kv [L, 2, tokens, C], kv_heads -> the same as a reader gets it, and its size. Third: head_dim."""


def _to_bf16(values: torch.Tensor) -> torch.Tensor:
    return values.to(torch.bfloat16).float()


def _frame(symbols: torch.Tensor, scale_bytes: int) -> Size:
    """The size of one plane of a chunk whose symbols share a table."""
    _, counts = np.unique(symbols.numpy(), return_counts=True)
    heads = FRAME_ENTRY + CODER_STATES + CODER_HEAD + SEGMENT_HEAD + TABLE_BYTES + scale_bytes
    return Size(symbols=entropy(counts) * symbols.numel(), frames=8.0 * heads, values=symbols.numel())


def token_symmetric(plane: torch.Tensor, levels: int, kv_heads: int) -> tuple[torch.Tensor, Size]:
    """plane [tokens, C]: `levels` (odd) around zero for each token and each of kv_heads groups of its channels."""
    most = levels // 2
    heads = plane.unflatten(-1, (kv_heads, -1))
    scales = _to_bf16(heads.abs().amax(-1, keepdim=True) / most)
    numbers = torch.round(heads / torch.where(scales > 0, scales, 1.0)).clamp(-most, most)
    return (numbers * scales).flatten(-2), _frame(numbers.to(torch.int16), 2 * scales.numel())


def channel_asymmetric(plane: torch.Tensor, levels: int) -> tuple[torch.Tensor, Size]:
    """plane [tokens, C]: `levels` from minimum to maximum of each channel in groups of GROUP_TOKENS tokens."""
    groups = plane.unflatten(0, (-1, min(GROUP_TOKENS, len(plane))))
    least, most = groups.amin(1, keepdim=True), groups.amax(1, keepdim=True)
    least = _to_bf16(least)
    steps = _to_bf16((most - least) / (levels - 1))
    numbers = torch.round((groups - least) / torch.where(steps > 0, steps, 1.0)).clamp(0, levels - 1)
    return (numbers * steps + least).flatten(0, 1), _frame(numbers.to(torch.int16), 4 * steps.numel())


def _chunked(recipe) -> Quantizer:
    """recipe(plane, layer, kind, kv_heads) on every plane of every chunk."""

    def quantizer(kv: torch.Tensor, kv_heads: int, head_dim: int) -> tuple[torch.Tensor, Size]:
        out, size = torch.empty_like(kv), Size()
        for begin in range(0, kv.shape[2], CHUNK_TOKENS):
            chunk = slice(begin, begin + CHUNK_TOKENS)
            for layer, kind in np.ndindex(*kv.shape[:2]):
                out[layer, kind, chunk], frame = recipe(kv[layer, kind, chunk], layer, kind, kv_heads)
                size += frame
            values = 2 * kv.shape[0] * kv[0, 0, chunk].numel()
            size += Size(frames=8.0 * RECORD_HEAD * -(-2 * values // RECORD_BYTES_MAX))
        return out, size

    return quantizer


def _cachegen_plane(plane: torch.Tensor, layer: int, kind: int, kv_heads: int) -> tuple[torch.Tensor, Size]:
    """The public code's bins, over all heads of a token: K 32 in layers 0-9 then 16, V 32 in layers 0-1 then 16."""
    bins = 32 if layer < (10 if kind == 0 else 2) else 16
    return token_symmetric(plane, 2 * (bins // 2 - 1) + 1, 1)


def _kv4_plane(plane: torch.Tensor, layer: int, kind: int, kv_heads: int) -> tuple[torch.Tensor, Size]:
    return channel_asymmetric(plane, 16) if kind == 0 else token_symmetric(plane, 15, kv_heads)


def _int8_plane(plane: torch.Tensor, layer: int, kind: int, kv_heads: int) -> tuple[torch.Tensor, Size]:
    return token_symmetric(plane, 255, kv_heads)


cachegen, kv4, int8 = _chunked(_cachegen_plane), _chunked(_kv4_plane), _chunked(_int8_plane)


def spread_channels(plane: torch.Tensor, scalar: float = 0.265) -> tuple[torch.Tensor, Size]:
    """plane [tokens, C]: a step a channel that grows with the square root of its deviation, at most 255 levels.

    Wide channels get more levels than in kv4 and narrow ones fewer: queries are not wide where keys are. The mean is the
    middle level everywhere, so that all channels share one table.
    """
    deviation, mean = plane.std(0, keepdim=True), plane.mean(0, keepdim=True)
    furthest = (plane - mean).abs().amax(0, keepdim=True)
    steps = _to_bf16((scalar * (deviation * deviation.mean()).sqrt()).maximum(furthest / 125))
    steps = torch.where(furthest <= mean.abs() / 512, 0.0, steps)  # constant, as far as a minimum can tell
    least = _to_bf16(mean - 127 * steps)
    numbers = torch.round((plane - least) / torch.where(steps > 0, steps, 1.0)).clamp(0, 254)
    numbers = torch.where(steps > 0, numbers, 127.0)  # the cheapest symbol: any comes back as the minimum
    return numbers * steps + least, _frame(numbers.to(torch.int16), 4 * steps.numel())


def spread_tokens(plane: torch.Tensor, scalar: float = 0.60) -> tuple[torch.Tensor, Size]:
    """plane [tokens, C]: a step a token in proportion to its root mean square: one large value coarsens no other."""
    largest = plane.abs().amax(-1, keepdim=True)
    steps = _to_bf16((scalar * plane.pow(2).mean(-1, keepdim=True).sqrt()).maximum(largest / 126))
    numbers = torch.round(plane / torch.where(steps > 0, steps, 1.0)).clamp(-127, 127)
    return numbers * steps, _frame(numbers.to(torch.int16), 2 * steps.numel())


def _spread_plane(plane: torch.Tensor, layer: int, kind: int, kv_heads: int) -> tuple[torch.Tensor, Size]:
    return spread_channels(plane) if kind == 0 else spread_tokens(plane)


def _mixed_plane(plane: torch.Tensor, layer: int, kind: int, kv_heads: int) -> tuple[torch.Tensor, Size]:
    return channel_asymmetric(plane, 16) if kind == 0 else _cachegen_plane(plane, layer, kind, kv_heads)


def smallest_values(values: torch.Tensor) -> torch.Tensor:
    """values [tokens, C] of V -> bool [tokens]: sinks, as they can be told without a calibration: less than half as large as
    the middle token's, at most one of TOKENS_A_SINK."""
    squares = values.pow(2).sum(-1)
    found = torch.zeros(len(squares), dtype=torch.bool)
    order = squares.argsort()
    most = min((len(squares) + 1) // TOKENS_A_SINK, int((squares < squares[order[(len(squares) - 1) // 2]] / 4).sum()))
    found[order[:most]] = True
    return found


def keeping_sinks(recipe) -> Quantizer:
    """A recipe with sinks kept in int8 and the first token exact."""

    def quantizer(kv: torch.Tensor, kv_heads: int, head_dim: int) -> tuple[torch.Tensor, Size]:
        layers, _, tokens, channels = kv.shape
        sinks = torch.zeros(layers, tokens, dtype=torch.bool)
        for layer, begin in np.ndindex(layers, -(-tokens // CHUNK_TOKENS)):
            chunk = slice(max(1, begin * CHUNK_TOKENS), (begin + 1) * CHUNK_TOKENS)
            sinks[layer, chunk] = smallest_values(kv[layer, 1, chunk])
        # Rows that are kept anyway do not stretch the others' range.
        aside = sinks.clone()
        aside[:, 0] = True
        plain = torch.where(aside[:, None, :, None], kv[:, :, 1:].mean(2, keepdim=True), kv)
        out, size = _chunked(recipe)(plain, kv_heads, head_dim)
        out = torch.where(sinks[:, None, :, None], int8_rows(kv, kv_heads), out)
        out[:, :, 0] = kv[:, :, 0]
        rows = 2 * int(sinks.sum()) * (ROW_HEAD + channels + 2 * kv_heads) + 2 * layers * (ROW_HEAD + 2 * channels)
        return out, size + Size(kept_rows=8.0 * rows)

    return quantizer


uncalibrated = keeping_sinks(_spread_plane)
"""Profile generic: the best we know for a model that nobody calibrated."""
kv4_and_bins = keeping_sinks(_mixed_plane)
"""K 16 levels a channel, V CacheGen's bins, sinks kept."""
