"""All systems side by side on a link of 20 Gbit/s: first tokens, what hits do to running streams, requests a second."""

import pathlib
import statistics

from peer_tables import NAMES
from systems import SYSTEMS

LINK = "20gbit"
COLORS = {"recompute": "tab:red", "shadowserve": "tab:green", "generic": "tab:purple", "near": "tab:pink", "balanced": "darkgreen",
          "shadowserve-direct": "yellowgreen", "balanced-direct": "teal", "shadowserve-kernel": "olivedrab", "balanced-kernel": "seagreen", "synchronous": "black",
          "gpu-ans": "tab:blue", "gpu-deflate": "tab:cyan",
          "lmcache": "tab:orange", "lmcache-async": "tab:olive", "uncompressed": "tab:grey", "lmcache-raw": "tab:brown"}  # fmt: skip


def plot_peers(results, file: pathlib.Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, (first, streams, load) = pyplot.subplots(1, 3, figsize=(13, 3.8))
    draw_first_tokens(results, first)
    bars(streams, "8k hits beside 16 streams", "mean TPOT over TPOT alone", {
        system: cell["gaps"]["beside"]["mean_s"] / cell["gaps"]["alone"]["mean_s"]
        for system in SYSTEMS if (cell := results.cell(f"{system}-streams-8192"))
    })  # fmt: skip
    streams.set_xscale("log")
    streams.axvline(1, color="black", linewidth=0.8)
    bars(load, "full load, 8k prompts, 32 tokens out", "requests a second", {
        system: cell["ended_per_s"]
        for system in SYSTEMS if (cell := closed(results, system))
    })  # fmt: skip
    figure.tight_layout()
    figure.savefig(file)


def closed(results, system: str) -> dict | None:
    prefix = f"{system}-closed-" + ("" if system == "recompute" else f"{LINK}-")
    return next((results.cells[name] for name in results.names() if name.startswith(prefix)), None)


def draw_first_tokens(results, panel) -> None:
    for system in SYSTEMS:
        label = "" if system == "recompute" else f"{LINK}-"
        prefix = f"{system}-ttft-{label}"
        found = {int(rest): results.ttft(prefix + rest) for name in results.names() if name.startswith(prefix) and (rest := name.removeprefix(prefix)).isdigit()}
        contexts = sorted(found)
        if contexts:
            panel.plot(contexts, [statistics.median(found[each]) * 1e3 for each in contexts], "o-", color=COLORS[system], label=NAMES[system])
    panel.set(title="one request, link of 20 Gbit/s", xlabel="prompt, tokens", ylabel="time to first token, ms", xscale="log", yscale="log")
    ticks = sorted({int(name.rsplit("-", 1)[1]) for name in results.names() if "-ttft-" in name})
    panel.set_xticks(ticks, [f"{each // 1024}k" for each in ticks], minor=False)
    panel.set_xticks([], minor=True)
    panel.set_ylim(top=panel.get_ylim()[1] * 8)  # room for the legend
    panel.legend(frameon=False, fontsize=6.5, ncols=2, handlelength=1, columnspacing=1)


def bars(panel, title: str, label: str, values: dict[str, float]) -> None:
    systems = list(values)[::-1]
    panel.barh([NAMES[each] for each in systems], [values[each] for each in systems], color=[COLORS[each] for each in systems])
    for row, system in enumerate(systems):
        panel.text(values[system], row, f" {values[system]:.2f}", va="center", fontsize=8)
    panel.set(title=title, xlabel=label)
    panel.margins(x=0.2)
