"""Tables of all systems side by side: time to first token, and what they serve under load."""

import re
import statistics

from systems import SYSTEMS

NAMES = {
    "recompute": "recompute", "shadowserve": "ShadowServe", "generic": "ShadowServe, generic", "near": "ShadowServe, near", "balanced": "ShadowServe, balanced",
    "shadowserve-direct": "ShadowServe, straight into pages", "balanced-direct": "ShadowServe, balanced, straight into pages",
    "shadowserve-kernel": "ShadowServe, through a kernel", "balanced-kernel": "ShadowServe, balanced, through a kernel",
    "synchronous": "ShadowServe, synchronous", "uncompressed": "uncompressed", "gpu-ans": "GPU, nvCOMP ANS",
    "gpu-deflate": "GPU, nvCOMP Deflate", "lmcache": "LMCache CacheGen", "lmcache-async": "LMCache CacheGen, async",
    "lmcache-raw": "LMCache, uncompressed",
}  # fmt: skip


def links(results, kind: str) -> list[tuple[str, list[str]]]:
    """The links measured, slow to fast, as (label in cells' names, what follows it)."""
    found: dict[str, list[str]] = {}
    for name in results.names():
        system, _, rest = name.partition(f"-{kind}-")
        label, _, what = rest.partition("-")
        if system in SYSTEMS and (label == "unlimited" or label.endswith("gbit")):
            found.setdefault(label, [])
            if what not in found[label]:
                found[label].append(what)
    rate = lambda label: float("inf") if label == "unlimited" else float(label.removesuffix("gbit"))  # noqa: E731
    return sorted(found.items(), key=lambda each: rate(each[0]))


def median_ms(values: list[float]) -> str:
    return f"{statistics.median(values) * 1e3:.0f}" if values else ""


def ttft_of_all(results) -> list[str]:
    """Medians in ms, one request in flight."""
    systems = [each for each in SYSTEMS if any(name.startswith(f"{each}-ttft-") for name in results.names())]
    lines = [f"| link, Gbit/s | prompt | {' | '.join(NAMES[each] for each in systems)} |", "| --- | --- |" + " --- |" * len(systems)]
    for label, contexts in links(results, "ttft"):
        for tokens in sorted(contexts, key=int):
            cells = [results.ttft(f"{each}-ttft-{tokens}" if each == "recompute" else f"{each}-ttft-{label}-{tokens}") for each in systems]
            lines.append(f"| {label.removesuffix('gbit')} | {tokens} | {' | '.join(median_ms(each) for each in cells)} |")
    return lines


def loaded(results) -> list[str]:
    """Poisson arrivals and full load: of each link the same arrivals for all systems."""
    lines = [
        "| link, Gbit/s | tokens out | system | arrivals a second | TTFT, ms: median, p99 | TPOT, ms: mean, p99 | not ended | requests a second at full load |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for label, _ in links(results, "closed"):
        for outputs in outputs_measured(results):
            for system in SYSTEMS:
                lines += loaded_rows(results, label, outputs, system)
    return lines


def outputs_measured(results) -> list[int]:
    return sorted({int(name.rpartition("-")[2]) for name in results.names() if "-closed-" in name})


def loaded_rows(results, label: str, outputs: int, system: str) -> list[str]:
    """One for each rate of arrivals; the first also tells what full load gave."""
    link = "" if system == "recompute" else f"{label}-"
    found = [re.fullmatch(rf"{system}-closed-{link}(\d+)-{outputs}", name) for name in results.names()]
    lines = []
    for tokens in [match[1] for match in found if match]:
        most = f"{results.cells[f'{system}-closed-{link}{tokens}-{outputs}']['ended_per_s']:.1f}"
        prefix = f"{system}-poisson-{link}{tokens}-{outputs}-"
        for name in sorted((name for name in results.names() if name.startswith(prefix)), key=lambda name: float(name.removeprefix(prefix))):
            cell = results.cells[name]
            lines.append(
                f"| {label.removesuffix('gbit')} | {outputs} | {NAMES[system]} | {cell['per_s']:g} | {of_hundred(cell['ttft_s'], 1e3, '.0f')} "
                f"| {mean_and_p99(cell['tpot_s'])} | {cell['unfinished']} of {cell['arrived']} | {most} |"
            )
            most = ""
    return lines


def of_hundred(values: list[float], unit: float, digits: str) -> str:
    return f"{at(values, 0.5) * unit:{digits}}, {at(values, 0.99) * unit:{digits}}" if values else ""


def mean_and_p99(values: list[float]) -> str:
    return f"{statistics.fmean(values) * 1e3:.1f}, {at(values, 0.99) * 1e3:.1f}" if values else ""


def at(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(part * (len(ordered) - 1)))]
