"""What the connector tells vLLM's logs and /metrics: a hit funnel in chunks that adds up, bytes, and times."""

from collections.abc import Callable, Mapping
from typing import Any

from vllm.distributed.kv_transfer.kv_connector.v1.metrics import KVConnectorPromMetrics, KVConnectorStats

# Counts of the C API (ss_lookup_stats, ss_transfer_stats) -> metric, help, factor. asked = found + sum(not_found);
# fetched = placed + sum(failed) once nothing is in flight; found - fetched were in the engine's own cache by then.
COUNTERS: dict[str, tuple[str, str, float]] = {
    "chunks_asked": ("chunks_asked", "Chunks of prompts that the store was asked for.", 1),
    "chunks_found": ("chunks_found", "Chunks that the store was said to have.", 1),
    "fetch_asked": ("chunks_fetched", "Chunks asked of the data plane.", 1),
    "fetch_placed": ("chunks_placed", "Fetched chunks placed in the engine's pages.", 1),
    "save_asked": ("chunks_save_asked", "Computed chunks handed to saving.", 1),
    "save_stored": ("chunks_saved", "Chunks that the store took.", 1),
    "fetch_wire_bytes": ("fetch_wire_bytes", "Bytes of records received from the store.", 1),
    "fetch_value_bytes": ("fetch_value_bytes", "Bytes of KV cache that these records hold.", 1),
    "save_wire_bytes": ("save_wire_bytes", "Bytes of records sent to the store.", 1),
    "save_value_bytes": ("save_value_bytes", "Bytes of KV cache that these records hold.", 1),
    "fetches": ("fetches", "Prefixes fetched, well or not.", 1),
    "fetch_us_total": ("fetch_seconds", "Time from asking for a prefix to its last page, summed over prefixes.", 1e-6),
    "place_us_total": ("place_seconds", "Time spent placing values in pages.", 1e-6),
    "gather_us_total": ("gather_seconds", "Time spent gathering values from pages.", 1e-6),
    "connects": ("connects", "Connections made to the data plane.", 1),
    "disconnects": ("disconnects", "Connections to the data plane lost.", 1),
}
# Counts that are one reason each of a metric with the label `reason`.
REASONED: dict[str, tuple[str, str]] = {
    "chunks_missing": ("chunks_not_found", "missing"),
    "chunks_timed_out": ("chunks_not_found", "timed_out"),
    "chunks_without_plane": ("chunks_not_found", "without_plane"),
    "chunks_breaker": ("chunks_not_found", "breaker"),
}
# Counts that are a table by error name; their metrics have the label `rank` as well.
TABLES: dict[str, str] = {"fetch_failed": "chunks_failed", "save_failed": "chunks_save_failed"}
REASONED_HELP = {
    "chunks_not_found": "Chunks asked for that are to be computed, by reason.",
    "chunks_failed": "Chunks fetched in vain and computed after all, by reason.",
    "chunks_save_failed": "Chunks whose saving was given up, by reason.",
}


class ConnectorStats(KVConnectorStats):
    """Differences since the last interval: `data` maps "metric", "metric/reason" or "metric/reason/rank" to a number."""

    def reset(self) -> None:
        self.data = {}

    def is_empty(self) -> bool:
        return not self.data

    def aggregate(self, other: KVConnectorStats) -> "ConnectorStats":
        for name, number in other.data.items():
            self.data[name] = self.data.get(name, 0) + number
        return self

    def reduce(self) -> dict[str, int | float]:
        """For vLLM's periodic log line."""
        line: dict[str, int | float] = {}
        for name, number in sorted(self.data.items()):
            line[name] = round(number, 4) if isinstance(number, float) else number
        fetches = self.data.get("fetches", 0)
        if fetches:
            line["fetch_ms_mean"] = round(1e3 * self.data.get("fetch_seconds", 0.0) / fetches, 2)
        return line


class StatsSource:
    """Turns the running totals of one native object into differences. `rank`: of the worker whose object it is."""

    def __init__(self, read_totals: Callable[[], Mapping[str, Any]], rank: int = 0):
        self._read_totals = read_totals
        self._rank = rank
        self._last_read: Mapping[str, Any] = {}
        self._last: dict[str, int | float] = {}

    def take(self) -> ConnectorStats | None:
        """What changed since the last call, or None. vLLM asks in every step, and in most of them nothing did."""
        read = self._read_totals()
        if read == self._last_read:
            return None
        self._last_read = read
        totals = _flat(read, self._rank)
        changed = {name: total - self._last.get(name, 0) for name, total in totals.items()}
        self._last = totals
        changed = {name: number for name, number in changed.items() if number}
        return ConnectorStats(data=changed) if changed else None


def _flat(totals: Mapping[str, Any], rank: int) -> dict[str, int | float]:
    flat: dict[str, int | float] = {}
    for count, (metric, _, factor) in COUNTERS.items():
        if count in totals:
            flat[metric] = totals[count] if factor == 1 else totals[count] * factor
    for count, (metric, reason) in REASONED.items():
        if count in totals:
            flat[f"{metric}/{reason}"] = totals[count]
    for count, metric in TABLES.items():
        for reason, number in totals.get(count, {}).items():
            flat[f"{metric}/{reason}/{rank}"] = number
    return flat


class ConnectorMetrics(KVConnectorPromMetrics):
    """Prometheus counters vllm:shadowserve_<metric>, one series an engine (and reason, and rank of the worker)."""

    def __init__(self, vllm_config, metric_types, labelnames, per_engine_labelvalues):
        super().__init__(vllm_config, metric_types, labelnames, per_engine_labelvalues)
        self._plain = {
            metric: self._counter_cls(
                name=f"vllm:shadowserve_{metric}", documentation=help_text, labelnames=labelnames
            )
            for metric, help_text, _ in COUNTERS.values()
        }
        self._reasoned = {
            metric: self._counter_cls(
                name=f"vllm:shadowserve_{metric}",
                documentation=help_text,
                labelnames=[*labelnames, "reason", *(["rank"] if metric in TABLES.values() else [])],
            )
            for metric, help_text in REASONED_HELP.items()
        }
        # Series that are there from the start, at 0: otherwise the first increase of each would be invisible.
        for labels in per_engine_labelvalues.values():
            for counter in self._plain.values():
                counter.labels(*labels)

    def observe(self, transfer_stats_data: dict[str, Any], engine_idx: int = 0) -> None:
        labels = self.per_engine_labelvalues[engine_idx]
        for name, number in transfer_stats_data.items():
            metric, *reason_and_rank = name.split("/")
            if number < 0:
                continue  # a native object was opened anew: its totals start again
            if reason_and_rank:
                self._reasoned[metric].labels(*labels, *reason_and_rank).inc(number)
            else:
                self._plain[metric].labels(*labels).inc(number)
