"""What an engine and its libraries print, from Python and below it, goes to a file; people see it when something fails."""

import contextlib
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import TextIO

LINES_SHOWN = 12


@contextlib.contextmanager
def into_file(path: pathlib.Path) -> Iterator[TextIO]:
    """Gives the real stderr, for progress. Some of the noise is written by C++ code: so file descriptors are turned."""
    sys.stdout.flush()
    sys.stderr.flush()
    real = os.dup(1), os.dup(2)
    with open(path, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        with os.fdopen(os.dup(real[1]), "w") as people:
            yield people
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, saved in zip((1, 2), real):
            os.dup2(saved, number)
            os.close(saved)


def last_lines(path: pathlib.Path) -> str:
    lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()] if path.exists() else []
    return "\n".join(f"  {line[:200]}" for line in lines[-LINES_SHOWN:])
