"""`python -m shadowserve.calibration.evaluate MODEL`: bytes and answers of every profile, on texts of your choice.

Offline: the KV of a prefix goes through the reference quantizer and back, a forward pass predicts what follows from it,
and the predictions are compared with those from the exact KV.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Callable, Iterator

import torch

from shadowserve.calibration import command, peer_quantizers, reference_quantizer
from shadowserve.calibration.calibrated_model import Calibration
from shadowserve.calibration.calibration_file import load_calibration
from shadowserve.calibration.language_model import LanguageModel
from shadowserve.calibration.progress import Progress

PARTS = ("symbols", "kept_rows", "patches", "frames")
DESCRIPTION = """\
For every text: the model reads the first 1,024 tokens, each profile quantizes their KV cache, and the next 384 tokens
are predicted from it. Shown are the ratio of 16-bit values to everything a record would hold (symbols at their ideal
code length), and the KL divergence of the predictions from those with the exact cache, in nats a token."""


def calibrated(calibration: Calibration, point: int) -> peer_quantizers.Quantizer:
    """The quantizer of one of the calibration's points, a chunk at a time."""

    def quantizer(kv: torch.Tensor, kv_heads: int, head_dim: int):
        size, pieces = reference_quantizer.Size(), []
        for begin in range(0, kv.shape[2], peer_quantizers.CHUNK_TOKENS):
            piece = kv[:, :, begin : begin + peer_quantizers.CHUNK_TOKENS]
            chunk = reference_quantizer.quantize(calibration, point, piece, begin)
            size += reference_quantizer.size_of(calibration, chunk)
            pieces.append(reference_quantizer.dequantize(calibration, chunk).float())
        return torch.cat(pieces, dim=2), size

    return quantizer


def profiles(calibration: Calibration | None) -> dict[str, peer_quantizers.Quantizer]:
    points = {p.name: calibrated(calibration, n) for n, p in enumerate(calibration.points)} if calibration else {}
    return {
        **points,
        "uncalibrated": peer_quantizers.uncalibrated,
        "kv4-and-bins": peer_quantizers.kv4_and_bins,
        "kv4": peer_quantizers.kv4,
        "cachegen": peer_quantizers.cachegen,
        "int8": peer_quantizers.int8,
    }


def measure_text(
    model: LanguageModel, quantizers: dict[str, peer_quantizers.Quantizer], tokens: torch.Tensor, prefix: int
) -> Iterator[dict]:
    """For each profile its name, ratio, KL and the share of equal most likely tokens."""
    kv, suffix = model.prefix_kv(tokens[:prefix]), tokens[prefix:]
    with torch.no_grad():
        exact = model.suffix_logits(kv, suffix).log_softmax(-1)
        for name, quantizer in quantizers.items():
            values, size = quantizer(kv.cpu(), model.kv_heads, model.head_dim)
            values = values.to(model.element).float().to(model.device)
            got = model.suffix_logits(values, suffix).log_softmax(-1)
            yield {
                "profile": name,
                "ratio": size.ratio,
                "kl": float((exact.exp() * (exact - got)).sum(-1).mean()),
                "top1": float((exact.argmax(-1) == got.argmax(-1)).float().mean()),
                "bits": {part: getattr(size, part) / size.values for part in PARTS},
            }


def evaluate(
    model: LanguageModel, calibration: Calibration | None, texts: dict[str, str], prefix: int, suffix: int,
    only: list[str] | None = None, progress: Callable[[str], None] = lambda line: None,
) -> list[dict]:  # fmt: skip
    """One result for each text and profile. Raises ValueError for a text that is too short."""
    quantizers = {name: q for name, q in profiles(calibration).items() if not only or name in only}
    results = []
    for name, text in texts.items():
        tokens = model.tokens(text)
        if len(tokens) < prefix + suffix:
            raise ValueError(f"{name} has {len(tokens)} tokens, fewer than {prefix} + {suffix}")
        for result in measure_text(model, quantizers, tokens[: prefix + suffix], prefix):
            results.append({"text": name, **result})
            progress(f"{name}: {result['profile']} {result['ratio']:.2f}x, KL {result['kl']:.4f}")
    return results


def table(results: list[dict]) -> str:
    """Markdown: a row for each profile, a column for each text; ratio at KL."""
    texts = list(dict.fromkeys(result["text"] for result in results))
    lines = ["| profile | mean ratio | mean KL | worst KL | top-1 | " + " | ".join(texts) + " |"]
    lines.append("| --- " * (5 + len(texts)) + "|")
    for profile in dict.fromkeys(result["profile"] for result in results):
        rows = [result for result in results if result["profile"] == profile]
        ratio, kl, top1 = (sum(row[key] for row in rows) / len(rows) for key in ("ratio", "kl", "top1"))
        worst = max(row["kl"] for row in rows)
        cells = " | ".join(f"{row['ratio']:.2f} at {row['kl']:.4f}" for row in rows)
        lines.append(f"| {profile} | {ratio:.2f} | {kl:.4f} | {worst:.4f} | {top1:.3f} | {cells} |")
    return "\n".join(lines)


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m shadowserve.calibration.evaluate", description=DESCRIPTION)
    parser.add_argument("model", metavar="MODEL", help="folder of a transformers model")
    parser.add_argument("--text", nargs="+", metavar="FILE", required=True, help="texts, not those of the calibration")
    parser.add_argument("--calibration", metavar="FILE", help="its calibration; without one only peers")
    parser.add_argument("--profile", nargs="+", metavar="NAME", help="only these: near, far, kv4 ...")
    parser.add_argument("--prefix-tokens", type=int, default=1024, metavar="N", help="of quantized KV (default: 1024)")
    parser.add_argument("--suffix-tokens", type=int, default=384, metavar="N", help="predicted (default: 384)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--json", metavar="FILE", help="also write all results here")
    return parser.parse_args(argv)


def compare(chosen: argparse.Namespace) -> str:
    """Returns the table of all texts and profiles. Raises ValueError or OSError with a sentence."""
    progress = Progress(sys.stderr)
    calibration = load_calibration(chosen.calibration) if chosen.calibration else None
    texts = {pathlib.Path(path).name: pathlib.Path(path).read_text(encoding="utf-8") for path in chosen.text}
    progress.say("loading the model")
    model = LanguageModel.load(chosen.model, chosen.device)
    sizes = (chosen.prefix_tokens, chosen.suffix_tokens)
    results = evaluate(model, calibration, texts, *sizes, chosen.profile, progress.say)
    progress.clear()
    if chosen.json:
        pathlib.Path(chosen.json).write_text(json.dumps(results, indent=1) + "\n")
    return table(results)


def main(argv: list[str] | None = None) -> int:
    chosen = arguments(argv)
    return command.run("evaluate", lambda: compare(chosen), "interrupted")


if __name__ == "__main__":
    sys.exit(main())
