"""A small shop on disk, and a workspace built from it, made once for all tests."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from mllm_rec.data.sources import demo
from mllm_rec.pipeline import Inputs, Workspace, build

# no model unless a test names one: the shops here are built in seconds
os.environ["MLLM_REC_MLLM"] = "none"
# a test computes with one thread, and so does what it starts: two at a time don't fight for two cores
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
# the same examples in every run; HYPOTHESIS_PROFILE=default looks for new ones
settings.register_profile("same", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(scope="session")
def shop_files(tmp_path_factory) -> Path:
    """items.csv, pictures/ and log.csv of 120 drawn goods and 80 people; no column is called as in the toolkit."""
    folder = tmp_path_factory.mktemp("shop")
    items, log, _ = demo.world(demo.DEMO["domain_file"], items=120, users=80, seed=3)
    (folder / "pictures").mkdir()
    for name, (attributes, seed) in demo.recipes(demo.DEMO["domain_file"], items=120, seed=3).items():
        demo.draw(attributes, seed, size=64).save(folder / "pictures" / f"{name}.png")
    items["room"] = ["" if rooms is None else "|".join(rooms) for rooms in items["room"]]
    names = {
        "item_id": "sku",
        "title": "name",
        "text": "about",
        "image": "photo",
        "price": "cost",
        "category": "kind",
        "available": "stock",
    }
    items.assign(available=items["available"].astype(int)).rename(columns=names).to_csv(folder / "items.csv", index=False)
    log.rename(columns={"user_id": "customer", "item_id": "sku", "timestamp": "when"}).to_csv(folder / "log.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def shop_inputs(shop_files) -> Inputs:
    """How the small shop is built."""
    said = "item_id=sku,title=name,text=about,image=photo,price=cost,category=kind,available=stock,user_id=customer,timestamp=when"
    return Inputs(
        items=shop_files / "items.csv",
        images=shop_files / "pictures",
        interactions=shop_files / "log.csv",
        map=dict(pair.split("=") for pair in said.split(",")),
        domain=Path(demo.resources.path(demo.DEMO["domain_file"])),
    )


@pytest.fixture(scope="session")
def workspace(shop_inputs, tmp_path_factory) -> Workspace:
    """The small shop, built; tests read it and don't write into it."""
    folder = tmp_path_factory.mktemp("workspace") / "shop"
    build(shop_inputs, folder, systems=["popularity", "ease", "freedom"])
    return Workspace.open(folder)
