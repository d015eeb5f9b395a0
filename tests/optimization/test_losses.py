"""Loss terms by hand."""

import math

import pytest
import torch

from mllm_rec.optimization import losses

USER = torch.tensor([[1.0, 2.0], [0.0, 1.0]])
POSITIVE = torch.tensor([[1.0, 1.0], [5.0, 0.0]])
NEGATIVE = torch.tensor([[1.0, 0.0], [0.0, 2.0]])


def softplus(x):
    return math.log1p(math.exp(x))


def test_bpr_is_the_mean_of_minus_log_sigmoid_of_the_lead():
    # leads: 3 - 1 = 2 and 0 - 2 = -2
    assert losses.bpr(USER, POSITIVE, NEGATIVE).item() == pytest.approx((softplus(-2) + softplus(2)) / 2)


@pytest.mark.parametrize(("where", "wanted"), [([True, False], softplus(-2)), ([False, True], softplus(2)), ([False, False], 0.0)])
def test_bpr_counts_only_the_rows_that_count(where, wanted):
    assert losses.bpr(USER, POSITIVE, NEGATIVE, where=torch.tensor(where)).item() == pytest.approx(wanted)


def test_bpr_stays_finite_and_teaches_where_the_lead_is_far_off():
    user = torch.tensor([[1000.0]], requires_grad=True)
    loss = losses.bpr(user, torch.tensor([[-1.0]]), torch.tensor([[1.0]]))
    loss.backward()
    assert loss.item() == pytest.approx(2000) and user.grad.item() == pytest.approx(2)


def test_l2_is_half_the_squared_length_per_row():
    # (1 + 4 + 0 + 1) / 2 / 2 rows + (1 + 1 + 25 + 0) / 2 / 2 rows
    assert losses.l2(USER, POSITIVE).item() == pytest.approx(6 / 4 + 27 / 4)


def test_scores_are_ranked_or_judged_one_by_one():
    positive, negative = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 1.0])
    assert losses.ranking(positive, negative).item() == pytest.approx((softplus(-1.5) + softplus(2)) / 2)
    wanted = (softplus(-2) + softplus(0.5) + softplus(1) + softplus(1)) / 2
    assert losses.pointwise(positive, negative).item() == pytest.approx(wanted)


def test_a_mean_of_what_counts():
    values = torch.tensor([1.0, 5.0, 9.0])
    assert losses.mean_where(values, torch.tensor([True, False, True])).item() == 5
    assert losses.mean_where(values, torch.zeros(3, dtype=torch.bool)).item() == 0
