"""Divides a plane's channels into classes that share a table: channels of like entropy, cut where it costs least."""

import numpy as np

from shadowserve.calibration.frequency_tables import SYMBOLS

CLASSES_MAX = 16  # what a file has room for
CLASSES = 8  # what is made: 16 save 0.5 % of the symbols' bits and cost as much in heads of segments
# A class has whole groups of so many channels, which fill vector registers: 0.4 % of the bits against single channels for
# 16 of 128. Wide planes can afford 32.
GROUP, WIDE_GROUP = 16, 32
# Wide planes have classes of their own for every block of so many channels: a decoder then finds a channel's symbol among
# 256 neighbours.
BLOCK_CHANNELS = 256


def channel_histograms(symbols: np.ndarray) -> np.ndarray:
    """uint8 [tokens, C] -> counts [C, 256]."""
    channels = symbols.shape[1]
    slots = symbols.astype(np.int64) + np.arange(channels) * SYMBOLS
    return np.bincount(slots.ravel(), minlength=channels * SYMBOLS).reshape(channels, SYMBOLS)


def classes_of(histograms: np.ndarray, classes_max: int = CLASSES) -> np.ndarray:
    """counts [C, 256] -> the class of each channel, uint8 [C]. All of 0 .. max are used; within each block of channels the
    first class has the lowest entropy."""
    blocks = block_count(len(histograms))
    classes, made = np.empty(len(histograms), dtype=np.uint8), 0
    for block in np.array_split(np.arange(len(histograms)), blocks):
        classes[block] = made + _block_classes(histograms[block], min(classes_max, CLASSES_MAX // blocks), blocks > 1)
        made = int(classes[block].max()) + 1
    return classes


def block_count(channels: int) -> int:
    return min(max(channels // BLOCK_CHANNELS, 1), CLASSES_MAX // 4)


def _block_classes(histograms: np.ndarray, classes_max: int, wide: bool) -> np.ndarray:
    channels = len(histograms)
    order = np.argsort(_total_bits(histograms.astype(np.float64)), kind="stable")
    group = WIDE_GROUP if wide else GROUP if channels >= CLASSES * GROUP else 1
    begins = np.arange(0, channels, group)
    grouped = np.add.reduceat(histograms[order], begins, axis=0)
    cuts = _best_cuts(_range_costs(grouped), min(classes_max, len(begins)))
    classes = np.empty(channels, dtype=np.uint8)
    for number, (begin, end) in enumerate(zip([0, *cuts], [*cuts, len(begins)])):
        classes[order[begin * group : min(end * group, channels)]] = number
    return classes


def _total_bits(histograms: np.ndarray) -> np.ndarray:
    """Entropy times count of each row."""
    total = histograms.sum(-1)
    logs = np.log2(np.maximum(histograms, 1))
    return total * np.log2(np.maximum(total, 1)) - (histograms * logs).sum(-1)


def _range_costs(grouped: np.ndarray) -> np.ndarray:
    """costs[a, b]: bits of groups a .. b - 1 under one table of exact probabilities."""
    groups = len(grouped)
    sums = np.vstack([np.zeros((1, SYMBOLS)), np.cumsum(grouped, axis=0, dtype=np.float64)])
    costs = np.full((groups + 1, groups + 1), np.inf)
    for begin in range(groups):
        costs[begin, begin + 1 :] = _total_bits(sums[begin + 1 :] - sums[begin])
    return costs


def _best_cuts(costs: np.ndarray, classes: int) -> list[int]:
    """The cuts between `classes` runs of groups with the least sum of costs (dynamic programming)."""
    best, origins = costs[0], []
    for _ in range(classes - 1):
        through = best[:, None] + costs
        origins.append(through.argmin(0))
        best = through.min(0)
    cuts, at = [], len(best) - 1
    for origin in reversed(origins):
        at = int(origin[at])
        cuts.append(at)
    return sorted(cuts)
