"""Differences of running totals, summed again, are the totals; and they reach Prometheus under our names."""

import pytest

pytest.importorskip("vllm")

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram  # noqa: E402

from shadowserve.vllm.metrics import ConnectorMetrics, ConnectorStats, StatsSource  # noqa: E402

pytestmark = pytest.mark.quick

LOOKUPS = {"chunks_asked": 10, "chunks_found": 6, "chunks_missing": 3, "chunks_breaker": 1, "connected": True}
TRANSFERS = {
    "fetch_asked": 6, "fetch_placed": 4, "fetch_failed": {"record_corrupt": 1, "deadline": 1}, "fetches": 2,
    "fetch_us_total": 250_000, "save_failed": {}, "connected": True,
}  # fmt: skip


def test_only_what_changed_is_told():
    totals = dict(TRANSFERS)
    source = StatsSource(lambda: totals)
    first = source.take()
    assert first.data["chunks_placed"] == 4 and first.data["chunks_failed/deadline/0"] == 1
    assert first.data["fetch_seconds"] == pytest.approx(0.25)
    assert source.take() is None
    totals = totals | {"fetch_placed": 5, "fetch_asked": 7}
    assert source.take().data == {"chunks_placed": 1, "chunks_fetched": 1}


def test_scheduler_and_worker_add_up_to_one_funnel():
    stats = StatsSource(lambda: TRANSFERS).take().aggregate(StatsSource(lambda: LOOKUPS).take())
    data = stats.data
    assert data["chunks_asked"] == data["chunks_found"] + sum(
        number for name, number in data.items() if name.startswith("chunks_not_found/")
    )
    assert data["chunks_fetched"] == data["chunks_placed"] + sum(
        number for name, number in data.items() if name.startswith("chunks_failed/")
    )
    assert stats.reduce()["fetch_ms_mean"] == 125.0
    assert not stats.is_empty()
    stats.reset()
    assert stats.is_empty() and ConnectorStats().is_empty()


def test_two_ranks_add_up_and_failures_say_whose_they_are():
    stats = StatsSource(lambda: TRANSFERS).take().aggregate(StatsSource(lambda: TRANSFERS, rank=1).take())
    assert stats.data["chunks_fetched"] == 12 and stats.data["chunks_placed"] == 8
    failed = {name: number for name, number in stats.data.items() if name.startswith("chunks_failed/")}
    assert failed == {f"chunks_failed/{reason}/{rank}": 1 for reason in ("record_corrupt", "deadline") for rank in (0, 1)}


def test_prometheus_gets_every_difference():
    registry = CollectorRegistry()

    def counter(**options):
        return Counter(registry=registry, **options)

    class Config:
        kv_transfer_config = None

    types = {Counter: counter, Gauge: Gauge, Histogram: Histogram}
    metrics = ConnectorMetrics(Config(), types, ["model_name", "engine"], {0: ["tiny", "0"]})
    data = StatsSource(lambda: TRANSFERS).take().to_dict()
    metrics.observe(data)
    metrics.observe(data)
    labels = {"model_name": "tiny", "engine": "0"}

    def sample(name, **more):
        return registry.get_sample_value(f"vllm:shadowserve_{name}_total", labels | more)

    assert sample("chunks_placed") == 8
    assert sample("chunks_failed", reason="record_corrupt", rank="0") == 2
    assert sample("fetch_seconds") == pytest.approx(0.5)
    assert sample("chunks_saved") == 0, "there from the start"
