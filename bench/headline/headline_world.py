"""The processes around the engines: Redis servers, and behind links of a chosen rate one data plane, and peers."""

import contextlib
import json
import pathlib
import shutil
import socket
import subprocess
import sys
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

    def __init__(self, folder: pathlib.Path, cores: str, store_cores: str | None = None, servers: int = 1):
        self._folder = folder
        self._cores = cores
        self.store_ports = [free_port() for _ in range(servers)]
        self.socket = str(folder / "plane.sock")
        self._redis = [self._redis_server(port, store_cores) for port in self.store_ports]
        self._plane: subprocess.Popen | None = None
        self.peer_link = PeerLink(folder, self.store_ports)

    def _redis_server(self, port: int, cores: str | None) -> subprocess.Popen:
        """Four threads in all, or one each."""
        threads = str(max(1, 4 // len(self.store_ports)))
        return subprocess.Popen(
            [*(["taskset", "-c", cores] if cores else []), wanted("redis-server"), "--port", str(port), "--save", "", "--appendonly", "no", "--io-threads", threads],
            stdout=open(self._folder / f"redis-{port}.log", "w"), stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def link(self, gbit: float | None, engines: int, plane_options: list[str] | None = None) -> None:
        """A plane whose store answers at `gbit` Gbit/s (None: as fast as it can), with `engines` engines attached."""
        self._stop_plane()
        self.peer_link.set_rate(gbit)
        rate = "" if gbit is None else f"?rate={gbit:g}gbit"
        servers = ",".join(f"127.0.0.1:{port}" for port in self.store_ports)
        self._plane = subprocess.Popen(
            [wanted("shadowserve"), "plane", "--cores", self._cores, "--socket", self.socket,
             "--store", f"redis://{servers}{rate}", *(plane_options or [])],
            stdout=open(self._folder / "plane.log", "a"), stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        # A scheduler's link and a worker's link each.
        wait_for(f"{engines} engines at the data plane", lambda: self._attached() >= 2 * engines)

    def _attached(self) -> int:
        """Links of engines; -1 while the plane does not answer. Raises RuntimeError with what it said when it has ended."""
        if self._plane.poll() is not None:
            raise RuntimeError("the data plane ended: " + (self._folder / "plane.log").read_text()[-1000:])
        stats = self.stats()
        return len(stats["sessions"]) if stats else -1

    def plane_pid(self) -> int:
        return self._plane.pid

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
        """Nothing was asked to be saved for a while, all that was has ended, and the store grows no more: peers save, too."""
        since_s, last = time.monotonic(), None
        until_s = time.monotonic() + SAVE_SECONDS
        while time.monotonic() < since_s + QUIET_SECONDS:
            save = self.stats()["funnels"]["save"]
            state = save, self.store_received()
            if save["asked"] != sum(save["ended"].values()) or state != last:
                since_s, last = time.monotonic(), state
            if time.monotonic() > until_s:
                raise TimeoutError(f"saving does not end: {save}")
            time.sleep(0.05)

    def store_received(self) -> int:
        """Megabytes that Redis was sent so far; whoever asks for that sends a little himself."""
        return sum(map(received_by, self.store_ports))

    def _stop_plane(self) -> None:
        if self._plane is not None:
            self._plane.terminate()
            self._plane.wait(START_SECONDS)
            self._plane = None

    def close(self) -> None:
        self._stop_plane()
        self.peer_link.close()
        for each in self._redis:
            each.terminate()
            each.wait(START_SECONDS)


def received_by(port: int) -> int:
    """Megabytes that the Redis there was sent so far."""
    with socket.create_connection(("127.0.0.1", port)) as asking:
        asking.sendall(b"INFO stats\r\n")
        text = b""
        while b"total_net_input_bytes:" not in text or not text.endswith(b"\r\n"):
            text += asking.recv(1 << 16)
    return int(text.split(b"total_net_input_bytes:")[1].split()[0]) >> 20


class PeerLink:
    """throttled_link.py as a process."""

    def __init__(self, folder: pathlib.Path, store_ports: list[int]):
        self.ports = [free_port() for _ in store_ports]
        path = str(folder / "link.sock")
        script = pathlib.Path(__file__).with_name("throttled_link.py")
        pairs = [f"{port}:{store}" for port, store in zip(self.ports, store_ports, strict=True)]
        self._process = subprocess.Popen([sys.executable, str(script), path, *pairs])
        self._control = socket.socket(socket.AF_UNIX)
        wait_for("the peers' link", lambda: self._control.connect_ex(path) == 0)
        self._lines = self._control.makefile("rw")

    def set_rate(self, gbit: float | None) -> None:
        self._ask(f"{gbit or 0}")

    def wait_until_quiet(self) -> None:
        """Requests that were aborted may still be fetched: nobody else shall be measured beside them."""
        since_s, last = time.monotonic(), None
        until_s = time.monotonic() + SAVE_SECONDS
        while time.monotonic() < min(since_s + QUIET_SECONDS, until_s):
            if (passed := self.passed_bytes()) != last:
                since_s, last = time.monotonic(), passed
            time.sleep(0.05)

    def passed_bytes(self) -> int:
        return self._ask("")

    def _ask(self, line: str) -> int:
        self._lines.write(line + "\n")
        self._lines.flush()
        return int(self._lines.readline())

    def close(self) -> None:
        self._control.close()
        self._process.terminate()
        self._process.wait(START_SECONDS)


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
