"""Tells a person how far a long command is: one line that is written over on a terminal, lines elsewhere."""

import time
from typing import TextIO


class Progress:
    def __init__(self, out: TextIO):
        self.out = out
        self.terminal = out.isatty()
        self.what = ""
        self.began_s = 0.0

    def say(self, what: str) -> None:
        """A new part of the work begins."""
        self.what, self.began_s = what, time.monotonic()
        self._show(f"{what} ...")

    def count(self, done: int, total: int) -> None:
        """`done` of `total` steps of this part are done."""
        left_s = (time.monotonic() - self.began_s) / done * (total - done)
        self._show(f"{self.what}: {done} of {total}, about {left_s:.0f} s left")

    def clear(self) -> None:
        if self.terminal:
            self.out.write("\r\x1b[K")
            self.out.flush()

    def _show(self, line: str) -> None:
        self.out.write(f"\r\x1b[K{line}" if self.terminal else f"{line}\n")
        self.out.flush()
