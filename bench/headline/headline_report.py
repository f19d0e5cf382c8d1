"""Tables and pictures of what headline.py measured.

    python bench/headline/headline_report.py FOLDER... [--shape llama-8b] [--markdown FILE] [--collect FILE.json]
        [--plot FILE.svg] [--plot-peers FILE.svg]
"""

import argparse
import json
import pathlib
import statistics

from peer_plot import plot_peers
from peer_tables import NAMES, loaded, ttft_of_all
from systems import HITS, SYSTEMS

STEP_S = 0.005  # what a hit may cost beside the link and one decode step


class Results:
    """The cells of one shape, by name: of folders that headline.py wrote, or of files that `--collect` made of them. Where two
    runs have the same cell, the first one's counts."""

    def __init__(self, sources: list[pathlib.Path], shape: str):
        self.cells: dict[str, dict] = {}
        for source in sources:
            self.cells = self._read(source, shape) | self.cells

    @staticmethod
    def _read(source: pathlib.Path, shape: str) -> dict[str, dict]:
        if not source.is_dir():
            return json.loads(source.read_text())
        return {file.stem.removeprefix(f"{shape}-"): json.loads(file.read_text()) for file in source.glob(f"{shape}-*.json")}

    def cell(self, name: str) -> dict | None:
        return self.cells.get(name)

    def ttft(self, name: str) -> list[float]:
        cell = self.cell(name)
        return cell["ttft_s"] if cell else []

    def names(self) -> list[str]:
        return sorted(self.cells)


def middle(values: list[float]) -> str:
    """Median and range, in ms."""
    if not values:
        return ""
    return f"{statistics.median(values) * 1e3:.0f} ({min(values) * 1e3:.0f}-{max(values) * 1e3:.0f})"


def ttft_table(results: Results) -> list[str]:
    """A row for each rate, context and profile: what was measured, the bound, and the ratios that were asked for."""
    lines = [
        "| link, Gbit/s | prompt | recompute, ms | system | its hits, ms | uncompressed, ms | bytes/rate, ms | over bytes/rate + step + 5 ms "
        "| times faster than recompute | fetched for each, ratio |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    step_s = alone_gap(results)
    for rate, tokens, system in rates_and_contexts(results):
        cell = results.cell(f"{system}-ttft-{rate}-{tokens}")
        hits, computed = cell["ttft_s"], results.ttft(f"recompute-ttft-{tokens}")
        moved = cell["moved"]
        gbit = None if rate == "unlimited" else float(rate.removesuffix("gbit"))
        wire_s = moved["wire_bytes"] / len(hits) * 8e-9 / gbit if gbit else None
        ratio = moved["value_bytes"] / max(1, moved["wire_bytes"])
        over = f"{statistics.median(hits) / (wire_s + step_s + STEP_S):.2f}" if wire_s and step_s else ""
        faster = f"{statistics.median(computed) / statistics.median(hits):.2f}" if computed else ""
        lines.append(
            f"| {'none' if gbit is None else f'{gbit:g}'} | {tokens} | {middle(computed)} | {NAMES[system]} | {middle(hits)} "
            f"| {middle(results.ttft(f'uncompressed-ttft-{rate}-{tokens}'))} | {f'{wire_s * 1e3:.0f}' if wire_s else ''} "
            f"| {over} | {faster} | {moved['value_bytes'] / len(hits) / 2**20:.0f} MiB, {ratio:.2f}x |"
        )
    return lines


def rates_and_contexts(results: Results, systems: tuple[str, ...] = HITS) -> list[tuple[str, int, str]]:
    """Of hits through the data plane, slow links first."""
    found = [(rate, int(tokens), system) for name in results.names() for system in systems
             if name.startswith(f"{system}-ttft-") for rate, tokens in [name.removeprefix(f"{system}-ttft-").split("-")]]  # fmt: skip
    order = {rate: float("inf") if rate == "unlimited" else float(rate.removesuffix("gbit")) for rate, _, _ in found}
    return sorted(found, key=lambda each: (order[each[0]], each[1], systems.index(each[2])))


def alone_gap(results: Results) -> float | None:
    """The decode step that a hit needs at least."""
    for name in results.names():
        if "-streams-" in name:
            return results.cells[name]["gaps"]["alone"]["permille_s"][500]
    return None


def streams_table(results: Results) -> list[str]:
    """TPOT of running streams, alone and, in turns with that, while prompts come back to back."""
    lines = [
        "| system | prompts beside | TPOT alone, ms: mean, median, p99 | beside them | ratio: mean | median | p99 "
        "| without prompts' ends: mean | median | p99 | steps with one, ms: median, p99 (of all steps) | others' TTFT, ms | others a second |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for system in SYSTEMS:
        for beside_them in ("nothing", "8192", "16384"):
            cell = results.cell(f"{system}-streams-{beside_them}")
            if cell is None:
                continue
            alone, beside = (figures(cell["gaps"][turn]) for turn in ("alone", "beside"))
            texts = [", ".join(f"{figure * 1e3:.2f}" for figure in each) for each in (alone, beside)]
            ratios = " | ".join(f"{mine / theirs:.3f}" for mine, theirs in zip(beside, alone))
            lines.append(
                f"| {NAMES[system]} | {'nothing (noise)' if beside_them == 'nothing' else f'{beside_them} tokens'} | {texts[0]} | {texts[1]} | {ratios} | {without_tails(cell['gaps'])} | {middle(cell['others_ttft_s'])} "
                f"| {cell['others_per_s']:.1f} |"
            )
    return lines


def without_tails(gaps: dict) -> str:
    """The ratio without the steps that compute the end of a prompt, and those on their own; empty where they were not told apart."""
    if "tails" not in gaps:
        return " | | |"
    ratios = " | ".join(f"{mine / theirs:.3f}" for mine, theirs in zip(figures(gaps["beside_without_tails"]), figures(gaps["alone"])))
    _, median_s, p99_s = figures(gaps["tails"])
    share = gaps["tails"]["count"] / gaps["beside"]["count"]
    return f"{ratios} | {median_s * 1e3:.1f}, {p99_s * 1e3:.1f} ({share:.1%})"


def figures(gaps: dict) -> tuple[float, float, float]:
    """Mean, median and 99th of a hundred, in seconds."""
    return gaps["mean_s"], gaps["permille_s"][500], gaps["permille_s"][990]


def plot(results: Results, file: pathlib.Path) -> None:
    """TTFT against the link's rate, a panel for each context."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    points = [(rate, tokens) for rate, tokens, _ in rates_and_contexts(results, ("shadowserve",)) if rate != "unlimited"]
    contexts = sorted({tokens for _, tokens in points})
    figure, panels = pyplot.subplots(1, len(contexts), figsize=(3.4 * len(contexts), 3.2), squeeze=False)
    for panel, tokens in zip(panels[0], contexts):
        rates = [rate for rate, each in points if each == tokens]
        gbits = [float(rate.removesuffix("gbit")) for rate in rates]
        cells = [results.cell(f"shadowserve-ttft-{rate}-{tokens}") for rate in rates]
        panel.plot(gbits, [statistics.median(cell["ttft_s"]) * 1e3 for cell in cells], "o-", label="ShadowServe")
        bound = [cell["moved"]["wire_bytes"] / len(cell["ttft_s"]) * 8e-6 / gbit for cell, gbit in zip(cells, gbits)]
        panel.plot(gbits, bound, ":", color="grey", label="bytes / rate")
        if computed := results.ttft(f"recompute-ttft-{tokens}"):
            panel.axhline(statistics.median(computed) * 1e3, color="tab:red", label="recompute")
        panel.set(title=f"{tokens:,} tokens", xlabel="link, Gbit/s", xscale="log", ylim=(0, None))
        panel.set_xticks(gbits, [f"{gbit:g}" for gbit in gbits])
    panels[0][0].set_ylabel("time to first token, ms")
    panels[0][0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(file)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("sources", type=pathlib.Path, nargs="+", help="folders that headline.py wrote, or files of --collect")
    arguments.add_argument("--shape", default="llama-8b")
    arguments.add_argument("--markdown", type=pathlib.Path, help="write the tables here; without, to stdout")
    arguments.add_argument("--collect", type=pathlib.Path, help="also put all cells into this file")
    arguments.add_argument("--plot", type=pathlib.Path, help="also draw TTFT against the link's rate")
    arguments.add_argument("--plot-peers", type=pathlib.Path, help="also draw all systems side by side, on a link of 20 Gbit/s")
    chosen = arguments.parse_args()
    results = Results(chosen.sources, chosen.shape)
    if chosen.collect:
        lines = [f"{json.dumps(name)}: {json.dumps(results.cells[name])}" for name in results.names()]
        chosen.collect.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    machine = results.cell("machine") or {}
    lines = [
        "Machine: " + ", ".join(f"{name} {value}" for name, value in machine.items()), "",
        "Time to first token, one request in flight, median (range):", "", *ttft_table(results), "",
        "TPOT of 16 running streams, a prompt at a time beside them, link of 20 Gbit/s:", "", *streams_table(results), "",
        "All systems, time to first token, ms:", "", *ttft_of_all(results), "",
        "Under load:", "", *loaded(results), "",
    ]  # fmt: skip
    text = "\n".join(lines)
    if chosen.markdown:
        chosen.markdown.write_text(text)
    else:
        print(text)
    if chosen.plot:
        plot(results, chosen.plot)
    if chosen.plot_peers:
        plot_peers(results, chosen.plot_peers)


if __name__ == "__main__":
    main()
