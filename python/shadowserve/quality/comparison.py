"""How far the predictions of two runs are apart, position by position, and what that is in the mean."""

import dataclasses
import math
import random
import statistics
from collections.abc import Callable, Sequence

import torch

POSITIONS_AT_ONCE = 64
"""Log probabilities of so many positions are in memory at a time: a vocabulary of 262,144 makes 64 MiB of them."""
RESAMPLES = 10_000


@dataclasses.dataclass
class Comparison:
    """A list has one entry for each predicted position of the suffix; nats everywhere."""

    kl: list[float]
    """KL(reference || other)."""
    same_top: list[bool]
    """The most likely token is the same."""
    loss: list[float]
    """-log p of the token that follows in the text: one entry fewer, for behind the last position nothing follows."""
    reference_loss: list[float]

    @property
    def kl_mean(self) -> float:
        return statistics.fmean(self.kl)

    @property
    def kl_error(self) -> float:
        """One standard error of kl_mean, over positions as if they were independent."""
        return statistics.stdev(self.kl) / math.sqrt(len(self.kl))

    @property
    def top1(self) -> float:
        return statistics.fmean(self.same_top)


def compare(
    log_probs: Callable[[torch.Tensor], torch.Tensor], reference: torch.Tensor, other: torch.Tensor, tokens: Sequence[int]
) -> Comparison:
    """reference, other: hidden states [positions, width] of the suffix `tokens` in both runs; log_probs turns some of
    them into [positions, vocabulary] in float32. Raises ValueError for predictions that are not numbers."""
    if not len(reference) == len(other) == len(tokens):
        raise ValueError(f"{len(reference)} and {len(other)} predictions for {len(tokens)} tokens")
    done = Comparison([], [], [], [])
    for begin in range(0, len(tokens), POSITIONS_AT_ONCE):
        part = slice(begin, begin + POSITIONS_AT_ONCE)
        expected, got = log_probs(reference[part]), log_probs(other[part])
        done.kl += divergence(expected, got).tolist()
        done.same_top += (expected.argmax(-1) == got.argmax(-1)).tolist()
        follows = torch.tensor(tokens[begin + 1 : begin + 1 + POSITIONS_AT_ONCE], device=got.device)[:, None]
        done.loss += (-got[: len(follows)].gather(1, follows)[:, 0]).tolist()
        done.reference_loss += (-expected[: len(follows)].gather(1, follows)[:, 0]).tolist()
    return done


def divergence(expected: torch.Tensor, got: torch.Tensor) -> torch.Tensor:
    """KL(expected || got) of log probabilities [positions, vocabulary] -> [positions], nats. ValueError for NaN."""
    kl = (expected.exp() * (expected - got)).sum(-1, dtype=torch.float64)
    if kl.isnan().any():
        # Tokens that a model excludes have -inf in both, and add nothing. Only looked at here: it costs a pass or two.
        kl = (expected.exp() * (expected - got).masked_fill(expected == -math.inf, 0.0)).sum(-1, dtype=torch.float64)
    if kl.isnan().any():
        raise ValueError("the engine predicts NaN")
    return kl.clamp(min=0)  # below by rounding, where both are nearly the same


def equal_beginning(one: Sequence[int], other: Sequence[int]) -> int:
    """Tokens before the first that differs."""
    return next((n for n, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))


def bootstrap_interval(values: Sequence[float], seed: int = 1) -> tuple[float, float] | None:
    """95 % of the means of resamples of `values` lie in it; None for fewer than two values."""
    if len(values) < 2:
        return None
    source = random.Random(seed)
    means = sorted(statistics.fmean(source.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return means[RESAMPLES * 25 // 1000], means[RESAMPLES * 975 // 1000 - 1]
