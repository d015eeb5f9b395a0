"""A model beside the conversation: heard where it helps, done without where it fails."""

import json
import time
from dataclasses import replace

import pytest

from mllm_rec.agent.advisor import Advisor
from mllm_rec.agent.session import Session
from mllm_rec.mllm.providers import ProviderError
from mllm_rec.mllm.providers.scripted import Scripted
from mllm_rec.pipeline import open_shop


@pytest.fixture(scope="module")
def plain(workspace):
    return open_shop(workspace)


def with_model(shop, say, odds=None, weight=0.0, seconds=20.0):
    return replace(shop, advisor=Advisor(Scripted(say, odds=odds), shop.catalog, shop.explainer, weight, seconds=seconds))


def told(conversation):
    """The evidence that the model was shown: id to line."""
    lines = conversation[-1]["content"][-1]["text"].split("\n")[2].split(" | ")
    return {line.split(" ")[0]: line for line in lines if line.startswith("e")}


def sentences(*said):
    return json.dumps({"sentences": [{"cites": list(cites), "text": text} for cites, text in said]})


def test_its_words_stand_on_the_card_where_the_evidence_supports_them(plain):
    def say(conversation):
        name, line = next((name, line) for name, line in told(conversation).items() if "popular" in line or "neighbor" in line)
        count = line.split("; ")[1].split(": ")[1]
        return sentences(([name], f"You might enjoy this: {count} people liked it."), ([name], "It is the finest brass in the world."))

    cards = Session(with_model(plain, say), size=4).refresh().cards
    assert all("might enjoy this" in card.why[0] for card in cards)
    assert not any("brass" in sentence for card in cards for sentence in card.why), "praise without evidence is dropped"


@pytest.mark.parametrize(
    "said", ["", "no JSON", '{"sentences": 3}', sentences((["e99"], "It is red.")), sentences((["e1"], "It is a bargain at 3 dollars."))]
)
def test_whatever_else_it_says_the_template_speaks(plain, said):
    before, after = (Session(shop, size=4).refresh() for shop in (plain, with_model(plain, lambda conversation: said)))
    assert [(card.reason, card.why) for card in after.cards] == [(card.reason, card.why) for card in before.cards]


@pytest.mark.parametrize("failure", [ProviderError("no server"), RuntimeError("out of memory"), ValueError("a bug")])
def test_a_turn_never_fails_because_the_model_does(plain, failure):
    def say(conversation):
        raise failure

    before, after = (Session(shop, size=4).turn("a warm lamp") for shop in (plain, with_model(plain, say)))
    assert after.items == before.items and [card.why for card in after.cards] == [card.why for card in before.cards]
    assert after.text == before.text + " The model gave no answer; the reasons are without it."


@pytest.mark.parametrize(("ranks", "without"), [(True, "the reasons are"), (False, "order and reasons are")])
def test_it_is_told_what_the_model_had_no_part_in(plain, ranks, without):
    def say(conversation):
        raise ProviderError("no server")

    session = Session(with_model(plain, say, lambda prefix, continuation: 0.0 if ranks else 1 / 0, weight=1.0), size=4)
    session.like(session.refresh().items[0])
    assert session.refresh().text.endswith(f" The model gave no answer; {without} without it.")


def test_a_turn_waits_no_longer_than_it_may(plain):
    def say(conversation):
        time.sleep(0.4)
        return ""

    shop = with_model(plain, say, seconds=0.2)
    start = time.monotonic()
    reply = Session(shop, size=4).turn("a lamp")
    assert time.monotonic() - start < 2 and reply.cards and "The model took too long" in reply.text


def test_its_opinion_moves_a_list_and_is_told(plain):
    session = Session(plain, size=6)
    for item in session.refresh().items[:2]:
        session.like(item)
    before = session.refresh()
    favorite = plain.item_title(before.items[-1])

    def odds(prefix, continuation):
        known = "nothing that is known" not in prefix[-1]["content"][-1]["text"]
        return 9.0 if known and favorite in continuation else 0.0

    other = Session(with_model(plain, lambda conversation: "", odds, weight=2.0), size=6)
    other.state = session.state
    after = other.refresh()
    assert after.items[0] == before.items[-1]
    assert "The model" in dict(after.signals)
    asked = other.turn("a lamp under 60")
    fits = plain.catalog.table.set_index("item_id").loc[asked.items]
    assert (fits["category"] == "lamp").all() and (fits["price"] < 60).all(), "a model breaks no filter"


def test_without_a_weight_it_is_not_asked(plain):
    shop = with_model(plain, lambda conversation: '{"sentences": []}', lambda prefix, continuation: 1 / 0, weight=0.0)
    session = Session(shop, size=4)
    session.like(session.refresh().items[0])
    assert session.refresh().text == "Picked anew. Picked by what you liked."
