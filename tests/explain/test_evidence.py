"""Evidence counted by hand on six items."""

import json

import numpy as np
import pandas as pd
import pytest
from six_items import explainer, log, shop

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.dataset import Dataset
from mllm_rec.explain import Explainer, Met, Request, met
from mllm_rec.explain.claims import CARD
from mllm_rec.explain.evidence import BARE
from mllm_rec.retrieval.filters import And, Compare, In, Not


def rows(found, kind):
    return [row for row in found.evidence if row.kind == kind]


def test_shared_attributes_name_the_liked_item(lamps):
    found = lamps.explain([1], Request(history=[0]))[0]
    shared = {(row.field, row.value): row for row in rows(found, "attribute")}
    assert set(shared) == {("color", "red"), ("makers", "Ada Berg"), ("material", "brass")}
    assert all(row.subject == "Nola lamp" and row.source == "catalog" for row in shared.values())
    # Red is known of 6 items and stands on 3, Ada Berg on 2 of the 3 whose makers are known, brass on 2 of 3.
    expected = {"red": 3 / 6, "Ada Berg": 2 / 3, "brass": 2 / 3}
    for (_, value), row in shared.items():
        deviance = np.log(1 / expected[value]) - (1 - expected[value])
        assert row.weight == pytest.approx(BARE + deviance / (deviance + 3), abs=1e-4)
    said = {claim.text for claim in found.claims}
    assert {"Red and brass, like Nola lamp, which you liked.", "Maker: Ada Berg, as in Nola lamp, which you liked."} <= said


def test_a_value_as_common_among_the_disliked_is_no_reason(lamps):
    found = lamps.explain([1], Request(history=[0], disliked=[2]))[0]
    assert {row.value for row in rows(found, "attribute")} == {"Ada Berg", "brass"}


def test_neighbors_are_other_people_in_the_log(lamps):
    found = lamps.explain([1], Request(history=[0]))[0]
    assert [(row.subject, row.value) for row in rows(found, "neighbor")] == [("Nola lamp", 3.0)]
    assert any(claim.text == "3 people who liked Nola lamp also liked this." for claim in found.claims)
    without_ann = lamps.explain([1], Request(history=[0], user=0))[0]
    assert [row.value for row in rows(without_ann, "neighbor")] == [2.0]


def test_one_persons_taste_is_not_told(lamps):
    assert not rows(lamps.explain([3], Request(history=[4]))[0], "neighbor")  # only eve liked both


def test_counts_for_those_without_history(lamps):
    liked, once, never = lamps.explain([0, 3, 5])
    assert (liked.text, once.text, never.text) == ("Liked by 3 people.", "Liked by one person.", "No one has liked it yet.")
    assert not rows(lamps.explain([0], Request(history=[1]))[0], "popular")


def test_filters_met_and_unknown(lamps):
    wanted = And((Compare("price", "<", 40.0), Not(In("material", ("leather",)))))
    brass, unknown = lamps.explain([1, 3], Request(constraints=met(wanted, lamps.catalog, [1, 3])))
    assert "price under 40 and not leather" in " ".join(claim.text for claim in brass.claims)
    assert not rows(brass, "unknown")
    assert unknown.claims[1].text == "Its material is unknown."
    assert unknown.claims[1].text in unknown.text
    assert not any("leather" in claim.text for claim in unknown.claims)


def test_a_known_value_is_never_called_unknown(lamps):
    found = lamps.explain([1], Request(constraints=[[Met("not leather", "material", known=False)]]))[0]
    assert not rows(found, "unknown")


def test_several_unknowns_share_a_sentence(lamps):
    found = lamps.explain([3], Request(constraints=[[Met("not oak", "material", False), Met("not Jo", "makers", False)]]))[0]
    assert "Its material and maker are unknown." in found.text


def test_wishes(lamps):
    found = lamps.explain([1], Request(wishes=[[Met("warm"), Met("cozy")]]))[0]
    assert any(claim.text == "As you wished (warm and cozy)." for claim in found.claims)


def test_contributions_are_material_shares_of_the_positive_parts(lamps):
    parts = {"log": [3.0, -1.0], "image": [1.0, 2.0], "text": [0.2, -5.0]}
    first, second = lamps.explain([1, 2], Request(history=[0], contributions=parts))
    assert {(row.field, row.value) for row in rows(first, "contribution")} == {("log", 71.0)}
    assert {(row.field, row.value) for row in rows(second, "contribution")} == {("image", 100.0)}
    assert any(claim.text == "What people like you chose made 71 % of the case for it." for claim in first.claims)
    stranger = lamps.explain([1], Request(contributions={"log": [3.0], "image": [0.1]}))[0]
    assert not rows(stranger, "contribution")  # nobody is "like you" without a history
    assert not rows(lamps.explain([1], Request(history=[0], contributions={"log": [3.0]}))[0], "contribution")


def test_the_strongest_part_of_the_score_speaks_first(lamps):
    by_people = lamps.explain([1], Request(history=[0], contributions={"log": [9.0], "image": [1.0], "attributes": [0.0]}))[0]
    by_details = lamps.explain([1], Request(history=[0], contributions={"log": [0.0], "image": [0.0], "attributes": [5.0]}))[0]
    by_picture = lamps.explain([1], Request(history=[0], contributions={"log": [0.5], "image": [9.0], "attributes": [0.5]}))[0]
    assert by_people.text.startswith(("3 people", "What people"))
    assert by_details.text.startswith("Red and brass, like Nola lamp, which you liked.")
    assert by_picture.text.startswith("Looks like Nola lamp")


def test_pictures_that_are_missing_are_not_alike(lamps):
    assert not rows(lamps.explain([5], Request(history=[0]))[0], "similar")
    assert not rows(lamps.explain([2], Request(history=[0]))[0], "similar")


def test_differences(lamps):
    cheaper, dearer, unpriced = lamps.explain([1, 0, 5], Request(against=[3]))
    assert any(claim.text == "Costs 5.50 less than Tove lamp." for claim in cheaper.claims)
    assert not rows(dearer, "difference") and not rows(unpriced, "difference")  # equal; unknown
    before = lamps.explain([0], Request(against=[1, 2, 4]))[0]
    assert any(claim.text == "Costs 27.50 more than the middle of the list before." for claim in before.claims)


def test_other_numbers_stand_side_by_side():
    shelf = explainer(shop(height=("number", [10, 25.5, 30, 5, 7, 8])))
    found = shelf.explain([1], Request(against=[0], compared=["price", "height"]))[0]
    assert any(claim.text == "Its height is 25.5; Nola lamp has 10." for claim in found.claims)


def test_the_item_itself_is_no_reason(lamps):
    found = lamps.explain([0], Request(history=[0, 1]))[0]
    assert found.evidence and all(row.subject != "Nola lamp" for row in found.evidence if row.kind in ("attribute", "neighbor", "similar"))


def test_nothing_known_nothing_said():
    bare = shop(color=("category", [None] * 6), makers=("set", [None] * 6), material=("category", [None] * 6))
    found = explainer(bare, likes={"ann": (0,)}).explain([1], Request(history=[0]))[0]
    assert [claim.text for claim in found.claims] == ["No one has liked it yet."]


def test_a_catalog_without_attributes_and_an_empty_list():
    plain = Explainer(*_plain())
    assert plain.explain([]) == []
    assert plain.explain([1], Request(history=[0]))[0].text == "Liked by 2 people."  # no more than chance: nothing better to say


def _plain():
    catalog = Catalog(pd.DataFrame({"item_id": ["i0", "i1"], "title": ["One", "Two"]}, dtype=object), {})
    return catalog, Dataset(catalog.item_ids, ["ann", "bob"], log({"ann": (0, 1), "bob": (0, 1)}))


def test_a_batch_says_what_single_items_say(lamps):
    request = Request(history=[0, 4])
    together = lamps.explain([1, 2, 3, 5], request)
    assert together == [lamps.explain([item], request)[0] for item in (1, 2, 3, 5)]


def test_json_and_card(lamps):
    found = lamps.explain([1], Request(history=[0], constraints=[[Met("price under 40", "price")]]))[0]
    said = json.loads(json.dumps(found.as_dict()))
    ids = [row["id"] for row in said["evidence"]]
    assert len(set(ids)) == len(ids) and said["item_id"] == "i1"
    assert all(set(claim["evidence"]) <= set(ids) for claim in said["claims"])
    assert said["text"] == " ".join(claim["text"] for claim in said["claims"][:CARD])
    weights = [row["weight"] for row in said["evidence"]]
    assert weights == sorted(weights, reverse=True)
