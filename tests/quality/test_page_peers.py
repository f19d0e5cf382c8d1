"""Peers: what they keep of values, and every byte they take."""

import pytest
import torch

from shadowserve.quality.page_peers import PEERS

pytestmark = pytest.mark.quick

LAYERS, TOKENS, HEADS, DIM = 3, 256, 2, 64


@pytest.fixture
def values() -> torch.Tensor:
    """Channels of unequal width, as keys have them."""
    random = torch.Generator().manual_seed(3)
    widths = torch.rand(HEADS * DIM, generator=random) * 4 + 0.1
    made = torch.randn(LAYERS, 2, TOKENS, HEADS * DIM, generator=random) * widths
    return made.bfloat16().float()


def error(values: torch.Tensor, name: str) -> float:
    got, _ = PEERS[name](values, HEADS)
    return float((got - values).pow(2).mean().sqrt() / values.pow(2).mean().sqrt())


def test_bytes_of_every_peer(values):
    count = values.numel()
    takes = {name: peer(values, HEADS)[1] for name, peer in PEERS.items()}
    assert takes == {
        "kivi4": count * 5 // 8,  # 4 bits, and 32 bits for each group of 32
        "kivi2": count * 3 // 8,
        "int8-plain": count + 2 * LAYERS * 2 * TOKENS * HEADS,
        "fp8": count,
        "fp8-scaled": count + 4 * LAYERS * 2,
        "last-bit": 2 * count,
        "turned": 2 * count,
    }


def test_more_bits_lose_less(values):
    assert error(values, "int8-plain") < error(values, "kivi4") < error(values, "kivi2") < 0.5
    assert error(values, "last-bit") < 0.005 < error(values, "fp8") < 0.04
    assert error(values, "turned") > 0.5


@pytest.mark.parametrize("name", [name for name in PEERS if name not in ("last-bit", "turned")])
def test_zeros_stay_zeros(name):
    zeros = torch.zeros(1, 2, 64, 64)
    assert torch.equal(PEERS[name](zeros, 1)[0], zeros)


def test_kivi_groups_keys_by_channel_and_values_by_token():
    """One large number spoils its own group: the 32 tokens around it in K, the 32 channels around it in V."""
    values = torch.rand(1, 2, 64, 64)
    values[0, :, 40, 40] = 1000.0
    wrong = (PEERS["kivi4"](values, 1)[0] - values).abs() > 0.05
    assert wrong[0, 0, 32:, 40].sum() > 20 and not wrong[0, 0, :32].any() and wrong[0, 0].sum() == wrong[0, 0, :, 40].sum()
    assert wrong[0, 1, 40, 32:].sum() > 20 and not wrong[0, 1, :, :32].any() and wrong[0, 1].sum() == wrong[0, 1, 40].sum()


def test_kivi_refuses_groups_that_do_not_fit():
    with pytest.raises(ValueError, match="groups of 32"):
        PEERS["kivi4"](torch.zeros(1, 2, 40, 64), 1)


def test_turned_tears_values_from_their_keys(values):
    """Both together in another order would be the same to attention."""
    got, _ = PEERS["turned"](values, HEADS)
    assert torch.equal(got[:, 0], values[:, 0])
    assert torch.equal(got[:, 1, 0], values[:, 1, -1]) and not torch.equal(got[:, 1], values[:, 1])


def test_fp8_clips_what_it_cannot_hold():
    values = torch.full((1, 2, 32, 32), 1000.0)
    assert float(PEERS["fp8"](values, 1)[0].max()) == 448.0
    assert torch.equal(PEERS["fp8-scaled"](values, 1)[0], values)


def test_last_bit_moves_about_half_the_values_alike_in_every_run(values):
    got, _ = PEERS["last-bit"](values, HEADS)
    assert 0.45 < float((got != values).float().mean()) < 0.55
    assert torch.equal(got, PEERS["last-bit"](values, HEADS)[0])
