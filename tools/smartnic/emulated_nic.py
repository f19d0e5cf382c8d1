"""A SmartNIC that is real but for its silicon: the aarch64 data plane under qemu-user, in a network of its own, linked by TLS and
reaching the engine's memory through a window."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import time

from network_namespaces import NIC_ADDRESS, STORE_ADDRESS, NetworkNamespaces

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
AARCH64_COMMAND = CHECKOUT / "build" / "aarch64" / "emulated" / "shadowserve"
LINK_PORT, STORE_PORT = 7601, 6379
START_SECONDS = 60
STOP_SECONDS = 10


class NicFailed(Exception):
    """With a sentence and the log that tells more."""

    def __init__(self, sentence: str, log: pathlib.Path):
        super().__init__(sentence)
        self.log = log


class EmulatedNic:
    """Keys, a Redis in the store's network, and the data plane in the SmartNIC's. `command` is the native shadowserve command, for the
    keys; `plane_command` what runs on the SmartNIC."""

    def __init__(self, folder: pathlib.Path, networks: NetworkNamespaces, command: str, plane_command: str = str(AARCH64_COMMAND),
                 cores: list[int] | None = None):  # fmt: skip
        self._folder = folder
        self._networks = networks
        self._plane_command = plane_command
        self._cores = cores or []
        self._plane: subprocess.Popen | None = None
        self._store: subprocess.Popen | None = None
        self.keys = folder / "keys"
        self.socket = str(folder / "nic.sock")
        self.window = str(folder / "window.sock")
        self.plane_log = folder / "nic-plane.log"
        subprocess.run([command, "link", "keys", str(self.keys), "--name", NIC_ADDRESS], check=True, capture_output=True)

    def engine_settings(self) -> dict[str, str]:
        """For the engine's kv_connector_extra_config."""
        return {
            "socket": f"tls://{NIC_ADDRESS}:{LINK_PORT}", "window": self.window, "tls_certificate": str(self.keys / "engine.pem"),
            "tls_key": str(self.keys / "engine.key"), "tls_ca": str(self.keys / "ca.pem"),
        }  # fmt: skip

    def start_store(self) -> None:
        server = shutil.which("redis-server")
        if server is None:
            raise NicFailed("there is no redis-server: run tools/setup.sh native", self.plane_log)
        log = self._folder / "store.log"
        self._store = self._start(
            self._networks.store,
            [server, "--bind", STORE_ADDRESS, "--port", str(STORE_PORT), "--protected-mode", "no", "--save", "", "--appendonly", "no"],
            log)  # fmt: skip
        self._wait(lambda: "Ready to accept connections" in log.read_text(errors="replace"), self._store, log)

    def start_plane(self) -> None:
        cores = ["--cores", ",".join(map(str, self._cores))] if self._cores else []
        self._plane = self._start(
            self._networks.nic,
            [self._plane_command, "plane", "--store", f"redis://{STORE_ADDRESS}:{STORE_PORT}", "--socket", self.socket,
             "--listen", f"tls://{NIC_ADDRESS}:{LINK_PORT}", "--window", self.window, "--tls-certificate", str(self.keys / "plane.pem"),
             "--tls-key", str(self.keys / "plane.key"), "--tls-ca", str(self.keys / "ca.pem"), "--pin-memory", "false", *cores],
            self.plane_log)  # fmt: skip
        self._wait(lambda: os.path.exists(self.window), self._plane, self.plane_log)

    def kill_plane(self) -> None:
        """As when the SmartNIC loses its power: nobody is told."""
        self._end(self._plane, kill=True)
        self._plane = None

    def stats(self) -> dict:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(10)
            link.connect(self.socket + ".stats")
            return json.loads(b"".join(iter(lambda: link.recv(65536), b"")))

    def stop(self) -> None:
        self._end(self._plane)
        self._end(self._store)
        self._plane = self._store = None

    def _start(self, network: str, command: list[str], log: pathlib.Path) -> subprocess.Popen:
        with open(log, "ab") as out:
            return subprocess.Popen(self._networks.inside(network, command), stdout=out, stderr=subprocess.STDOUT,
                                    stdin=subprocess.DEVNULL, start_new_session=True)  # fmt: skip

    def _wait(self, ready, process: subprocess.Popen, log: pathlib.Path) -> None:
        until_s = time.monotonic() + START_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > until_s:
                raise NicFailed("a process of the emulated SmartNIC did not start", log)
            time.sleep(0.1)

    def _end(self, process: subprocess.Popen | None, kill: bool = False) -> None:
        if process is None:
            return
        process.kill() if kill else process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)
