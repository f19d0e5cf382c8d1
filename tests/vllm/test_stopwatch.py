"""The clock by which tests of deadlines judge: it forgives other people's load, and no waiting of our own."""

import os
import subprocess
import sys
import time

import pytest
from stopwatch import Stopwatch

pytestmark = pytest.mark.quick

WORK_S = 0.6
COMPUTE = f"import time\nwhile time.process_time() < {WORK_S}: pass"


@pytest.fixture
def one_core():
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    yield
    os.sched_setaffinity(0, cores)


def test_waiting_for_a_core_is_left_out(one_core):
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        began_s = time.monotonic()
        process = subprocess.Popen([sys.executable, "-c", COMPUTE + "\ninput()"], stdin=subprocess.PIPE)
        with Stopwatch([process.pid]) as took:
            while float(open(f"/proc/{process.pid}/schedstat").read().split()[0]) < WORK_S * 1e9:
                time.sleep(0.05)
        elapsed_s = time.monotonic() - began_s
        process.communicate(b"\n")
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert elapsed_s > 1.5 * WORK_S, "the others were in its way"
    assert took.waited_s > 0.4 * elapsed_s
    assert took.seconds < 0.6 * elapsed_s


def test_waiting_for_anything_else_is_not():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with Stopwatch([process.pid]) as took:
        time.sleep(0.5)
    process.communicate(b"\n")
    assert took.seconds > 0.4
