"""GpuDecompressConnector: what vLLM 0.24 calls, in its scheduler and in its worker.

kv_connector_extra_config: redis_host, redis_ports (chunks are read there), write_ports (lookups and saves go there; the same servers in the same order), coder (one of
nvcomp.CODERS), chunk_tokens, prefix (names nothing but this bench's keys), connections, deadline_s.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorBase_V1, KVConnectorRole
from vllm.logger import init_logger

from gpu_decompress.chunk_codec import FRAME_BYTES, ChunkPacker, ChunkUnpacker, Pages
from gpu_decompress.loader import Loader
from gpu_decompress.nvcomp import Coder
from gpu_decompress.quantized import ChunkShape
from gpu_decompress.step_planner import Save, StepPlanner, StepWork
from gpu_decompress.store_reader import StoreCommands, StoreReader

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.core.kv_cache_manager import KVCacheBlocks
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig
    from vllm.v1.request import Request

# vLLM prints only loggers of its own tree.
logger = init_logger("vllm.gpu_decompress")


@dataclasses.dataclass(frozen=True)
class Settings:
    redis_ports: list[int]
    write_ports: list[int]
    redis_host: str = "127.0.0.1"
    coder: str = "ans"
    chunk_tokens: int = 256
    prefix: str = "gpu-decompress"
    connections: int = 4
    deadline_s: float = 30.0


class GpuDecompressConnector(KVConnectorBase_V1):
    """One object beside the scheduler and one in the worker; each uses the methods of its role only."""

    def __init__(self, vllm_config: "VllmConfig", role: KVConnectorRole, kv_cache_config: "KVCacheConfig"):
        super().__init__(vllm_config, role, kv_cache_config)
        self._settings = Settings(**vllm_config.kv_transfer_config.kv_connector_extra_config)
        self._spec, self._layer_names = cached_layers(vllm_config, kv_cache_config)
        self._shape = ChunkShape(
            len(self._layer_names), self._spec.num_kv_heads, self._spec.head_size, self._settings.chunk_tokens
        )
        self._store = StoreCommands(self._settings.redis_host, self._settings.write_ports)
        self._bad_pages: set[int] = set()
        self._loader: Loader | None = None
        if role == KVConnectorRole.SCHEDULER:
            self._planner = StepPlanner(
                self._store, logger, root=f"{vllm_config.model_config.model} {self._shape}", prefix=self._settings.prefix,
                chunk_tokens=self._settings.chunk_tokens, page_tokens=self._spec.block_size,
            )  # fmt: skip

    # ---- beside the scheduler ----

    def on_new_request(self, request: "Request") -> None:
        self._planner.track(request)

    def get_num_new_matched_tokens(self, request: "Request", num_computed_tokens: int) -> tuple[int | None, bool]:
        return self._planner.matched_tokens(request, num_computed_tokens)

    def update_state_after_alloc(self, request: "Request", blocks: "KVCacheBlocks", num_external_tokens: int) -> None:
        self._planner.allocated(request, blocks, num_external_tokens)

    def build_connector_meta(self, scheduler_output: "SchedulerOutput") -> StepWork:
        return self._planner.step(scheduler_output)

    def request_finished(self, request: "Request", block_ids: list[int]) -> tuple[bool, dict[str, Any] | None]:
        """Saves are over by then; of a load under way vLLM keeps the pages until it is reported."""
        self._planner.finished(request)
        return False, None

    # ---- in the worker ----

    def register_kv_caches(self, kv_caches: dict[str, torch.Tensor]) -> None:
        tensors = [kv_caches[name] for name in self._layer_names]
        context = self._vllm_config.compilation_config.static_forward_context
        for name, tensor in zip(self._layer_names, tensors):
            check_layout(name, tensor, tensors[0], self._spec, context[name].attn_backend.get_name())
        pages = Pages(tensors)
        coder = Coder(self._settings.coder, FRAME_BYTES)
        chunks_max = self._vllm_config.model_config.max_model_len // self._settings.chunk_tokens
        self._packer = ChunkPacker(self._shape, coder, pages)
        unpacker = ChunkUnpacker(self._shape, coder, pages, max(1, chunks_max))
        self._warm_up(unpacker, self._spec.block_size)
        reader = StoreReader(self._settings.redis_host, self._settings.redis_ports, self._settings.connections)
        self._loader = Loader(unpacker, reader, logger, pages.device, self._settings.deadline_s)
        logger.info("Prefixes come from Redis on ports %s, %s on the GPU: %s", self._settings.redis_ports, coder.name, self._shape)

    def _warm_up(self, unpacker: ChunkUnpacker, page_tokens: int) -> None:
        """Kernels are compiled and loaded now, by a chunk of zeros (any symbols, all scales zero) for pages nobody uses yet."""
        device, stream = unpacker.symbols.device, torch.cuda.current_stream()
        symbols = torch.randint(0, 15, (self._shape.symbols,), dtype=torch.uint8, device=device)
        scales = torch.zeros(self._shape.scales, dtype=torch.bfloat16, device=device)
        chunk = self._packer.pack_symbols(symbols, scales, stream.cuda_stream)
        page_ids = range(self._settings.chunk_tokens // page_tokens)
        slot = unpacker.slot(pinned=True)
        slot.chunk[: len(chunk)] = np.frombuffer(chunk, dtype=np.uint8)
        unpacker.unpack(slot, len(chunk), 0, page_ids, 0, stream.cuda_stream)
        verdict = torch.ones(1, dtype=torch.bool, pin_memory=True)
        unpacker.judge(1, verdict)
        stream.synchronize()
        if verdict.item() or not torch.equal(unpacker.symbols, symbols):
            raise RuntimeError("gpu_decompress: nvCOMP does not decompress what it has compressed")

    def start_load_kv(self, forward_context: Any, **kwargs: Any) -> None:
        if self._loader is not None:
            for load in self._get_connector_metadata().loads:
                self._loader.start(load)

    def wait_for_layer_load(self, layer_name: str) -> None:
        """Loads are asynchronous: no forward pass runs for a request whose load is under way."""

    def save_kv_layer(self, layer_name: str, kv_layer: torch.Tensor, attn_metadata: Any, **kwargs: Any) -> None:
        """All layers of a chunk are saved together, in wait_for_save()."""

    def wait_for_save(self) -> None:
        if self._loader is not None:
            for save in self._get_connector_metadata().saves:
                self._save(save)

    def _save(self, save: Save) -> None:
        stream = torch.cuda.current_stream().cuda_stream
        pages = len(save.page_ids) // len(save.names)
        try:
            for number, name in enumerate(save.names):
                chunk = self._packer.pack(save.page_ids[number * pages : (number + 1) * pages], stream)
                if chunk is not None:
                    self._store.save(name, chunk)
        except OSError as error:
            logger.warning("Not saved: %s", error)

    def get_finished(self, finished_req_ids: set[str]) -> tuple[set[str] | None, set[str] | None]:
        received = set()
        for load, placed in self._loader.ended() if self._loader is not None else ():
            pages = len(load.page_ids) // len(load.chunks)
            first = load.first_token // self._spec.block_size if placed == 0 else placed * pages
            self._bad_pages.update(load.page_ids[first:])
            received.add(load.request_id)
        return None, received or None

    def get_block_ids_with_load_errors(self) -> set[int]:
        bad_pages, self._bad_pages = self._bad_pages, set()
        return bad_pages

    def shutdown(self) -> None:
        if self._loader is not None:
            self._loader.close()
        self._store.close()


def cached_layers(config: "VllmConfig", cache: "KVCacheConfig") -> tuple["FullAttentionSpec", list[str]]:
    """What the cache holds, and the layers' names in the model's order. Raises ValueError for what the peer cannot do."""
    # vLLM imports this module while it makes its configuration: too early for these.
    from vllm.model_executor.models.utils import extract_layer_index
    from vllm.v1.kv_cache_interface import FullAttentionSpec

    if config.parallel_config.world_size > 1:
        raise ValueError("gpu_decompress: more than one GPU is not supported")
    if len(cache.kv_cache_groups) != 1 or type(cache.kv_cache_groups[0].kv_cache_spec) is not FullAttentionSpec:
        raise ValueError("gpu_decompress: only models with full attention in all layers are supported")
    spec = cache.kv_cache_groups[0].kv_cache_spec
    if spec.dtype != torch.bfloat16:
        raise ValueError(f"gpu_decompress: a KV cache of {spec.dtype} is not supported; use bfloat16")
    return spec, sorted(cache.kv_cache_groups[0].layer_names, key=extract_layer_index)


def check_layout(name: str, pages: torch.Tensor, first: torch.Tensor, spec: "FullAttentionSpec", backend: str) -> None:
    """FlashAttention's pages [page, K|V, token, head, dim], tokens outermost within a page (NHD). Raises ValueError."""
    inner = (2, spec.block_size, spec.num_kv_heads, spec.head_size)
    if backend != "FLASH_ATTN" or pages.dim() != 5 or tuple(pages.shape[1:]) != inner:
        raise ValueError(f"gpu_decompress: {name}: pages {tuple(pages.shape)} of {backend}; supported: FLASH_ATTN, [pages, {inner}]")
    token_strides = (spec.num_kv_heads * spec.head_size, spec.head_size, 1)
    if pages.stride()[2:] != token_strides or pages.dtype != torch.bfloat16:
        raise ValueError(f"gpu_decompress: {name}: strides {pages.stride()} of {pages.dtype}; set VLLM_KV_CACHE_LAYOUT=NHD")
    if (pages.shape, pages.stride(), pages.device) != (first.shape, first.stride(), first.device):
        raise ValueError(f"gpu_decompress: {name} differs from the first layer in shape")
