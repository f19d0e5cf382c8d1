"""Every C++ file is laid out as .clang-format says, and every shell script parses."""

import pathlib
import re
import shutil
import subprocess
import unittest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("src", "apps", "python", "bench", "sim", "include")
# Versions lay out a few things differently: the check is made with one of them only.
VERSION = "14"
SCRIPTS = ("test", "demo", ".ci/run", "tools/setup.sh", "tools/bundle.sh", "tests/gpu/run.sh")


def installed_version():
    if not shutil.which("clang-format"):
        return None
    said = subprocess.run(["clang-format", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (\d+)", said)
    return found and found[1]


class Format(unittest.TestCase):
    @unittest.skipUnless(installed_version() == VERSION, f"clang-format {VERSION} is not installed")
    def test_clang_format(self):
        files = [path for folder in FOLDERS for path in (CHECKOUT / folder).rglob("*") if path.suffix in (".h", ".cc")]
        done = subprocess.run(
            ["clang-format", "--dry-run", "-Werror", *files], capture_output=True, text=True, check=False)
        wrong = sorted({line.split(":")[0] for line in done.stderr.splitlines() if "error:" in line})
        self.assertEqual(done.returncode, 0, "run clang-format -i on:\n" + "\n".join(wrong))

    def test_shell_scripts_parse(self):
        for script in SCRIPTS:
            with self.subTest(script):
                done = subprocess.run(["bash", "-n", CHECKOUT / script], capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
