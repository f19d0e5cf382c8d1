"""What the engines of these tests run on: SS_TEST_DEVICE is cpu (without it) or cuda."""

import os

DEVICE = os.environ.get("SS_TEST_DEVICE", "cpu")
if DEVICE not in ("cpu", "cuda"):
    raise ValueError(f"SS_TEST_DEVICE is '{DEVICE}'; known are cpu and cuda")
ON_GPU = DEVICE == "cuda"

PAGE_TOKENS = 16 if ON_GPU else 128  # vLLM's default there
KV_CACHE_GIB = 1


def prepare_environment() -> None:
    """Before vLLM is imported anywhere: it reads these variables once."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "INFO")
    if ON_GPU:
        return
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", str(KV_CACHE_GIB))
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "0")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # on the CPU, whatever else there is


def engine_options() -> dict:
    """LLM arguments. Several engines share the GPU, and each has as much KV cache as on a CPU."""
    return {"gpu_memory_utilization": 0.2, "kv_cache_memory_bytes": KV_CACHE_GIB << 30} if ON_GPU else {}
