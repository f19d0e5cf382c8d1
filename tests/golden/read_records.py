"""A second reader of record format v1, from docs/formats/record-v1.md and the standard library alone.

Decodes every golden record whose coders Python has (none, Deflate) and compares with the .values beside it. The seal
is not checked: the standard library has neither XXH3 nor GMAC.
"""
import pathlib
import struct
import sys
import zlib

from read_calibrated import Calibration, bf16s, calibrated_values, f32

HEADER = struct.Struct("<8sHHIIIBB2s7I32s24s12sI16s")
FRAME = struct.Struct("<IHHBBBBHHIIII")
RAW, TOKEN_SYM, CHANNEL_ASYM, CALIBRATED = range(4)
KEPT_ROWS = 16
BYTES, NIBBLES, ELEMENTS, SPLIT = range(4)
LATENT = 16  # added to the element: one plane a layer


def to_element(x, element):
    if element == 2:
        return struct.pack("<e", max(-65504.0, min(65504.0, x)))
    bits = struct.unpack("<I", struct.pack("<f", x))[0]
    return struct.pack("<H", (bits + 0x7FFF + (bits >> 16 & 1)) >> 16)


def symbols_of(packed, packing, tokens, channels):
    if packing == BYTES:
        return list(packed)
    row_bytes = (channels + 1) // 2
    return [packed[t * row_bytes + c // 2] >> 4 * (c % 2) & 15 for t in range(tokens) for c in range(channels)]


def frame_values(frame, element, heads, head_dim, scales, packed, calibrated):
    (plane, token_first, tokens, quantizer, packing, _, levels, group_tokens, group_heads, *_) = frame
    channels = heads * head_dim
    if packing == ELEMENTS:
        return packed
    if packing == SPLIT:
        count = tokens * channels
        return b"".join(bytes((packed[count + i], packed[i])) for i in range(count))
    if quantizer == CALIBRATED:
        calibration, point, position_first = calibrated
        values = calibrated_values(calibration, point, plane, token_first, tokens, position_first, packed)
        return b"".join(to_element(x, element) for x in values)
    scales = bf16s(scales)
    out = []
    for i, q in enumerate(symbols_of(packed, packing, tokens, channels)):
        q = min(q, levels - 1)
        token, channel = divmod(i, channels)
        if quantizer == TOKEN_SYM:
            x = (q - (levels - 1) // 2) * scales[i // (group_heads * head_dim)]
        else:
            at = token // group_tokens * 2 * channels + channel
            x = f32(q * scales[at] + scales[at + channels])
        out.append(to_element(x, element))
    return b"".join(out)


def scale_bytes_of(frame, heads, head_dim):
    """Of the quantizer alone: kept rows follow."""
    (_, _, tokens, quantizer, _, _, _, group_tokens, group_heads, *_) = frame
    if quantizer == TOKEN_SYM:
        return 2 * tokens * (heads // group_heads)
    if quantizer == CHANNEL_ASYM:
        return 4 * heads * head_dim * -(-tokens // group_tokens)
    return 0


def with_kept_rows(values, region, element, heads, head_dim):
    """Patches, then int8 rows, then exact rows over a frame's values."""
    channels = heads * head_dim
    row_bytes = 2 * channels
    exact_rows, int8_rows, patches = struct.unpack_from("<HHI", region)
    at = 8

    def take(size):
        nonlocal at
        at += size
        return region[at - size:at]

    exact_tokens = struct.unpack("<%dH" % exact_rows, take(2 * exact_rows))
    int8_tokens = struct.unpack("<%dH" % int8_rows, take(2 * int8_rows))
    exact = take(row_bytes * exact_rows)
    scales = bf16s(take(2 * heads * int8_rows))
    patched = [struct.unpack("<HHH", take(6)) for _ in range(patches)]
    symbols = take(channels * int8_rows)
    assert at == len(region)
    out = bytearray(values)
    for token, channel, bits in patched:
        struct.pack_into("<H", out, token * row_bytes + 2 * channel, bits)
    for row, token in enumerate(int8_tokens):
        for channel in range(channels):
            x = (min(symbols[row * channels + channel], 254) - 127) * scales[row * heads + channel // head_dim]
            out[token * row_bytes + 2 * channel:token * row_bytes + 2 * channel + 2] = to_element(x, element)
    for row, token in enumerate(exact_tokens):
        out[token * row_bytes:(token + 1) * row_bytes] = exact[row * row_bytes:(row + 1) * row_bytes]
    return bytes(out)


def rans_symbols(coded, calibration):
    """docs/formats/rans.md, one symbol at a time."""
    segments, literal_bytes = struct.unpack_from("<II", coded)
    at = 8
    tables = []
    for _ in range(segments):
        symbols, base, count, flags = struct.unpack_from("<IBBH", coded, at)
        shared = flags & 2
        at += 8
        if shared:
            base, frequencies = calibration.shared_table(count)
            count = len(frequencies)
        else:
            frequencies = coded[at:at + count]
            at += count
        escape = shared or flags & 1  # every table of a calibration has one
        assert sum(frequencies) == 128
        slots = [(entry, offset) for entry, f in enumerate(frequencies) for offset in range(f)]
        tables.append((symbols, base, count, escape, frequencies, slots))
    states = list(struct.unpack_from("<128H", coded, at))
    at += 256
    literals, stream = iter(coded[at:at + literal_bytes]), iter(coded[at + literal_bytes:])
    out = bytearray()
    for symbols, base, count, escape, frequencies, slots in tables:
        for i in range(symbols):
            state = states[i % 128]
            entry, offset = slots[state % 128]
            state = frequencies[entry] * (state // 128) + offset
            if state < 256:
                state = state * 256 + next(stream)
            states[i % 128] = state
            out.append(next(literals) if escape and entry == count - 1 else base + entry)
    assert states == [256] * 128 and next(stream, None) is None and next(literals, None) is None
    return bytes(out)


def decode(record, calibration):
    (magic, version, flags, header_bytes, record_bytes, frame_count, element, _, _, _, heads, head_dim, _, _, _, _, _,
     profile, _, position_first, _) = HEADER.unpack_from(record)
    assert magic == b"SSKVREC\n" and version == 1 and flags == 0
    element &= ~LATENT
    assert 1 <= element <= 4
    assert record_bytes == len(record) and header_bytes == HEADER.size + frame_count * FRAME.size
    calibrated = calibration, profile.rstrip(b"\0"), position_first
    at = header_bytes
    values = b""
    for i in range(frame_count):
        frame = list(FRAME.unpack_from(record, HEADER.size + i * FRAME.size))
        coder, scale_bytes, symbol_bytes, coded_bytes = frame[5], frame[9], frame[10], frame[11]
        kept = frame[3] & KEPT_ROWS
        frame[3] &= ~KEPT_ROWS
        at = (at + 15) // 16 * 16
        scales = record[at:at + scale_bytes]
        coded = record[at + scale_bytes:at + scale_bytes + coded_bytes]
        at += scale_bytes + coded_bytes
        if coder == 2:
            return None
        packed = coded
        if coder == 1:
            inflater = zlib.decompressobj(-15)
            packed = inflater.decompress(coded)
            assert inflater.eof and not inflater.unused_data
        if coder == 3:
            packed = rans_symbols(coded, calibration)
        assert len(packed) == symbol_bytes
        kept_at = scale_bytes_of(frame, heads, head_dim)
        decoded = frame_values(frame, element, heads, head_dim, scales[:kept_at], packed, calibrated)
        values += with_kept_rows(decoded, scales[kept_at:], element, heads, head_dim) if kept else decoded
    assert at == len(record)
    return values


def main():
    compared = wrong = 0
    folder = pathlib.Path(__file__).parent
    calibration = Calibration((folder / "tiny.cal").read_bytes())
    for path in sorted(folder.glob("*.rec")):
        values = decode(path.read_bytes(), calibration)
        if values is None:
            continue
        compared += 1
        if values != path.with_suffix(".values").read_bytes():
            wrong += 1
            print("%s decodes to other values" % path.name)
    print("%d records read, %d wrong" % (compared, wrong))
    return 0 if compared >= 18 and wrong == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
