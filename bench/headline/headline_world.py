"""The processes around the engines: one Redis, and one data plane behind a link of a chosen rate."""

import contextlib
import json
import pathlib
import shutil
import socket
import subprocess
import time

START_SECONDS = 30
SAVE_SECONDS = 60
QUIET_SECONDS = 0.4


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class World:
    """Redis lives as long as this; the plane is started anew for every rate, and engines find it by themselves."""

    def __init__(self, folder: pathlib.Path, cores: str):
        self._folder = folder
        self._cores = cores
        self._port = free_port()
        self.socket = str(folder / "plane.sock")
        self._redis = subprocess.Popen(
            [wanted("redis-server"), "--port", str(self._port), "--save", "", "--appendonly", "no", "--io-threads", "4"],
            stdout=open(folder / "redis.log", "w"), stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self._plane: subprocess.Popen | None = None

    def link(self, gbit: float | None, engines: int) -> None:
        """A plane whose store answers at `gbit` Gbit/s (None: as fast as it can), with `engines` engines attached."""
        self._stop_plane()
        rate = "" if gbit is None else f"?rate={gbit:g}gbit"
        self._plane = subprocess.Popen(
            [wanted("shadowserve"), "plane", "--cores", self._cores, "--socket", self.socket,
             "--store", f"redis://127.0.0.1:{self._port}{rate}"],
            stdout=open(self._folder / "plane.log", "a"), stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        # A scheduler's link and a worker's link each.
        wait_for(f"{engines} engines at the data plane", lambda: len(self.stats().get("sessions", [])) >= 2 * engines)

    def stats(self) -> dict:
        """What the plane counts; empty while there is none."""
        with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as asked:
            asked.connect(self.socket + ".stats")
            text = b""
            while part := asked.recv(1 << 16):
                text += part
            return json.loads(text)
        return {}

    def moved(self) -> dict[str, int]:
        """Since the plane's start: parts fetched, missed or failed, and saved, and bytes of records and values fetched."""
        funnels = self.stats()["funnels"]
        fetched, saved = funnels["fetch"], funnels["save"]
        failed = sum(saved["ended"].values()) - saved["ended"]["done"] + sum(fetched["ended"].values()) - fetched["ended"]["done"]
        return {
            "fetched": fetched["ended"]["done"], "saved": saved["ended"]["done"], "failed": failed,
            "wire_bytes": fetched["wire_bytes"], "value_bytes": fetched["value_bytes"],
        }  # fmt: skip

    def wait_until_saved(self) -> None:
        """Nothing was asked to be saved for a while, and all that was has ended."""
        since_s, last = time.monotonic(), None
        until_s = time.monotonic() + SAVE_SECONDS
        while time.monotonic() < since_s + QUIET_SECONDS:
            save = self.stats()["funnels"]["save"]
            if save["asked"] != sum(save["ended"].values()) or save != last:
                since_s, last = time.monotonic(), save
            if time.monotonic() > until_s:
                raise TimeoutError(f"saving does not end: {save}")
            time.sleep(0.02)

    def _stop_plane(self) -> None:
        if self._plane is not None:
            self._plane.terminate()
            self._plane.wait(START_SECONDS)
            self._plane = None

    def close(self) -> None:
        self._stop_plane()
        self._redis.terminate()
        self._redis.wait(START_SECONDS)


def wanted(command: str) -> str:
    found = shutil.which(command)
    if found is None:
        raise SystemExit(f"headline: {command} is not on the PATH")
    return found


def wait_for(what: str, is_so, seconds: float = START_SECONDS) -> None:
    until_s = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until_s:
            raise TimeoutError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.02)
