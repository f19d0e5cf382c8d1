"""The command as a person uses it, up to where the engine starts; and the data plane that it starts."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from shadowserve.quality import engine_noise, page_peers, plane_process, quality_arguments
from shadowserve.quality import quality_command as command
from shadowserve.quality.quality_arguments import arguments

pytestmark = pytest.mark.quick


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "examples:" in said and "--calibration" in said and "turned" in said


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--profiles", "kv5"], "there is no profile 'kv5'; did you mean 'kv4'?"),
        (["--profiles", "near"], "profile near needs --calibration FILE"),
        (["--peers", "kivi"], "there is no peer 'kivi'; did you mean 'kivi"),
        (["--prefix-tokens", "1000"], "whole chunks of 256"),
        (["--long", "100"], "it takes a chunk of 256"),
        (["--json", "/no/folder/x.json"], "there is no folder for --json"),
        (["--calibration", "/no/file.cal"], "there is no calibration /no/file.cal"),
        (["--suffix-tokens", "1"], "at least 16 tokens"),
    ],
)
def test_mistakes_are_named(words, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        arguments(["MODEL", *words])
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def test_defaults(tmp_path):
    assert arguments(["MODEL"]).profiles == ["kv4", "cachegen", "int8"]
    calibration = tmp_path / "x.cal"
    calibration.touch()
    assert arguments(["MODEL", "--calibration", str(calibration)]).profiles[:3] == ["near", "balanced", "far"]
    assert arguments(["MODEL", "--peers", "none"]).peers == []


def test_every_peer_can_be_named():
    assert tuple(page_peers.PEERS) == quality_arguments.PEERS


def test_torch_is_not_imported_before_its_threads_are_known():
    """With more threads than cores they wait for each other's turns: everything takes ten times as long."""
    script = "import sys, shadowserve.quality.quality_command; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0
    assert subprocess.run([sys.executable, "-c", "import torch\n" + script], timeout=60, check=False).returncode == 1


def test_without_vllm_that_is_said(monkeypatch, capsys):
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    assert command.main(["MODEL"]) == 1
    assert "has no vLLM" in capsys.readouterr().err


def test_a_model_that_is_none_is_named_before_anything_starts(tmp_path):
    pytest.importorskip("vllm")
    done = run_command([str(tmp_path)])
    assert done.returncode == 1
    assert f"{tmp_path} is no folder with a model" in done.stderr and "Traceback" not in done.stderr
    assert "starting vLLM" not in done.stderr


def run_command(words: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "shadowserve.quality.quality_command", *words], capture_output=True, text=True, timeout=120, check=False
    )


def test_the_shadowserve_command_hands_over(shadowserve_command):
    """With all words as they are, to the package's own command line."""
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [shadowserve_command, "quality", "MODEL", "--peers", "kivi 4"], env=os.environ | {"PATH": path},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no peer 'kivi 4'; did you mean 'kivi4'?" in done.stderr


def listens(path: str) -> bool:
    return subprocess.run(
        [sys.executable, "-c", f"import socket; socket.socket(1, 5).connect({path!r})"], stderr=subprocess.DEVNULL
    ).returncode == 0


def test_the_plane_runs_and_is_gone_afterwards(shadowserve_command, tmp_path):
    with plane_process.own_plane(tmp_path, shadowserve_command, "memory:?limit=64MB", []) as path:
        assert listens(path)
    assert not listens(path)


def test_the_plane_is_gone_when_its_user_is_killed(shadowserve_command, tmp_path):
    script = f"""
import os, pathlib, signal
from shadowserve.quality import plane_process
with plane_process.own_plane(pathlib.Path({str(tmp_path)!r}), {shadowserve_command!r}, "memory:?limit=64MB", []) as path:
    print(path, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    user = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert user.returncode == -signal.SIGKILL
    path = user.stdout.strip()
    assert path, user.stderr
    ends_s = time.monotonic() + 10
    while listens(path) and time.monotonic() < ends_s:
        time.sleep(0.1)
    assert not listens(path)


def test_a_plane_that_does_not_start_says_why(shadowserve_command, tmp_path):
    with pytest.raises(ValueError, match="the data plane does not start: .*nonsense"):
        with plane_process.own_plane(tmp_path, shadowserve_command, "nonsense:", []):
            pass


def test_noise_goes_to_the_file_and_comes_back(tmp_path):
    """Also what is written below Python. In a process of its own: pytest has turned descriptors itself."""
    script = f"""
import os, pathlib, sys
from shadowserve.quality import engine_noise
log = pathlib.Path({str(tmp_path / "log")!r})
with engine_noise.into_file(log) as people:
    print("noise"); os.write(1, b"deep noise\\n"); os.write(2, b"deep error\\n"); people.write("progress\\n")
print("result")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("result\n", "progress\n")
    assert all(words in engine_noise.last_lines(tmp_path / "log") for words in ("noise", "deep noise", "deep error"))


def test_cores_are_divided():
    engine, plane = plane_process.engine_and_plane_cores()
    assert engine and set(engine) | set(plane) == os.sched_getaffinity(0)
    assert len(plane) == (1 if len(os.sched_getaffinity(0)) > 1 else 0) and not set(engine) & set(plane)


def test_the_package_is_complete():
    """Every module of the package opens with what it is."""
    folder = pathlib.Path(command.__file__).parent
    assert all(path.read_text().startswith('"""') for path in folder.glob("*.py"))
