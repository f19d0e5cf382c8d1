"""Requests as users send them: at random times, or so many at once that the engine is never idle."""

import random
import time

from engine_client import Client

DRAIN_SECONDS = 6  # for what arrived and has not ended when the last request arrives


class Load:
    """Prompts in turns, `outputs` tokens each. One more stream decodes all the time, so that the client sees every step:
    it sends what has arrived between two steps, and counts from the arrival."""

    def __init__(self, client: Client, prompts: list[list[int]], outputs: int, background: list[int], background_tokens: int):
        self._client = client
        self._prompts = prompts
        self._outputs = outputs
        self._background = client.send(background, background_tokens)
        self._waited_s: dict[str, float] = {}  # from the arrival to the sending
        self._open: set[str] = set()
        while not client.token_times_s[self._background]:
            client.step()

    def poisson(self, per_s: float, seconds: float, seed: int) -> dict:
        """Open loop: arrivals do not wait for answers. The same arrivals for every system that is given this seed."""
        source = random.Random(seed)
        began_s = time.perf_counter()
        arrivals_s, at_s = [], source.expovariate(per_s)
        while at_s < seconds:
            arrivals_s.append(began_s + at_s)
            at_s += source.expovariate(per_s)
        while arrivals_s:
            while arrivals_s and arrivals_s[0] <= time.perf_counter():
                self._send(arrivals_s.pop(0))
            self._step()
        until_s = time.perf_counter() + DRAIN_SECONDS
        while self._open and time.perf_counter() < until_s:
            self._step()
        return {"per_s": per_s} | self._end(began_s)

    def closed(self, in_flight: int, seconds: float) -> dict:
        """`in_flight` requests all the time: how many a second end, counted behind the first `in_flight`."""
        while len(self._waited_s) - len(self._open) < in_flight:
            self._refill(in_flight)
        began_s, ended = time.perf_counter(), len(self._waited_s) - len(self._open)
        while time.perf_counter() < began_s + seconds:
            self._refill(in_flight)
        took_s, count = time.perf_counter() - began_s, len(self._waited_s) - len(self._open) - ended
        return {"in_flight": in_flight, "ended_per_s": count / took_s} | self._end(began_s)

    def _refill(self, in_flight: int) -> None:
        while len(self._open) < in_flight:
            self._send(time.perf_counter())
        self._step()

    def _send(self, arrived_s: float) -> None:
        prompt = self._prompts[len(self._waited_s) % len(self._prompts)]
        name = self._client.send(prompt, self._outputs)
        self._waited_s[name] = time.perf_counter() - arrived_s
        self._open.add(name)

    def _step(self) -> None:
        self._open -= self._client.step()

    def _end(self, began_s: float) -> dict:
        client = self._client
        client.abort(self._open | {self._background})
        ended = [name for name in self._waited_s if name not in self._open]
        times = [client.token_times_s[name] for name in ended]
        time.sleep(0.3)
        client.drain()
        return {
            "ttft_s": [client.first_token_s[name] + self._waited_s[name] for name in ended],
            "tpot_s": [(all_s[-1] - all_s[0]) / (len(all_s) - 1) for all_s in times if len(all_s) > 1],
            "arrived": len(self._waited_s), "unfinished": len(self._open), "seconds": time.perf_counter() - began_s,
        }  # fmt: skip
