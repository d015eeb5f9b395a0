"""Our systems inside Cornac's own experiment."""

import numpy as np
import pandas as pd
import pytest
import torch

cornac = pytest.importorskip("cornac", reason="cornac is not installed; it is among the development packages")

from cornac.data import ImageModality  # noqa: E402
from cornac.eval_methods import BaseMethod  # noqa: E402
from cornac.metrics import Recall  # noqa: E402

from mllm_rec.data.interactions import Interactions  # noqa: E402
from mllm_rec.errors import InputError  # noqa: E402
from mllm_rec.evaluation import evaluate  # noqa: E402
from mllm_rec.evaluation.cornac import System  # noqa: E402


def triples(seed, count, items=30):
    """Users of two tastes, each of which likes items of its half."""
    generator = np.random.default_rng(seed)
    users = generator.integers(20, size=count)
    liked = generator.integers(items // 2, size=count) + (users % 2) * (items // 2)
    return sorted({(f"u{user}", f"i{item:02}", 1.0) for user, item in zip(users, liked, strict=True)})


def pairs(part):
    """Rows of a part of Cornac's, by id."""
    users, items, _ = part.uir_tuple
    names = [np.array(sorted(ids, key=ids.get)) for ids in (part.uid_map, part.iid_map)]
    return Interactions(pd.DataFrame({"user_id": names[0][users], "item_id": names[1][items]}))


@pytest.fixture
def method():
    """Two items are known to the test set alone; pictures are listed in another order than Cornac's, one is missing."""
    whole = [one for one in triples(0, 300) if one[1] not in ("i07", "i22")]
    train, validation = whole[::2], whole[1::4]
    test = [*whole[3::4], ("u1", "i22", 1.0), ("u0", "i07", 1.0)]
    ids = [f"i{item:02}" for item in reversed(range(30)) if item != 3]
    pictures = np.array([[int(name[1:]) < 15, int(name[1:]) >= 15, 0.5] for name in ids], dtype=np.float64)
    images = ImageModality(features=np.vstack([pictures, np.zeros((1, 3))]), ids=[*ids, "unsold"])
    return BaseMethod.from_splits(train, test, validation, exclude_unknowns=False, item_image=images, verbose=False)


def test_an_experiment_with_ours_beside_theirs(method, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where it writes its log
    ours = System("vbpr", {"dim": 8}, {"epochs": 15, "batch_size": 64})
    theirs = cornac.models.MostPop()
    experiment = cornac.Experiment(method, [ours, theirs], [Recall(k=10)], show_validation=False)
    experiment.run()
    found = {result.model_name: result.metric_avg_results["Recall@10"] for result in experiment.result}
    assert found["vbpr"] > found["MostPop"] > 0


def test_scores_are_those_of_the_system(method):
    model = System("bpr", {"dim": 4}, {"epochs": 3}).fit(method.train_set, method.val_set)
    known = model._recommender.data
    assert known.items.tolist() == list(method.global_iid_map) and known.users.tolist() == list(method.global_uid_map)
    users, items, _ = method.train_set.uir_tuple
    assert sorted(zip(users.tolist(), items.tolist(), strict=True)) == sorted(map(tuple, known.edges.T.tolist()))
    held_out, chosen_by = (known.index(pairs(part)) for part in (method.test_set, method.val_set))
    table = evaluate(model._recommender, held_out, torch.cat([known.edges, chosen_by], 1))
    _, by_user = cornac.eval_methods.base_method.ranking_eval(
        model, [Recall(k=10)], method.train_set, method.test_set, method.val_set, exclude_unknowns=False
    )
    order = torch.unique(held_out[0]).tolist()
    np.testing.assert_allclose([by_user[0][user] for user in order], table.per_user("recall@10"), atol=1e-6)


def test_features_arrive_at_their_items(method):
    data = System("vbpr", {"dim": 4}, {"epochs": 1}).fit(method.train_set)._recommender.data
    image = data.features["image"]
    for row, item in enumerate(data.items):
        number = int(item[1:])
        assert image.present[row] == (number != 3)
        np.testing.assert_array_equal(image.values[row], [0, 0, 0] if number == 3 else [number < 15, number >= 15, 0.5])


def test_items_that_only_the_test_knows_are_ranked_by_their_pictures(method):
    model = System("vbpr", {"dim": 8}, {"epochs": 15, "batch_size": 64}).fit(method.train_set, method.val_set)
    cold = [method.global_iid_map[name] for name in ("i07", "i22")]
    first, second = (model.score(method.global_uid_map[name])[cold] for name in ("u0", "u1"))
    assert first[0] > first[1] and second[1] > second[0]


def test_a_copy_is_an_equal_one(method):
    model = System("bpr", {"dim": 4}, {"epochs": 2}, name="ours")
    again = model.clone({"settings": {"dim": 8}})
    assert (again.name, again.system, again.settings, again.training) == ("ours", "bpr", {"dim": 8}, {"epochs": 2})
    model.fit(method.train_set)
    assert model.recommend("u1", k=3, remove_seen=True, train_set=method.train_set) and np.isscalar(float(model.score(0, 1)))


def test_what_cannot_be_made(method):
    with pytest.raises(InputError, match="did you mean 'vbpr'"):
        System("vbrp")
    with pytest.raises(InputError, match="no setting 'dimm'"):
        System("vbpr", {"dimm": 4})
    bare = BaseMethod.from_splits(triples(0, 100), triples(1, 40), verbose=False)
    with pytest.raises(InputError, match="needs at least one feature"):
        System("mmgcn").fit(bare.train_set)
    model = System("popularity").fit(bare.train_set)
    with pytest.raises(cornac.exception.ScoreException, match="no score for user 99"):
        model.score(99)
