"""Full ranking by hand, and against a plain loop over users."""

import numpy as np
import pytest
import torch
from plain_evaluation import Fixed, evaluated, pairs, system

from mllm_rec.errors import InputError
from mllm_rec.evaluation import breakdown, by_popularity, evaluate, main_table, protocol, training_sample, validator
from mllm_rec.systems.topn.popularity import Popularity

#: Three users, five items; the third user has nothing held out.
SCORES = [[5, 4, 3, 2, 1], [1, 2, 3, 4, 5], [0, 0, 0, 0, 0]]
TRAIN = [(0, 0), (1, 4), (1, 3), (2, 0)]
HELD_OUT = [(0, 2), (1, 0)]


def random_case(seed, num_users=17, num_items=23):
    random = np.random.default_rng(seed)
    scores = random.integers(0, 6, (num_users, num_items)).astype(float)  # many ties
    scores[random.random(scores.shape) < 0.05] = -np.inf
    part = random.choice(["none", "train", "validation", "test"], p=[0.6, 0.2, 0.1, 0.1], size=scores.shape)
    part[0] = "none"
    part[1] = np.where(part[1] == "train", "none", part[1])
    part[1, :3] = "test"
    train, validation, test = ([(int(u), int(i)) for u, i in np.argwhere(part == name)] for name in ("train", "validation", "test"))
    return scores, train, validation, test


def test_by_hand():
    table = evaluate(system(SCORES, TRAIN), pairs(*HELD_OUT), pairs(*TRAIN), ks=(1, 2))
    assert table.users.tolist() == [0, 1] and table.left_out == 1 and len(table) == 2
    assert table.lists.tolist() == [[[1, 2], [2, 1]]]
    assert table.per_user("recall@2").tolist() == [1, 0] and table.per_user("recall@1").tolist() == [0, 0]
    assert table.per_user("ndcg@2").tolist() == pytest.approx([1 / np.log2(3), 0]) and table.mean("recall@2") == 0.5
    assert table.mean("coverage@1") == 2 / 5 == table.mean("coverage@2")
    # listed 1 and 2, which nobody chose: log2(4 / 1) bits; chosen was item 2 (0 rows) and item 0 (2 rows)
    assert table.mean("novelty@2") == 2
    assert table.per_user("popularity-bias@2").tolist() == pytest.approx([0, -np.log(3)])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("batch_size", [None, 1, 5])
def test_as_a_plain_loop_over_users(seed, batch_size, monkeypatch):
    scores, train, validation, test = random_case(seed)
    seen, ks = train + validation, (1, 3, 20)
    if batch_size:
        monkeypatch.setattr(protocol, "BLOCK", 40)
    table = evaluate(system(scores, train), pairs(*test), pairs(*seen), ks, batch_size)
    values, lists, coverage = evaluated(scores, train, test, seen, ks)
    assert table.users.tolist() == list(values) and table.left_out == 17 - len(values)
    assert [[item for item in row if item >= 0] for row in table.lists[0].tolist()] == list(lists.values())
    for name in table.values:
        assert table.per_user(name).tolist() == pytest.approx([one[name] for one in values.values()], abs=1e-12), name
        assert table.mean(name) == pytest.approx(np.mean([one[name] for one in values.values()]), abs=1e-12)
    assert {name: table.mean(name) for name in coverage} == pytest.approx(coverage)
    assert set(table.names) == set(table.values) | set(coverage)


def test_repeated_pairs_count_once():
    once = evaluate(system(SCORES, TRAIN), pairs(*HELD_OUT), pairs(*TRAIN))
    twice = evaluate(system(SCORES, TRAIN), pairs(*HELD_OUT, *HELD_OUT), pairs(*TRAIN, *TRAIN))
    assert all(np.array_equal(once.values[name], twice.values[name]) for name in once.values)


def test_the_mask_is_what_is_seen_and_nothing_else():
    unmasked = evaluate(system(SCORES, TRAIN), pairs(*HELD_OUT), pairs(), ks=(3,))
    assert unmasked.lists.tolist() == [[[0, 1, 2], [4, 3, 2]]]
    one = evaluate(system(SCORES, TRAIN), pairs(*HELD_OUT), pairs((0, 1), (2, 3)), ks=(3,))
    assert one.lists.tolist() == [[[0, 2, 3], [4, 3, 2]]]


def test_scores_of_the_system_are_left_as_they_were():
    popular = Popularity(system(SCORES, TRAIN).data)
    popular.solve()
    evaluate(popular, pairs(*HELD_OUT), pairs(*TRAIN))
    assert popular.counts.tolist() == [2, 0, 0, 1, 1]


@pytest.mark.parametrize("training", [True, False])
def test_measured_while_serving_and_put_back(training):
    class Watched(Fixed):
        def score(self, query):
            assert not self.training
            return super().score(query)

    watched = Watched(system(SCORES, TRAIN).data, SCORES).train(training)
    evaluate(watched, pairs(*HELD_OUT), pairs(*TRAIN))
    assert watched.training == training


def test_warm_and_cold_apart():
    scores = [[5, 4, 3, 2, 1], [5, 4, 3, 2, 1], [1, 2, 3, 4, 5]]
    train, held_out = [(0, 0), (1, 1)], [(0, 1), (0, 3), (1, 0), (2, 4), (2, 0)]
    tables = breakdown(system(scores, train), pairs(*held_out), pairs(*train), ks=(2,))
    assert {name: table.users.tolist() for name, table in tables.items()} == {
        "all": [0, 1, 2],
        "warm": [0, 1],
        "cold-user": [2],
        "cold-item": [0, 2],  # items 3 and 4 have no training row
    }
    assert tables["all"].per_user("recall@2").tolist() == [0.5, 1, 0.5]
    assert tables["warm"].per_user("recall@2").tolist() == [0.5, 1] and tables["cold-user"].mean("recall@2") == 0.5
    assert tables["cold-item"].per_user("recall@2").tolist() == [0, 1]
    assert tables["cold-item"].left_out == 1
    assert main_table(tables, "global-time") is tables["warm"]
    assert all(main_table(tables, how) is tables["all"] for how in ("given", "random", "user-time"))
    assert {
        name: table.mean("recall@2") for name, table in breakdown(system(scores, train), pairs((0, 1)), pairs(*train)[:, :1], (2,)).items()
    } == {
        "all": 1,
        "warm": 1,
    }


def test_global_time_without_a_warm_user_is_refused():
    tables = breakdown(system(SCORES), pairs(*HELD_OUT), pairs())
    assert set(tables) == {"all", "cold-user", "cold-item"}
    with pytest.raises(InputError, match="no user of the held-out part has training interactions"):
        main_table(tables, "global-time")


def test_validator_is_the_mean_of_its_metric():
    one = system(SCORES, TRAIN)
    assert validator(pairs(*HELD_OUT), pairs(*TRAIN), "recall@2")(one) == 0.5
    assert validator(pairs(*HELD_OUT), pairs(*TRAIN))(one) == evaluate(one, pairs(*HELD_OUT), pairs(*TRAIN)).mean("ndcg@20")
    with pytest.raises(InputError, match="did you mean 'recall@20'"):
        validator(pairs(*HELD_OUT), pairs(), "recal@20")


@pytest.mark.parametrize(
    ("held_out", "seen", "ks", "said"),
    [
        ([], [], (5,), "no interaction is held out"),
        ([(0, 2)], [(0, 2), (1, 1)], (5,), "1 held-out pairs are also masked"),
        ([(0, 5)], [], (5,), "held-out pairs name item 5 but the data set has 5"),
        ([(0, 1)], [(3, 1)], (5,), "seen pairs name user 3 but the data set has 3"),
        ([(0, -1)], [], (5,), "held-out pairs name item -1 but the data set has 5"),
        ([(0, 1)], [], (), "list lengths"),
        ([(0, 1)], [], (0, 5), "list lengths"),
    ],
)
def test_what_cannot_be_measured_is_said(held_out, seen, ks, said):
    with pytest.raises(InputError, match=said):
        evaluate(system(SCORES, TRAIN), pairs(*held_out), pairs(*seen), ks)


def test_scores_that_are_none_are_refused():
    with pytest.raises(InputError, match="a score is NaN"):
        evaluate(system([[0.0, float("nan"), 1.0]]), pairs((0, 0)), pairs(), (1,))
    wide = system(SCORES)
    wide.scores = torch.ones(3, 6)
    with pytest.raises(InputError, match=r"Fixed scored \(1, 6\); wanted \(1, 5\)"):
        evaluate(wide, pairs((0, 0)), pairs())


def test_recall_by_popularity_by_hand():
    # items have 3, 2, 1, 0, 0 and 0 training rows: a third of 6 each is {0}, {1}, {2} less what goes over; nobody knows 3, 4, 5
    train = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 2)]
    scores = [[0, 0, 9, 8, 1, 2], [0, 0, 1, 2, 9, 8], [1, 9, 0, 0, 0, 8]]
    held_out = pairs((0, 2), (0, 4), (1, 2), (1, 4), (2, 1), (2, 3))
    one = system(scores, train)
    found = by_popularity(one, held_out, evaluate(one, held_out, pairs(*train), ks=(2,)))
    # before item 1 come 3 of 6 rows: the middle third; before item 2 come 5 of 6: the last
    assert found == {"middle": 1.0, "tail": 0.5, "unseen": pytest.approx(1 / 3)}


def test_recall_by_popularity_adds_up_to_all_hits():
    for seed in range(4):
        scores, train, _, test = random_case(seed)
        one, held_out = system(scores, train), pairs(*test)
        table = evaluate(one, held_out, pairs(*train), ks=(5,))
        counts = np.bincount([item for _, item in train], minlength=23)
        order = sorted(range(23), key=lambda item: (-counts[item], item))
        group, before = {}, 0
        for item in order:
            group[item] = "unseen" if not counts[item] else ("head", "middle", "tail")[before * 3 // len(train)]
            before += counts[item]
        hits = {name: [] for name in ("head", "middle", "tail", "unseen")}
        lists = dict(zip(table.users.tolist(), table.lists[0].tolist(), strict=True))
        for user, item in test:
            hits[group[item]].append(item in lists[user])
        assert by_popularity(one, held_out, table) == {name: pytest.approx(np.mean(found)) for name, found in hits.items() if found}


def test_a_sample_of_the_training_pairs(monkeypatch):
    edges = pairs(*[(user, item) for user in range(30) for item in range(user % 7 + 1)])
    sample, others = training_sample(edges)
    assert sample.shape[1] == 30 and len(set(sample[0].tolist())) == 30  # one of each user
    assert sorted([*map(tuple, sample.T.tolist()), *map(tuple, others.T.tolist())]) == sorted(map(tuple, edges.T.tolist()))
    assert sample[1].max() > 0 and all(torch.equal(a, b) for a, b in zip((sample, others), training_sample(edges), strict=True))
    monkeypatch.setattr(protocol, "SAMPLED", 10)
    assert [part.shape[1] for part in training_sample(edges)] == [10, edges.shape[1] - 10]
