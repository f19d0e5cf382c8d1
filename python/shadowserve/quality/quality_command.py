"""`shadowserve quality MODEL` (python -m shadowserve.quality.quality_command): what codec profiles cost, on the real path."""

import argparse
import contextlib
import importlib.util
import json
import os
import pathlib
import signal
import sys
import tempfile
from collections.abc import Iterator

from shadowserve.calibration import command
from shadowserve.calibration.progress import Progress
from shadowserve.quality import engine_noise, plane_process, text_pieces
from shadowserve.quality.quality_arguments import CALIBRATED, CHUNK_TOKENS, arguments

BATCH_TOKENS = 2048
KV_CACHE_GIB = 2


def prepare_environment(model: str, engine_cores: list[int], verbose: bool) -> None:
    """Before torch or vLLM is imported: they read these variables once. What somebody has set stays."""
    if "torch" in sys.modules:
        raise RuntimeError("torch was imported too early: it has more threads than the engine has cores")
    cores = ",".join(map(str, engine_cores))
    for name, value in {
        "VLLM_CPU_KVCACHE_SPACE": str(KV_CACHE_GIB), "VLLM_CPU_OMP_THREADS_BIND": cores,
        "OMP_NUM_THREADS": str(len(engine_cores)), "VLLM_NO_USAGE_STATS": "1", "TOKENIZERS_PARALLELISM": "false",
        "VLLM_LOGGING_LEVEL": "INFO" if verbose else "WARNING",
    }.items():  # fmt: skip
        os.environ.setdefault(name, value)
    if pathlib.Path(model).is_dir():
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


@contextlib.contextmanager
def running_engine(
    chosen: argparse.Namespace, folder: pathlib.Path, cores: tuple[list[int], list[int]], tokens_max: int
) -> Iterator:
    """A data plane and an engine, both gone afterwards."""
    with contextlib.ExitStack() as stack:
        socket = chosen.socket
        if socket is None:
            plane = chosen.plane_command or plane_process.shadowserve_command()
            store = chosen.store or plane_process.memory_store()
            socket = stack.enter_context(plane_process.own_plane(folder, plane, store, cores[1]))
        os.sched_setaffinity(0, cores[0])
        from shadowserve.quality.measured_engine import MeasuredEngine

        engine = MeasuredEngine(
            chosen.model, socket, tokens_max=tokens_max, batch_tokens=BATCH_TOKENS, calibration=chosen.calibration
        )
        stack.callback(engine.stop)
        yield engine


def measured(chosen: argparse.Namespace) -> str:
    """Returns the tables. Raises ValueError or OSError with a sentence."""
    if importlib.util.find_spec("vllm") is None:
        raise ValueError(f"{sys.executable} has no vLLM: run the `shadowserve` of the environment that serves models")
    with tempfile.TemporaryDirectory(prefix="shadowserve-quality-") as made, contextlib.ExitStack() as stack:
        folder = pathlib.Path(made)
        log = folder / "engine.log"
        people = sys.stderr if chosen.verbose else stack.enter_context(engine_noise.into_file(log))
        progress = Progress(people)
        try:
            return _measured(chosen, folder, progress)
        except (ValueError, OSError, KeyboardInterrupt):
            raise
        except Exception as error:
            raise ValueError(f"{error}\nthe last lines of the engine's log:\n{engine_noise.last_lines(log)}") from error


def _measured(chosen: argparse.Namespace, folder: pathlib.Path, progress: Progress) -> str:
    progress.say("reading the texts")
    cores = plane_process.engine_and_plane_cores()
    prepare_environment(chosen.model, cores[0], chosen.verbose)
    tokenizer = text_pieces.load_tokenizer(chosen.model)
    texts = text_pieces.read_texts(chosen.text) if chosen.text else text_pieces.default_texts()
    prefix = chosen.long // CHUNK_TOKENS * CHUNK_TOKENS if chosen.long else chosen.prefix_tokens
    suffix = CHUNK_TOKENS - 1 if chosen.long else chosen.suffix_tokens
    if suffix > BATCH_TOKENS:
        raise ValueError(f"--suffix-tokens is {suffix}; the engine computes at most {BATCH_TOKENS} at once")
    pieces = text_pieces.pieces_of(tokenizer, texts, prefix + suffix, chosen.pieces)

    progress.say("starting vLLM and a data plane")
    with running_engine(chosen, folder, cores, prefix + suffix + chosen.continuation_tokens + 1) as engine:
        from shadowserve.quality import measuring

        calibrated = frozenset(chosen.profiles) & frozenset(CALIBRATED)
        plan = measuring.Plan(chosen.profiles, calibrated, chosen.peers, chosen.continuation_tokens)
        places = len(measuring.drift_places(prefix)) if chosen.long else 1
        steps, done = measuring.steps(plan, len(pieces), places), 0
        progress.say(f"measuring {len(pieces)} pieces of text")

        def step(what: str) -> None:
            nonlocal done
            progress.what = what
            done += 1
            progress.count(done, steps)

        measure = measuring.measure_drift if chosen.long else measuring.measure
        rows = measure(engine, plan, pieces, prefix, step)
    progress.clear()
    return _told(chosen, plan, rows, prefix, suffix)


def _told(chosen: argparse.Namespace, plan, rows, prefix: int, suffix: int) -> str:
    """Writes the files that were asked for, and returns the tables."""
    from shadowserve import _native
    from shadowserve.quality import quality_plot, summary

    model = pathlib.Path(chosen.model).resolve().name if pathlib.Path(chosen.model).is_dir() else chosen.model
    title = f"{model}: {len(summary.texts_of(rows))} texts, {prefix:,} tokens fetched, {suffix} predicted"
    if chosen.json:
        facts = {"model": model, "prefix_tokens": prefix, "suffix_tokens": suffix, "shadowserve": _native.version()}
        pathlib.Path(chosen.json).write_text(json.dumps(summary.report(rows, plan, facts), indent=1) + "\n")
    table = summary.drift_table(rows, plan) if chosen.long else summary.quality_table(rows, plan)
    if chosen.plot and chosen.long:
        pathlib.Path(chosen.plot).write_text(quality_plot.drift_svg(rows, plan, title))
    elif chosen.plot:
        pathlib.Path(chosen.plot).write_text(quality_plot.frontier_svg(summary.summarize(rows, plan), title))
    exact = all(row.comparison.kl_mean == 0 for row in rows if row.profile == "raw")
    note = "" if exact else "\nraw fetched twice gave different predictions: so much of every KL is the engine's own"
    return f"{title}\n\n{table}{note}"


def _terminated(number: int, frame) -> None:
    raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> int:
    chosen = arguments(argv)
    signal.signal(signal.SIGTERM, _terminated)
    return command.run("quality", lambda: measured(chosen), "interrupted: the engine and its data plane are stopped")


if __name__ == "__main__":
    sys.exit(main())
