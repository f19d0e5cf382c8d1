"""Reads the connector's counters from the text that Prometheus would get."""

import collections
import re

_SAMPLE = re.compile(r"^vllm:shadowserve_(\w+?)_total(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


def chunk_counters(page: str) -> dict[str, float]:
    """Summed over engines and reasons; a counter that has no series yet is 0."""
    counters: dict[str, float] = collections.defaultdict(float)
    for name, value in _SAMPLE.findall(page):
        counters[name] += float(value)
    return counters
