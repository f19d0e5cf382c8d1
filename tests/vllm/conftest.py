"""What the vLLM tests run on: a small model, a Redis server, a data plane, and engines that share them."""

import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from processes import DataPlane, RedisServer  # noqa: E402

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]

# Before vLLM is imported anywhere: it reads them once.
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "0")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "INFO")
# The engine's processes import the probe that lies beside this file.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(pathlib.Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
)


@pytest.fixture(scope="session")
def tiny_model() -> pathlib.Path:
    """The tiny Llama of tools/models, made once."""
    folder = CHECKOUT / "build" / "models" / "tiny-llama"
    if not (folder / "tokenizer_config.json").exists():
        subprocess.run([sys.executable, CHECKOUT / "tools/models/tiny_llama.py", folder], check=True)
    return folder


@pytest.fixture(scope="session")
def redis(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def plane(redis, tmp_path_factory):
    """Pinned to the second core, as in serving; the engines have the first."""
    plane = DataPlane(tmp_path_factory.mktemp("plane"), redis.url)
    plane.start()
    yield plane
    plane.stop()


@pytest.fixture(scope="session")
def raw_engine(tiny_model, plane):
    """Lossless profile: what is fetched must be what was computed, bit for bit. Short limits, for the faults."""
    from engine import Engine

    engine = Engine(
        tiny_model, plane.socket, profile="raw", lookup_timeout_ms=1000, fetch_timeout_ms=3000, save_timeout_ms=5000
    )
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
