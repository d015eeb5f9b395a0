"""Which links are left out, and features on one footing."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mllm_rec.interaction import filtration, fusion


def star(fans):
    """One item that ``fans`` users chose, and one user who alone chose another item: the last edge is the unpopular one."""
    return torch.stack([torch.arange(fans + 1), torch.tensor([0] * fans + [1])]), (fans + 1, 2)


@given(st.integers(0, 30), st.floats(0, 1), st.integers(0, 5))
def test_keeps_the_right_number_in_their_order(num, keep_share, seed):
    edges, shape = torch.stack([torch.arange(num), torch.arange(num) % 3]), (max(1, num), 3)
    kept = filtration.prune_by_degree(edges, shape, keep_share, torch.Generator().manual_seed(seed))
    assert kept.shape == (2, round(keep_share * num))
    assert set(kept[0].tolist()) <= set(range(num)) and kept[0].tolist() == sorted(set(kept[0].tolist()))
    assert torch.equal(kept[1], kept[0] % 3)


def test_first_draw_has_the_stated_chances():
    """With nine fans the popular edges weigh 1/3 each, the lone one 1: it is the one kept in 1 of 4 draws."""
    edges, shape = star(9)
    generator = torch.Generator().manual_seed(0)
    lone = sum(int(filtration.prune_by_degree(edges, shape, 0.1, generator)[1, 0] == 1) for _ in range(4000))
    assert lone / 4000 == pytest.approx(1 / 4, abs=0.03)


def test_two_draws_have_the_chances_of_drawing_without_replacement():
    edges, shape = star(4)
    rates = [0.5] * 4 + [1.0]
    chances = dict.fromkeys(itertools.combinations(range(5), 2), 0.0)
    for first, second in itertools.permutations(range(5), 2):
        chances[tuple(sorted((first, second)))] += rates[first] / 3 * rates[second] / (3 - rates[first])
    generator = torch.Generator().manual_seed(1)
    seen = dict.fromkeys(chances, 0)
    for _ in range(4000):
        seen[tuple(filtration.prune_by_degree(edges, shape, 0.4, generator)[0].tolist())] += 1
    for pair, chance in chances.items():
        assert seen[pair] / 4000 == pytest.approx(chance, abs=0.03)


def test_same_generator_state_same_edges():
    edges, shape = star(50)
    a, b, c = (filtration.prune_by_degree(edges, shape, 0.5, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_unit_rows_by_hand():
    values = torch.tensor([[4.0, 2.0], [2.0, 4.0], [3.0, 3.0], [100.0, 100.0]])
    found = fusion.unit_rows(values, torch.tensor([True, True, True, False]))
    root = 2**-0.5
    assert torch.allclose(found, torch.tensor([[root, -root], [-root, root], [0, 0], [0, 0]]))


def test_unit_rows_do_not_depend_on_scale_or_on_where_zero_lies():
    values, present = torch.randn(9, 4), torch.arange(9) != 2
    plain, moved = fusion.unit_rows(values, present), fusion.unit_rows(1000 * values + 7, present)
    assert torch.allclose(plain, moved, atol=1e-4)
    assert torch.allclose(plain.norm(dim=1), present.float())


def test_unit_rows_where_everything_is_missing():
    assert not fusion.unit_rows(torch.ones(3, 2), torch.zeros(3, dtype=torch.bool)).any()
