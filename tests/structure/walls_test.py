"""The house stands: check_walls.py finds nothing here, and finds each kind of broken wall in a house built badly."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
CHECKER = CHECKOUT / "tools/check_walls.py"

ROOMS = "# The rooms of a small house.\nroom(contract DEPS fmt)\nroom(wire DEPS ss_contract)\nroom(plane DEPS ss_wire)\n" \
        "room(control DEPS ss_wire)\n"
OPENING = "// A file that says what it is.\n"


def check(root):
    done = subprocess.run([sys.executable, CHECKER, root], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


class Walls(unittest.TestCase):
    def house_with(self, name, text):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for room in ("contract", "wire", "plane", "control"):
                (root / "src" / room).mkdir(parents=True)
                (root / "src" / room / f"{room}.h").write_text(OPENING)
            (root / "include/shadowserve").mkdir(parents=True)
            (root / "src/CMakeLists.txt").write_text(ROOMS)
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            return check(root)

    def test_this_checkout(self):
        code, said = check(CHECKOUT)
        self.assertEqual(code, 0, said)

    def test_a_good_house_passes(self):
        code, said = self.house_with("src/plane/stage.h", OPENING + '#include "wire/wire.h"\n')
        self.assertEqual(code, 0, said)

    def test_every_broken_rule_is_found(self):
        bad_houses = {
            "upward include": ("src/wire/link.h", OPENING + '#include "plane/plane.h"\n', "wings never include"),
            "room above": ("src/contract/check.h", OPENING + '#include "wire/wire.h"\n', "is not below contract"),
            "wing to wing": ("src/plane/x.cc", OPENING + '#include "control/control.h"\n', "wings never include"),
            "no room": ("src/plane/x.cc", OPENING + '#include "plane.h"\n', "say the room"),
            "unknown room": ("src/attic/x.h", OPENING, "not listed as a room"),
            "opening": ("src/wire/x.h", "#pragma once\n", "does not open with"),
            "name": ("src/wire/utils.h", OPENING, "no noun of this house"),
            "twice": ("src/plane/wire.h", OPENING, "file names are unique"),
            "peer": ("bench/peers/x.cc", OPENING + '#include "wire/wire.h"\n', "a peer shares no code"),
            "environment": ("src/wire/x.cc", OPENING + 'auto x = std::getenv("X");\n', "reads the environment"),
            "second header": ("include/shadowserve/more.h", "/* A file that says what it is. */\n", "is for others"),
        }
        for rule, (name, text, sentence) in bad_houses.items():
            with self.subTest(rule):
                code, said = self.house_with(name, text)
                self.assertEqual(code, 1, said)
                self.assertIn(sentence, said)


if __name__ == "__main__":
    unittest.main()
