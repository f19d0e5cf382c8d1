"""ShadowServeConnector: what vLLM calls, in both its processes; the work is in scheduler.py and worker.py."""

import os
from typing import TYPE_CHECKING, Any

from shadowserve import _native
from shadowserve.vllm.device_pages import device_pages
from shadowserve.vllm.metrics import ConnectorMetrics, ConnectorStats, StatsSource
from shadowserve.vllm.page_layout import page_layout
from shadowserve.vllm.scheduler import SchedulerSide
from shadowserve.vllm.served_model import served_model
from shadowserve.vllm.settings import Settings
from shadowserve.vllm.shards import Shard
from shadowserve.vllm.work import ProfileInUse, StepResults, StepWork
from shadowserve.vllm.worker import WorkerSide
from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorBase_V1, KVConnectorRole
from vllm.logger import init_logger

if TYPE_CHECKING:
    import torch

    from vllm.config import VllmConfig
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.kv_cache_interface import KVCacheConfig
    from vllm.v1.request import Request

AUTO = "auto"

# vLLM prints only loggers of its own tree.
logger = init_logger("vllm.shadowserve")


def _compute_stream() -> int:
    import torch

    return torch.cuda.current_stream().cuda_stream


class ShadowServeConnector(KVConnectorBase_V1):
    """One object in the scheduler's process and one in the worker's; each uses the methods of its role only."""

    def __init__(self, vllm_config: "VllmConfig", role: KVConnectorRole, kv_cache_config: "KVCacheConfig"):
        super().__init__(vllm_config, role, kv_cache_config)
        transfer = vllm_config.kv_transfer_config
        self._settings = Settings.from_extra_config(transfer.kv_connector_extra_config)
        self._model = served_model(vllm_config, kv_cache_config, self._settings)
        self._stats: StatsSource | None = None
        if role == KVConnectorRole.SCHEDULER:
            self._shard = Shard.of_scheduler(vllm_config)
            self._warn_of_failure_policy()
            self._lookup: _native.Lookup | None = None
            # Which profile "auto" is the workers say; until then nothing is looked up and nothing saved.
            self._open_scheduler_side(None if self._settings.profile == AUTO else self._settings.profile)
        else:
            self._shard = Shard.of_worker(vllm_config)
            # The worker's side needs the pages: see register_kv_caches().
            self._worker: WorkerSide | None = None

    @property
    def requires_kv_delivery(self) -> bool:
        """A save that is dropped is only a miss later."""
        return False

    def _native_options(self, role: str) -> dict[str, Any]:
        return self._settings.native_options(
            f"vllm {role}, pid {os.getpid()}",
            self._model.fingerprint,
            self._model.weights_fingerprint,
            **self._model.native_shape(),
            **self._shard.native_options(),
        )

    def _worker_options(self) -> dict[str, Any]:
        return self._native_options(f"worker{self._shard.named(', {}')}")

    # ---- beside the scheduler ----

    def _warn_of_failure_policy(self) -> None:
        policy = self._vllm_config.kv_transfer_config.kv_load_failure_policy
        if policy != "recompute":
            logger.warning(
                "kv_load_failure_policy is '%s': every fetch that fails will fail its request. Set it to 'recompute' "
                "in --kv-transfer-config, and such requests are computed instead.",
                policy,
            )

    def set_xfer_handshake_metadata(self, metadata: "dict[int, ProfileInUse]") -> None:
        """Before the first request: what the workers settled on. The scheduler's half takes it over instead of asking
        the data plane itself, which may give another answer by now."""
        names = sorted({worker.name for worker in metadata.values()})
        if len(names) != 1:
            by_rank = ", ".join(f"rank {rank} {worker.name}" for rank, worker in sorted(metadata.items()))
            logger.warning(
                "The workers use different profiles (%s), perhaps because a calibration was published meanwhile, or one of them "
                "could not ask the data plane: this engine fetches and saves nothing. Start it again, or set 'profile'.",
                by_rank,
            )  # fmt: skip
            self._open_scheduler_side(None)
            return
        if self._lookup is None or self._lookup.profile() != names[0]:
            self._open_scheduler_side(names[0])

    def _open_scheduler_side(self, profile: str | None) -> None:
        """`profile` as the setting has it or as the workers name it; None: not known (yet)."""
        transfer = self._vllm_config.kv_transfer_config
        if self._lookup is not None:
            self._lookup.close()
        self._lookup = self._new_lookup(profile) if profile is not None else None
        self._stats = StatsSource(self._lookup.stats) if self._lookup is not None else None
        self._scheduler = SchedulerSide(
            self._lookup,
            chunk_tokens=self._settings.chunk_tokens,
            page_tokens=self._model.page_tokens,
            min_fetch_tokens=self._settings.min_fetch_tokens,
            fetches=self._lookup is not None and transfer.is_kv_consumer,
            saves=self._lookup is not None and transfer.is_kv_producer and self._settings.save,
            saves_generated=self._settings.save_generated,
            shares_pages=bool(self._vllm_config.cache_config.enable_prefix_caching),
            workers=self._shard.ranks,
        )

    def _new_lookup(self, profile: str) -> "_native.Lookup":
        options = self._native_options("scheduler") | {"profile": profile}
        if profile != self._settings.profile:
            options.pop("calibration", None)  # a worker's name of a profile has its hash, which is all that keys need
        return _native.Lookup(options)

    def on_new_request(self, request: "Request") -> None:
        self._scheduler.track(request)

    def get_num_new_matched_tokens(self, request: "Request", num_computed_tokens: int) -> tuple[int | None, bool]:
        return self._scheduler.matched_tokens(request, num_computed_tokens)

    def update_state_after_alloc(self, request: "Request", blocks: Any, num_external_tokens: int) -> None:
        self._scheduler.allocated(request, blocks, num_external_tokens)

    def build_connector_meta(self, scheduler_output: "SchedulerOutput") -> StepWork:
        return self._scheduler.step(scheduler_output)

    def update_connector_output(self, connector_output: Any) -> None:
        report = connector_output.kv_connector_worker_meta
        self._scheduler.ended(
            report.results if report is not None else [], set(connector_output.finished_sending or ())
        )

    def request_finished(self, request: "Request", block_ids: list[int]) -> tuple[bool, dict[str, Any] | None]:
        return self._scheduler.finished(request, block_ids), None

    def has_pending_block_frees(self) -> bool:
        return self._scheduler.frees_pages_soon()

    def has_pending_push_work(self) -> bool:
        """What vLLM before 0.32 asks instead: an idle engine goes on stepping until these pages are free."""
        return self._scheduler.frees_pages_soon()

    # ---- in the worker ----

    def get_handshake_metadata(self) -> ProfileInUse | None:
        return ProfileInUse(self._transfer.profile()) if self._worker is not None else None

    def register_kv_caches(self, kv_caches: "dict[str, torch.Tensor]") -> None:
        model = self._model
        layers = self._vllm_config.compilation_config.static_forward_context
        tensors = [kv_caches[name] for name in model.layer_names]
        self._pages = tensors  # what the link thread writes to has to stay
        on_gpu = tensors[0].device.type == "cuda"
        layout = self._open_gpu(kv_caches, layers) if on_gpu else self._open_host(kv_caches, layers)
        self._stats = StatsSource(self._transfer.stats, self._shard.rank)
        self._worker = WorkerSide(
            self._transfer,
            chunk_tokens=self._settings.chunk_tokens,
            page_tokens=model.page_tokens,
            logger=logger,
            compute_stream=_compute_stream if on_gpu else None,
            shard=self._shard,
        )
        logger.info(
            "Prefixes of %s (fingerprint %s, %d layers%s) come from the data plane at %s: profile %s, because %s; page layout "
            "%s, %d tokens a chunk",
            model.name, model.fingerprint[:12], len(model.layer_names), self._shard.named(", {}"),
            self._settings.socket or "its default socket", self._transfer.profile().partition(":")[0], self._transfer.profile_reason(), layout, self._settings.chunk_tokens,
        )  # fmt: skip

    def _open_host(self, kv_caches: "dict[str, torch.Tensor]", layers: "dict[str, Any]") -> str:
        layout = page_layout(self._model, kv_caches, layers)
        first = self._pages[0]
        self._transfer = _native.Transfer(self._worker_options())
        self._transfer.register_pages(
            layout,
            [tensor.data_ptr() for tensor in self._pages],
            first.shape[0],
            self._model.page_tokens,
            first.stride(0) * first.element_size(),
            first.stride(1) * first.element_size(),
        )
        return layout

    def _open_gpu(self, kv_caches: "dict[str, torch.Tensor]", layers: "dict[str, Any]") -> str:
        described = device_pages(self._model, kv_caches, layers)
        direct = described.copied_directly(self._settings.direct_pages, self._settings.plane_elsewhere)
        self._transfer = _native.Transfer(self._worker_options() | {"device": described.device + 1, "direct_pages": int(direct)})
        self._transfer.register_pages(
            "strided",
            [tensor.data_ptr() for tensor in self._pages],
            described.pages,
            self._model.page_tokens,
            described.page_stride_bytes,
            described.head_stride_bytes,
            described.plane_stride_bytes,
            described.token_stride_bytes,
        )
        return f"strided, on GPU {described.device}{', copied to directly' if direct else ''}"

    def handle_preemptions(self, kv_connector_metadata: StepWork) -> None:
        """vLLM calls this in every step, before anything touches the pages."""
        if self._worker is not None:
            self._worker.before_forward(kv_connector_metadata)

    def start_load_kv(self, forward_context: Any, **kwargs: Any) -> None:
        if self._worker is not None:
            self._worker.start_loads(self._get_connector_metadata())

    def wait_for_layer_load(self, layer_name: str) -> None:
        """Loads are asynchronous: no forward pass runs for a request whose load is under way."""

    def save_kv_layer(self, layer_name: str, kv_layer: "torch.Tensor", attn_metadata: Any, **kwargs: Any) -> None:
        """Pages are saved once all layers have computed them, in wait_for_save()."""

    def wait_for_save(self) -> None:
        if self._worker is not None:
            self._worker.start_saves(self._get_connector_metadata())

    def get_finished(self, finished_req_ids: set[str]) -> tuple[set[str] | None, set[str] | None]:
        if self._worker is None:
            return None, None
        if self.has_connector_metadata():
            # In a step without a forward pass vLLM 0.24 calls no wait_for_save().
            self._worker.start_saves(self._get_connector_metadata())
        sent, received = self._worker.ended()
        return sent or None, received or None

    def get_block_ids_with_load_errors(self) -> set[int]:
        return self._worker.take_bad_pages() if self._worker is not None else set()

    def build_connector_worker_meta(self) -> StepResults | None:
        results = self._worker.take_results() if self._worker is not None else []
        return StepResults(results) if results else None

    # ---- both ----

    def get_kv_connector_stats(self) -> ConnectorStats | None:
        return self._stats.take() if self._stats is not None else None

    @classmethod
    def build_kv_connector_stats(cls, data: dict[str, Any] | None = None) -> ConnectorStats:
        return ConnectorStats(data=data or {})

    @classmethod
    def build_prom_metrics(cls, vllm_config, metric_types, labelnames, per_engine_labelvalues) -> ConnectorMetrics:
        return ConnectorMetrics(vllm_config, metric_types, labelnames, per_engine_labelvalues)

    def shutdown(self) -> None:
        """Once it returns nothing touches the pages any more."""
        for native in (getattr(self, "_lookup", None), getattr(self, "_transfer", None)):
            if native is not None:
                native.close()
