"""Tables can be used by the coder, stay near the entropy, and code whatever comes."""

import numpy as np
import pytest

from shadowserve.calibration.channel_classes import (
    CLASSES,
    CLASSES_MAX,
    GROUP,
    WIDE_GROUP,
    channel_histograms,
    classes_of,
)
from shadowserve.calibration.frequency_tables import FrequencyTable, entropy, fit_table, shared_tables

pytestmark = pytest.mark.quick


def laplacian(width: float, total: int = 100_000) -> np.ndarray:
    shares = np.exp(-np.abs(np.arange(256) - 128) / width)
    return np.round(total * shares / shares.sum())


@pytest.mark.parametrize("width", [0.15, 0.3, 0.5, 1.0, 2.0, 4.0, 8.0])
def test_a_table_is_valid_and_near_the_entropy(width):
    counts = laplacian(width)
    table = fit_table(counts)
    assert table.problem() is None
    mean_bits = float((counts * table.bits()).sum() / counts.sum())
    # Alphabets wider than 31 symbols pay for their escapes.
    allowed = 0.03 + 0.02 * entropy(counts) if width < 4 else 1.5
    assert 0 <= mean_bits - entropy(counts) < allowed


def test_one_symbol_alone_gets_a_table():
    counts = np.zeros(256)
    counts[255] = 10
    table = fit_table(counts)
    assert table.problem() is None
    assert table.bits()[255] < 0.02 and np.isfinite(table.bits()).all()


def test_every_symbol_can_be_coded():
    assert np.isfinite(fit_table(laplacian(0.2)).bits()).all()


@pytest.mark.parametrize(
    "base, frequencies",
    [(0, (128,)), (0, (64, 63)), (0, (128, 0)), (0, (127, 1, 0)), (250, (64, *[7] * 9, 1)), (0, (*[4] * 32, 0))],
)
def test_tables_a_coder_could_not_use(base, frequencies):
    assert FrequencyTable(base, frequencies).problem() is not None


def test_shared_tables_lose_little():
    histograms = np.stack([laplacian(width) for width in np.geomspace(0.3, 3, 60)])
    tables, chosen = shared_tables(histograms, 12)
    assert len(tables) <= 12 and chosen.max() < len(tables)
    shared = sum(float(h @ tables[n].bits()) for h, n in zip(histograms, chosen))
    own = sum(float(h @ fit_table(h).bits()) for h in histograms)
    assert shared < 1.02 * own


def test_classes_gather_channels_of_like_entropy():
    random = np.random.default_rng(3)
    widths = random.permutation(np.geomspace(0.2, 20, 256))
    symbols = np.clip(np.round(random.normal(0, widths, (300, 256))) + 128, 1, 255).astype(np.uint8)
    histograms = channel_histograms(symbols)
    assert histograms.sum() == symbols.size
    classes = classes_of(histograms)
    counts = np.bincount(classes)
    assert len(counts) == CLASSES and (counts % GROUP == 0).all() and (counts > 0).all()
    means = [widths[classes == number].mean() for number in range(CLASSES)]
    assert means == sorted(means)
    divided = sum(entropy(histograms[classes == n].sum(0)) * 300 * counts[n] for n in range(CLASSES))
    # A control: classes that ignore the widths gain nothing.
    mixed = sum(entropy(histograms[n::CLASSES].sum(0)) * 300 * 256 / CLASSES for n in range(CLASSES))
    assert divided < 0.9 * mixed


def test_wide_planes_have_classes_for_every_256_channels():
    random = np.random.default_rng(4)
    widths = random.permutation(np.geomspace(0.2, 20, 1024))
    symbols = np.clip(np.round(random.normal(0, widths, (200, 1024))) + 128, 1, 255).astype(np.uint8)
    classes = classes_of(channel_histograms(symbols))
    counts = np.bincount(classes)
    assert len(counts) == CLASSES_MAX and (counts % WIDE_GROUP == 0).all() and (counts > 0).all()
    for block in range(4):
        channels = slice(256 * block, 256 * block + 256)
        assert set(classes[channels]) == set(range(4 * block, 4 * block + 4))
        means = [widths[channels][classes[channels] == number].mean() for number in sorted(set(classes[channels]))]
        assert means == sorted(means)
