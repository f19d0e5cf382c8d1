"""Asks one engine one question over HTTP: the answer as it streams, its times, and the engine's counters."""

import dataclasses
import json
import re
import time
import urllib.request

ANSWER_TOKENS = 40
SECONDS_MAX = 300
_COUNTER = re.compile(r"^vllm:shadowserve_(\w+?)(?:_total)?(?:\{[^}]*\})? ([0-9.eE+-]+)$", re.MULTILINE)


@dataclasses.dataclass
class Answer:
    question: str
    text: str
    tokens: list
    ttft_s: float
    started_s: float
    ended_s: float


def ask(port: int, prompt: str, question: str, show, answer_tokens: int = ANSWER_TOKENS) -> Answer:
    """Greedy, so that two engines can be compared. `show(text)` gets every piece as it arrives."""
    body = {
        "model": "demo", "prompt": prompt, "max_tokens": answer_tokens, "temperature": 0, "stream": True,
        "stop": ["\nQuestion:"], "return_token_ids": True,
    }  # fmt: skip
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    started = time.monotonic()
    first = None
    text, tokens = "", []
    with urllib.request.urlopen(request, timeout=SECONDS_MAX) as reply:
        for line in reply:
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            event = json.loads(line[6:])
            if "error" in event:
                raise RuntimeError(f"the engine answered with an error: {event['error']}")
            choice = event["choices"][0]
            ids = choice.get("token_ids") or []
            if first is None and (choice["text"] or ids):
                first = time.monotonic()
            tokens += ids
            text += choice["text"]
            show(choice["text"])
    ended = time.monotonic()
    return Answer(question, text, tokens or list(text), (first or ended) - started, started, ended)


def read_counters(port: int) -> dict[str, float]:
    """The connector's counters, summed over labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        page = reply.read().decode()
    totals: dict[str, float] = {}
    for name, number in _COUNTER.findall(page):
        if not name.endswith("_created"):
            totals[name] = totals.get(name, 0.0) + float(number)
    return totals


def settled_counters(port: int) -> dict[str, float]:
    """The same once they have stopped moving: the engine reports after its steps."""
    before = read_counters(port)
    for _ in range(20):
        time.sleep(0.2)
        now = read_counters(port)
        if now == before:
            break
        before = now
    return before


def equal_tokens(one: Answer, other: Answer) -> int:
    """Length of the common beginning."""
    count = 0
    for a, b in zip(one.tokens, other.tokens):
        if a != b:
            break
        count += 1
    return count
