"""Writes bfloat16 safetensors files from float32 arrays, without loading torch."""

import json
import pathlib

import numpy


def to_bf16_bits(values: numpy.ndarray) -> numpy.ndarray:
    """Returns the bfloat16 bit patterns of finite float32 values, rounded to nearest even, as uint16 of one shape."""
    bits = numpy.ascontiguousarray(values, dtype=numpy.float32).view(numpy.uint32)
    halfway = numpy.uint32(0x7FFF) + ((bits >> numpy.uint32(16)) & numpy.uint32(1))
    return ((bits + halfway) >> numpy.uint32(16)).astype("<u2")


def write_weights(path: pathlib.Path, bits_by_name: dict[str, numpy.ndarray]) -> None:
    """Writes the patterns that to_bf16_bits returned. The format: the header's length in 8 bytes, little-endian; a JSON
    header that gives each tensor's type, shape and place; then the values, in the header's order and without gaps."""
    header: dict[str, dict] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, bits in bits_by_name.items():
        header[name] = {"dtype": "BF16", "shape": list(bits.shape), "data_offsets": [offset, offset + bits.nbytes]}
        offset += bits.nbytes
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with open(path, "wb") as out:
        out.write(len(encoded).to_bytes(8, "little"))
        out.write(encoded)
        for bits in bits_by_name.values():
            out.write(numpy.ascontiguousarray(bits).data)
