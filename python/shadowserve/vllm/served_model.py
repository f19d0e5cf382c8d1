"""What the connector has to know of the model: shape and fingerprint - and a refusal of what it cannot do right."""

import dataclasses
import hashlib
import json
import os
from typing import TYPE_CHECKING

import torch

from shadowserve import _native
from shadowserve.vllm.cache_kind import CacheKind, cache_kind
from shadowserve.vllm.settings import Settings

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.kv_cache_interface import KVCacheConfig


class NotSupported(ValueError):
    """The engine must not start: with this configuration the cache could give wrong answers."""

    def __init__(self, what: str, instead: str):
        super().__init__(f"ShadowServe: {what} is not supported yet; {instead}")


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """One per engine process; equal in the scheduler and the worker."""

    name: str
    fingerprint: str
    weights_fingerprint: str | None  # of the weights alone, as calibrations name them; None: they were not read
    layer_names: tuple[str, ...]  # in the model's order
    kv_heads: int
    head_dim: int
    page_tokens: int
    kind: CacheKind
    latent: bool = False  # multi-head latent attention: one vector of head_dim a token in place of K and V

    @property
    def dtype(self) -> torch.dtype:
        return self.kind.stored

    def native_shape(self) -> dict[str, int]:
        return {
            "layers": len(self.layer_names),
            "kv_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "element": self.kind.number,
            "planes_per_layer": 1 if self.latent else 2,
        }


def served_model(config: "VllmConfig", cache: "KVCacheConfig", settings: Settings) -> ServedModel:
    """Reads model files: call at start. Raises NotSupported, or ValueError when the weights cannot be read."""
    _refuse_configuration(config)
    spec, layer_names = _single_group(cache)
    kind = _kind(config, spec)
    if settings.chunk_tokens % spec.block_size != 0:
        raise ValueError(
            f"ShadowServe: chunk_tokens is {settings.chunk_tokens}, no multiple of the engine's block size "
            f"{spec.block_size}; change one of them"
        )
    fingerprint, weights_fingerprint = _fingerprints(config, kind, settings)
    return ServedModel(
        name=config.model_config.model,
        fingerprint=fingerprint,
        weights_fingerprint=weights_fingerprint,
        layer_names=layer_names,
        kv_heads=spec.num_kv_heads,
        head_dim=spec.head_size,
        page_tokens=spec.block_size,
        kind=kind,
        latent=bool(config.model_config.use_mla),
    )


def _refuse_configuration(config: "VllmConfig") -> None:
    _refuse_parallelism(config.parallel_config)
    if config.speculative_config is not None:
        raise NotSupported("speculative decoding", "remove the speculative config")
    if config.model_config.is_encoder_decoder:
        raise NotSupported("an encoder-decoder model", "serve this model without the connector")


def _kind(config: "VllmConfig", spec) -> CacheKind:
    cache_dtype = config.cache_config.cache_dtype
    kind = cache_kind(cache_dtype, spec.dtype, config.model_config.dtype)
    if kind is None and cache_dtype in ("auto", "bfloat16", "float16"):
        raise NotSupported(f"a KV cache of {spec.dtype}", "use bfloat16 or float16")
    if kind is None or getattr(spec, "cache_dtype_str", None) == "fp8_ds_mla":
        raise NotSupported(f"kv_cache_dtype {cache_dtype}", "use auto, fp8, fp8_e4m3 or fp8_e5m2")
    if kind.cache_dtype != "auto" and getattr(config.cache_config, "calculate_kv_scales", False):
        # Every engine would have scales of its own, from the first prompt that it sees.
        raise NotSupported("calculate_kv_scales", "leave it out: scales are then those of the checkpoint, or 1")
    return kind


def _refuse_parallelism(parallel) -> None:
    """Tensor parallelism works (see shards.py). Pipelines and contexts split a request's KV cache in ways that keys do not
    know of; engines in lockstep, or without one scheduler for all ranks, nobody has tried."""
    if parallel.pipeline_parallel_size > 1:
        raise NotSupported("pipeline parallelism", "use pipeline_parallel_size 1")
    for kind in ("decode", "prefill"):
        if getattr(parallel, f"{kind}_context_parallel_size", 1) > 1:
            raise NotSupported(f"context parallelism ({kind})", f"use {kind}_context_parallel_size 1")
    # A dense model's replicas are engines of their own, which vLLM starts with a size of 1.
    if getattr(parallel, "data_parallel_size", 1) > 1:
        raise NotSupported("data parallelism of a mixture of experts", "use data_parallel_size 1 and several engines")
    if getattr(parallel, "distributed_executor_backend", None) == "external_launcher":
        raise NotSupported("the executor backend external_launcher", "use mp")


def _single_group(cache: "KVCacheConfig"):
    from vllm.v1.kv_cache_interface import FullAttentionSpec, MLAAttentionSpec

    if len(cache.kv_cache_groups) != 1:
        raise NotSupported(
            f"a model with {len(cache.kv_cache_groups)} KV cache groups", "add --disable-hybrid-kv-cache-manager"
        )
    group = cache.kv_cache_groups[0]
    spec = group.kv_cache_spec
    # Exactly these classes: a subclass keeps something else, or frees blocks that slide out of a window.
    if type(spec) not in (FullAttentionSpec, MLAAttentionSpec):
        raise NotSupported(f"a KV cache of kind {type(spec).__name__}", "serve this model without the connector")
    if type(spec) is FullAttentionSpec and getattr(spec, "head_size_v", spec.head_size) != spec.head_size:
        raise NotSupported("a model whose K and V heads differ in size", "serve this model without the connector")
    return spec, _in_model_order(group.layer_names)


def _in_model_order(layer_names: list[str]) -> tuple[str, ...]:
    from vllm.model_executor.models.utils import extract_layer_index

    # Records list layers by number: every engine has to agree, whatever order its dictionaries have.
    numbers = [extract_layer_index(name) for name in layer_names]
    if len(set(numbers)) != len(numbers):
        raise NotSupported("a model with two KV caches in one layer", "serve this model without the connector")
    return tuple(name for _, name in sorted(zip(numbers, layer_names)))


def _fingerprints(config: "VllmConfig", kind: CacheKind, settings: Settings) -> tuple[str, str | None]:
    model = config.model_config
    # Everything besides the weights that changes what K and V are. hf_overrides may be a function: its result counts.
    text_config = model.hf_text_config
    changes = {
        "dtype": str(kind.stored) if kind.cache_dtype == "auto" else kind.name,
        "model_dtype": str(model.dtype),
        "quantization": model.quantization,
        "rope": getattr(text_config, "rope_parameters", None) or getattr(text_config, "rope_scaling", None),
        "rope_theta": getattr(text_config, "rope_theta", None),
        "sliding_window": getattr(text_config, "sliding_window", None),
        "hf_overrides": model.hf_overrides if isinstance(model.hf_overrides, dict) else "function",
    }
    extra = json.dumps(changes, sort_keys=True, default=str)
    if settings.model_fingerprint is not None:
        return hashlib.sha256(f"{settings.model_fingerprint}\n{extra}".encode()).hexdigest(), None
    try:
        return _native.model_fingerprints(_weights_directory(model), extra)
    except Exception as error:
        raise ValueError(
            f"ShadowServe: cannot read the weights of {model.model} to identify them ({error}); "
            "set 'model_fingerprint' to a string that changes whenever the weights do"
        ) from error


def _weights_directory(model) -> str:
    if os.path.isdir(model.model):
        return model.model
    from huggingface_hub import snapshot_download

    # vLLM has loaded or will load exactly this snapshot; never reach for the network from here.
    return snapshot_download(model.model, revision=model.revision, local_files_only=True)
