"""The processes of the demo: the data plane and two vLLM servers, all stopped whatever happens."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ENGINE_START_SECONDS_MAX = 420
STOP_SECONDS_MAX = 20


class StartFailed(Exception):
    """With a sentence, and the log that tells more."""

    def __init__(self, sentence: str, log: pathlib.Path):
        super().__init__(sentence)
        self.log = log


class Child:
    """A process in a session of its own, so that it and what it starts can be ended as a group."""

    def __init__(self, name: str, command: list[str], log: pathlib.Path, **environment: str):
        self.name = name
        self.log = log
        with open(log, "ab") as out:
            self._process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
                env=os.environ | environment)  # fmt: skip

    def ended(self) -> bool:
        return self._process.poll() is not None

    def last_line(self) -> str:
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else ""

    def pause(self) -> None:
        """The whole group stands still: it takes no core from what is measured beside it."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Asks politely, then insists. Leaves nothing of the group behind."""
        self.resume()
        for number, seconds in ((signal.SIGTERM, STOP_SECONDS_MAX), (signal.SIGKILL, 5)):
            self._signal(number)
            try:
                self._process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                continue
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass


class Cores:
    """The last core is the data plane's when there are two or more, the engine computes on the others."""

    def __init__(self):
        self.all = sorted(os.sched_getaffinity(0))
        self.plane = self.all[-1:] if len(self.all) > 1 else []
        self.engine = self.all[:-1] if len(self.all) > 1 else self.all

    def describe(self) -> str:
        if not self.plane:
            return f"core {self.all[0]} for everything"
        return f"the engine computes on core{_list(self.engine)}, the data plane works on core{_list(self.plane)}"


def _list(cores: list[int]) -> str:
    text = f"{cores[0]}" if len(cores) == 1 else f"{cores[0]} to {cores[-1]}"
    return (" " if len(cores) == 1 else "s ") + text


def shadowserve_command() -> str:
    """The command that belongs to this Python's environment, else the one of a build here."""
    beside = pathlib.Path(sys.executable).parent / "shadowserve"
    if beside.is_file():
        return str(beside)
    builds = (pathlib.Path(__file__).resolve().parents[2] / "build").glob("*/apps/shadowserve")
    newest = max(builds, key=lambda path: path.stat().st_mtime, default=None)
    if newest is None:
        raise SystemExit("demo: there is no shadowserve command; run tools/setup.sh package")
    return str(newest)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Plane(Child):
    save_seconds_max = 60

    def __init__(self, store: str, folder: pathlib.Path, cores: Cores):
        self.socket = str(folder / "plane.sock")
        flags = ["--cores", ",".join(map(str, cores.plane))] if cores.plane else []
        super().__init__(
            "data plane", [shadowserve_command(), "plane", "--store", store, "--socket", self.socket, *flags],
            folder / "plane.log")  # fmt: skip

    def wait_until_ready(self) -> None:
        for _ in range(300):
            if self.ended():
                raise StartFailed("the data plane did not start", self.log)
            if os.path.exists(self.socket):
                return
            time.sleep(0.1)
        raise StartFailed("the data plane did not open its socket within 30 s", self.log)

    def engine_settings(self) -> dict:
        """For kv_connector_extra_config: how an engine finds it."""
        return {"socket": self.socket}

    def stats(self) -> dict:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(5)
            link.connect(self.socket + ".stats")
            return json.loads(b"".join(iter(lambda: link.recv(65536), b"")))

    def wait_until_saved(self) -> dict:
        """Until no save is under way and none has come for a second. Returns the save funnel."""
        before, quiet_since, ends = None, time.monotonic(), time.monotonic() + self.save_seconds_max
        while time.monotonic() < ends:
            funnel = self.stats()["funnels"]["save"]
            if funnel != before:
                before, quiet_since = funnel, time.monotonic()
            done = sum(funnel["ended"].values()) == funnel["asked"]
            if done and time.monotonic() - quiet_since > 1:
                break
            time.sleep(0.1)
        return before


class Engine(Child):
    """One vLLM OpenAI server with the connector."""

    def __init__(self, number: int, model: pathlib.Path, tokens_max: int, profile: str, plane: Plane, salt: str,
                 folder: pathlib.Path, cores: Cores):  # fmt: skip
        transfer = {
            "kv_connector": "ShadowServeConnector",
            "kv_connector_module_path": "shadowserve.vllm.connector",
            "kv_role": "kv_both",
            "kv_load_failure_policy": "recompute",
            "kv_connector_extra_config": plane.engine_settings() | {"profile": profile, "tenant_salt_env": "DEMO_TENANT_SALT"},
        }  # fmt: skip
        self.port = free_port()
        command = [
            sys.executable, "-m", "vllm.entrypoints.openai.api_server",
            "--model", str(model), "--served-model-name", "demo", "--dtype", "bfloat16",
            "--host", "127.0.0.1", "--port", str(self.port), "--max-model-len", str(tokens_max),
            "--max-num-seqs", "8", "--enforce-eager", "--kv-transfer-config", json.dumps(transfer),
        ]  # fmt: skip
        super().__init__(
            f"engine {number}", command, folder / f"engine{number}.log",
            PYTHONHASHSEED=str(1000 + number), DEMO_TENANT_SALT=salt, VLLM_CPU_KVCACHE_SPACE="2",
            VLLM_CPU_OMP_THREADS_BIND=",".join(map(str, cores.engine)), HF_HUB_OFFLINE="1",
            CUDA_VISIBLE_DEVICES="", TOKENIZERS_PARALLELISM="false", VLLM_NO_USAGE_STATS="1")  # fmt: skip

    def wait_until_ready(self, progress) -> None:
        """`progress(seconds, last line of the log)` is called twice a second."""
        started = time.monotonic()
        while True:
            seconds = time.monotonic() - started
            if self.ended():
                raise StartFailed(f"{self.name} did not start", self.log)
            if seconds > ENGINE_START_SECONDS_MAX:
                raise StartFailed(f"{self.name} was not ready within {ENGINE_START_SECONDS_MAX} s", self.log)
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                pass
            progress(seconds, self.last_line())
            time.sleep(0.5)
