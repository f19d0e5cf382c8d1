"""Derives chunk keys from docs/formats/chunk-key.md with nothing but hashlib, and compares them with chunk_keys.txt."""
import hashlib
import pathlib
import struct
import sys


def framed(label, *fields):
    digest = hashlib.sha256()
    for field in (label, *fields):
        digest.update(struct.pack("<Q", len(field)) + field)
    return digest.digest()


def u32(*numbers):
    return struct.pack("<%dI" % len(numbers), *numbers)


def space_fields(fingerprint=b"model-a", profile=b"kv4", salt=b"", shard=0, shard_count=1,
                 shape=(32, 8, 128, 256), element=1):
    return (fingerprint, profile, salt, u32(shard), u32(shard_count), *(u32(n) for n in shape), u32(element))


def root(**changes):
    return framed(b"shadowserve/root/v1", *space_fields(**changes))


def seal(**changes):
    key = bytearray(framed(b"shadowserve/seal/v1", *space_fields(**changes)))
    key[31] = key[31] | 0x80 if changes.get("salt") else key[31] & 0x7F
    return bytes(key)


def chunk(parent, tokens, extra=b""):
    return framed(b"shadowserve/chunk/v1", parent, u32(*tokens), extra)


def shard(key, number):
    return framed(b"shadowserve/shard/v1", key, u32(number))


def cases():
    yield "root", root()
    yield "root salted", root(salt=b"tenant secret")
    yield "root fp16 shard 1 of 2", root(shard=1, shard_count=2, element=2)
    yield "seal", seal()
    yield "seal salted", seal(salt=b"tenant secret")
    first = chunk(root(), range(256))
    yield "chunk 0", first
    yield "chunk 1", chunk(first, range(1000, 1256))
    yield "chunk 1 extra", chunk(first, range(1000, 1256), b"lora:legal")
    yield "chunk of nothing", chunk(root(), ())
    of_two = chunk(root(shard_count=2), range(256))
    yield "chunk 0 of 2 shards", of_two
    yield "chunk 0 shard 0 of 2", shard(of_two, 0)
    yield "chunk 0 shard 1 of 2", shard(of_two, 1)
    yield "root fp8_e4m3", root(element=3)
    yield "root fp8_e5m2", root(element=4)
    yield "root latent", root(shape=(61, 1, 576, 256), element=16 + 1)


def main():
    lines = ["%s %s" % (key.hex(), name) for name, key in cases()]
    path = pathlib.Path(__file__).with_name("chunk_keys.txt")
    if "--write" in sys.argv:
        path.write_text("\n".join(lines) + "\n")
        return 0
    stored = path.read_text().splitlines()
    for line, expected in zip(lines, stored):
        if line != expected:
            print("derived %s\nstored  %s" % (line, expected))
    return 0 if lines == stored else 1


if __name__ == "__main__":
    sys.exit(main())
