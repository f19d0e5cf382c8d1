"""The data plane of a measurement: the real command as a child, which never outlives this process."""

import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 10
_PR_SET_PDEATHSIG = 1


def engine_and_plane_cores() -> tuple[list[int], list[int]]:
    """The last core is the data plane's where there are two or more; the second list is empty otherwise."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[:-1], cores[-1:]) if len(cores) > 1 else (cores, [])


def shadowserve_command() -> str:
    """Raises ValueError with a sentence."""
    beside = pathlib.Path(sys.executable).with_name("shadowserve")
    found = str(beside) if beside.exists() else shutil.which("shadowserve")
    if found is None:
        raise ValueError("there is no `shadowserve` command to run a data plane with; name it with --plane-command")
    return found


def memory_store() -> str:
    """Half of the machine's memory at most; pages are taken as records come."""
    return f"memory:?limit={os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 2}"


@contextlib.contextmanager
def own_plane(folder: pathlib.Path, command: str, store: str, cores: list[int]) -> Iterator[str]:
    """Runs a data plane and gives its socket's path. Raises ValueError with what the plane said when it does not start."""
    path, log = folder / "plane.sock", folder / "plane.log"
    words = [command, "plane", "--store", store, "--socket", str(path)]
    words += ["--cores", ",".join(map(str, cores))] if cores else []
    # What vLLM wants preloaded into its own processes is nothing for others.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    with open(log, "ab") as out:
        # A session of its own: Ctrl-C is for us, and we end it.
        child = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment, start_new_session=True,
            preexec_fn=_end_with_parent,
        )  # fmt: skip
    try:
        _wait_until_it_listens(child, path, log)
        yield str(path)
    finally:
        _stop(child)


def _end_with_parent() -> None:
    """However this process ends, also by SIGKILL."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_until_it_listens(child: subprocess.Popen, path: pathlib.Path, log: pathlib.Path) -> None:
    ends_s = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < ends_s and child.poll() is None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe, contextlib.suppress(OSError):
            probe.connect(str(path))
            return
        time.sleep(0.05)
    said = log.read_text(errors="replace").strip().splitlines()[-3:]
    raise ValueError("the data plane does not start: " + (" / ".join(said) or f"no socket in {START_SECONDS_MAX} s"))


def _stop(child: subprocess.Popen) -> None:
    child.terminate()
    try:
        child.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
