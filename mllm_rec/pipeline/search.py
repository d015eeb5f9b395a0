"""Fifth stage: vectors of the items in Chroma; and ``mllm-rec search``, which asks it."""

import sys
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from mllm_rec.agent.reply import Shop
from mllm_rec.data import pictures
from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.errors import InputError
from mllm_rec.pipeline.serve import open_shop, serving_system
from mllm_rec.pipeline.workspace import Workspace, fingerprint
from mllm_rec.recommender import Recommender
from mllm_rec.retrieval.index import Index
from mllm_rec.retrieval.search import INDEXED, Search, taste_space
from mllm_rec.retrieval.spaces import Space


def index(workspace: Workspace, server: str | None = None) -> None:
    """Run the stage "index" unless nothing it depends on changed: features and the serving system's vectors in the store.

    A store in the workspace that is broken or not whole is made anew. A server that held the vectors before and is down is
    told on standard error: every query is compared with every item until the stage has run again.

    Args:
        workspace: encoded and trained.
        server: see ``Index``.

    Raises:
        InputError: the server that is named doesn't answer.
    """
    store = Index(workspace.index, server)
    try:
        with closing(store):
            whole = store.whole()
    except InputError as error:
        if store.server is not None and server is not None:
            raise
        if store.server is not None:
            print(f"  not indexed: {error}", file=sys.stderr)
            return
        whole = False
    if not whole and store.server is None:
        store.clear()
    inputs = {
        "features": [workspace.feature(name) for name in INDEXED],
        "serving": workspace.serving_folder / "checkpoint.safetensors",
        "server": server or store.written()["server"],
    }
    workspace.stage("index", inputs, lambda: _index(workspace, store), [store.record], again=not whole)


def _index(workspace: Workspace, store: Index) -> None:
    system = serving_system(workspace)
    owner = workspace.manifest().get("id") or uuid.uuid4().hex
    workspace.record(id=owner)
    catalog = Catalog.load(workspace.catalog)
    found = {}
    for name, features in _indexed(workspace, system)[0].items():
        unit = Space(features).unit[features.present]
        key = fingerprint([dict(features.spec), np.asarray(features.center).tobytes().hex()])
        found[name] = (key, list(catalog.item_ids[: len(features.present)][features.present]), unit)
    with closing(store):
        store.keep(found, owner, progress=sys.stderr.isatty())
    said = ", ".join(f"{name} {len(ids):,}" for name, (_, ids, _) in found.items())
    print(f"  {said or 'nothing to index'}", file=sys.stderr)


def _indexed(workspace: Workspace, system: Recommender) -> tuple[dict[str, Features], np.ndarray | None]:
    """By space the vectors that are indexed, and those of users among ``taste``'s (None: the system has no such vectors)."""
    paths = {name: workspace.feature(name) for name in INDEXED}
    found = {name: Features.load(path) for name, path in paths.items() if path.exists()}
    users = None
    warm = system.data.item_counts.numpy() > 0
    if warm.any() and (vectors := system.vectors()) is not None:
        users, found["taste"] = taste_space(*vectors, warm)
    return found, users


def search(
    workspace: Workspace,
    words: str = "",
    image: Path | None = None,
    user: str | None = None,
    k: int = 10,
    server: str | None = None,
) -> tuple[dict[str, Any], str]:
    """Items near words, a picture or a user's taste, each in the spaces that understand it, united by reciprocal rank.

    Args:
        workspace: built.
        words: what is looked for.
        image: file of a picture that they should be like.
        user: id of a user whose taste they should suit; what the log shows of them is hidden.
        k: how many.
        server: see ``Index``.

    Raises:
        InputError: nothing is asked, a file that is no picture, an unknown user, or nothing here understands the question.
    """
    if not words.strip() and image is None and user is None:
        raise InputError('say what is looked for: mllm-rec search W "a warm lamp", --image FILE or --user ID')
    shop = open_shop(workspace, server=server)
    features, users = _indexed(workspace, shop.system)
    spaces = dict(shop.candidates.spaces)
    if users is not None:
        spaces["taste"] = Space(features["taste"].padded(len(shop.catalog)))
    allowed, taste = shop.catalog.available.copy(), None
    if user is not None:
        position = shop.data.user(user)
        if users is None or position >= len(users):
            why = "has no vectors of users" if users is None else "was trained before this user came"
            raise InputError(f"the system that serves ({type(shop.system).__name__}) {why}; ask 'mllm-rec recommend'")
        allowed[shop.hidden[1][shop.hidden[0] == position]] = False
        taste = users[position]
    picture = _picture(image, shop) if image is not None else None
    found = Search(shop.catalog, spaces, shop.candidates.search.index).find(allowed, k, words, picture, taste)
    titles = shop.catalog.table["title"]
    rows = []
    for place, row in enumerate(found.items):
        ranks = {name: int(rank[place]) for name, rank in found.ranks.items() if rank[place]}
        rows.append(
            {"item_id": shop.catalog.item_ids[row], "title": titles.iat[row], "score": round(float(found.scores[place]), 6), "ranks": ranks}
        )
    lines = [
        f"{place:3}. {row['title']}  ({row['item_id']})   {', '.join(f'{name} {rank}' for name, rank in row['ranks'].items())}"
        for place, row in enumerate(rows, 1)
    ]
    return {"items": rows, "spaces": list(found.ranks)}, "\n".join(lines) or "nothing here is near it"


def _picture(image: Path, shop: Shop) -> bytes:
    """The file's content, where a picture can be compared with the items'.

    Raises:
        InputError: it can't, or the file is no picture.
    """
    if not shop.candidates.sees_pictures:
        raise InputError("no picture can be compared with the items: none has one, or their encoder takes none (see 'mllm-rec features')")
    if fault := pictures.fault(Path(image).parent, Path(image).name):
        raise InputError(f"{image} {fault}; --image names the file of a picture")
    return Path(image).read_bytes()
