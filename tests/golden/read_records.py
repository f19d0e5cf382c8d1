"""A second reader of record format v1, from docs/formats/record-v1.md and the standard library alone.

Decodes every golden record whose coders Python has (none, Deflate) and compares with the .values beside it. The seal
is not checked: the standard library has neither XXH3 nor GMAC.
"""
import pathlib
import struct
import sys
import zlib

HEADER = struct.Struct("<8sHHIIIBB2s7I32s24s12s4s16s")
FRAME = struct.Struct("<IHHBBBBHHIIII")
RAW, TOKEN_SYM, CHANNEL_ASYM = range(3)
BYTES, NIBBLES, ELEMENTS, SPLIT = range(4)


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def bf16s(data):
    return [struct.unpack("<f", b"\0\0" + data[i:i + 2])[0] for i in range(0, len(data), 2)]


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


def frame_values(frame, element, heads, head_dim, scales, packed):
    (_, _, tokens, quantizer, packing, _, levels, group_tokens, group_heads, *_) = frame
    channels = heads * head_dim
    if packing == ELEMENTS:
        return packed
    if packing == SPLIT:
        count = tokens * channels
        return b"".join(bytes((packed[count + i], packed[i])) for i in range(count))
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


def rans_symbols(coded):
    """docs/formats/rans.md, one symbol at a time."""
    segments, literal_bytes = struct.unpack_from("<II", coded)
    at = 8
    tables = []
    for _ in range(segments):
        symbols, base, count, escape = struct.unpack_from("<IBBH", coded, at)
        frequencies = coded[at + 8:at + 8 + count]
        at += 8 + count
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


def decode(record):
    (magic, version, flags, header_bytes, record_bytes, frame_count, element, _, _, _, heads, head_dim,
     *_) = HEADER.unpack_from(record)
    assert magic == b"SSKVREC\n" and version == 1 and flags == 0
    assert record_bytes == len(record) and header_bytes == HEADER.size + frame_count * FRAME.size
    at = header_bytes
    values = b""
    for i in range(frame_count):
        frame = FRAME.unpack_from(record, HEADER.size + i * FRAME.size)
        coder, scale_bytes, symbol_bytes, coded_bytes = frame[5], frame[9], frame[10], frame[11]
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
            packed = rans_symbols(coded)
        assert len(packed) == symbol_bytes
        values += frame_values(frame, element, heads, head_dim, scales, packed)
    assert at == len(record)
    return values


def main():
    compared = wrong = 0
    for path in sorted(pathlib.Path(__file__).parent.glob("*.rec")):
        values = decode(path.read_bytes())
        if values is None:
            continue
        compared += 1
        if values != path.with_suffix(".values").read_bytes():
            wrong += 1
            print("%s decodes to other values" % path.name)
    print("%d records read, %d wrong" % (compared, wrong))
    return 0 if compared >= 8 and wrong == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
