"""How long something takes an engine on a machine that others use as well."""

import pathlib
import time


class Stopwatch:
    """Seconds, less what a thread of the given processes could have run and waited for a core: of the one that waited longest.
    Whoever waits for an answer, a lock or a timer is not waiting for a core, and counts in full. On Linux without
    CONFIG_SCHED_INFO nothing is left out."""

    def __init__(self, processes: list[int]):
        self._processes = processes
        self.seconds = 0.0
        self.waited_s = 0.0  # for a core

    def __enter__(self):
        self._before_ns = self._waited_ns()
        self._began_s = time.monotonic()
        return self

    def __exit__(self, *_):
        elapsed_s = time.monotonic() - self._began_s
        now_ns = self._waited_ns()
        waited_ns = max((now_ns[thread] - self._before_ns.get(thread, 0) for thread in now_ns), default=0)
        self.waited_s = min(waited_ns / 1e9, elapsed_s)
        self.seconds = elapsed_s - self.waited_s

    def _waited_ns(self) -> dict[str, int]:
        waited = {}
        for process in self._processes:
            for thread in pathlib.Path(f"/proc/{process}/task").glob("*/schedstat"):
                try:
                    waited[str(thread)] = int(thread.read_text().split()[1])
                except OSError:  # it has ended
                    continue
        return waited
