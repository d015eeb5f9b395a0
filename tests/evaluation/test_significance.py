"""Intervals, paired differences and Holm's correction."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_tables import table

from mllm_rec.errors import InputError
from mllm_rec.evaluation import holm, paired_bootstrap, significance
from mllm_rec.evaluation.significance import bootstrap, resampled_means


def test_resampled_means_have_the_mean_and_spread_that_theory_says():
    values = np.random.default_rng(1).random((200, 2))
    means = resampled_means(values, 4000, seed=0)
    assert means.shape == (4000, 2)
    assert means.mean(0) == pytest.approx(values.mean(0), abs=0.002)
    assert means.std(0) == pytest.approx(values.std(0) / 200**0.5, rel=0.05)


def test_two_users_are_drawn_in_every_way():
    """Of two users both, one twice, or the other twice: means 0, 1/2 and 1 in 1, 2 and 1 of 4 cases."""
    means = resampled_means(np.array([[0.0], [1.0]]), 8000, seed=0)[:, 0]
    assert [(means == mean).mean() for mean in (0, 0.5, 1)] == pytest.approx([0.25, 0.5, 0.25], abs=0.02)


def test_columns_share_their_draws_and_seeds_repeat():
    values = np.random.default_rng(2).random((50, 1))
    means = resampled_means(np.hstack([values, 3 - values]), 500, seed=0)
    assert np.allclose(means[:, 0], 3 - means[:, 1])
    assert np.array_equal(means, resampled_means(np.hstack([values, 3 - values]), 500, seed=0))
    assert not np.array_equal(means, resampled_means(np.hstack([values, 3 - values]), 500, seed=1))


def test_in_blocks_of_samples_every_row_is_filled(monkeypatch):
    monkeypatch.setattr(significance, "BLOCK", 70)
    means = resampled_means(np.full((20, 1), 7.0), 100, seed=0)
    assert np.array_equal(means, np.full((100, 1), 7.0))


def test_interval_is_that_of_the_normal_for_many_users():
    values = np.random.default_rng(3).normal(5, 2, (400, 1))
    low, high = bootstrap(values)
    half = 1.96 * values.std() / 400**0.5
    assert low[0] == pytest.approx(values.mean() - half, abs=0.03) and high[0] == pytest.approx(values.mean() + half, abs=0.03)


def test_interval_covers_the_truth_in_19_of_20_samples():
    random = np.random.default_rng(4)
    covered = [low[0] <= 0.3 <= high[0] for low, high in (bootstrap((random.random((80, 1)) < 0.3) * 1.0, 400) for _ in range(150))]
    assert 0.89 <= np.mean(covered) <= 0.99


def test_one_user_or_equal_users_have_an_interval_without_width():
    assert table([0.25]).interval("recall@1") == (0.25, 0.25) and table([0.5] * 9).interval("recall@1") == (0.5, 0.5)


def test_paired_difference_knows_what_unpaired_intervals_hide():
    base = np.random.default_rng(5).random(300)
    better = base + 0.01 + 0.01 * np.random.default_rng(6).normal(size=300)
    found = paired_bootstrap(table(better), table(base), "recall@1")
    assert found.mean == pytest.approx((better - base).mean()) and found.low < found.mean < found.high and found.low > 0.007
    assert found.p == pytest.approx(2 / 4001)
    turned = paired_bootstrap(table(base), table(better), "recall@1")
    assert (turned.mean, turned.low, turned.high, turned.p) == pytest.approx((-found.mean, -found.high, -found.low, found.p))
    assert table(better).interval("recall@1")[0] < table(base).interval("recall@1")[1]


def test_no_difference_is_not_significant():
    values = np.random.default_rng(7).random(100)
    assert paired_bootstrap(table(values), table(values), "recall@1").p == 1
    noise = [paired_bootstrap(table(np.random.default_rng(s).normal(size=60)), table(np.zeros(60)), "recall@1", 500).p for s in range(60)]
    assert np.mean(np.array(noise) < 0.05) <= 0.15 and np.mean(noise) == pytest.approx(0.5, abs=0.12)


def test_tables_over_different_users_are_not_paired():
    with pytest.raises(InputError, match="cannot be paired"):
        paired_bootstrap(table([1, 2]), table([1, 2], users=[0, 5]), "recall@1")


def test_holm_by_hand():
    # ordered: .01 * 4, .02 * 3, .03 * 2, .04 * 1, none below the one before it
    assert holm([0.04, 0.01, 0.03, 0.02]).tolist() == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.6]).tolist() == [1, 1] and holm([]).tolist() == [] and holm([0.2]).tolist() == [0.2]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.sampled_from([0.01, 0.05, 0.2]))
def test_holm_rejects_as_its_step_down_rule(p, level):
    """Smallest first, while p <= level / how many are left."""
    rejected, left = set(), sorted(range(len(p)), key=lambda place: p[place])
    for place, count in zip(left, itertools.count(len(p), -1), strict=False):
        if p[place] * count > level:
            break
        rejected.add(place)
    assert {place for place, corrected in enumerate(holm(p)) if corrected <= level} == rejected
