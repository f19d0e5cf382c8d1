"""`shadowserve bench stage` and `shadowserve bench pipeline` on tiny KV caches: what they promise, and what they leave."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import xml.etree.ElementTree

COMMAND = os.environ.get("COMMAND_UNDER_TEST", "shadowserve")
SMALL = ["--shape", "4x2x512x4x64", "--repetitions", "1"]
HAS_REDIS = shutil.which("redis-server") is not None


def run(*arguments, **environment):
    done = subprocess.run([COMMAND, "bench", *map(str, arguments)], capture_output=True, text=True, timeout=60,
                          check=False, env=os.environ | environment)
    return done.returncode, done.stdout, done.stderr


def redis_children(parent):
    """Process ids of the redis-servers that `parent` started."""
    done = subprocess.run(["pgrep", "-P", str(parent), "redis-server"], capture_output=True, text=True, check=False)
    return [int(pid) for pid in done.stdout.split()]


def is_alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


class Pipeline(unittest.TestCase):
    def document(self, *arguments):
        code, out, err = run("pipeline", *SMALL, "--seconds", 0.2, *arguments, "--json", "-")
        self.assertEqual(code, 0, err)
        return json.loads(out)

    def assert_promised(self, document):
        self.assertTrue(document["commit"])
        self.assertIn("cpu", document["machine"])
        ratios = document["ratios"]
        for key in ("pipeline_over_slowest_stage", "bytes_moved_per_byte_delivered", "compressed_gbit_per_core"):
            self.assertGreater(ratios[key], 0, key)
        self.assertTrue(document["heap_watched"])
        self.assertEqual(ratios["allocations_after_start"], 0)
        points = [row for row in document["rows"] if row["table"] == "pipeline"]
        self.assertTrue(points)
        for row in points:
            self.assertEqual(row["allocations_after_start"]["median"], 0)
            for key in ("delivered_gb_s", "compressed_gbit_s", "chunk_ms_p50", "chunk_ms_p99"):
                self.assertGreater(row[key]["median"], 0, key)
            self.assertLess(row["resident_mib_after"]["median"] - row["resident_mib_before"]["median"], 8)
            self.assertTrue(any(key.startswith("busy ss-plane-0 ") for key in row))
        return points

    def test_memory_one_pass_and_stages_apart(self):
        for more, stages in (((), {"receive", "unpack"}),
                             (("--separate-stages",), {"receive", "decompress", "dequantize", "deliver"})):
            with self.subTest(more):
                document = self.document("--store", "memory", "--cores", 1, *more)
                self.assertEqual(len(self.assert_promised(document)), 1)
                alone = {row["name"] for row in document["rows"] if row["table"] == "stages alone"}
                self.assertEqual(alone, stages)

    @unittest.skipUnless(HAS_REDIS, "redis-server is not installed")
    def test_a_rate_is_not_exceeded(self):
        with tempfile.TemporaryDirectory() as folder:
            plot = pathlib.Path(folder) / "plot.svg"
            document = self.document("--rates", "0.2,unlimited", "--cores", 1, "--plot", plot)
            self.assertTrue(xml.etree.ElementTree.fromstring(plot.read_text()).tag.endswith("svg"))
        slow, fast = self.assert_promised(document)
        self.assertEqual(slow["link_gbit_s"], 0.2)
        self.assertLess(slow["compressed_gbit_s"]["median"], 0.2 * 1.15)
        self.assertGreater(slow["compressed_gbit_s"]["median"], 0.2 * 0.5)  # a busy machine may be late, not early
        self.assertGreater(fast["compressed_gbit_s"]["median"], 0.2 * 1.5)  # the negative control
        self.assertEqual(document["ratios"]["point"], fast["name"])

    @unittest.skipUnless(HAS_REDIS, "redis-server is not installed")
    def test_ways_to_receive_are_measured_side_by_side(self):
        ways = ["io_uring"]
        doctor = subprocess.run([COMMAND, "doctor", "--store", "memory:", "--receive", "ucx"], capture_output=True, text=True,
                                timeout=60, check=False)
        if re.search("ok +receive +through UCX", doctor.stdout):
            ways.append("ucx")
        more = ("--rates", "unlimited", "--cores", 1, "--receive", ",".join(["sockets", *ways]))
        code, out, err = run("pipeline", *SMALL, "--seconds", 0.1, *more)
        if code != 0 and "receiving through sockets" in err:
            self.skipTest(err)
        self.assertEqual(code, 0, err)
        self.assertIn("3. Other ways to receive", out)
        document = self.document(*more)
        self.assertEqual(len(self.assert_promised(document)), 1)
        others = [row for row in document["rows"] if row["table"] == "receive options"]
        names = [f"{what}, {way}" for what in ("receive", "unlimited, 1 cores") for way in ways]
        self.assertEqual([row["name"] for row in others], names)
        for row in others[len(ways):]:
            self.assertEqual(row["allocations_after_start"]["median"], 0)
        for ratio in document["ratios"]["receive_options"].values():
            self.assertGreater(ratio, 0)  # how much it is, is for the bench: here others use the cores as well

    def test_the_table_says_how_to_read_it(self):
        code, out, err = run("pipeline", *SMALL, "--seconds", 0.1, "--store", "memory", "--cores", 1)
        self.assertEqual(code, 0, err)
        for words in ("NOTHING for a model", "of slowest: delivered over the slowest stage alone", "bytes read from"):
            self.assertIn(words, out)

    def test_too_few_cores_are_told(self):
        code, out, err = run("pipeline", *SMALL, "--seconds", 0.1, "--store", "memory", "--cores",
                             len(os.sched_getaffinity(0)))
        self.assertEqual(code, 0, err)
        self.assertIn("FLOOR", out)

    def test_mistakes_are_told(self):
        for arguments, sentence in ((["--rates", "fast"], "--rates fast is no rate"),
                                    (["--store", "memory", "--rates", "5"], "--rates unlimited"),
                                    (["--store", "memory", "--cores", "4000"], "this process may use"),
                                    (["--profile", "kv5"], "kv5"),
                                    (["--receive", "rdma"], "sockets"),
                                    (["--receive", "sockets,sockets"], "names sockets twice"),
                                    (["--store", "memory", "--receive", "io_uring"], "leave --receive out"),
                                    (["--store", "reddis://h"], 'did you mean "redis"?')):
            with self.subTest(arguments):
                code, _, err = run("pipeline", *SMALL, *arguments)
                self.assertIn(code, (1, 2))
                self.assertIn(sentence, err)

    def test_without_redis_it_says_what_else_there_is(self):
        with tempfile.TemporaryDirectory() as empty:
            code, _, err = run("pipeline", *SMALL, PATH=empty)
        self.assertEqual(code, 1)
        self.assertIn("--store memory", err)

    @unittest.skipUnless(HAS_REDIS and shutil.which("pgrep"), "redis-server or pgrep is not installed")
    def test_no_redis_server_is_left_behind(self):
        for number in (signal.SIGINT, signal.SIGKILL):
            with self.subTest(number):
                bench = subprocess.Popen(
                    [COMMAND, "bench", "pipeline", *SMALL, "--seconds", "30", "--cores", "1", "--rates", "unlimited"],
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                self.addCleanup(bench.kill)
                servers = []
                for _ in range(500):
                    servers = redis_children(bench.pid)
                    if servers:
                        break
                    time.sleep(0.02)
                self.assertEqual(len(servers), 1)
                bench.send_signal(number)
                self.assertNotEqual(bench.wait(10), 0)
                for _ in range(200):
                    if not is_alive(servers[0]):
                        break
                    time.sleep(0.02)
                self.assertFalse(is_alive(servers[0]))


class Stage(unittest.TestCase):
    def rows(self, *arguments):
        code, out, err = run("stage", *SMALL, *arguments, "--json", "-")
        self.assertEqual(code, 0, err)
        document = json.loads(out)
        self.assertIn("cpu", document["machine"])
        return {(row["table"], row["name"]): row for row in document["rows"]}

    def test_every_stage_has_a_row(self):
        rows = self.rows("--store", "memory", "--profiles", "kv4,raw")
        self.assertGreater(rows["kv4", "null"]["ns_per_slot"]["median"], 0)
        for profile in ("kv4", "raw"):
            for name in ("receive, memory store", "open, XXH3 seal", "open, GMAC seal", "decompress", "dequantize",
                         "deliver", "unpack", "collect", "quantize", "compress", "send, memory store",
                         "memcpy to staging"):
                self.assertGreater(rows[profile, name]["values_gb_s"]["median"], 0, name)
        self.assertLess(rows["kv4", "unpack"]["compressed_gb_s"]["median"],
                        rows["kv4", "unpack"]["values_gb_s"]["median"] / 2)

    @unittest.skipUnless(HAS_REDIS, "redis-server is not installed")
    def test_redis_has_rows_of_its_own(self):
        rows = self.rows("--profiles", "kv4")
        for name in ("receive, redis", "send, redis", "receive, memory store"):
            self.assertGreater(rows["kv4", name]["values_gb_s"]["median"], 0)


if __name__ == "__main__":
    unittest.main()
