"""Runs a command on a machine that stands still again and again, as shared ones do: `standstill.py 0.5 2.5 COMMAND...`

All cores are taken at once, on average for as many seconds as the first number says, and given back for the second's. Tests
that judge time, or whose engines have deadlines, have to pass here as well. Needs the right to real-time priority (root).
"""

import multiprocessing
import os
import random
import subprocess
import sys
import time

ABOVE_ALL = 50  # of real-time priorities; everything without one waits
SEED = 7


def take(core: int, busy_s: float, free_s: float, begins_s: float) -> None:
    os.sched_setaffinity(0, {core})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(ABOVE_ALL))
    source, at_s = random.Random(SEED), begins_s  # of all cores the same: they stand still together
    while True:
        at_s += source.uniform(0, 2 * free_s)
        time.sleep(max(0.0, at_s - time.monotonic()))
        at_s += source.uniform(0, 2 * busy_s)
        while time.monotonic() < at_s:
            pass


def main() -> int:
    if len(sys.argv) < 4:
        print(__doc__, file=sys.stderr)
        return 2
    busy_s, free_s = map(float, sys.argv[1:3])
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(ABOVE_ALL))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except PermissionError:
        print("standstill: no right to real-time priority here: run it as root", file=sys.stderr)
        return 2
    begins_s = time.monotonic()
    takers = [
        multiprocessing.Process(target=take, args=(core, busy_s, free_s, begins_s), daemon=True)
        for core in os.sched_getaffinity(0)
    ]
    for taker in takers:
        taker.start()
    try:
        return subprocess.run(sys.argv[3:], check=False).returncode
    except KeyboardInterrupt:
        return 130
    finally:
        for taker in takers:
            taker.terminate()


if __name__ == "__main__":
    sys.exit(main())
