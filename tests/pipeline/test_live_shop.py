"""A shop that changes while it is talked about."""

import shutil
import threading

import pandas as pd
import pytest

from mllm_rec.chat.sessions import Conversations
from mllm_rec.data.catalog import Catalog
from mllm_rec.pipeline import LiveShop, Workspace, forget, open_shop, update


@pytest.fixture
def own(workspace, tmp_path):
    return Workspace(shutil.copytree(workspace.root, tmp_path / "shop"))


def bring(own, tmp_path, item="vase-1", title="Zanzibar vase of quartz"):
    pd.DataFrame([{"item_id": item, "title": title, "category": "lamp", "price": 9}]).to_csv(tmp_path / "new.csv", index=False)
    update(own, tmp_path / "new.csv")


def test_a_conversation_meets_what_an_update_brought(own, tmp_path):
    live = LiveShop(own, lambda before: open_shop(own))
    kept = Conversations(live)
    with kept.of("page", "a") as conversation:
        conversation.session.like(live().catalog.item_ids[0])
    assert not live.look()
    bring(own, tmp_path)
    assert "vase-1" not in live().catalog.positions and live.look() and not live.look()
    with kept.of("page", "a") as conversation:
        assert "vase-1" in conversation.session.turn("a zanzibar vase of quartz").items
        assert conversation.session.state.liked == (live().catalog.item_ids[0],)


def test_nothing_is_opened_while_another_writes(own, tmp_path):
    opened = []
    live = LiveShop(own, lambda before: opened.append(before) or open_shop(own))
    bring(own, tmp_path)
    held, done = threading.Event(), threading.Event()

    def write():
        with Workspace(own.root).writing():
            held.set()
            done.wait(10)

    writer = threading.Thread(target=write)
    writer.start()
    held.wait(10)
    assert not live.look() and len(opened) == 1
    done.set()
    writer.join()
    assert live.look() and len(opened) == 2 and opened[1] is not live()


def test_what_cannot_be_opened_is_told_once_and_the_old_shop_stays(own, capsys):
    live = LiveShop(own, lambda before: open_shop(own))
    shop = live()
    own.serving.unlink()
    assert not live.look() and live() is shop and "can't be opened" in capsys.readouterr().err
    assert not live.look() and not capsys.readouterr().err


def test_other_items_are_told(own, capsys):
    live = LiveShop(own, lambda before: open_shop(own))
    shop = live()
    table = shop.catalog.table.iloc[::-1].reset_index(drop=True)
    Catalog(table, shop.catalog.columns, root=own.root).save(own.catalog)
    own.record(touched=True)
    assert not live.look() and live() is shop and "other items" in capsys.readouterr().err


def test_a_user_who_is_forgotten_meanwhile_is_a_visitor(own):
    live = LiveShop(own, lambda before: open_shop(own))
    user = str(live().data.users[3])
    kept = Conversations(live, user)
    with kept.of("page", "a") as conversation:
        assert conversation.session.user == 3
    forget(own, user)
    assert live.look()
    with kept.of("page", "a") as conversation:
        assert conversation.session.user is None
