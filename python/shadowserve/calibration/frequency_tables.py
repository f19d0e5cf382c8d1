"""Static tables for the rANS coder of records (docs/formats/rans.md): 128 slots, at most 31 symbols and an escape.

A symbol here is a byte, 128 + number of steps. A table that is made before the symbols are known always has an escape.
"""

import dataclasses

import numpy as np

SLOTS = 128
ENTRIES_MAX = 32
SYMBOLS = 256
LITERAL_BITS = 8


@dataclasses.dataclass(frozen=True)
class FrequencyTable:
    """Symbols base, base + 1, ... have these frequencies; the last entry is the escape. The sum is SLOTS."""

    base: int
    frequencies: tuple[int, ...]

    def problem(self) -> str | None:
        """Why a coder could not use the table, or None."""
        if not 2 <= len(self.frequencies) <= ENTRIES_MAX:
            return f"{len(self.frequencies)} entries"
        if not 0 <= self.base <= SYMBOLS - (len(self.frequencies) - 1):
            return f"symbols from {self.base} that end behind {SYMBOLS - 1}"
        if sum(self.frequencies) != SLOTS or not all(0 <= f < SLOTS for f in self.frequencies):
            return f"frequencies that sum up to {sum(self.frequencies)}"
        if self.frequencies[-1] == 0:
            return "an escape without a slot"
        return None

    def bits(self) -> np.ndarray:
        """[256] bits each symbol takes, literals included."""
        slots = np.array(self.frequencies, dtype=np.float64)
        bits = np.full(SYMBOLS, np.log2(SLOTS / slots[-1]) + LITERAL_BITS)
        direct = np.flatnonzero(slots[:-1])
        bits[self.base + direct] = np.log2(SLOTS / slots[direct])
        return bits


def fit_table(counts: np.ndarray) -> FrequencyTable:
    """counts [256] of how often each symbol occurs (at least one does) -> a table with nearly the fewest bits."""
    counts = counts.astype(np.float64)
    total = counts.sum()
    # An entry takes a slot at least: below half a slot the escape is cheaper, and its rarity hides in the rest.
    wanted = np.flatnonzero(counts >= total / SLOTS / 2)
    first, last = int(wanted[0]), int(wanted[-1])
    while last - first + 1 > ENTRIES_MAX - 1:
        first, last = (first + 1, last) if counts[first] < counts[last] else (first, last - 1)
    inside = counts[first : last + 1]
    weights = np.append(inside, max(total - inside.sum(), total * 1e-4))
    return FrequencyTable(first, tuple(int(f) for f in _shared_out(weights)))


def _shared_out(weights: np.ndarray) -> np.ndarray:
    """SLOTS in proportion to weights, one at least where the weight is not 0, none beyond SLOTS - 1."""
    floor = (weights > 0).astype(np.int64)
    slots = np.clip(np.rint(weights * SLOTS / weights.sum()).astype(np.int64), floor, SLOTS - 1)
    while (surplus := slots.sum() - SLOTS) != 0:
        step = -1 if surplus > 0 else 1
        allowed = slots > floor if surplus > 0 else (slots < SLOTS - 1) & (slots > 0)
        gain = np.where(allowed, weights * np.log2(np.maximum(slots + step, 1) / np.maximum(slots, 1)), -np.inf)
        slots[gain.argmax()] += step
    return slots


def shared_tables(histograms: np.ndarray, tables_max: int, rounds: int = 6) -> tuple[list[FrequencyTable], np.ndarray]:
    """histograms [n, 256] -> at most tables_max tables, and which of them each histogram uses: int [n].

    Begins with histograms of like entropy together, then lets each choose the table that codes it in the fewest bits.
    """
    order = np.argsort([entropy(histogram) for histogram in histograms], kind="stable")
    chosen = np.empty(len(histograms), dtype=np.int64)
    chosen[order] = np.arange(len(order)) * min(tables_max, len(order)) // len(order)
    for _ in range(rounds):
        numbers = np.unique(chosen)
        tables = [fit_table(histograms[chosen == number].sum(0)) for number in numbers]
        costs = histograms @ np.stack([table.bits() for table in tables]).T
        chosen = costs.argmin(1)
    used = np.unique(chosen)
    return [tables[number] for number in used], np.searchsorted(used, chosen)


def entropy(counts: np.ndarray) -> float:
    """Bits a symbol, of counts that are not all 0."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())
