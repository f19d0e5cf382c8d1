"""One vLLM engine in this process whose connector is opened anew for every profile, and whose predictions are recorded."""

import dataclasses
import os
import secrets
import time
from collections.abc import Sequence

import torch

from shadowserve.quality.fetched_pages import FetchedPages
from shadowserve.quality.page_peers import Peer

CHUNK_TOKENS = 256
WAIT_SECONDS_MAX = 60
PATIENT = {"lookup_timeout_ms": 10_000, "fetch_timeout_ms": 60_000, "save_timeout_ms": 60_000, "min_fetch_tokens": 0}
"""Nothing is measured against the clock here; what comes late is still what was asked for."""


class NotFetched(ValueError):
    """A measurement would have rested on something else than the whole fetched prefix."""


@dataclasses.dataclass
class Prediction:
    """hidden [suffix tokens, width]: what the model ends with at each position, before the vocabulary."""

    hidden: torch.Tensor
    answer: list[int]
    """Greedy tokens behind the suffix."""
    value_bytes: int
    wire_bytes: int


class MeasuredEngine:
    """Raises ValueError with a sentence where the model cannot be served or a step of a measurement goes wrong."""

    def __init__(self, model: str, socket: str, *, tokens_max: int, batch_tokens: int, calibration: str | None):
        # Both halves of the connector have to be within reach. vLLM reads this when it is imported.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        from vllm import LLM

        # Keys of its own: no record of another run can be taken for one of this.
        self._settings = {"socket": socket, "tenant_salt": secrets.token_hex(16), "save_generated": False, **PATIENT}
        self._calibration = calibration
        transfer = {
            "kv_connector": "ShadowServeConnector",
            "kv_connector_module_path": "shadowserve.vllm.connector",
            "kv_role": "kv_both",
            "kv_load_failure_policy": "recompute",
            "kv_connector_extra_config": {**self._settings, "profile": "raw"},
        }
        self._llm = LLM(
            model=model, dtype="bfloat16", enforce_eager=True, max_model_len=tokens_max, max_num_seqs=4, seed=0,
            max_num_batched_tokens=batch_tokens, enable_prefix_caching=True, kv_transfer_config=transfer,
            disable_log_stats=True,
        )  # fmt: skip
        self._core = self._llm.llm_engine.engine_core.engine_core
        (self._model,) = self._llm.collective_rpc(lambda worker: worker.model_runner.get_model())
        self._peer: Peer | None = None
        self._peer_bytes = 0
        self._forwards: list[torch.Tensor] = []
        self._model.register_forward_hook(lambda module, arguments, hidden: self._forwards.append(hidden))

    def stop(self) -> None:
        self._core.shutdown()

    # ---- which profile ----

    def open(self, profile: str, *, saves: bool, calibrated: bool = False) -> None:
        """Closes both halves of the connector and opens them for another profile, with an empty prefix cache of the engine
        where nothing is to be saved."""
        from vllm.distributed.kv_transfer import get_kv_transfer_group

        extra = {**self._settings, "profile": profile, "save": saves}
        if calibrated:
            extra["calibration"] = self._calibration
        self._scheduler, self._worker = self._core.scheduler.get_kv_connector(), get_kv_transfer_group()
        pages = dict(zip(self._worker._model.layer_names, self._worker._pages))
        for connector in (self._scheduler, self._worker):
            connector.shutdown()
            config = connector._vllm_config
            config.kv_transfer_config.kv_connector_extra_config = extra
            # In place: vLLM keeps references to its connectors in several objects.
            connector.__init__(config, connector.role, connector._kv_cache_config)
        self._worker.register_kv_caches(pages)
        self._watch_loads()
        self._wait("the engine is connected to the data plane", self._connected)
        if not saves:
            self.forget_prefixes()

    def change_pages(self, peer: Peer | None) -> None:
        """From now on every prefix goes through `peer` as soon as it was fetched."""
        self._peer = peer

    def _connected(self) -> bool:
        return bool(self._worker._transfer.stats()["connected"] and self._scheduler._lookup.stats()["connected"])

    def _watch_loads(self) -> None:
        worker, pages = self._worker._worker, FetchedPages(self._worker)
        load_ended = worker._load_ended

        def watched(job: int, error: str | None, chunks_placed: int) -> str:
            load = worker._loads[job]
            if error is None and self._peer is not None:
                values, self._peer_bytes = self._peer(pages.read(load.page_ids), self._worker._model.kv_heads)
                pages.write(load.page_ids, values)
            return load_ended(job, error, chunks_placed)

        worker._load_ended = watched

    # ---- what is asked ----

    def store(self, tokens: Sequence[int]) -> None:
        """Computes a prefix of whole chunks and one token more (or finds it in the engine's own cache: every profile is
        given the very same pages), and waits until it is stored."""
        self._ask(tokens, 1)
        self._wait("the prefix is stored", self._saves_ended)
        totals = self._worker._transfer.stats()
        if failed := sum(totals["save_failed"].values()):
            raise NotFetched(f"{failed} chunks were not stored: {_reasons(totals['save_failed'])}")

    def predict(self, tokens: Sequence[int], prefix: int, answer_tokens: int) -> Prediction:
        """Asks about tokens whose first `prefix` are stored. Raises NotFetched unless exactly those were fetched and
        placed, and everything behind was computed in one batch."""
        self.forget_prefixes()
        before = self._worker._transfer.stats()
        self._forwards.clear()
        answer = self._ask(tokens, answer_tokens)
        totals = self._worker._transfer.stats()
        grown = {name: totals[name] - before[name] for name in ("fetch_placed", "fetch_wire_bytes", "fetch_value_bytes")}
        failed = sum(totals["fetch_failed"].values()) - sum(before["fetch_failed"].values())
        computed = [len(hidden) for hidden in self._forwards]
        chunks, suffix = prefix // CHUNK_TOKENS, len(tokens) - prefix
        if grown["fetch_placed"] != chunks or failed or computed != [suffix] + [1] * (len(answer) - 1):
            raise NotFetched(
                f"{grown['fetch_placed']} of {chunks} chunks of a prefix were fetched and placed, {failed} failed "
                f"({_reasons(totals['fetch_failed'])}), and {max(computed, default=0)} tokens were computed at once instead "
                f"of {suffix}: such a measurement says nothing of what was stored"
            )
        wire = self._peer_bytes if self._peer is not None else grown["fetch_wire_bytes"]
        hidden = self._forwards[0].clone()
        self._forwards.clear()
        return Prediction(hidden, answer, grown["fetch_value_bytes"], wire)

    @torch.inference_mode()
    def log_probs(self, hidden: torch.Tensor) -> torch.Tensor:
        """[positions, vocabulary] in float32."""
        return self._model.compute_logits(hidden).float().log_softmax(-1)

    def forget_prefixes(self) -> None:
        """From here on only the store remembers."""

        def forgotten() -> bool:
            self._llm.llm_engine.step()  # pages are free once the scheduler was told that they are gathered
            return self._llm.reset_prefix_cache()

        self._wait("no request holds pages", forgotten)

    def _ask(self, tokens: Sequence[int], answer_tokens: int) -> list[int]:
        from vllm import SamplingParams

        sampling = SamplingParams(temperature=0, max_tokens=answer_tokens, ignore_eos=True, detokenize=False)
        (output,) = self._llm.generate([{"prompt_token_ids": list(tokens)}], sampling, use_tqdm=False)
        return list(output.outputs[0].token_ids)

    def _saves_ended(self) -> bool:
        self._llm.llm_engine.step()
        totals = self._worker._transfer.stats()
        return totals["save_asked"] == totals["save_stored"] + sum(totals["save_failed"].values())

    def _wait(self, what: str, condition) -> None:
        ends_s = time.monotonic() + WAIT_SECONDS_MAX
        while not condition():
            if time.monotonic() > ends_s:
                raise RuntimeError(f"not within {WAIT_SECONDS_MAX} s: {what}")
            time.sleep(0.005)


def _reasons(failed: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in failed.items() if number) or "none"
