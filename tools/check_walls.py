#!/usr/bin/env python3
"""Checks the house: who may include whom, how files open, and what they are called.

    python3 tools/check_walls.py [ROOT]

Prints one line per broken rule and exits with 1 if there is one; warnings (long files) do not count.
"""

import argparse
import pathlib
import re
import sys

# Rooms of src/CMakeLists.txt may include the rooms their DEPS reach. The wings never include each other; simulators stand
# above the wings that they name in their DEPS.
WINGS = {"plane", "control"}
# Part of src/ but not a room of their own.
ATTICS = {"memory_trap": "memory"}
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "base", "core", "misc"}
# Where the environment may be read: settings come in through these and nowhere else. Inside an engine's process
# there is no main() of ours, so the socket's path and the log level are read where they are needed.
ENVIRONMENT_READERS = {"src/settings", "src/wire/socket_path.h", "src/control/link_log.cc", "apps"}
LINES_MAX = 400
# Libraries whose own headers must be included with quotes.
QUOTED_LIBRARIES = {"hwy"}

SOURCE_SUFFIXES = {".h", ".cc", ".cu"}
SOURCE_FOLDERS = ("src", "apps", "sim", "bench", "include", "python", "tests", "tools", "dashboard")
OPENERS = {".h": "//", ".cc": "//", ".cu": "//", ".py": ('"""', "#"), ".sh": "#", ".cmake": "#", ".txt": "#"}

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
ROOM = re.compile(r"^\s*room\((\w+)\s+DEPS([^)]*)\)", re.MULTILINE)
GETENV = re.compile(r"\b(?:secure_)?getenv\s*\(")


class House:
    def __init__(self, root):
        self.root = root
        self.broken = []
        self.warnings = []
        rooms_list = (root / "src/CMakeLists.txt").read_text()
        self.rooms = {}
        for name, deps in ROOM.findall(rooms_list):
            reachable = {name}
            for dep in re.findall(r"\bss_(\w+)", deps):
                if dep not in self.rooms:
                    self.breaks("src/CMakeLists.txt", f"room {name} depends on {dep}, which is not above it")
                    continue
                reachable |= self.rooms[dep]
            self.rooms[name] = reachable

    def breaks(self, where, sentence):
        self.broken.append(f"{where}: {sentence}")

    def sources(self):
        for folder in SOURCE_FOLDERS:
            for path in sorted((self.root / folder).rglob("*")):
                hidden = any(part.startswith(".") or part in ("__pycache__", "build") for part in path.parts)
                if path.is_file() and not hidden:
                    yield path, path.relative_to(self.root)

    def check(self):
        seen = {}
        for path, name in self.sources():
            if path.suffix not in OPENERS or (path.suffix == ".txt" and path.name != "CMakeLists.txt"):
                continue
            self.check_name(name, seen)
            text = path.read_text(errors="replace")
            self.check_opening(name, text)
            if text.count("\n") > LINES_MAX and path.suffix != ".txt":
                self.warnings.append(f"{name}: {text.count(chr(10))} lines; a file has about 200")
            if path.suffix in SOURCE_SUFFIXES:
                self.check_includes(name, text)
                self.check_environment(name, text)
        for folder in sorted((self.root / "src").iterdir()):
            if folder.is_dir() and any(folder.iterdir()) and folder.name not in self.rooms | ATTICS.keys():
                self.breaks(f"src/{folder.name}", "is not listed as a room in src/CMakeLists.txt")
        self.check_installed()

    def check_name(self, name, seen):
        words = [*name.parts[:-1], name.stem]
        for word in words:
            if word.lower() in FORBIDDEN_NAMES:
                self.breaks(name, f'"{word}" is no noun of this house: name the thing it holds')
        if name.name in ("CMakeLists.txt", "__init__.py", "conftest.py"):
            return
        if name.suffix in (".h", ".cc", ".cu", ".py"):
            if name.name in seen:
                self.breaks(name, f"there is {seen[name.name]} already: file names are unique")
            seen[name.name] = name

    def check_opening(self, name, text):
        opener = OPENERS[name.suffix]
        lines = [line for line in text.splitlines() if line.strip()]
        if lines and lines[0].startswith("#!"):
            lines = lines[1:]
        if not lines and name.name == "__init__.py":
            return
        if name.match("include/*/*.h"):
            opener = "/*"  # the C API is C
        line = lines[0] if lines else ""
        words = line.strip().lstrip('/#*"').strip().split()
        if not line.startswith(opener) or len(words) < 2:
            self.breaks(name, "does not open with a comment that says in one sentence what the file is")

    def room_of(self, name):
        """The room a file lives in, or None for those that may include everything."""
        if name.parts[0] == "sim":
            return "sim"
        if name.parts[0] != "src" or len(name.parts) < 3:
            return None
        return ATTICS.get(name.parts[1], name.parts[1])

    def check_includes(self, name, text):
        room = self.room_of(name)
        if name.is_relative_to("bench/peers"):
            for target in INCLUDE.findall(text):
                if not target.startswith("peers/"):
                    self.breaks(name, f'includes "{target}": a peer shares no code with what it is compared with')
        if room is None:
            return
        allowed = self.rooms.get(room, set(self.rooms) - WINGS | {room})
        for target in INCLUDE.findall(text):
            other = target.split("/")[0]
            if other in QUOTED_LIBRARIES:
                continue
            if other == "shadowserve":
                if room != "control":
                    self.breaks(name, f'includes "{target}": the C API is control\'s')
            elif "/" not in target:
                self.breaks(name, f'includes "{target}": say the room as well ("{room}/{target}")')
            elif other in WINGS and other != room and room != "sim" and not name.stem.endswith("_test"):
                self.breaks(name, f'includes "{target}": wings never include each other')
            elif other in self.rooms and other not in allowed:
                self.breaks(name, f'includes "{target}", but {other} is not below {room} (src/CMakeLists.txt)')
            elif other not in self.rooms and other not in ATTICS and other not in WINGS:
                self.breaks(name, f'includes "{target}", which is in no room')

    def check_environment(self, name, text):
        if any(name.is_relative_to(reader) for reader in ENVIRONMENT_READERS) or name.stem.endswith("_test"):
            return
        if GETENV.search(text):
            self.breaks(name, "reads the environment: settings come in through src/settings")

    def check_installed(self):
        headers = [str(path.relative_to(self.root)) for path in (self.root / "include").rglob("*") if path.is_file()]
        for header in headers:
            if header != "include/shadowserve/shadowserve.h":
                self.breaks(header, "only include/shadowserve/shadowserve.h is for others")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("root", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent)
    house = House(arguments.parse_args().root.resolve())
    house.check()
    for line in house.warnings:
        print("warning:", line)
    for line in house.broken:
        print(line)
    print(f"walls: {len(house.rooms)} rooms, {len(house.broken)} broken rules, {len(house.warnings)} warnings")
    return 1 if house.broken else 0


if __name__ == "__main__":
    sys.exit(main())
