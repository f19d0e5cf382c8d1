"""The arm64 .deb: what it holds and asks for, and that its program, configuration and unit work as packaged."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["BUILD_FOLDER"])
EMULATOR = os.environ["EMULATOR"].split()
CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


def run(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120, check=False)


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        made = run(CHECKOUT / "tools" / "package.sh", "arm64", BUILD)
        if made.returncode != 0:
            raise AssertionError(made.stdout + made.stderr)
        cls.package = made.stdout.strip()
        cls.kept = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.kept.cleanup)
        cls.root = pathlib.Path(cls.kept.name)
        unpacked = run("dpkg-deb", "-x", cls.package, cls.root)
        if unpacked.returncode != 0:
            raise AssertionError(unpacked.stderr)
        cls.program = [*EMULATOR, str(cls.root / "usr/bin/shadowserve")]
        cls.config = cls.root / "etc/shadowserve/plane.toml"
        cls.unit = cls.root / "usr/lib/systemd/system/shadowserve-plane.service"

    def field(self, name):
        return run("dpkg-deb", "-f", self.package, name).stdout.strip()

    def test_it_is_for_arm64_and_asks_for_what_the_program_loads(self):
        self.assertEqual(self.field("Architecture"), "arm64")
        depends = self.field("Depends")
        for name in ("libc6 (>= ", "librocksdb7", "libisal2", "libhwy1", "libssl3", "libstdc++6 (>= ", "libzstd1"):
            self.assertIn(name, depends)
        with open(self.root / "usr/bin/shadowserve", "rb") as program:
            head = program.read(20)
        self.assertEqual((head[:4], head[18]), (b"\x7fELF", 183), "an ELF file for AArch64")
        self.assertIn("/etc/shadowserve/plane.toml", run("dpkg-deb", "-I", self.package, "conffiles").stdout)

    def test_its_scripts_are_shell(self):
        for script in ("postinst", "prerm"):
            text = run("dpkg-deb", "-I", self.package, script).stdout
            checked = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True, check=False)
            self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_the_program_serves_is_watched_and_stops(self):
        version = run(*self.program, "--version")
        self.assertEqual((version.returncode, version.stdout.split()[0]), (0, "shadowserve"))
        socket = self.root / "plane.sock"
        # As packaged but for what this machine may not have: its cores, /run/shadowserve and gigabytes.
        with subprocess.Popen([*self.program, "plane", "--config", str(self.config), "--socket", str(socket), "--cores",
                               "0", "--store", "memory:?limit=16MB", "--fetch-slots", "4", "--pin-memory", "false"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as plane:
            try:
                lines = [plane.stdout.readline(), plane.stdout.readline()]
                self.assertIn("20 slots", lines[0], "4 asked for here, 16 of the configuration")
                self.assertIn("ready", lines[1])
                watched = run(*self.program, "stats", "--json", "--socket", socket)
                self.assertEqual(watched.returncode, 0, watched.stderr)
                self.assertEqual(json.loads(watched.stdout)["heap"]["allocations_after_start"], 0)
                plane.send_signal(signal.SIGTERM)
                self.assertEqual(plane.wait(20), 0)
            finally:
                if plane.poll() is None:
                    plane.kill()
        self.assertFalse(socket.exists())

    def test_a_mistake_in_the_configuration_is_named(self):
        wrong = self.root / "wrong.toml"
        wrong.write_text(self.config.read_text().replace("fetch_slots", "fetch_slot"))
        told = run(*self.program, "plane", "--config", wrong)
        self.assertNotEqual(told.returncode, 0)
        self.assertIn('did you mean "fetch_slots"?', told.stderr)

    def complaints(self, unit_text):
        """What systemd says of the unit, started as the program here (the packaged path is not on this machine)."""
        with tempfile.TemporaryDirectory() as folder:
            unit = pathlib.Path(folder) / self.unit.name
            unit.write_text(unit_text.replace("/usr/bin/shadowserve", str(self.root / "usr/bin/shadowserve"))
                            .replace("User=shadowserve", "User=root").replace("Group=shadowserve", "Group=root"))
            done = run("systemd-analyze", "verify", "--man=no", unit)
            return "\n".join(line for line in (done.stdout + done.stderr).splitlines() if unit.name in line)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze here: the unit is not checked")
    def test_systemd_takes_the_unit(self):
        text = self.unit.read_text()
        self.assertEqual(self.complaints(text), "")
        self.assertIn("RestartSeconds", self.complaints(text.replace("RestartSec=", "RestartSeconds=")))

    @unittest.skipUnless(shutil.which("systemd-sysusers"), "no systemd-sysusers here: its user is not made")
    def test_the_user_is_made(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "etc").mkdir()
            shutil.copytree(self.root / "usr/lib/sysusers.d", root / "usr/lib/sysusers.d")
            done = run("systemd-sysusers", f"--root={root}", "shadowserve.conf")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("shadowserve:", (root / "etc/passwd").read_text())


if __name__ == "__main__":
    unittest.main()
