"""Starts, stops, freezes and kills the processes around an engine: the store and the data plane."""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


def wait_for(what: str, condition, timeout_s: float = 60.0, every_s: float = 0.02):
    """Returns the first true value of condition(); fails with `what` otherwise."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if value := condition():
            return value
        time.sleep(every_s)
    raise AssertionError(f"not within {timeout_s} s: {what}")


_held: dict[str, int] = {}


@contextlib.contextmanager
def alone(what: str):
    """One process at a time: ./test runs these tests in two. Inside itself it has no effect."""
    _held[what] = _held.get(what, 0) + 1
    try:
        with _locked(what) if _held[what] == 1 else contextlib.nullcontext():
            yield
    finally:
        _held[what] -= 1


@contextlib.contextmanager
def _locked(what: str):
    folder = CHECKOUT / "build" / "test"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{what}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


ENGINES_CORE = "engines-core"
"""What alone() takes where time is judged: on a CPU all engines compute on one core."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def shadowserve_command() -> str:
    """The installed command; else the newest one built in this checkout."""
    beside = pathlib.Path(sys.executable).with_name("shadowserve")
    if beside.exists():
        return str(beside)
    if found := shutil.which("shadowserve"):
        return found
    built = sorted(CHECKOUT.glob("build/*/apps/shadowserve"), key=lambda path: path.stat().st_mtime)
    if not built:
        raise FileNotFoundError("the shadowserve command is not built; see CONTRIBUTING")
    return str(built[-1])


class Process:
    """One process with its log in a file."""

    def __init__(self, folder: pathlib.Path, name: str):
        self.folder = folder
        self.log_path = folder / f"{name}.log"
        self.process: subprocess.Popen | None = None

    def _spawn(self, command: list[str], **options) -> None:
        # What vLLM preloads into its own processes is nothing for others.
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, **options
            )

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        if self.running:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self._reap()

    def kill(self) -> None:
        if self.running:
            self.process.kill()
        self._reap()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def _reap(self) -> None:
        if self.process is not None:
            self.process.wait()
            self.process = None


class RedisServer(Process):
    """In memory only: a restart finds it empty."""

    def __init__(self, folder: pathlib.Path):
        super().__init__(folder, "redis")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        options = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir", str(self.folder)]
        self._spawn(["redis-server", "--port", str(self.port), *options])
        wait_for("Redis answers", lambda: self.running and self._answers())

    def ensure_up(self) -> None:
        if not self.running:
            self.start()

    def _answers(self) -> bool:
        try:
            return self.ask("PING") == b"PONG"
        except OSError:
            return False

    def ask(self, *words: str | bytes):
        """One command, one answer: bytes, int, None or a list of them."""
        encoded = [word.encode() if isinstance(word, str) else word for word in words]
        parts = [b"*%d\r\n" % len(encoded), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)]
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(b"".join(parts))
            with connection.makefile("rb") as answers:
                return _read_answer(answers)

    def records(self) -> list[bytes]:
        return sorted(self.ask("KEYS", "ss1:*"))

    def edit(self, change) -> int:
        """Replaces every record by change(record); returns how many."""
        names = self.records()
        for name in names:
            self.ask("SET", name, change(self.ask("GET", name)))
        return len(names)


def _read_answer(answers):
    kind, rest = answers.read(1), answers.readline()[:-2]
    if kind == b"+":
        return rest
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == b"-1" else answers.read(int(rest) + 2)[:-2]
    if kind == b"*":
        return [_read_answer(answers) for _ in range(int(rest))]
    raise AssertionError(f"Redis: {kind + rest!r}")


class DataPlane(Process):
    def __init__(self, folder: pathlib.Path, store_url: str):
        super().__init__(folder, "plane")
        self.socket = str(folder / "plane.sock")
        self._store_url = store_url

    def start(self) -> None:
        command = [shadowserve_command(), "plane", "--store", self._store_url, "--socket", self.socket]
        core = max(os.sched_getaffinity(0))
        if core > 0:
            command += ["--cores", str(core)]
        self._spawn(command)
        wait_for(f"the data plane listens (see {self.log_path})", self._listens)

    def ensure_up(self) -> None:
        if not self.running:
            self.start()

    def _listens(self) -> bool:
        assert self.running, self.log_path.read_text()[-2000:]
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            try:
                probe.connect(self.socket)
            except OSError:
                return False
            return True


class ApiServer(Process):
    """vLLM's OpenAI server with the connector, lossless, without its own prefix cache."""

    START_SECONDS_MAX = 300

    def __init__(self, folder: pathlib.Path, model: pathlib.Path, socket_path: str):
        super().__init__(folder, "server")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        transfer = {
            "kv_connector": "ShadowServeConnector",
            "kv_connector_module_path": "shadowserve.vllm.connector",
            "kv_role": "kv_both",
            "kv_load_failure_policy": "recompute",
            "kv_connector_extra_config": {"socket": socket_path, "profile": "raw", "lookup_timeout_ms": 5000},
        }
        self._command = [
            sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model),
            "--served-model-name", "tiny", "--dtype", "bfloat16", "--host", "127.0.0.1", "--port", str(self.port),
            "--max-model-len", "2048", "--max-num-seqs", "8", "--enforce-eager", "--no-enable-prefix-caching",
            "--kv-transfer-config", json.dumps(transfer),
        ]  # fmt: skip

    def start(self) -> None:
        self._spawn(self._command, start_new_session=True)
        wait_for(f"the server answers (see {self.log_path})", self._answers, self.START_SECONDS_MAX, every_s=0.5)

    def stop(self) -> None:
        """With the engine's processes, which are its children."""
        group = self.process.pid if self.process is not None else None
        super().stop()
        if group is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    def _answers(self) -> bool:
        assert self.running, self.log_path.read_text()[-3000:]
        try:
            with urllib.request.urlopen(self.url + "/health", timeout=2):
                return True
        except OSError:
            return False
