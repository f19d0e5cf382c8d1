"""The engines that a table compares: each a process of its own, all on one GPU."""

import contextlib
import json
import multiprocessing.connection
import os
import pathlib
import subprocess
import sys
import time

from systems import Places, environment, kv_transfer_config

HERE = pathlib.Path(__file__).resolve().parent
END_SECONDS = 20


class Engines:
    """Those that started, by the names of their systems. Errors of one are that system's result: EOFError or OSError when it ended."""

    def __init__(self, work: pathlib.Path, logs: pathlib.Path, cores: str):
        self._work = work
        self._logs = logs
        self._cores = cores
        self._connections: dict[str, multiprocessing.connection.Connection] = {}
        self._processes: list[subprocess.Popen] = []

    def start(self, systems: list[str], places: Places, options: dict) -> None:
        """All at once: that takes as long as one. `options` of headline_engine.py but for the connector."""
        waiting = []
        for name in systems:
            address = str(self._work / f"{name}.sock")
            listener = multiprocessing.connection.Listener(address, "AF_UNIX")
            mine = json.dumps(options | {"kv_transfer_config": kv_transfer_config(name, places)})
            self._processes.append(subprocess.Popen(
                ["taskset", "-c", self._cores, sys.executable, str(HERE / "headline_engine.py"), address, mine],
                stdout=open(self._log(name), "w"), stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=os.environ | environment(name, places),
            ))  # fmt: skip
            waiting.append((name, listener, self._processes[-1]))
        for name, listener, process in waiting:
            if (connection := accepted(listener, process)) is None:
                say(f"{name}: its engine did not start: {self._log(name)}")
                continue
            self._connections[name] = connection
            say(f"{name}: ready after {connection.recv()['start_s']:.0f} s")

    def names(self) -> list[str]:
        return list(self._connections)

    def ask(self, name: str, what: dict) -> dict:
        self._connections[name].send(what)
        return self._connections[name].recv()

    def close(self) -> None:
        for connection in self._connections.values():
            with contextlib.suppress(OSError):
                connection.send(None)
        for process in self._processes:
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()

    def _log(self, name: str) -> pathlib.Path:
        return self._logs / f"engine-{name}.log"


def accepted(listener: multiprocessing.connection.Listener, process: subprocess.Popen) -> multiprocessing.connection.Connection | None:
    """The engine's connection; None when its process ended before."""
    listening = listener._listener._socket  # the module has no way to wait with a limit
    listening.settimeout(1)
    while process.poll() is None:
        try:
            return listener.accept()
        except TimeoutError:
            continue
    return None


def say(line: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {line}", flush=True)
