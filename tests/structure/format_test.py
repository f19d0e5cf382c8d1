"""Every C++ file is laid out as .clang-format says, and every shell script parses."""

import pathlib
import shutil
import subprocess
import unittest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("src", "apps", "python", "bench", "sim", "include")
SCRIPTS = ("test", "demo", ".ci/run", "tools/setup.sh")


class Format(unittest.TestCase):
    @unittest.skipUnless(shutil.which("clang-format"), "clang-format is not installed")
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
