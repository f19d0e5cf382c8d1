"""`python -m shadowserve.calibration MODEL`: measures a model and writes its calibration file."""

import argparse
import pathlib
import sys
import time

from shadowserve.calibration import command
from shadowserve.calibration.builtin_texts import builtin_texts
from shadowserve.calibration.progress import Progress

DESCRIPTION = """\
Measures how much each channel of a model's KV cache matters, and writes a calibration file: what ShadowServe needs to
store that cache at 6 to 13 times fewer bytes, at qualities named near, balanced and far. It is done once for a model,
offline; the engines then share the file.

For every piece of text the model reads 1,024 tokens, predicts the next 384, and the gradient of those predictions in
every key and value of the cache is squared and summed up. Nothing is trained, and the model's folder is only read."""
EPILOG = """\
examples:
  python -m shadowserve.calibration models/gemma3-270m
  python -m shadowserve.calibration models/llama-8b --device cuda --out llama-8b.cal
  python -m shadowserve.calibration models/gemma3-270m --text mails/*.txt    (your own traffic, not the built-in text)

The built-in text is prose, source code, chat and several languages. Text of your own helps where your traffic is
unlike all of these; 20 pages are enough. How good it became: python -m shadowserve.calibration.evaluate --help"""


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m shadowserve.calibration", description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("model", metavar="MODEL", help="folder of a transformers model")
    parser.add_argument("--text", nargs="+", metavar="FILE", help="text files instead of the built-in text")
    parser.add_argument("--out", metavar="FILE", help="where it goes (default: MODEL's name with .cal, here)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--prefix-tokens", type=int, default=1024, metavar="N", help="read at a time (default: 1024)")
    parser.add_argument("--suffix-tokens", type=int, default=384, metavar="N", help="then predicted (default: 384)")
    chosen = parser.parse_args(argv)
    if chosen.prefix_tokens < 256 or chosen.suffix_tokens < 16:
        parser.error("at least 256 tokens have to be read and 16 predicted at a time")
    return chosen


def calibrate(chosen: argparse.Namespace) -> str:
    """Returns what was done, for a person. Raises ValueError or OSError with a sentence."""
    texts = [pathlib.Path(path).read_text(encoding="utf-8") for path in chosen.text or []] or builtin_texts()
    out = pathlib.Path(chosen.out or pathlib.Path(chosen.model).resolve().name + ".cal")
    if not out.resolve().parent.is_dir():
        raise ValueError(f"there is no folder {out.resolve().parent} for the calibration")
    began, progress = time.monotonic(), Progress(sys.stderr)
    progress.say("loading torch and the model")
    from shadowserve import _native
    from shadowserve.calibration import calibration_file, fitting, sensitivity
    from shadowserve.calibration.language_model import LanguageModel

    model = LanguageModel.load(chosen.model, chosen.device)
    fingerprint = bytes.fromhex(_native.model_fingerprint(chosen.model))
    cut = sensitivity.excerpts(model, texts, chosen.prefix_tokens, chosen.suffix_tokens)
    if not cut:
        raise ValueError(f"the text is too short: no piece of it has {2 * sensitivity.TOKENS_A_SINK} tokens to read")
    progress.say(f"measuring {len(cut)} pieces of text")
    measured = sensitivity.measure(model, cut, lambda done: progress.count(done, len(cut)))
    progress.say("fitting channel classes and tables")
    calibration = fitting.fit(model, measured, fingerprint)
    data = calibration_file.write_calibration(calibration)
    unfinished = out.with_name(out.name + ".part")
    unfinished.write_bytes(data)
    unfinished.replace(out)
    progress.clear()
    return (
        f"{out}: {len(data):,} bytes, {calibration.layers} layers x {calibration.channels} channels, "
        f"{len(calibration.tables)} tables, from {len(cut)} pieces of text in {time.monotonic() - began:.0f} s\n"
        f"hash {calibration_file.calibration_hash(data).hex()}"
    )


def main(argv: list[str] | None = None) -> int:
    chosen = arguments(argv)
    return command.run("calibration", lambda: calibrate(chosen), "interrupted: nothing was written")


if __name__ == "__main__":
    sys.exit(main())
