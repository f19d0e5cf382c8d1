"""`shadowserve relay` as a user meets it, and receiving over UCX where there is no UCX."""

import pathlib
import re
import signal
import socket
import tempfile
import unittest

from command_process import clean_environment, run, start, until_ready


class Relay(unittest.TestCase):
    def start(self, *arguments):
        relay = start(self, "relay", *arguments)
        said = relay.stdout.readline() + relay.stdout.readline()
        if "UCX" in said and "ready" not in said:
            self.skipTest(said)
        return relay, said

    def test_it_serves_until_it_is_told_to_stop_whoever_knocks(self):
        relay, said = self.start("--listen", "127.0.0.1:0", "--to", "redis://127.0.0.1:1")
        port = int(re.search(r"port (\d+), to redis://127.0.0.1:1", said).group(1))
        for junk in (b"GET / HTTP/1.1\r\n\r\n", bytes(5000), b"\xff" * 5000, b"shadowserve-ucx1" + b"\xff" * 5000, b""):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as stranger:
                stranger.sendall(junk)
                stranger.settimeout(10)
                try:
                    self.assertEqual(stranger.recv(100), b"", "shown out" if junk else "")
                except ConnectionResetError:
                    pass
        self.assertIsNone(relay.poll())
        code, _, err = run("relay", "--listen", f"127.0.0.1:{port}", "--to", "redis://127.0.0.1:1")
        self.assertEqual(code, 1)
        self.assertIn("Address already in use", err)
        relay.send_signal(signal.SIGINT)
        rest = relay.communicate(timeout=20)[0]
        self.assertEqual(relay.returncode, 0, rest)
        self.assertIn("5 connections, 5 that came to nothing", rest)

    def test_what_it_does_not_understand(self):
        for words, told in (
            (("--listen", "nonsense", "--to", "redis://x"), "like 0.0.0.0:6390"),
            (("--listen", "127.0.0.1:0", "--to", "redis://:pw@x"), "--to takes redis://host:port and nothing else"),
            (("--listen", "127.0.0.1:0", "--to", "memory:"), "--to takes redis://host:port and nothing else"),
            (("--listen", "127.0.0.1:0", "--to", "redis://no-such-host.invalid"), "no-such-host.invalid"),
            (("--to", "redis://x"), "--listen is required"),
        ):
            code, out, err = run("relay", *words)
            self.assertNotEqual(code, 0)
            self.assertIn(told, out + err)


class WithoutUcx(unittest.TestCase):
    def test_without_ucx_there_are_sockets_and_a_word(self):
        ucx = ("doctor", "--store", "memory:", "--socket", "/tmp/no-such-socket", "--receive", "ucx")
        _, out, _ = run(*ucx)
        self.assertRegex(out, "(ok|warn) +receive ")
        if not re.search("ok +receive +through UCX 1", out):
            self.skipTest(out)
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "libucp.so.0").touch()  # found first, and no library
            relay = ("relay", "--listen", "127.0.0.1:0", "--to", "redis://127.0.0.1:1")
            for words, told in ((ucx, "warn +receive +UCX is not installed here"), (relay, "a relay needs it; install libucx0")):
                _, out, err = run(*words, LD_LIBRARY_PATH=folder)
                self.assertRegex(out + err, told)
            plane = start(self, "plane", "--store", "memory:", "--socket", folder + "/plane.sock", "--receive", "ucx",
                          env=clean_environment(LD_LIBRARY_PATH=folder))
            said = until_ready(self, plane)
            plane.send_signal(signal.SIGTERM)
            said += plane.communicate(timeout=20)[0]
            self.assertEqual(plane.returncode, 0, said)
            self.assertIn("receiving through sockets. What helps: install libucx0", said)


if __name__ == "__main__":
    unittest.main()
