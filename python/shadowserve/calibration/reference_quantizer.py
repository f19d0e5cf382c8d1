"""The calibrated quantizer in plain PyTorch: what a chunk of KV becomes, what it is again, and how many bits it takes.

It is written to be compared with, not to be fast. Entropy coding is not done: sizes are ideal code lengths under the
static tables, and everything else a record holds is counted in bytes.
"""

import dataclasses

import numpy as np
import torch

from shadowserve.calibration.calibrated_model import STEPS_MAX, ZERO_SYMBOL, Calibration
from shadowserve.calibration.channel_classes import channel_histograms
from shadowserve.calibration.rotary import rotate_kv
from shadowserve.calibration.sensitivity import find_sinks

ELEMENTS = {1: torch.bfloat16, 2: torch.float16}
KEPT_EXACT, KEPT_INT8 = 1, 2

# Bytes of a frame (a plane of a chunk) besides symbols: its entry, the coder's states and fixed head, a segment's head.
FRAME_ENTRY, CODER_STATES, CODER_HEAD, SEGMENT_HEAD = 32, 256, 8, 8
RECORD_HEAD, RECORD_BYTES_MAX = 144, (2 << 20) - (128 << 10)
ROW_HEAD, PATCH = 2, 6  # a kept row's token; a patch's token, channel and element


@dataclasses.dataclass
class QuantizedChunk:
    """Shapes: L layers, T tokens, C channels. Rows that are kept have symbols too, the cheapest there are."""

    point: int
    first_position: int
    symbols: np.ndarray  # uint8 [L, 2, T, C]
    kept: np.ndarray  # uint8 [L, T]: 0, KEPT_EXACT or KEPT_INT8, of both planes
    rows: torch.Tensor  # [L, 2, T, C] in the cache's element: what kept rows become
    patched: torch.Tensor  # bool [L, 2, T, C]: stored as they are: the steps of one of a pair fit no symbol
    patches: torch.Tensor  # [L, 2, T, C] in the cache's element


def quantize(calibration: Calibration, point: int, kv: torch.Tensor, first_position: int) -> QuantizedChunk:
    """kv [L, 2, T, C] as cached, keys rotated for positions from first_position on."""
    element = ELEMENTS[calibration.element]
    kv = kv.float()
    plain = rotate_kv(kv, calibration.rotations, calibration.kv_heads, first_position, backwards=True)
    steps = calibration.steps(point)[:, :, None]
    numbers = torch.round((plain - calibration.means.float()[:, :, None]) / steps)
    kept = _kept_tokens(calibration, plain, first_position)
    is_kept = torch.from_numpy(kept != 0)[:, None, :, None]
    wide = _with_partners(calibration, (numbers.abs() > STEPS_MAX) & ~is_kept)
    symbols = (numbers.clamp(-STEPS_MAX, STEPS_MAX) + ZERO_SYMBOL).to(torch.uint8).numpy()
    _fill_kept_rows(calibration, point, symbols, kept)
    exact = torch.from_numpy(kept == KEPT_EXACT)[:, None, :, None]
    rows = torch.where(exact, kv, int8_rows(kv, calibration.kv_heads)).to(element)
    return QuantizedChunk(point, first_position, symbols, kept, rows, wide, kv.to(element))


def dequantize(calibration: Calibration, chunk: QuantizedChunk) -> torch.Tensor:
    """[L, 2, T, C] in the cache's element, keys rotated."""
    numbers = torch.from_numpy(chunk.symbols.astype(np.float32)) - ZERO_SYMBOL
    values = numbers * calibration.steps(chunk.point)[:, :, None] + calibration.means.float()[:, :, None]
    values = rotate_kv(values, calibration.rotations, calibration.kv_heads, chunk.first_position)
    values = values.to(ELEMENTS[calibration.element])
    values = torch.where(chunk.patched, chunk.patches, values)
    return torch.where(torch.from_numpy(chunk.kept != 0)[:, None, :, None], chunk.rows, values)


def int8_rows(kv: torch.Tensor, kv_heads: int) -> torch.Tensor:
    """Each token's head with 255 levels between minus and plus its largest magnitude; the scale is the smallest bfloat16
    that reaches it."""
    heads = kv.unflatten(-1, (kv_heads, -1))
    exact = heads.float().abs().amax(-1, keepdim=True) / 127
    scales = ((exact.contiguous().view(torch.int32) + 0xFFFF) & -0x10000).view(torch.float32)
    scales = torch.where(scales > 0, scales, 1.0)
    return (torch.round(heads / scales).clamp(-127, 127) * scales).flatten(-2)


def _kept_tokens(calibration: Calibration, plain: torch.Tensor, first_position: int) -> np.ndarray:
    layers, _, tokens, _ = plain.shape
    kept = np.zeros((layers, tokens), dtype=np.uint8)
    begin = 1 if first_position == 0 else 0
    kept[:, :begin] = KEPT_EXACT
    for layer in range(layers):
        sink_key = torch.from_numpy(calibration.sink_keys[layer].astype(np.float32))
        sinks = find_sinks(plain[layer, 0, begin:], sink_key, max(1, tokens // calibration.tokens_a_sink))
        kept[layer, begin:][sinks.numpy()] = KEPT_INT8
    return kept


def _with_partners(calibration: Calibration, wide: torch.Tensor) -> torch.Tensor:
    """Elements that were rotated together are stored together: one wrong half would spoil both."""
    marked = wide.clone()
    heads = marked.unflatten(-1, (calibration.kv_heads, calibration.head_dim))
    for layer, rotation in enumerate(calibration.rotations):
        if rotation is not None:
            first, second = rotation.partners()
            either = heads[layer, 0][..., first] | heads[layer, 0][..., second]
            heads[layer, 0][..., first] = either
            heads[layer, 0][..., second] = either
    return marked


def _fill_kept_rows(calibration: Calibration, point: int, symbols: np.ndarray, kept: np.ndarray) -> None:
    for layer, plane in np.ndindex(symbols.shape[:2]):
        cheapest = calibration.table_bits(layer, plane, point).argmin(1).astype(np.uint8)
        symbols[layer, plane, kept[layer] != 0] = cheapest[calibration.classes[layer, plane]]


@dataclasses.dataclass
class Size:
    """Bits of a chunk by what they are spent on."""

    symbols: float = 0.0  # escapes and their literals included
    kept_rows: float = 0.0
    patches: float = 0.0
    frames: float = 0.0  # record and frame heads, the coder's states
    values: int = 0

    @property
    def total(self) -> float:
        return self.symbols + self.kept_rows + self.patches + self.frames

    @property
    def ratio(self) -> float:
        """Against 16 bits a value."""
        return 16 * self.values / self.total

    def __add__(self, other: "Size") -> "Size":
        return Size(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other))))


def size_of(calibration: Calibration, chunk: QuantizedChunk) -> Size:
    """Everything a record of this chunk holds."""
    layers, _, tokens, channels = chunk.symbols.shape
    size = Size(values=chunk.symbols.size)
    for layer, plane in np.ndindex(layers, 2):
        bits = calibration.table_bits(layer, plane, chunk.point)
        histograms = channel_histograms(chunk.symbols[layer, plane])
        used = bits[calibration.classes[layer, plane]]
        size.symbols += float((histograms * used)[histograms > 0].sum())
        segments = len(np.unique(calibration.classes[layer, plane]))
        size.frames += 8 * (FRAME_ENTRY + CODER_STATES + CODER_HEAD + segments * SEGMENT_HEAD)
        int8_row = ROW_HEAD + channels + 2 * calibration.kv_heads
        size.kept_rows += 8 * int((chunk.kept[layer] == KEPT_INT8).sum()) * int8_row
        size.kept_rows += 8 * int((chunk.kept[layer] == KEPT_EXACT).sum()) * (ROW_HEAD + 2 * channels)
    size.patches = 8.0 * PATCH * int(chunk.patched.sum())
    size.frames += 8 * RECORD_HEAD * -(-2 * chunk.symbols.size // RECORD_BYTES_MAX)
    return size
