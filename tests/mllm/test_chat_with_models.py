"""The conversation beside real providers: a server that misbehaves, a server that comes up later, tiny models on this machine."""

import shutil
import socket
import time
from dataclasses import replace

import pytest
from server import Fake
from tiny import FAMILIES

from mllm_rec.agent.advisor import Advisor
from mllm_rec.agent.session import Session
from mllm_rec.mllm.providers import UnreachableError
from mllm_rec.mllm.providers.later import Later
from mllm_rec.mllm.providers.scripted import Scripted
from mllm_rec.pipeline import Model, Workspace, advised, explain_item, open_shop, recommend
from mllm_rec.pipeline.advise import rerank_key, rerank_weight


@pytest.fixture(scope="module")
def plain(workspace):
    return open_shop(workspace)


@pytest.mark.parametrize("fault", ["429", "500", "cut", "silent", "half", "words"])
def test_a_server_that_misbehaves_costs_nobody_an_answer(workspace, plain, fault, monkeypatch):
    monkeypatch.setattr("mllm_rec.mllm.providers.openai._WAITS", (0.01,))
    with Fake(fault=fault if fault in ("429", "500", "cut", "half") else "", schema=fault != "words") as server:
        url = server.url if fault != "silent" else "http://127.0.0.1:1/v1"
        shop = advised(workspace, plain, Model(f"openai:m@{url}", seconds=60.0))
        reply = Session(shop, size=4).turn("a warm lamp")
    expected = Session(plain, size=4).turn("a warm lamp")
    assert reply.items == expected.items and [card.why for card in reply.cards] == [card.why for card in expected.cards]
    down = " The model gave no answer; the reasons are without it."
    assert reply.text == expected.text + down


def test_a_server_that_comes_up_later_is_found(workspace, plain, monkeypatch):
    monkeypatch.setattr("mllm_rec.mllm.providers.later.AGAIN", 0.0)
    monkeypatch.setattr("mllm_rec.mllm.providers.openai._WAITS", (0.01,))
    asked = []

    def up(model, url, **_):
        asked.append(url)
        if len(asked) == 1:
            raise UnreachableError("not yet")
        return Scripted(lambda conversation: '{"sentences": []}')

    monkeypatch.setattr("mllm_rec.mllm.providers.later.OpenAI", up)
    later = Later("m", "http://127.0.0.1:1/v1", 5.0)
    shop = replace(plain, advisor=Advisor(later, plain.catalog, plain.explainer))
    while not asked:
        time.sleep(0.01)
    assert "The model" not in Session(shop, size=4).turn("a lamp").text and len(asked) == 2


def test_a_server_that_says_nothing_costs_no_more_than_the_turn_has(workspace, plain):
    """It takes the connection and never answers; neither the start of the shop nor a turn waits for it."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        start = time.monotonic()
        shop = advised(workspace, plain, Model(f"openai:m@http://127.0.0.1:{mute.getsockname()[1]}/v1", seconds=0.5))
        reply = Session(shop, size=4).turn("a warm lamp")
        assert time.monotonic() - start < 5 and reply.cards and "The model took too long" in reply.text


@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_tiny_model_of_random_weights(workspace, plain, family, tmp_path):
    model = Model(str(FAMILIES[family](tmp_path / family)), seconds=60.0)
    shop = advised(workspace, plain, model)
    reply = Session(shop, size=3).turn("a warm lamp")
    expected = Session(plain, size=3).turn("a warm lamp")
    assert reply.items == expected.items and reply.text == expected.text
    assert [card.why for card in reply.cards] == [card.why for card in expected.cards], "noise that cites is dropped as well"


def test_explain_and_recommend_go_on_without_their_server(workspace, monkeypatch):
    monkeypatch.setattr("mllm_rec.mllm.providers.openai._WAITS", (0.01,))
    model = Model("openai:m@http://127.0.0.1:1/v1", seconds=5.0)
    user, item = str(open_shop(workspace).data.users[0]), str(open_shop(workspace).catalog.item_ids[3])
    value, text = explain_item(workspace, user, item, model)
    assert value["claims"] == explain_item(workspace, user, item)[0]["claims"] and text.endswith("without it.")
    listed, _ = recommend(workspace, user, k=3, explain=True, model=model)
    assert [row["why"] for row in listed["items"]] == [row["why"] for row in recommend(workspace, user, k=3, explain=True)[0]["items"]]


def test_a_list_is_reranked_with_the_weight_of_this_model_or_not_at_all(workspace, monkeypatch, tmp_path):
    monkeypatch.setattr("mllm_rec.mllm.providers.openai._WAITS", (0.01,))
    copy = Workspace.open(shutil.copytree(workspace.root, tmp_path / "shop"))
    user = str(open_shop(copy).data.users[0])
    plain = recommend(copy, user, k=3)[0]["items"]
    dead, other = (Model(f"openai:{name}@http://127.0.0.1:1/v1", seconds=5.0) for name in ("m", "n"))
    listed, text = recommend(copy, user, k=3, rerank=True, model=dead)
    assert listed["items"] == plain and f"'mllm-rec rerank {copy.root}'" in text
    copy.record(rerank={"weight": 0.5, "key": rerank_key(copy, dead.name)})
    listed, text = recommend(copy, user, k=3, rerank=True, model=dead)
    assert listed["items"] == plain and "weight 0.5" in text
    assert text.startswith(listed["text"]) and "The model gave no answer; the order is without it." in text
    assert rerank_weight(copy, other.name) is None
    copy.record(stages={**copy.manifest()["stages"], "training": {"key": "another"}})
    assert rerank_weight(copy, dead.name) is None, "of other systems it says nothing"
