"""A client in the engine's own process that sees each token come, and how its times are summed up."""

import statistics
import time


def median_and_spread(values: list[float]) -> dict[str, float]:
    """Median, and the quarter and three-quarter points around it."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
    return {"median": middle, "p25": low, "p75": high, "min": min(values), "max": max(values), "count": len(values)}


class Client:
    """Sends requests to the engine and notes when their tokens come. Times in seconds."""

    def __init__(self, llm):
        self._llm = llm
        self._engine = llm.llm_engine
        self._number = 0
        self.first_token_s: dict[str, float] = {}
        self.token_times_s: dict[str, list[float]] = {}
        self._tokens_seen: dict[str, int] = {}
        self.answers: dict[str, list[int]] = {}  # tokens of requests that ended

    def send(self, prompt: list[int], tokens: int) -> str:
        from vllm import SamplingParams

        name = f"bench-{self._number}"
        self._number += 1
        sampling = SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True)
        self.token_times_s[name] = []
        self._tokens_seen[name] = 0
        began_s = time.perf_counter()
        self._engine.add_request(name, {"prompt_token_ids": prompt}, sampling)
        self.first_token_s[name] = -began_s
        return name

    def step(self) -> set[str]:
        """Waits for the engine's next output; returns which requests ended."""
        outputs = self._engine.step()
        now_s = time.perf_counter()
        ended = set()
        for output in outputs:
            name = output.request_id
            if name not in self._tokens_seen:
                continue  # forgotten
            seen = len(output.outputs[0].token_ids)
            if seen > self._tokens_seen[name]:
                if self._tokens_seen[name] == 0:
                    self.first_token_s[name] += now_s
                self.token_times_s[name].append(now_s)
                self._tokens_seen[name] = seen
            if output.finished:
                ended.add(name)
                self.answers[name] = list(output.outputs[0].token_ids)
        return ended

    def finish(self, names: set[str]) -> None:
        while names:
            names = names - self.step()

    def abort(self, names: set[str]) -> None:
        self._engine.abort_request(list(names))

    def forget(self, name: str) -> None:
        """For clients that send without end: nothing of an ended or aborted request is kept."""
        for kept in (self.first_token_s, self.token_times_s, self._tokens_seen, self.answers):
            kept.pop(name, None)

    def drain(self) -> None:
        """Until the engine has nothing left to do."""
        while self._engine.has_unfinished_requests():
            self.step()

    def time_to_first_token_s(self, prompt: list[int]) -> float:
        name = self.send(prompt, 1)
        self.finish({name})
        return self.first_token_s[name]

    def settle(self, seconds: float) -> None:
        """Lets saves end before the next measurement."""
        time.sleep(seconds)
