"""The systems that the bench compares, each as what an engine of its own is started with."""

import dataclasses
import os
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
PEERS = HERE.parent / "peers"
WAYS = {"-direct": True, "-kernel": False}  # between host memory and pages, instead of what suits the pages
CALIBRATED = ("near", "balanced")  # what engines use whose model has a calibration


@dataclasses.dataclass(frozen=True)
class Places:
    """Where an engine finds the store: through the data plane, or by itself."""

    socket: str
    store_ports: list[int]  # no link in between
    link_ports: list[int]
    calibration: str  # file for the calibrated profiles


def shadowserve(system: str, profile: str, places: Places, name="ShadowServeConnector", module="shadowserve.vllm.connector") -> dict:
    return connector(name, module, {
        "socket": places.socket, "profile": profile, "save_generated": False, "fetch_timeout_ms": 30000,
        "model_fingerprint": f"headline {system}", **({"calibration": places.calibration} if profile in CALIBRATED else {}),
    })  # fmt: skip


def gpu_decompress(coder: str, places: Places) -> dict:
    """The same symbols, decompressed, dequantized and scattered by the GPU (bench/peers/gpu_decompress)."""
    return connector("GpuDecompressConnector", "gpu_decompress.connector", {
        "redis_host": "127.0.0.1", "redis_ports": places.link_ports, "write_ports": places.store_ports, "coder": coder, "chunk_tokens": 256,
        "prefix": f"gpu-{coder}",
    })  # fmt: skip


def connector(name: str, module: str, extra: dict) -> dict:
    return {
        "kv_connector": name, "kv_connector_module_path": module, "kv_role": "kv_both", "kv_load_failure_policy": "recompute",
        "kv_connector_extra_config": extra,
    }  # fmt: skip


def kv_transfer_config(system: str, places: Places) -> dict | None:
    """None: an engine that computes everything."""
    if (same := without_way(system)) != system:
        config = kv_transfer_config(same, places)
        config["kv_connector_extra_config"]["direct_pages"] = WAYS[system.removeprefix(same)]
        return config
    match system:
        case "recompute":
            return None
        case "shadowserve":
            return shadowserve(system, "kv4", places)
        case "generic":  # what engines use whose model nobody calibrated
            return shadowserve(system, "generic", places)
        case "near" | "balanced":
            return shadowserve(system, system, places)
        case "synchronous":  # the same records; only its engine waits
            return shadowserve("shadowserve", "kv4", places, "SynchronousConnector", "synchronous")
        case "uncompressed":
            return shadowserve(system, "raw", places)
        case "gpu-ans" | "gpu-deflate":
            return gpu_decompress(system.removeprefix("gpu-"), places)
        case "lmcache" | "lmcache-async" | "lmcache-raw":
            return connector("RepairedLMCacheConnector", "lmcache_repaired", {})
    raise SystemExit(f"headline: there is no system {system}")


SYSTEMS = (
    "recompute", "shadowserve", "shadowserve-kernel", "shadowserve-direct", "generic", "near", "balanced", "balanced-kernel", "balanced-direct",
    "synchronous", "uncompressed", "gpu-ans", "gpu-deflate", "lmcache", "lmcache-async", "lmcache-raw",
)  # fmt: skip


def environment(system: str, places: Places) -> dict[str, str]:
    """What the engine's process gets beside the bench's own: LMCache is told by variables."""
    paths = {"PYTHONPATH": os.pathsep.join([str(PEERS), str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])}
    if not system.startswith("lmcache"):
        return paths
    chosen = paths | {
        "PYTHONHASHSEED": "0", "LMCACHE_CHUNK_SIZE": "256", "LMCACHE_LOCAL_CPU": "False", "LMCACHE_MAX_LOCAL_CPU_SIZE": "10",
        "LMCACHE_REMOTE_URL": f"redis://127.0.0.1:{places.link_ports[0]}",  # knows one server only
        "LMCACHE_REMOTE_SERDE": "naive" if system == "lmcache-raw" else "cachegen", "LMCACHE_TRACK_USAGE": "false",
        # With vLLM 0.24's second model runner LMCache 0.5.0 finds no attention metadata when it is to load, loads nothing, and the
        # engine answers from pages that nobody filled.
        "VLLM_USE_V2_MODEL_RUNNER": "0",
    }  # fmt: skip
    if system == "lmcache-async":
        chosen["LMCACHE_ENABLE_ASYNC_LOADING"] = "True"
    return chosen


def without_way(system: str) -> str:
    """The system with the same records."""
    return next((system.removesuffix(way) for way in WAYS if system.endswith(way)), system)


def calibrated(system: str) -> bool:
    return without_way(system) in CALIBRATED


def through_plane(system: str) -> bool:
    return without_way(system) in ("shadowserve", "generic", *CALIBRATED, "synchronous", "uncompressed")


# What is measured against the link's bound: hits of compressed records through the data plane, as they come.
HITS = tuple(name for name in SYSTEMS if through_plane(name) and name not in ("synchronous", "uncompressed"))
