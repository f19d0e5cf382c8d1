"""What KV that arrives costs an engine that computes: a step's time while values are delivered, over the step alone.

    python bench/interference/interference.py --out FILE.json [--programs build/dev/bench] [--rates 5,10,20]

Needs a CUDA GPU, torch, the programs of bench/ (cmake -DSHADOWSERVE_BENCH=ON) and, for the GPU's own decompression, nvCOMP.
Alone and beside take turns in windows of a second, so that both see the same machine.
"""

import argparse
import json
import pathlib
import statistics
import sys

import torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "peers")]

from compute import KV_HEADS, works  # noqa: E402
from delivery import DirectPages, Dma, DmaAndScatter, DmaInPieces, DmaIntoPages, Idle, Staging  # noqa: E402


def deliveries(programs: pathlib.Path, cores: str) -> list:
    staging = Staging(programs)
    dma = Dma(programs, staging, cores)
    made = [
        Idle(), DmaAndScatter(dma, staging), DirectPages(programs), DirectPages(programs, KV_HEADS // 2),
        dma, DmaInPieces(programs, staging, cores), DmaIntoPages(programs, staging, cores),
    ]  # fmt: skip
    try:
        from gpu_decompression import GpuDecompression

        made += [GpuDecompression("ans"), GpuDecompression("deflate")]
    except (ImportError, OSError) as missing:
        print(f"without the GPU's own decompression: {missing}", flush=True)
    return made


def percentile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(part * len(ordered)))]


def measure(work, delivery, gb_per_s: float, windows: int, window_s: float) -> dict:
    """Steps alone and beside deliveries, in turns."""
    alone_s, beside_s, moved, moved_s = [], [], 0, 0.0
    for _ in range(windows):
        alone_s += work.steps(window_s)
        delivery.start(gb_per_s)
        beside_s += work.steps(window_s)
        count, seconds = delivery.stop()
        moved, moved_s = moved + count, moved_s + seconds
        torch.cuda.synchronize()
    figures = {"mean": statistics.fmean, "median": statistics.median, "p99": lambda each: percentile(each, 0.99)}
    ratios = {name: of(beside_s) / of(alone_s) for name, of in figures.items()}
    alone = {f"alone_{name}_s": of(alone_s) for name, of in figures.items()}
    return {"reached_gb_per_s": moved / moved_s / 1e9, "steps": len(beside_s), **ratios, **alone}


def table(cells: list[dict]) -> str:
    lines = [
        "| work | delivered by | asked, GB/s | reached | step over alone: mean | median | p99 | alone, ms |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for cell in cells:
        asked = f"{cell['gb_per_s']:g}" if cell["gb_per_s"] else "as fast as it goes"
        lines.append(
            f"| {cell['work']} | {cell['delivery']} | {asked} | {cell['reached_gb_per_s']:.1f} | {cell['mean']:.3f} | {cell['median']:.3f} "
            f"| {cell['p99']:.3f} | {cell['alone_median_s'] * 1e3:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--out", type=pathlib.Path, required=True, help="all figures as JSON")
    arguments.add_argument("--programs", type=pathlib.Path, default=pathlib.Path("build/dev/bench"), help="folder of gpu_deliverer and libss_scatter.so")
    arguments.add_argument("--rates", default="5,10,20,0", help="GB/s of delivered values; 0: as fast as it goes")
    arguments.add_argument("--windows", type=int, default=3, help="of each kind, for each figure")
    arguments.add_argument("--window-seconds", type=float, default=0.5)
    arguments.add_argument("--cores", default="10-13", help="of the data plane's side")
    chosen = arguments.parse_args()
    cells = []
    all_works = works()
    made = deliveries(chosen.programs, chosen.cores)
    for name, work in all_works.items():
        work.steps(1)
        for delivery in made:
            for gb_per_s in [float(each) for each in chosen.rates.split(",")]:
                if isinstance(delivery, Idle) and gb_per_s != float(chosen.rates.split(",")[0]):
                    continue
                figures = measure(work, delivery, gb_per_s, chosen.windows, chosen.window_seconds)
                cells.append({"work": name, "delivery": delivery.name, "gb_per_s": gb_per_s} | figures)
                print(table(cells[-1:]).splitlines()[-1], flush=True)
    for delivery in made:
        delivery.close()
    about = {"gpu": torch.cuda.get_device_name(0), "torch": torch.__version__}
    chosen.out.write_text(json.dumps({"machine": about, "cells": cells}, indent=1))
    print(table(cells))


if __name__ == "__main__":
    main()
