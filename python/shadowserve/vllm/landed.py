"""Requests that hold loaded pages and wait for their turn: nobody may keep them from it for good."""

from collections.abc import Iterable

LANDED_STEPS_MAX = 2
"""A loaded request that is not scheduled within so many steps stands behind somebody who does not fit beside it."""


class Landed:
    """vLLM (0.24; 0.32 takes loaded requests first) stops at the first request that does not fit. One that was told to ask again
    may stand before loaded ones, whose pages are what it waits for: then neither would ever run. Who is told to ask again
    is passed over."""

    def __init__(self):
        self._steps = 0
        self._since: dict[str, int] = {}

    def add(self, request_id: str) -> None:
        """Its load has ended, well or not."""
        self._since[request_id] = self._steps

    def remove(self, request_id: str) -> None:
        """It ended, or vLLM asks what can be loaded for it: then nothing was, and it holds no pages."""
        self._since.pop(request_id, None)

    def stepped(self, scheduled: Iterable[str]) -> None:
        self._steps += 1
        for request_id in self._since.keys() & scheduled:
            del self._since[request_id]

    def wait_too_long(self) -> bool:
        """Whoever asks now has to be passed over."""
        return any(self._steps - since > LANDED_STEPS_MAX for since in self._since.values())
