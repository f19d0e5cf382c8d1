"""Calibration files and calibrated frames for read_records.py, from docs/formats and the standard library alone."""
import hashlib
import math
import struct
from fractions import Fraction

HEADER = struct.Struct("<8sHHIIIIBBBBHH32s")
CLASSES, NO_TABLE, NO_ROTATION = 16, 255, 255
HALVES = 1


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def fma(a, b, c):
    """a x b + c of floats, rounded once."""
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    return f32(exact.numerator / exact.denominator)


def bf16s(data):
    return [struct.unpack("<f", b"\0\0" + data[i:i + 2])[0] for i in range(0, len(data), 2)]


def to_bf16(x):
    bits = struct.unpack("<I", struct.pack("<f", x))[0]
    return bf16s(struct.pack("<H", (bits + 0x7FFF + (bits >> 16 & 1)) >> 16))[0]


class Calibration:
    """A file as calibration-v1.md lays it out."""

    def __init__(self, data):
        assert hashlib.sha256(data[:-32]).digest() == data[-32:]
        (magic, version, flags, file_bytes, self.layers, heads, self.head_dim, _, points, rotations, _, tables, _,
         _) = HEADER.unpack_from(data)
        assert (magic, version, flags, file_bytes) == (b"SSKVCAL\n", 1, 0, len(data))
        self.channels = heads * self.head_dim
        self.at = HEADER.size
        self.data = data
        self.points = {}
        for i in range(points):
            name, scalar, _ = struct.unpack("<16sff", self.take(24))
            self.points[name.rstrip(b"\0")] = (i, scalar)
        self.rotations = [self.rotation() for _ in range(rotations)]
        self.layer_rotation = self.take(self.layers)
        self.tables = [self.take(36) for _ in range(tables)]
        planes = self.layers * 2
        self.class_tables = self.take(planes * points * CLASSES)
        self.classes = self.take(planes * self.channels)
        self.base_steps = bf16s(self.take(2 * planes * self.channels))
        self.means = bf16s(self.take(2 * planes * self.channels))
        self.take(self.layers * self.channels)  # sink keys: of no use to a reader of records
        assert self.at + 32 == len(data)

    def take(self, size):
        self.at += size
        return self.data[self.at - size:self.at]

    def rotation(self):
        pairing, _, rotary_dim = struct.unpack("<BBH", self.take(4))
        return pairing, rotary_dim, struct.unpack("<%df" % (rotary_dim // 2), self.take(2 * rotary_dim))

    def shared_table(self, number):
        """base, frequencies: what a segment of that number would have carried itself."""
        table = self.tables[number]
        return table[0], table[4:4 + table[1]]

    def class_of(self, plane):
        return self.classes[plane * self.channels:(plane + 1) * self.channels]


def rows_of(calibration, plane, tokens, symbols):
    """Symbols by class, token, channel -> [token][channel]."""
    classes = calibration.class_of(plane)
    rows = [[0] * calibration.channels for _ in range(tokens)]
    left = iter(symbols)
    for number in range(CLASSES):
        members = [c for c in range(calibration.channels) if classes[c] == number]
        for row in rows:
            for channel in members:
                row[channel] = next(left)
    return rows


def turned(row, rotation, head_dim, position_first, token):
    """Keys of one token, rotated."""
    pairing, rotary_dim, frequencies = rotation
    out = list(row)
    for pair, frequency in enumerate(frequencies):
        angles = position_first * frequency, token * frequency
        (cos_c, cos_t), (sin_c, sin_t) = [f32(math.cos(a)) for a in angles], [f32(math.sin(a)) for a in angles]
        cos = fma(cos_c, cos_t, -f32(sin_c * sin_t))
        sin = fma(sin_c, cos_t, f32(cos_c * sin_t))
        a_dim, b_dim = (pair, pair + rotary_dim // 2) if pairing == HALVES else (2 * pair, 2 * pair + 1)
        for head in range(0, len(row), head_dim):
            a, b = row[head + a_dim], row[head + b_dim]
            out[head + a_dim] = fma(a, cos, -f32(b * sin))
            out[head + b_dim] = fma(b, cos, f32(a * sin))
    return out


def calibrated_values(calibration, point, plane, token_first, tokens, position_first, symbols):
    """[token][channel] as floats, before they are rounded to elements."""
    _, scalar = calibration.points[point]
    base = plane * calibration.channels
    steps = [to_bf16(f32(scalar * calibration.base_steps[base + c])) for c in range(calibration.channels)]
    means = calibration.means[base:base + calibration.channels]
    offsets = [f32(mean - 128 * step) for mean, step in zip(means, steps)]
    number = calibration.layer_rotation[plane // 2]
    out = []
    for t, row in enumerate(rows_of(calibration, plane, tokens, symbols)):
        values = [f32(q * step + offset) for q, step, offset in zip(row, steps, offsets)]
        if plane % 2 == 0 and number != NO_ROTATION:
            values = turned(values, calibration.rotations[number], calibration.head_dim, position_first, token_first + t)
        out += [0.0 if abs(x) < 2.0**-126 else x for x in values]
    return out
