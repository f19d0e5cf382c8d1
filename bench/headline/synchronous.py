"""An ablation: the connector as it is, but a step that starts a fetch waits until it has ended, and all running requests with it."""

import time
from typing import Any

from shadowserve.vllm.connector import ShadowServeConnector

LOOK_S = 0.0002


class SynchronousConnector(ShadowServeConnector):
    """What an engine does whose loads are part of the forward pass."""

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        self._sent: set[str] = set()
        self._received: set[str] = set()

    def start_load_kv(self, forward_context: Any, **kwargs: Any) -> None:
        super().start_load_kv(forward_context, **kwargs)
        while self._worker is not None and self._worker.loads_open():
            self._collect()
            time.sleep(LOOK_S)

    def get_finished(self, finished_req_ids: set[str]) -> tuple[set[str] | None, set[str] | None]:
        self._add(super().get_finished(finished_req_ids))
        sent, self._sent = self._sent, set()
        received, self._received = self._received, set()
        return sent or None, received or None

    def _collect(self) -> None:
        self._add(self._worker.ended())

    def _add(self, ended: tuple[set[str] | None, set[str] | None]) -> None:
        self._sent |= ended[0] or set()
        self._received |= ended[1] or set()
