"""The index in Chroma: the same neighbors as an exact look, whole or not used, never asked to embed."""

import json
import shutil
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from time import sleep

import numpy as np
import pandas as pd
import pytest

from mllm_rec.data.catalog import Catalog
from mllm_rec.encoders.text import Text
from mllm_rec.errors import InputError
from mllm_rec.pipeline import Workspace, build, search, update
from mllm_rec.retrieval.index import Index
from mllm_rec.retrieval.search import BEST, Search, taste_space, united
from mllm_rec.retrieval.spaces import Space

MANY, WIDTH = 600, 16


def vectors(seed=0, many=MANY):
    drawn = np.random.default_rng(seed).normal(size=(many, WIDTH)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


IDS = [f"i{row}" for row in range(MANY)]


@pytest.fixture
def index(tmp_path):
    store = Index(tmp_path / "index")
    yield store
    store.close()


def exact(unit, query, k):
    return [IDS[row] for row in np.argsort(-(unit @ query), kind="stable")[:k]]


def test_finds_what_an_exact_look_finds(index):
    unit = vectors()
    index.keep({"text": ("key", IDS, unit)}, "me")
    for query in vectors(1)[:5]:
        ids, likeness = index.nearest("text", query, 20)
        assert ids == exact(unit, query, 20)
        np.testing.assert_allclose(likeness, np.sort(unit @ query)[::-1][:20], atol=1e-5)


def test_only_what_changed_is_sent_and_a_reader_sees_it(index, tmp_path, monkeypatch):
    unit = vectors()
    index.keep({"text": ("key", IDS[:-1], unit[:-1])}, "me")
    reader = Index(tmp_path / "index")
    assert reader.nearest("text", unit[-1], 1)[0] != [IDS[-1]]
    sent = []
    fill = Index._fill
    monkeypatch.setattr(Index, "_fill", lambda self, collection, *rest: fill(self, Counted(collection, sent), *rest))
    changed = unit.copy()
    changed[3] = -unit[3]
    index.keep({"text": ("key", IDS[1:], changed[1:])}, "me")
    assert sorted(sent) == ["-i0", "i3", "i599"]
    assert reader.nearest("text", unit[-1], 1)[0] == ["i599"]
    assert reader.nearest("text", -unit[3], 1)[0] == ["i3"]
    assert "i0" not in reader.nearest("text", unit[0], 30)[0]
    reader.close()


class Counted:
    """A collection that notes what it is sent ("-": what it deletes)."""

    def __init__(self, collection, sent):
        self.collection, self.sent = collection, sent

    def __getattr__(self, name):
        return getattr(self.collection, name)

    def upsert(self, ids, **rest):
        self.sent += ids
        self.collection.upsert(ids=ids, **rest)

    def delete(self, ids):
        self.sent += [f"-{one}" for one in ids]
        self.collection.delete(ids=ids)


def test_another_encoder_gets_another_collection_and_the_old_one_goes(index):
    index.keep({"text": ("tfidf", IDS, vectors())}, "me")
    before = index.written()["spaces"]["text"]["collection"]
    index.keep({"text": ("minilm", IDS, vectors(2))}, "me")
    assert index.written()["spaces"]["text"]["collection"] != before
    assert [one.name for one in index._client.list_collections()] == [index.written()["spaces"]["text"]["collection"]]


def test_what_is_not_whole_or_of_another_width_is_refused(index):
    index.keep({"text": ("key", IDS, vectors())}, "me")
    with pytest.raises(InputError, match="no index of 'image'; build the workspace again"):
        index.nearest("image", vectors()[0], 5)
    with pytest.raises(InputError, match=r"16 numbers, the query has 3.*another encoder; build"):
        index.nearest("text", np.ones(3, np.float32), 5)
    said = json.loads(index.record.read_text())
    index.record.write_text(json.dumps({**said, "spaces": {"text": {**said["spaces"]["text"], "items": MANY + 1}}}))
    with pytest.raises(InputError, match="not whole: 600 of 601 items; build"):
        index.nearest("text", vectors()[0], 5)


@pytest.mark.parametrize("server", ["nonsense", "http://127.0.0.1:8000", ":", "host:port"])
def test_addresses(server, tmp_path):
    with pytest.raises(InputError, match="wanted HOST:PORT"):
        Index(tmp_path, server).keep({}, "me")


# Search


def shelf():
    words = ["red lamp", "blue lamp", "green mug", "old chair"]
    titles = [f"{words[row % 4]} {row}" for row in range(MANY - 1)] + ["zanzibar lantern"]
    catalog = Catalog(pd.DataFrame({"item_id": IDS, "title": titles}), {})
    text = Text()
    return catalog, {"text": Space(text.encode(catalog), text)}


@pytest.mark.parametrize("share", [1.0, 0.9, 0.3, 0.02, 0.0])
def test_filters_are_exact_with_an_index_as_without(index, share):
    catalog, spaces = shelf()
    index.keep({"text": ("key", IDS, spaces["text"].unit)}, "me")
    allowed = np.random.default_rng(3).random(MANY) < share
    quick, slow = Search(catalog, spaces, index), Search(catalog, spaces)
    query = spaces["text"].place("red lamp")
    order = np.flatnonzero(allowed)[np.argsort(-(spaces["text"].unit[allowed] @ query), kind="stable")]
    for asked, surely in ((quick, 20 if share > 0.5 else MANY), (slow, MANY)):
        found = asked.lists("words", "red lamp", allowed)["text"]
        assert allowed[found].all() and len(found) == len(set(found.tolist()))
        assert len(found) >= min(BEST // 2, allowed.sum())
        told, best = (spaces["text"].unit[rows[:surely]] @ query for rows in (found, order[: len(found)]))
        np.testing.assert_allclose(told, best, atol=1e-6)


def test_words_that_no_space_knows_are_found_in_titles():
    catalog, spaces = shelf()
    found = Search(catalog, spaces).find(np.ones(MANY, dtype=bool), 3, words="a zanzibar lamp")
    assert catalog.item_ids[found.items[0]] == "i599" and len(found.items) == 3


def test_an_index_that_fails_is_said_once_and_done_without(tmp_path, capsys):
    catalog, spaces = shelf()
    everything = np.ones(MANY, dtype=bool)
    broken = Search(catalog, spaces, Index(tmp_path, "127.0.0.1:9"))
    (tmp_path / "written.json").write_text(
        json.dumps({"server": None, "spaces": {"text": {"collection": "x", "width": spaces["text"].unit.shape[1], "items": 1}}})
    )
    expected = Search(catalog, spaces).find(everything, 5, words="blue lamp")
    for _ in range(3):
        found = broken.find(everything, 5, words="blue lamp")
        assert found.items.tolist() == expected.items.tolist()
    told = capsys.readouterr().err
    assert told.count("127.0.0.1:9 doesn't answer") == 1 and "start its server" in told


def test_reciprocal_ranks():
    found = united({"a": np.array([4, 2]), "b": np.array([2, 7])}, 2)
    assert found.items.tolist() == [2, 4]
    np.testing.assert_allclose(found.scores, [1 / 62 + 1 / 61, 1 / 61])
    assert {name: ranks.tolist() for name, ranks in found.ranks.items()} == {"a": [2, 1], "b": [1, 0]}
    assert len(united({}, 5).items) == 0


def test_taste_by_cosine_orders_as_the_product_does():
    import torch

    generator = torch.Generator().manual_seed(0)
    users, items = torch.randn(5, 8, generator=generator), torch.randn(40, 8, generator=generator) * torch.rand(40, 1, generator=generator)
    asking, features = taste_space(users, items, np.arange(40) != 7)
    space = Space(features)
    assert not space.unit[7].any()
    warm = np.arange(40) != 7
    for user, query in zip(users, asking, strict=True):
        product = (items @ user).numpy()[warm]
        assert np.argsort(-(space.unit[warm] @ query)).tolist() == np.argsort(-product).tolist()
    np.testing.assert_allclose(np.linalg.norm(space.unit[warm], axis=1), 1, atol=1e-5)


KILLED = """
import os, signal, sys
import numpy as np
from pathlib import Path
from mllm_rec.retrieval import index as module
module.BATCH = 50
drawn = np.random.default_rng(0).normal(size=(600, 16)).astype(np.float32)
unit = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
whole = module._batches
def batches(rows):
    for number, batch in enumerate(whole(rows), 1):
        if number == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        yield batch
module._batches = batches
module.Index(Path(sys.argv[1])).keep({"text": ("key", [f"i{row}" for row in range(600)], unit)}, "me")
"""


def test_killed_while_writing_it_is_not_used_and_then_goes_on(index, tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "index"), "7"], capture_output=True)
    assert killed.returncode == -9
    assert index.written()["spaces"] == {}
    sent = []
    fill = Index._fill
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Index, "_fill", lambda self, collection, *rest: fill(self, Counted(collection, sent), *rest))
        index.keep({"text": ("key", IDS, vectors())}, "me")
    assert len(sent) == MANY - 6 * 50
    assert index.nearest("text", vectors()[5], 1)[0] == ["i5"]


@pytest.fixture
def server(tmp_path):
    """Chroma's own server on loopback; gives its address and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("chroma"), "run", "--path", tmp_path / "server", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        with socket.socket() as door:
            if door.connect_ex(("127.0.0.1", port)) == 0:
                break
        sleep(0.05)
    yield f"127.0.0.1:{port}", process
    process.kill()
    process.wait()


def test_a_server_holds_the_vectors_and_its_end_is_survived(server, tmp_path, capsys):
    address, process = server
    catalog, spaces = shelf()
    everything, unit = np.ones(MANY, dtype=bool), spaces["text"].unit
    for name, kept in (("mine", unit), ("other", unit[::-1])):
        with closing(Index(tmp_path / name, address)) as writer:
            writer.keep({"text": ("key", IDS, kept)}, name)
    index = Index(tmp_path / "mine")
    query = spaces["text"].place("zanzibar lantern")
    assert index.nearest("text", query, 1)[0] == ["i599"] and not (tmp_path / "mine" / "chroma").exists()
    search = Search(catalog, spaces, index)
    before = search.find(everything, 5, words="zanzibar lantern").items.tolist()
    process.kill()
    process.wait()
    assert search.find(everything, 5, words="zanzibar lantern").items.tolist() == before
    assert f"the index at {address} doesn't answer" in capsys.readouterr().err
    with closing(Index(tmp_path / "mine", "embedded")) as home:
        home.keep({"text": ("key", IDS, unit)}, "mine")
        assert home.nearest("text", query, 1)[0] == ["i599"]


def test_a_broken_store_is_made_anew_by_the_next_build(workspace, shop_inputs, tmp_path, capsys):
    own = Workspace(shutil.copytree(workspace.root, tmp_path / "shop"))
    found = [item["item_id"] for item in search(own, "a striped lamp")[0]["items"]]
    (own.index / "chroma" / "chroma.sqlite3").write_bytes(b"broken")
    assert [item["item_id"] for item in search(own, "a striped lamp")[0]["items"]] == found
    assert "searching without the index" in capsys.readouterr().err
    build(shop_inputs, own.root, systems=["popularity", "ease", "freedom"])
    assert "text 120, image 119" in capsys.readouterr().err
    shutil.rmtree(own.index / "chroma")
    build(shop_inputs, own.root, systems=["popularity", "ease", "freedom"])
    assert [item["item_id"] for item in search(own, "a striped lamp")[0]["items"]] == found
    assert "searching without the index" not in capsys.readouterr().err


def test_a_server_that_is_down_is_told_and_costs_no_update(workspace, tmp_path, capsys):
    own = Workspace(shutil.copytree(workspace.root, tmp_path / "shop"))
    said = json.loads((own.index / "written.json").read_text())
    (own.index / "written.json").write_text(json.dumps({**said, "server": "127.0.0.1:1"}))
    (tmp_path / "new.csv").write_text("item_id,title\nzz,Zanzibar lantern\n")
    update(own, tmp_path / "new.csv")
    assert "not indexed: the index at 127.0.0.1:1 doesn't answer" in capsys.readouterr().err
    assert search(own, "zanzibar lantern")[0]["items"][0]["item_id"] == "zz"
    with pytest.raises(InputError, match=r"127.0.0.1:2 doesn't answer"):
        update(own, retrain=True, chroma="127.0.0.1:2")
    update(own, retrain=True, chroma="embedded")
    capsys.readouterr()
    assert search(own, "zanzibar lantern")[0]["items"][0]["item_id"] == "zz" and not capsys.readouterr().err
