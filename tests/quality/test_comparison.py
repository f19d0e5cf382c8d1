"""Figures of two runs' predictions, on predictions whose figures are known."""

import math

import pytest
import torch

from shadowserve.quality.comparison import POSITIONS_AT_ONCE, bootstrap_interval, compare, equal_beginning

pytestmark = pytest.mark.quick


def predictions(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows).log()


def same(hidden: torch.Tensor) -> torch.Tensor:
    """Stands for the model's last layer: hidden states are log probabilities already."""
    return hidden


def test_the_same_predictions_lose_nothing():
    some = torch.randn(200, 50).log_softmax(-1)
    done = compare(same, some, some.clone(), [3] * 200)
    assert done.kl == [0.0] * 200 and done.top1 == 1.0 and done.loss == done.reference_loss


def test_kl_is_that_of_the_formula():
    expected, got = predictions([0.5, 0.5], [0.9, 0.1]), predictions([0.25, 0.75], [0.9, 0.1])
    done = compare(same, expected, got, [0, 1])
    assert done.kl[0] == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(0.5 / 0.75), abs=1e-6)
    assert done.kl[1] == 0.0
    assert done.kl_mean == pytest.approx(done.kl[0] / 2)
    # The other way round it is another number: the reference has to be the first.
    assert compare(same, got, expected, [0, 1]).kl[0] != pytest.approx(done.kl[0], rel=1e-3)


def test_top_1_and_losses_belong_to_the_right_positions():
    expected, got = predictions([0.6, 0.4], [0.2, 0.8], [0.6, 0.4]), predictions([0.6, 0.4], [0.8, 0.2], [0.6, 0.4])
    done = compare(same, expected, got, [0, 1, 0])
    assert done.same_top == [True, False, True]
    assert done.reference_loss == pytest.approx([-math.log(0.4), -math.log(0.2)])
    assert done.loss == pytest.approx([-math.log(0.4), -math.log(0.8)])


def test_blocks_of_positions_make_no_difference():
    positions = 2 * POSITIONS_AT_ONCE + 5
    expected, got = (torch.randn(positions, 20).log_softmax(-1) for _ in range(2))
    tokens = torch.randint(0, 20, (positions,)).tolist()
    done = compare(same, expected, got, tokens)
    assert len(done.kl) == positions and len(done.loss) == positions - 1
    assert done.loss == pytest.approx([-float(got[n, tokens[n + 1]]) for n in range(positions - 1)])


def test_tokens_that_the_model_excludes_count_nothing():
    expected, got = predictions([0.5, 0.5, 0.0]), predictions([0.5, 0.5, 0.0])
    assert compare(same, expected, got, [0]).kl == [0.0]


def test_nan_is_an_error_and_no_figure():
    expected = predictions([0.5, 0.5])
    with pytest.raises(ValueError, match="NaN"):
        compare(same, expected, expected * math.nan, [0])


def test_a_position_too_few_is_an_error():
    expected = predictions([0.5, 0.5], [0.5, 0.5])
    with pytest.raises(ValueError, match="predictions for"):
        compare(same, expected, expected[:1], [0, 1])


def test_equal_beginning_ends_at_the_first_difference():
    assert equal_beginning([1, 2, 3, 4], [1, 2, 9, 4]) == 2
    assert equal_beginning([1, 2], [1, 2]) == 2
    assert equal_beginning([5], [6]) == 0


def test_bootstrap_interval_holds_the_mean_and_grows_with_the_spread():
    narrow, wide = bootstrap_interval([1.0, 1.1, 0.9, 1.0]), bootstrap_interval([1.0, 2.0, 0.1, 0.9])
    assert narrow[0] < 1.0 < narrow[1] and wide[0] < 1.0 < wide[1]
    assert wide[1] - wide[0] > 4 * (narrow[1] - narrow[0])
    assert bootstrap_interval([1.0, 1.1, 0.9, 1.0]) == narrow
    assert bootstrap_interval([1.0]) is None
