"""What a calibration measures of a model: where sinks point, channel means, and how much each channel matters."""

import dataclasses
from collections.abc import Callable, Sequence

import torch

from shadowserve.calibration.language_model import LanguageModel

# Sinks kept of so many tokens: 8 of 1,024. They carry most of the sensitivity of all tokens.
TOKENS_A_SINK = 128


@dataclasses.dataclass
class Excerpt:
    """A calibration text as token ids: a prefix whose KV is looked at, and a suffix whose predictions depend on it."""

    prefix: torch.Tensor
    suffix: torch.Tensor


@dataclasses.dataclass
class Measured:
    """Shapes: L layers, C channels. Keys un-rotated everywhere."""

    sink_keys: torch.Tensor  # [L, C] unit vectors: the first token's key, which keys of sinks resemble
    means: torch.Tensor  # [L, 2, C] without sinks
    fisher: torch.Tensor  # [L, 2, C] squared gradient a scored token and prefix token, without sinks; nats^2 / value^2
    samples: list[torch.Tensor]  # [L, 2, tokens, C] bfloat16: the KV itself, without its first token
    sinks: list[torch.Tensor]  # [L, tokens] bool, as samples


def excerpts(model: LanguageModel, texts: Sequence[str], prefix: int, suffix: int) -> list[Excerpt]:
    """Texts cut into pieces of prefix + suffix tokens, each begun as texts begin; shorter ones keep the proportion."""
    cut = []
    for text in texts:
        tokens = model.tokens(text)
        pieces = max(1, round(len(tokens) / (prefix + suffix)))
        length = len(tokens) // pieces
        for piece in range(pieces):
            part = tokens[piece * length : (piece + 1) * length][: prefix + suffix]
            if piece:
                part[0] = tokens[0]
            boundary = len(part) * prefix // (prefix + suffix)
            if boundary >= 2 * TOKENS_A_SINK:
                cut.append(Excerpt(part[:boundary], part[boundary:]))
    return cut


def find_sinks(keys: torch.Tensor, sink_key: torch.Tensor, sinks: int) -> torch.Tensor:
    """keys [tokens, C] un-rotated -> [tokens] bool: the `sinks` tokens nearest in angle to the sink key."""
    cosine = torch.nn.functional.cosine_similarity(keys, sink_key[None], dim=-1)
    kept = torch.zeros(len(keys), dtype=torch.bool, device=keys.device)
    kept[cosine.topk(min(sinks, len(keys))).indices] = True
    return kept


def measure(
    model: LanguageModel, cut: Sequence[Excerpt], progress: Callable[[int], None] = lambda done: None, seed: int = 1
) -> Measured:
    """One prefill and one backward pass for each excerpt; labels are sampled from the model itself."""
    generator = torch.Generator(device=model.device).manual_seed(seed)
    shape = (model.layers, 2, model.channels)
    total, squares, count = (torch.zeros(shape, dtype=torch.float64) for _ in range(3))
    sink_keys = torch.zeros(model.layers, model.channels)
    samples, sinks = [], []
    for done, excerpt in enumerate(cut):
        rotated = model.prefix_kv(excerpt.prefix)
        kv = model.unrotated(rotated).cpu()
        first = torch.nn.functional.normalize(kv[:, 0, 0], dim=-1)
        wanted = max(1, len(excerpt.prefix) // TOKENS_A_SINK)
        sink = torch.stack([find_sinks(kv[layer, 0, 1:], first[layer], wanted) for layer in range(model.layers)])
        gradient = model.unrotated(_gradient(model, rotated, excerpt.suffix, generator)).cpu()
        ordinary = (~sink)[:, None, :, None].double()
        total += (kv[:, :, 1:] * ordinary).sum(2)
        squares += (gradient[:, :, 1:].double() ** 2 * ordinary).sum(2) / len(excerpt.suffix)
        count += ordinary.sum(2)
        sink_keys += first
        samples.append(kv[:, :, 1:].to(torch.bfloat16))
        sinks.append(sink)
        progress(done + 1)
    normal = torch.nn.functional.normalize(sink_keys, dim=-1)
    return Measured(normal, (total / count).float(), (squares / count).float(), samples, sinks)


def _gradient(model: LanguageModel, kv: torch.Tensor, suffix: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """d(negative log likelihood of labels drawn from the model's own predictions) / d kv, in kv's shape.

    Squared, its expectation is the diagonal of the Fisher matrix: half of it times a squared error is the KL it causes.
    """
    kv = kv.detach().clone().requires_grad_(True)
    logits = model.suffix_logits(kv, suffix)
    with torch.no_grad():
        labels = torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
    loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, kv)
    return gradient
