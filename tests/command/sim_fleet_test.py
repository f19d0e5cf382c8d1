"""`shadowserve sim fleet`: equal runs make equal files, pictures are drawn, mistakes are named, Ctrl-C keeps what there is."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest
import xml.etree.ElementTree

from command_process import COMMAND, run

TRACE = pathlib.Path(__file__).resolve().parents[2] / "docs/simulators/example-trace.jsonl"


def fleet(*arguments):
    return run("sim", "fleet", *arguments)


class SimFleet(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def json_of(self, name, *arguments):
        path = self.folder / name
        code, _, err = fleet("--engines", 10, "--hours", 0.1, "--json", path, *arguments)
        self.assertEqual((code, err), (0, ""))
        return path.read_bytes()

    def test_equal_runs_make_equal_files(self):
        self.assertEqual(self.json_of("one"), self.json_of("two"))
        self.assertNotEqual(self.json_of("one"), self.json_of("other", "--seed", 2))

    def test_a_sweep_is_one_table_and_one_picture(self):
        plot = self.folder / "sweep.svg"
        code, out, err = fleet("--sweep", "engines=1,20", "--hours", 0.1, "--plot", plot)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual([line.split()[0] for line in out.splitlines()[:3]], ["engines", "1", "20"])
        self.assertGreater(len(list(xml.etree.ElementTree.parse(plot).iter())), 50)

    def test_the_example_trace_runs(self):
        plot = self.folder / "trace.svg"
        code, out, err = fleet("--trace", TRACE, "--engines", 3, "--json", self.folder / "trace.json", "--plot", plot)
        self.assertEqual((code, err), (0, ""))
        run = json.loads((self.folder / "trace.json").read_text())["fleets"][0]
        for part in ("stored", "recomputed"):
            self.assertEqual(run[part]["requests"]["done"], len(TRACE.read_text().splitlines()))
        self.assertGreater(run["stored"]["tokens"]["remote"], 0)
        self.assertEqual(run["recomputed"]["tokens"]["remote"], 0)
        xml.etree.ElementTree.parse(plot)
        self.assertIn("recompute only", out)

    def test_mistakes_are_named(self):
        broken = self.folder / "broken.jsonl"
        broken.write_text(TRACE.read_text() + "{}\n")
        lines = len(broken.read_text().splitlines())
        for arguments, sentence in [
            (("--sweep", "shards=1"), "write engines="),
            (("--sweep", "engines=1,,2"), "write engines="),
            (("--engines", 0), "--engines 0 is out of bounds"),
            (("--nic-gbit", 0), "--nic-gbit 0 is out of bounds"),
            (("--trace", self.folder / "none"), "cannot be read"),
            (("--trace", broken), f"line {lines}: "),
        ]:
            with self.subTest(arguments):
                code, out, err = fleet(*arguments)
                self.assertEqual((code, out), (1, ""))
                self.assertIn(sentence, err)

    def test_an_interrupt_prints_what_there_is(self):
        run = subprocess.Popen([COMMAND, "sim", "fleet", "--engines", "2000", "--hours", "10"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
        self.addCleanup(run.kill)
        time.sleep(3)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=30)
        self.assertEqual(run.returncode, 130)
        self.assertIn("STOPPED before its end", out)
        self.assertIn("requests done", err)  # the line about progress, after two seconds


if __name__ == "__main__":
    unittest.main()
