"""Requests: who asks, what was said in the conversation, which items."""

import pytest
import torch
from six_by_five import EVERYONE, LIKES, close, drawn

from mllm_rec.errors import InputError
from mllm_rec.recommender import Query, mean_of
from mllm_rec.systems.topn.bpr import BPR
from mllm_rec.systems.topn.freedom import FREEDOM


def positions(*rows):
    return [torch.tensor(row, dtype=torch.int64) for row in rows]


def test_one_row_per_request():
    assert [len(query) for query in (Query(torch.tensor([3, 1])), Query(liked=positions([1])), Query(disliked=positions([1], [])))] == [
        2,
        1,
        2,
    ]
    assert len(Query(items=torch.zeros(3, 4))) == 3 and len(Query()) == 0
    with pytest.raises(InputError, match=r"one row per request.*'users': 2, 'liked': 1"):
        Query(torch.tensor([0, 1]), positions([1]))


def test_said_things_are_folded_in():
    """The mean of the liked items less half that of the disliked, added to the known user or instead."""
    system = drawn(BPR, dim=3)
    system.eval()
    users, items = system.users, system.items
    liked, disliked = positions([0, 1], [], [4]), positions([2], [3], [])
    said = torch.stack([items[[0, 1]].mean(0) - items[2] / 2, -items[3] / 2, items[4]])
    mean = users[LIKES.any(1)].mean(0)
    assert close(system.score(Query(None, liked, disliked)), said @ items.T)
    assert close(system.score(Query(torch.tensor([2, 0, 5]), liked, disliked)), (said + torch.stack([users[2], users[0], mean])) @ items.T)
    assert close(system.score(Query(None, positions([], [0]))), torch.stack([mean, items[0]]) @ items.T)  # silence: the mean user


def test_mean_of_choices_of_any_length():
    vectors = torch.tensor([[1.0, 0.0], [3.0, 4.0]])
    assert mean_of(vectors, positions([0, 1], [], [1, 1])).tolist() == [[2, 2], [0, 0], [3, 4]]


def test_scores_in_training_follow_the_parameters():
    system = drawn(FREEDOM, dim=3)
    assert system.training
    before = system.score(EVERYONE)
    with torch.no_grad():
        system.items.mul_(2)
    assert not close(system.score(EVERYONE), before)


def test_scores_follow_what_is_restored():
    system, other = drawn(BPR, dim=3), drawn(BPR, dim=3, seed=1)
    for one in (system, other):
        one.eval()
        one.score(EVERYONE)
    system.restore(other.state())
    assert torch.equal(system.score(EVERYONE), other.score(EVERYONE))


def test_a_state_of_another_width_is_refused():
    with pytest.raises(InputError, match="does not fit BPR on 6 users and 5 items"):
        drawn(BPR, dim=3).restore(drawn(BPR, dim=2).state())
