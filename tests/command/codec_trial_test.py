"""`shadowserve codec roundtrip` and `shadowserve bench codec` on tiny KV caches, and what they say about wrong ones."""

import json
import math
import os
import pathlib
import random
import struct
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

COMMAND = os.environ.get("COMMAND_UNDER_TEST", "shadowserve")
LAYERS, TOKENS, HEADS, DIM = 2, 300, 2, 32
SHAPE = f"{LAYERS}x2x{TOKENS}x{HEADS}x{DIM}"


def run(*arguments):
    done = subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def kv_values():
    source = random.Random(7)
    return [source.gauss(0.0, 1.0) for _ in range(LAYERS * 2 * TOKENS * HEADS * DIM)]


class Trial(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.dump = self.folder / "kv.bin"
        self.out = self.folder / "out.bin"
        values = kv_values()
        self.dump.write_bytes(struct.pack(f"<{len(values)}e", *values))

    def assert_told(self, arguments, sentence):
        code, out, err = run(*arguments)
        self.assertIn(code, (1, 2), out)
        self.assertIn(sentence, err)


class Roundtrip(Trial):
    def roundtrip(self, *more):
        code, out, err = run("codec", "roundtrip", self.dump, self.out, "--shape", SHAPE, *more)
        self.assertEqual(code, 0, err)
        return out

    def test_raw_gives_every_bit_back(self):
        for profile in ("raw", "raw+zstd", "raw+deflate"):
            with self.subTest(profile):
                out = self.roundtrip("--profile", profile)
                self.assertEqual(self.out.read_bytes(), self.dump.read_bytes())
                self.assertIn("mean 0, max 0", out)

    def test_raw_gives_every_bit_back_whatever_it_means(self):
        # Random bytes have NaNs and infinities in both types.
        self.dump.write_bytes(random.Random(3).randbytes(self.dump.stat().st_size))
        for dtype in ("fp16", "bf16"):
            for profile in ("raw", "kv4"):
                with self.subTest(dtype=dtype, profile=profile):
                    self.roundtrip("--profile", profile, "--dtype", dtype)
                    self.assertEqual(self.out.read_bytes(), self.dump.read_bytes())

    def test_kv4_is_near(self):
        out = self.roundtrip("--profile", "kv4")
        self.assertRegex(out, r"[23]\.\d+x smaller")
        count = self.dump.stat().st_size // 2
        before = struct.unpack(f"<{count}e", self.dump.read_bytes())
        after = struct.unpack(f"<{count}e", self.out.read_bytes())
        self.assertNotEqual(before, after)
        # A value is off by half a step at most. Steps: the range in 15 for K, the largest magnitude in 7 for V.
        largest = max(map(abs, before))
        self.assertLess(max(abs(b - a) for b, a in zip(before, after)), 1.1 * largest / 7 / 2)
        self.assertLess(math.fsum(abs(b - a) for b, a in zip(before, after)) / count, 0.15)

    def test_records_are_kept_and_can_be_inspected(self):
        records = self.folder / "records"
        self.roundtrip("--records", records)
        kept = sorted(records.iterdir())
        self.assertEqual(len(kept), 2)  # 300 tokens are two chunks of one part
        code, out, _ = run("inspect", kept[-1])
        self.assertEqual(code, 0)
        self.assertIn("kv4", out)

    def test_wrong_shapes_are_told(self):
        command = ["codec", "roundtrip", self.dump, self.out, "--shape"]
        size = self.dump.stat().st_size
        self.assert_told([*command, "2x2x301x2x32"], f"has {size} bytes")
        self.assert_told([*command, "2x2x301x2x32"], "it would hold 300 tokens")
        self.assert_told([*command, "2x2x301x2x32"], str(size // 300 * 301))
        self.assert_told([*command, "2x2x150x2x32"], "32-bit")
        self.assert_told([*command, "2x3x300x64"], "the 2 stands for K and V")
        self.assert_told([*command, "banana"], "LAYERSx2xTOKENSxCHANNELS")
        self.assert_told([*command, "2x2x300x64", "--profile", "kv5"], "choose raw, int8, kv4, cachegen")
        self.assert_told(["codec", "roundtrip", "nowhere.bin", self.out, "--shape", SHAPE], "cannot read nowhere.bin")


class Bench(Trial):
    def test_json_has_what_is_promised(self):
        code, out, err = run("bench", "codec", "--shape", "2x2x64x4x64", "--repetitions", 1, "--json", "-",
                             "--plot", self.folder / "plot.svg")
        self.assertEqual(code, 0, err)
        document = json.loads(out)
        self.assertTrue(document["input"]["made_up"])
        self.assertTrue(document["commit"])
        for key in ("cpu", "simd", "cores"):
            self.assertIn(key, document["machine"])
        for key in ("decode_over_isal", "decode_over_memcpy", "encode_gsym_per_s"):
            self.assertGreater(document["ratios"][key], 0)
        for profile in ("raw", "int8", "kv4", "cachegen", "kv4+none", "kv4+deflate", "kv4+zstd"):
            self.assertGreater(document["ratios"]["compression"][profile], 0.5)
        rows = {(row["table"], row["name"]): row for row in document["rows"]}
        self.assertEqual(len(rows), len(document["rows"]))
        self.assertGreater(rows["profiles", "kv4"]["decode_gb_s"]["median"], 0)
        self.assertGreater(rows["coders", "CacheGen's coder"]["decode_gsym_s"]["p25"], 0)
        for name in ("ours: deflate", "zlib (bytes)", "ISA-L inflate (nibbles)", "zstd -1 (nibbles)", "memcpy"):
            self.assertIn(("coders", name), rows)
        self.assertIn(("pages", "memcpy"), rows)
        picture = xml.etree.ElementTree.fromstring((self.folder / "plot.svg").read_text())
        self.assertTrue(picture.tag.endswith("svg"))

    def test_the_table_says_what_it_compares(self):
        code, out, err = run("bench", "codec", "--input", self.dump, "--shape", SHAPE, "--repetitions", 1,
                             "--profiles", "kv4,raw+zstd", "--json", self.folder / "bench.json")
        self.assertEqual(code, 0, err)
        for words in ("compared with", "ISA-L inflate + dequantize + copy", "memcpy", "over ideal", "raw+zstd"):
            self.assertIn(words, out)
        self.assertNotIn("made up", out)
        self.assertNotIn("int8", out)
        compression = json.loads((self.folder / "bench.json").read_text())["ratios"]["compression"]
        self.assertEqual(list(compression), ["kv4", "raw+zstd"])

    def test_made_up_values_are_called_so(self):
        code, out, _ = run("bench", "codec", "--shape", "1x2x32x64", "--repetitions", 1, "--profiles", "kv4")
        self.assertEqual(code, 0)
        self.assertIn("mean NOTHING for a model", out)

    def test_mistakes_are_told(self):
        self.assert_told(["bench", "codec", "--input", self.dump, "--shape", "2x2x299x2x32"], "300 tokens")
        self.assert_told(["bench", "codec", "--input", self.dump], "--shape")
        self.assert_told(["bench", "codec", "--profiles", "kv4,kv5"], "choose from raw, raw+none")
        self.assert_told(["bench", "codec", "--shape", "1x2x32x64", "--core", "4000"], "cannot run on core 4000")


if __name__ == "__main__":
    unittest.main()
