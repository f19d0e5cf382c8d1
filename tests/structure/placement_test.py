"""The placement that docs/formats/placement.md describes is the one of its example, and of the C++ test."""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORD = 2**64 - 1


def mix(x: int) -> int:
    x = (x + 0x9E3779B97F4A7C15) & WORD
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & WORD
    return x ^ (x >> 31)


def fnv_1a(name: str) -> int:
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & WORD
    return value


def server_of(names: list[str], key: bytes) -> int:
    word = int.from_bytes(key[:8], "big")
    return max(range(len(names)), key=lambda number: (mix(mix(fnv_1a(names[number])) ^ word), -number))


class Placement(unittest.TestCase):
    def test_document_and_program_place_alike(self) -> None:
        found = ""
        for i in range(16):
            key = bytearray(32)
            key[0], key[7], key[8] = i * 17, 255 - i, i
            found += str(server_of(["one:6379", "two:6379", "three:7000"], bytes(key)))
        document = (ROOT / "docs/formats/placement.md").read_text()
        program = (ROOT / "src/store/server_choice_test.cc").read_text()
        self.assertEqual(re.findall(r"^[0-2]{16}$", document, re.M), [found])
        self.assertEqual(re.findall(r'"([0-2]{16})"', program), [found])


if __name__ == "__main__":
    unittest.main()
