"""A conversation of ten turns, and what must hold whatever is said."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mllm_rec.agent.session import Session
from mllm_rec.pipeline import open_shop


@pytest.fixture(scope="module")
def drawn(workspace, tmp_path_factory):
    """The small shop without two of its lamps."""
    file = tmp_path_factory.mktemp("rules") / "no.txt"
    file.write_text("H0004\nH0012\n")
    return open_shop(workspace, file)


def rows(shop, reply):
    return shop.catalog.table.set_index("item_id").loc[reply.items]


def chips(reply):
    return [f"({chip.label})" if chip.kind == "wish" else chip.label for chip in sorted(reply.chips, key=lambda chip: chip.kind)]


def test_ten_turns(drawn):
    session = Session(drawn, size=6)
    first = session.turn("a warm lamp under 80")
    assert chips(first) == ["category: lamp", "price under 80", "(warm)"] and len(first.items) == 6
    lamps = rows(drawn, first)
    assert (lamps["category"] == "lamp").all() and (lamps["price"] < 80).all()

    cheaper = session.turn("cheaper")
    assert rows(drawn, cheaper)["price"].max() < lamps["price"].median() and (rows(drawn, cheaper)["category"] == "lamp").all()
    assert [chip for chip in chips(cheaper) if "price" not in chip] == ["category: lamp", "(warm)"]

    session.turn("forget the price")
    unlike = session.turn("not metal")
    assert "not metal" in chips(unlike) and not (rows(drawn, unlike)["material"] == "metal").any()

    mugs = session.turn("a mug instead")
    assert (rows(drawn, mugs)["category"] == "mug").all() and "category: lamp" not in chips(mugs)

    kept = session.like(mugs.items[-1])
    assert kept.items == mugs.items and [card.liked for card in kept.cards] == [False] * (len(mugs.items) - 1) + [True]
    moved = session.refresh()
    assert mugs.items[-1] not in moved.items and moved.items != mugs.items
    assert (rows(drawn, moved)["category"] == "mug").all(), "a like moves the list, the filters stay"

    gone = session.turn("not the first one")
    assert moved.items[0] not in gone.items and moved.items[0] in session.state.disliked

    why = session.turn("why the first one?")
    assert why.items == [session.state.last_list[0]] and why.text.startswith("Why")

    nothing = session.turn("under 1")
    assert not nothing.items and nothing.relaxations
    after = session.relax(nothing.relaxations[0].label)
    assert len(after.items) >= min(6, nothing.relaxations[0].count)

    again = session.turn("start over")
    assert chips(again) == [] and session.state.liked == () and again.items


def test_a_picture_finds_itself_and_goes_with_its_chip(drawn):
    row = next(
        row
        for row in range(20)
        if drawn.catalog.available[row] and drawn.catalog.picture(row) and drawn.catalog.item_ids[row] not in ("H0004", "H0012")
    )
    session = Session(drawn)
    with Image.open(drawn.catalog.picture(row)) as picture:
        found = session.turn("", picture)
    assert found.items[0] == drawn.catalog.item_ids[row] and chips(found) == ["(like your picture)"]
    assert session.remove_chip(found.chips[0].id).chips == () and session.picture is None


def test_that_is_what_was_named_last(drawn):
    session = Session(drawn, size=6)
    shown = session.turn("a lamp")
    again = session.turn("I like the second one, more like that")
    assert session.state.liked == (shown.items[1],) and session.state.reference == shown.items[1]
    picture = Image.open(drawn.catalog.picture(drawn.catalog.position(again.items[0])))
    looked = session.turn("what looks like this?", picture)
    assert session.picture is not None and not session.state.reference
    assert looked.items[0] == again.items[0], "this is the picture dropped with the words, not the item before"


def test_cheaper_is_a_bound_in_cents(drawn):
    session = Session(drawn, size=6)
    prices = rows(drawn, session.turn("a lamp"))["price"]
    cheaper = session.turn("cheaper")
    label = next(chip.label for chip in cheaper.chips if "price" in chip.label)
    assert rows(drawn, cheaper)["price"].max() < prices.median() and len(label.partition(".")[2]) in (0, 2)


def test_a_conversation_can_be_put_away_and_taken_up(drawn):
    session = Session(drawn, 3)
    before = session.turn("a lamp")
    session.like(before.items[0])
    again = Session.from_json(drawn, session.to_json())
    assert again.state == session.state and again.refresh().items == session.refresh().items


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    said=st.lists(
        st.one_of(st.text(max_size=40), st.sampled_from(["a lamp", "H0004", "show everything", "any color", "more", "the second one"])),
        min_size=1,
        max_size=3,
    )
)
def test_whatever_is_said_the_rules_hold(drawn, said):
    user = 5
    session = Session(drawn, user)
    known = set(drawn.catalog.item_ids[drawn.hidden[1][drawn.hidden[0] == user]])
    for message in said:
        reply = session.turn(message)
        assert not set(reply.items) & {"H0004", "H0012", *known}
        assert rows(drawn, reply)["available"].all()
