"""Builds for two processors write the same records of the same values, and read each other's to the same values."""

import os
import pathlib
import random
import subprocess
import tempfile
import unittest

HERE = os.environ["HOST_EXCHANGE"]
EMULATED = os.environ["EMULATED_EXCHANGE"]


def run(program, *arguments):
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=240, check=False)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class SameBytes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not pathlib.Path(HERE).exists():
            raise AssertionError(f"{HERE} is not built: cmake --build build/release --target record_exchange")
        cls.kept = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.kept.cleanup)
        cls.folder = pathlib.Path(cls.kept.name)
        cls.records = {}
        for name, program in (("here", HERE), ("emulated", EMULATED)):
            out = cls.folder / name
            out.mkdir()
            done = run(program, "encode", out)
            if done.returncode != 0:
                raise AssertionError(done.stdout + done.stderr)
            cls.records[name] = contents(out)

    def decoded(self, program, records):
        with tempfile.TemporaryDirectory() as folder:
            done = run(program, "decode", records, folder)
            return done, contents(pathlib.Path(folder))

    def test_records_are_the_same(self):
        here, emulated = self.records["here"], self.records["emulated"]
        self.assertEqual(here.keys(), emulated.keys())
        self.assertGreater(len(here), 100)
        # A GMAC seal has a nonce; what is behind the header is the same all the same.
        differing = [name for name in here if here[name] != emulated[name]]
        self.assertEqual(differing, ["gmac-kv4.rec"])
        one, other = here["gmac-kv4.rec"], emulated["gmac-kv4.rec"]
        self.assertEqual(len(one), len(other))
        self.assertLess(sum(a != b for a, b in zip(one, other)), 100)

    def test_each_reads_the_others_to_the_same_values(self):
        values = []
        for program, records in ((HERE, "here"), (HERE, "emulated"), (EMULATED, "here"), (EMULATED, "emulated")):
            done, decoded = self.decoded(program, self.folder / records)
            self.assertEqual((done.returncode, done.stdout), (0, ""), (program, records))
            self.assertEqual(len(decoded), len(self.records["here"]))
            values.append(decoded)
        for other in values[1:]:
            self.assertEqual([name for name in other if other[name] != values[0][name]], [])
        # What would hold for anything is no finding: profiles lose different things.
        self.assertNotEqual(values[0]["kv4-even-bf16-0.values"], values[0]["int8-even-bf16-0.values"])

    def test_a_flipped_bit_is_refused_by_both(self):
        draw = random.Random(5)
        with tempfile.TemporaryDirectory() as folder:
            damaged = pathlib.Path(folder)
            names = draw.sample(sorted(self.records["here"]), 30)
            for name in names:
                record = bytearray(self.records["here"][name])
                record[draw.randrange(len(record))] ^= 1 << draw.randrange(8)
                (damaged / name).write_bytes(record)
            for program in (HERE, EMULATED):
                done, decoded = self.decoded(program, damaged)
                self.assertEqual(done.returncode, 1)
                self.assertEqual(decoded, {})
                self.assertEqual(done.stdout.count("refused"), len(names))

    def test_rotations_begin_with_the_same_angles(self):
        angles = []
        for name, program in (("angles-here", HERE), ("angles-emulated", EMULATED)):
            done = run(program, "angles", self.folder / name)
            self.assertEqual(done.returncode, 0, done.stderr)
            angles.append((self.folder / name).read_bytes())
        self.assertGreater(len(angles[0]), 300_000)
        differing = sum(angles[0][at:at + 4] != angles[1][at:at + 4] for at in range(0, len(angles[0]), 4))
        self.assertEqual((len(angles[1]), differing), (len(angles[0]), 0))


if __name__ == "__main__":
    unittest.main()
