"""Each metric by hand on lists of four."""

from math import log2

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from plain_evaluation import one_list

from mllm_rec.errors import InputError
from mllm_rec.evaluation import metrics

#: Hits at ranks 1 and 3 of 3 relevant; none of 2; all four of 6.
HITS = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.bool)
RELEVANT = torch.tensor([3, 2, 6])
GAIN = [1 / log2(rank + 1) for rank in range(1, 5)]


@pytest.mark.parametrize(
    ("name", "k", "wanted"),
    [
        ("recall", 4, [2 / 3, 0, 4 / 6]),
        ("recall", 2, [1 / 3, 0, 2 / 6]),
        ("precision", 4, [2 / 4, 0, 1]),
        ("precision", 10, [2 / 10, 0, 4 / 10]),
        ("hr", 1, [1, 0, 1]),
        ("mrr", 4, [1, 0, 1]),
        ("map", 4, [(1 / 1 + 2 / 3) / 3, 0, 1]),
        ("map", 2, [1 / 2, 0, 1]),
        ("ndcg", 4, [(GAIN[0] + GAIN[2]) / sum(GAIN[:3]), 0, 1]),
        ("ndcg", 2, [GAIN[0] / sum(GAIN[:2]), 0, 1]),
    ],
)
def test_by_hand(name, k, wanted):
    assert metrics.ACCURACY[name](HITS, RELEVANT, k).tolist() == pytest.approx(wanted)


def test_reciprocal_rank_of_a_late_hit():
    hits = torch.tensor([[0, 0, 1, 1]], dtype=torch.bool)
    assert metrics.reciprocal_rank(hits, torch.tensor([2]), 4).tolist() == pytest.approx([1 / 3])
    assert metrics.reciprocal_rank(hits, torch.tensor([2]), 2).tolist() == [0]


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.integers(0, 5), st.integers(1, 10))
def test_as_in_plain_python(hits, further, k):
    """Hits of a list, so many further items that are relevant but not listed."""
    wanted = {item for item, hit in enumerate(hits) if hit} | {100 + item for item in range(further)}
    if not wanted:
        return
    plain = one_list(list(range(len(hits))), wanted, k)
    for name, metric in metrics.ACCURACY.items():
        if name == "ndcg" and k > len(hits):
            continue  # a list is shorter than k only where the whole catalog is in it
        found = metric(torch.tensor([hits]), torch.tensor([len(wanted)]), k)
        assert found.item() == pytest.approx(plain[f"{name}@{k}"]) and 0 <= found.item() <= 1 + 1e-12


def test_surprise_in_bits():
    # of three users all, one and nobody know the item
    assert metrics.self_information(torch.tensor([3, 1, 0]), 3).tolist() == [0, 1, 2]


def test_mean_over_lists_with_gaps():
    lists = torch.tensor([[0, 2], [1, -1], [-1, -1]])
    assert metrics.list_mean(torch.tensor([1.0, 5.0, 2.0]), lists).tolist() == [1.5, 5, 0]


def test_ties_rank_by_position_and_minus_infinity_is_not_listed():
    inf = float("inf")
    scores = torch.tensor([[1.0, 2, 2, 1, 1], [0, 0, 0, 0, 0], [-inf, 3, -inf, -inf, 4], [inf, -inf, inf, 1, 1]])
    assert metrics.top_items(scores, 3).tolist() == [[1, 2, 0], [0, 1, 2], [4, 1, -1], [0, 2, 3]]
    assert metrics.top_items(scores, 9).tolist()[0] == [1, 2, 0, 3, 4]


@given(
    st.lists(st.lists(st.sampled_from([-float("inf"), 0.0, -0.0, 1.0, 2.0]), min_size=7, max_size=7), min_size=1, max_size=4),
    st.integers(1, 8),
)
def test_top_items_as_sorted(rows, k):
    listed = metrics.top_items(torch.tensor(rows), k).tolist()
    for row, items in zip(rows, listed, strict=True):
        best = sorted((item for item in range(7) if row[item] > -float("inf")), key=lambda item: (-row[item], item))[:k]
        assert items == best + [-1] * (min(k, 7) - len(best))


def test_nan_is_refused():
    with pytest.raises(InputError, match="a score is NaN"):
        metrics.top_items(torch.tensor([[0.0, float("nan"), 1.0]]), 1)


def test_names():
    assert metrics.parse("ndcg@20") == ("ndcg", 20) and metrics.parse("popularity-bias@5") == ("popularity-bias", 5)
    for name, said in {
        "ndgc@20": "did you mean 'ndcg@20'",
        "xyz@20": "there are recall, ndcg, .* each with @K",
        "recall": "lacks a list length.*'recall@20'",
        "recall@0": "lacks a list length",
        "recall@two": "lacks a list length",
    }.items():
        with pytest.raises(InputError, match=said):
            metrics.parse(name)
