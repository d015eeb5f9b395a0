"""``build --download`` and ``update --download``: pictures from the web, and those that failed are tried again."""

import functools
import http.server
import json
import threading

import pandas as pd
import pytest

from mllm_rec.cli import main
from mllm_rec.data.catalog import Catalog
from mllm_rec.data.download import Downloads
from mllm_rec.data.features import Features
from mllm_rec.errors import InputError
from mllm_rec.pipeline import Inputs, Workspace, build, update


@pytest.fixture
def web(shop_files, monkeypatch):
    """The small shop's pictures on loopback, which the toolkit would not ask unless it is told that it may."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        down = False

        def __init__(self, *args):
            super().__init__(*args, directory=str(shop_files / "pictures"))

        def do_GET(self):
            asked.append(self.path)
            self.send_error(503) if Handler.down else super().do_GET()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.handler, server.url = asked, Handler, f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    monkeypatch.setattr("mllm_rec.pipeline.ingest.Downloads", functools.partial(Downloads, allowed=lambda address: True))
    yield server
    server.shutdown()
    server.server_close()


def shop(folder, web, names):
    rows = [{"item_id": f"i{row}", "title": f"thing {row}", "image": f"{web.url}/{name}"} for row, name in enumerate(names)]
    pd.DataFrame(rows).to_csv(folder / "items.csv", index=False)
    return Inputs(items=folder / "items.csv", download=True)


def test_fetched_kept_and_tried_again(web, shop_files, tmp_path):
    names = sorted(path.name for path in (shop_files / "pictures").iterdir())[:5]
    inputs, own = shop(tmp_path, web, [*names, names[0], "no.png"]), Workspace(tmp_path / "w")
    build(inputs, own.root, systems=["popularity"])
    catalog = Catalog.load(own.catalog)
    assert list(Features.load(own.feature("image")).present) == [True] * 6 + [False]
    assert catalog.picture(0).read_bytes() == (shop_files / "pictures" / names[0]).read_bytes()
    assert all(cell.startswith("pictures/downloaded/") for cell in catalog.table["image"][:6]) and len(web.asked) == 6
    said = [json.loads(line) for line in own.problems.read_text().splitlines()]
    assert [(one["row"], one["column"]) for one in said if "answered 404" in one["why"]] == [(8, "image")]

    web.handler.down = True
    (shop_files / "pictures" / "no.png").write_bytes((shop_files / "pictures" / names[1]).read_bytes())
    try:
        build(inputs, own.root, systems=["popularity"])
        assert not Features.load(own.feature("image")).present[6] and web.asked[6:] == ["/no.png"]
        web.handler.down = False
        build(inputs, own.root, systems=["popularity"])
    finally:
        (shop_files / "pictures" / "no.png").unlink()
    assert Features.load(own.feature("image")).present.all() and web.asked[6:] == ["/no.png"] * 2
    build(inputs, own.root, systems=["popularity"])
    assert len(web.asked) == 8


def test_update_fetches_too(web, shop_files, tmp_path):
    names = sorted(path.name for path in (shop_files / "pictures").iterdir())[:4]
    own = Workspace(tmp_path / "w")
    build(shop(tmp_path, web, names), own.root, systems=["popularity"])
    web.handler.down = True
    pd.DataFrame([{"item_id": "new", "title": "a new thing", "image": f"{web.url}/{names[0]}?new"}]).to_csv(
        tmp_path / "new.csv", index=False
    )
    update(own, tmp_path / "new.csv", download=True)
    assert not Features.load(own.feature("image")).present[4]
    web.handler.down = False
    value, _ = update(own, download=True)
    assert Features.load(own.feature("image")).present.all() and Catalog.load(own.catalog).picture(4).is_file()
    assert value["since"] == {"items": 1, "changed": 1, "users": 0, "interactions": 0, "forgotten": 0}


def test_without_download_nothing_is_asked_and_the_mend_is_named(web, shop_files, tmp_path, capsys):
    names = sorted(path.name for path in (shop_files / "pictures").iterdir())[:4]
    shop(tmp_path, web, names)
    assert main(["build", "--items", str(tmp_path / "items.csv"), "--out", str(tmp_path / "w"), "--systems", "popularity"]) == 0
    assert not web.asked and "--download fetches such pictures" in capsys.readouterr().err
    with pytest.raises(InputError, match="--download goes with --items"):
        build(Inputs(source="demo", download=True), tmp_path / "demo")
