"""Candidates: exactly what is allowed, ranked by a sum of parts."""

import numpy as np
import pandas as pd
import pytest

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.dataset import Dataset
from mllm_rec.data.features import Features
from mllm_rec.data.interactions import Interactions
from mllm_rec.encoders.text import Text
from mllm_rec.recommender import Query
from mllm_rec.retrieval.candidates import Candidates, Request
from mllm_rec.systems import SYSTEMS

#: Three kinds of things, four each; the last of each kind was never chosen by anyone.
KINDS = np.repeat(np.arange(3), 4)
ALL = np.ones(12, dtype=bool)


def made(system="ease", likes=True, features=True):
    catalog = Catalog(
        pd.DataFrame({"item_id": [f"i{row}" for row in range(12)], "title": [f"thing {row}" for row in range(11)] + ["zanzibar lantern"]}),
        {},
    )
    pairs = [
        (f"u{user}", f"i{item}")
        for user in range(9)
        for item in range(12)
        if KINDS[item] == user % 3 and item % 4 < 3 and (user // 3 != item % 4)
    ]
    log = Interactions(pd.DataFrame(pairs if likes else [], columns=["user_id", "item_id"], dtype="str"))
    text = Text()
    told = {"look": Features(np.eye(3)[KINDS] + 0.01 * np.eye(12)[:, :3], ALL), "text": text.encode(catalog)} if features else {}
    data = Dataset(catalog.item_ids, [f"u{user}" for user in range(9)], log, told)
    model = SYSTEMS[system](data)
    model.solve()
    return Candidates(catalog, data, model, {"text": text} if features else {})


@pytest.mark.parametrize(
    ("system", "likes", "features"),
    [("ease", True, True), ("ease", True, False), ("popularity", False, True), ("popularity", False, False)],
)
@pytest.mark.parametrize("asked", [{}, {"user": 0}, {"liked": [0]}, {"liked": [0], "disliked": [5]}, {"words": "lantern"}, {"like": 3}])
def test_exactly_the_allowed_and_parts_sum_to_the_score(system, likes, features, asked):
    allowed = ALL.copy()
    allowed[[2, 7]] = False
    ranked = made(system, likes, features).rank(Request(allowed, **asked), 20)
    assert sorted(ranked.items) == list(np.flatnonzero(allowed)) and (np.diff(np.round(ranked.scores, 9)) <= 0).all()
    np.testing.assert_allclose(sum(ranked.parts.values(), np.zeros(10)), ranked.scores, atol=1e-9)
    assert len(made(system, likes, features).rank(Request(np.zeros(12, dtype=bool), **asked), 5).items) == 0


def test_cold_items_reach_the_list_through_content():
    candidates = made()
    assert candidates.data.item_counts[[3, 7, 11]].sum() == 0
    scores = candidates.taste(Query(candidates.data.edges.new_tensor([0])))[0]
    assert scores[3] > scores[7] and scores[3] > scores[11]
    plain = made(features=False)
    assert plain.taste(Query(plain.data.edges.new_tensor([0])))[0][[3, 7, 11]].sum() == 0


def test_words_find_a_rare_title_and_a_reference_its_kind():
    candidates = made()
    assert candidates.rank(Request(ALL, words="a zanzibar lantern"), 3).items[0] == 11
    others = ALL.copy()
    others[4] = False
    assert set(candidates.rank(Request(others, like=4), 3).items) == {5, 6, 7}


def test_wishes_rank_and_ties_stand_in_catalog_order():
    candidates = made("popularity", likes=False, features=False)
    assert list(candidates.rank(Request(ALL), 4).items) == [0, 1, 2, 3]
    wishes = np.zeros(12)
    wishes[9] = 1
    assert list(candidates.rank(Request(ALL, wishes=wishes), 3).items) == [9, 0, 1]


def test_a_given_item_is_measured_among_the_candidates():
    candidates, allowed = made(), ALL.copy()
    allowed[5] = False
    ranked = candidates.measure(Request(allowed, user=1), [5, 0])
    assert list(ranked.items) == [5, 0] and ranked.scores[0] > ranked.scores[1]


def test_a_stranger_is_ranked_by_popularity_not_by_people_like_them():
    assert "popularity" in made().rank(Request(ALL), 3).parts and "log" not in made().rank(Request(ALL), 3).parts
    assert "log" in made().rank(Request(ALL, user=0), 3).parts
