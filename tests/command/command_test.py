"""The `shadowserve` command as a user meets it: help, mistakes, a plane that starts, is watched, and stops."""

import ctypes
import errno
import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import tempfile
import unittest

from command_process import COMMAND, clean_environment, run, start, until_ready

SUBCOMMANDS = ("plane", "doctor", "inspect", "stats", "codec", "bench", "codec roundtrip", "relay", "bench codec",
               "bench stage", "bench pipeline", "bench link", "link", "link keys", "calibration", "calibration show", "calibration publish")


class Help(unittest.TestCase):
    def test_help_teaches_with_examples(self):
        for subcommand in ((), *(name.split() for name in SUBCOMMANDS)):
            with self.subTest(subcommand):
                code, out, _ = run(*subcommand, "--help")
                self.assertEqual(code, 0)
                self.assertIn("Examples:", out)

    def test_version(self):
        code, out, _ = run("--version")
        self.assertEqual((code, out.split()[0]), (0, "shadowserve"))

    def test_without_arguments_it_explains_itself(self):
        code, out, _ = run()
        self.assertEqual(code, 2)
        self.assertIn("plane", out)


class Mistakes(unittest.TestCase):
    def assert_told(self, arguments, sentence, **environment):
        code, out, err = run(*arguments, **environment)
        self.assertNotEqual(code, 0, out)
        self.assertIn(sentence, err)

    def test_unknown_flags_and_subcommands(self):
        self.assert_told(["plane", "--stor", "memory:"], 'did you mean "--store"?')
        self.assert_told(["plane1"], 'did you mean "plane"?')
        self.assert_told(["bench", "codecs"], 'did you mean "codec"?')
        self.assert_told(["bench", "codec", "--shap", "1x2x3x4"], 'did you mean "--shape"?')

    def test_engines_that_are_not_there(self):
        self.assert_told(["plane", "--engines", "bluefeld"], "must be host, bluefield or bluefield@PCI-ADDRESS")
        # Without the SDK, or with it and no such device at that address.
        plane = ["plane", "--store", "memory:", "--engines", "bluefield@ffff:ff:1f.7", "--socket", "/tmp/no-such-socket"]
        code, _, err = run(*plane)
        self.assertEqual(code, 1)
        self.assertRegex(err, "this build has no BlueField engines|DOCA finds no device")
        code, out, _ = run("doctor", "--store", "memory:", "--socket", "/tmp/no-such-socket")
        self.assertRegex(out, "ok +BlueField ")
        code, out, _ = run("doctor", "--store", "memory:", "--engines", "bluefield@ffff:ff:1f.7")
        self.assertEqual(code, 1)
        self.assertRegex(out, "fail +BlueField +(not part of this build|none found|.*firmware says)")

    def test_unknown_settings_in_environment_and_file(self):
        self.assert_told(["plane"], 'did you mean "store"?', SHADOWSERVE_STOR="memory:")
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write("fetch_slot = 3\n")
            file.flush()
            self.assert_told(["plane", "--config", file.name], 'did you mean "fetch_slots"?')
            self.assert_told(["plane"], 'did you mean "fetch_slots"?', SHADOWSERVE_CONFIG=file.name)

    def test_wrong_values(self):
        self.assert_told(["plane", "--store", "rocksbd:/x"], "rocksdb")
        self.assert_told(["plane", "--cores", "1,1"], "cores must list cores once each")
        self.assert_told(["plane", "--fetch-slots", "257"], "from 0 to 256")
        self.assert_told(["inspect", "nothing-of-the-kind"], "neither a key")

    def test_no_plane(self):
        self.assert_told(["stats", "--once", "--socket", "/tmp/no-such-socket"], "no data plane answers")


def forbid_io_uring():
    """In a child before it becomes the command: io_uring_setup() fails with EPERM, as in many containers."""
    load, equal, answer = 0x20, 0x15, 0x06
    steps = [(load, 0, 0, 0), (equal, 0, 1, 425), (answer, 0, 0, 0x00050000 | errno.EPERM), (answer, 0, 0, 0x7FFF0000)]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(filters)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, ctypes.byref(program), 0, 0) != 0:
        os._exit(99)


class Receive(unittest.TestCase):
    DOCTOR = ("doctor", "--store", "memory:", "--socket", "/tmp/no-such-socket", "--receive", "io_uring")

    def refused(self, *arguments):
        done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False,
                              env=clean_environment(), preexec_fn=forbid_io_uring)
        if done.returncode == 99:
            self.skipTest("no seccomp here")
        return done

    def test_doctor_says_whether_io_uring_is_allowed(self):
        _, out, _ = run(*self.DOCTOR)
        self.assertRegex(out, "(ok|warn) +receive ")
        if not re.search("ok +receive +through io_uring", out):
            self.skipTest(out)
        done = self.refused(*self.DOCTOR)
        self.assertRegex(done.stdout, "warn +receive +this container or sandbox forbids io_uring")
        self.assertIn("seccomp profile that allows io_uring_setup", done.stdout)

    def test_a_plane_that_is_refused_io_uring_says_so_and_runs_on_sockets(self):
        _, out, _ = run(*self.DOCTOR)
        if not re.search("ok +receive +through io_uring", out):
            self.skipTest(out)
        self.refused(*self.DOCTOR)  # skips
        for forbidden in (True, False):
            with self.subTest(forbidden), tempfile.TemporaryDirectory() as folder:
                socket = str(pathlib.Path(folder, "plane.sock"))
                plane = start(self, "plane", "--store", "memory:", "--socket", socket, "--receive", "io_uring",
                              preexec_fn=forbid_io_uring if forbidden else None)
                said = until_ready(self, plane)
                _, stats, _ = run("stats", "--json", "--socket", socket)
                receive = json.loads(stats)["receive"]
                _, shown, _ = run("stats", "--once", "--socket", socket)
                plane.send_signal(signal.SIGTERM)
                said += plane.communicate(timeout=20)[0]
                self.assertEqual(plane.returncode, 0, said)
                self.assertEqual(receive["used"], "sockets" if forbidden else "io_uring")
                for text in (said, shown):
                    self.assertEqual("forbids io_uring: receiving through sockets" in text, forbidden, text)


class Calibrate(unittest.TestCase):
    def test_it_hands_over_to_the_package_or_says_where_that_is(self):
        package = pathlib.Path(__file__).resolve().parents[2] / "python"
        with tempfile.TemporaryDirectory() as folder:
            stub = pathlib.Path(folder, "shadowserve", "calibration")
            stub.mkdir(parents=True)
            (stub.parent / "__init__.py").touch()
            (stub / "__init__.py").touch()
            # The real __main__ without the compiled module, which is not there before the wheel is.
            for name in ("__main__.py", "builtin_texts.py", "command.py", "progress.py"):
                (stub / name).write_text((package / "shadowserve" / "calibration" / name).read_text())
            code, out, err = run("calibrate", "--help", PYTHONPATH=folder)
            self.assertEqual((code, err), (0, ""))
            self.assertIn("--text", out)
            code, _, err = run("calibrate", "--prefix-tokens", "3", "model", PYTHONPATH=folder)
            self.assertEqual(code, 2)
            self.assertIn("at least 256 tokens", err)
        code, _, err = run("calibrate", "model", PYTHONPATH="")
        self.assertEqual(code, 1)
        self.assertIn("pip install", err)


TINY_CALIBRATION = pathlib.Path(__file__).resolve().parents[1] / "golden" / "tiny.cal"


class CalibrationFiles(unittest.TestCase):
    def test_a_file_is_shown_in_plain_words(self):
        code, out, err = run("calibration", "show", str(TINY_CALIBRATION))
        self.assertEqual((code, err), (0, ""))
        for words in ("2 layers of 2 heads x 16 in bf16", bytes(range(32)).hex(), "balanced"):
            self.assertIn(words, out)

    def test_mistakes_are_named(self):
        with tempfile.NamedTemporaryFile(suffix=".cal") as file:
            file.write(TINY_CALIBRATION.read_bytes().replace(b"near", b"neat"))
            file.flush()
            for what in (["show", file.name], ["publish", file.name, "--socket", "/tmp/no-such-socket"]):
                code, out, err = run("calibration", *what)
                self.assertEqual((code, out), (1, ""))
                self.assertIn(f"{file.name} is damaged", err)
        code, _, err = run("calibration", "show", "/no/file.cal")
        self.assertEqual(code, 1)
        self.assertIn("cannot read /no/file.cal", err)
        code, _, err = run("calibration", "publish", str(TINY_CALIBRATION), "--socket", "/tmp/no-such-socket")
        self.assertEqual(code, 1)
        self.assertIn("no data plane answers on /tmp/no-such-socket", err)


class RunningPlane(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.socket = str(pathlib.Path(self.folder.name) / "plane.sock")
        self.plane = start(self, "plane", "--store", "memory:?limit=16MB", "--socket", self.socket, "--fetch-slots", "2",
                           "--save-slots", "1")
        first = self.plane.stdout.readline()
        self.assertIn(self.socket, first)
        self.assertIn("ready", self.plane.stdout.readline())

    def test_it_keeps_calibrations(self):
        code, out, err = run("calibration", "publish", str(TINY_CALIBRATION), "--socket", self.socket)
        self.assertEqual((code, err), (0, ""))
        self.assertIn(bytes(range(32)).hex(), out)

    def test_it_is_watched_and_stops(self):
        code, out, err = run("stats", "--once", "--socket", self.socket)
        self.assertEqual(code, 0, err)
        for word in ("receive", "unpack", "lane", "lookup", "fetch", "save"):
            self.assertIn(word, out)
        code, out, _ = run("stats", "--json", SHADOWSERVE_SOCKET=self.socket)
        self.assertEqual(code, 0)
        document = json.loads(out)
        self.assertEqual(document["funnels"]["fetch"]["asked"], 0)
        self.assertEqual(document["heap"]["allocations_after_start"], 0)
        code, out, _ = run("doctor", "--socket", self.socket, "--store", "memory:")
        self.assertIn("runs on " + self.socket, out)
        self.plane.send_signal(signal.SIGTERM)
        self.assertEqual(self.plane.wait(10), 0)
        self.assertFalse(os.path.exists(self.socket))

    def test_a_second_plane_on_the_same_socket_is_refused(self):
        code, _, err = run("plane", "--store", "memory:", "--socket", self.socket)
        self.assertEqual(code, 1)
        self.assertIn(self.socket, err)


class NetworkPlane(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        code, self.told, err = run("link", "keys", str(self.folder / "keys"), "--name", "nic0")
        self.assertEqual((code, err), (0, ""))

    def tls(self, who, keys="keys"):
        folder = self.folder / keys
        return ["--tls-certificate", str(folder / f"{who}.pem"), "--tls-key", str(folder / f"{who}.key"),
                "--tls-ca", str(folder / "ca.pem")]

    def start(self):
        socket = str(self.folder / "plane.sock")
        plane = start(self, "plane", "--store", "memory:?limit=16MB", "--socket", socket, "--fetch-slots", "2", "--save-slots", "1",
                      "--listen", "tls://127.0.0.1:0", "--window", self.folder / "window.sock", *self.tls("plane"))
        found = re.search(r"tls://127.0.0.1:\d+", plane.stdout.readline())
        self.assertTrue(found)
        return plane, socket, found.group()

    def test_keys_are_private_and_the_commands_are_told(self):
        for name in ("ca.key", "plane.key", "engine.key"):
            self.assertEqual((self.folder / "keys" / name).stat().st_mode & 0o777, 0o600)
        self.assertIn("shadowserve plane --listen", self.told)
        self.assertIn('"socket": "tls://nic0:7601"', self.told)
        code, _, err = run("link", "keys", "/proc/no")
        self.assertEqual(code, 1)
        self.assertIn("cannot make the folder /proc/no", err)

    def test_it_is_found_watched_and_stops(self):
        plane, socket, address = self.start()
        code, out, _ = run("doctor", "--socket", address, "--store", "memory:", *self.tls("engine"))
        self.assertIn(f"the data plane at {address} answers", out)
        code, out, err = run("calibration", "publish", str(TINY_CALIBRATION), "--socket", address, *self.tls("engine"))
        self.assertEqual((code, err), (0, ""))
        code, out, _ = run("stats", "--json", "--socket", socket)
        self.assertEqual(json.loads(out)["network"]["address"], address)
        code, _, err = run("stats", "--once", "--socket", address)
        self.assertEqual(code, 1)
        self.assertIn("on the data plane's machine", err)
        plane.send_signal(signal.SIGTERM)
        self.assertEqual(plane.wait(10), 0)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["keys"])

    def test_mistakes_are_named(self):
        _, _, address = self.start()
        run("link", "keys", str(self.folder / "other"))
        code, out, _ = run("doctor", "--socket", address, "--store", "memory:", *self.tls("engine", "other"))
        self.assertEqual(code, 1)
        self.assertIn("another CA", out)
        for words, sentence in (
            (["--listen", "tls://127.0.0.1:0"], "shadowserve link keys"),
            (["--listen", "127.0.0.1:0", *self.tls("plane")], "use tls://HOST:PORT"),
            (["--listen", address, *self.tls("plane")], "Address already in use"),
            (["--window", str(self.folder / "w.sock")], "say where to listen"),
        ):
            code, _, err = run("plane", "--store", "memory:", "--socket", str(self.folder / "second.sock"), *words)
            self.assertEqual(code, 1)
            self.assertIn(sentence, err)
        code, _, err = run("plane", "--store", "memory:", "--socket", "tls://127.0.0.1:0")
        self.assertEqual(code, 1)
        self.assertIn("goes to --listen", err)


class Inspect(unittest.TestCase):
    def test_bytes_that_are_no_record(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"\0" * 500)
            file.flush()
            code, out, _ = run("inspect", file.name)
        self.assertEqual(code, 1)
        self.assertIn("not a usable record", out)

    def test_a_key_that_is_not_stored(self):
        code, out, _ = run("inspect", "ab" * 32, "--store", "memory:")
        self.assertEqual(code, 1)
        self.assertIn("no such record", out)


if __name__ == "__main__":
    unittest.main()
