"""Data sets by name: what there is, what to get, and the real ones where they are."""

import numpy as np
import pytest

from mllm_rec.data.sources import SOURCES, data_cache, load, place_of
from mllm_rec.errors import InputError


def test_a_data_set_that_is_not_there_says_what_to_get_and_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MLLM_REC_DATA", str(tmp_path))
    with pytest.raises(InputError) as said:
        load("movielens-100k")
    words = f"no file 'u.item' in {tmp_path / 'ml100k-mm'} or {tmp_path / 'ml-100k'} or"
    assert all(part in str(said.value) for part in (words, "grouplens.org/datasets/movielens/100k", "MLLM_REC_DATA"))
    with pytest.raises(InputError, match=r"TikTok is not on this machine: .*tiktok\.inter.*HKUDS/DiffMM"):
        load("tiktok-va")
    with pytest.raises(InputError, match=r"Amazon Sports is not on this machine: .*sports\.inter"):
        load("amazon-sports-mmrec")
    with pytest.raises(InputError, match=r"Last.fm-2K is not on this machine: .*lfm2k\.inter"):
        load("lfm2k-mm")
    assert place_of("movielens-100k") is None and not SOURCES["tiktok-va"].present(tmp_path)


def test_unknown_names():
    with pytest.raises(InputError, match=r"'movielens-100' is not a source; did you mean 'movielens-100k'\?"):
        load("movielens-100")
    with pytest.raises(InputError, match=r"there are demo, .*mmrec:FOLDER, recbole:FOLDER; your own files are given with --items"):
        load("xyz")
    with pytest.raises(InputError, match="'mmrec:' is not a source"):
        load("mmrec:")


def test_the_data_cache(monkeypatch):
    monkeypatch.delenv("MLLM_REC_DATA", raising=False)
    assert data_cache().parts[-2:] == (".cache", "mllm-rec")
    monkeypatch.setenv("MLLM_REC_DATA", "elsewhere")
    assert str(data_cache()) == "elsewhere"


@pytest.fixture
def real():
    def read(name):
        if not SOURCES[name].present(data_cache()):
            pytest.skip(f"{name} is not in {data_cache()}; MLLM_REC_DATA names the data cache")
        return load(name)

    return read


@pytest.mark.data
def test_movielens_is_as_published(real):
    source = real("movielens-100k")
    catalog, log = source.catalog, source.interactions.table
    assert len(catalog) == 1682 and len(log) + len(source.seen) == 100_000
    assert log["user_id"].nunique() <= 943 and set(log["item_id"]) <= set(catalog.item_ids)
    assert catalog.table["image"].notna().sum() == 1435
    assert (catalog.table["text"].str.len() >= 15).sum() == 1674
    rated = np.concatenate([log["item_id"], source.seen.table["item_id"]])
    pictured = set(catalog.table.loc[catalog.table["image"].notna(), "item_id"])
    assert np.mean([item in pictured for item in rated]) == pytest.approx(0.991, abs=5e-4)
    assert (log["part"] == "test").sum() <= 9430 and log["rating"].min() == 4 and source.seen.table["rating"].max() == 3
    counts = log[log["part"] != "test"].groupby("user_id")["part"].agg([len, lambda part: (part == "validation").sum()]).to_numpy()
    assert (counts[:, 1] == np.where(counts[:, 0] >= 2, np.ceil(counts[:, 0] / 10), 0)).all()


@pytest.mark.data
def test_tiktok_is_as_published(real):
    source = real("tiktok-va")
    log = source.interactions.table
    assert (log["user_id"].nunique(), len(source.catalog), len(log)) == (9308, 6710, 68_722)
    assert log["part"].value_counts().to_dict() == {"train": 59_541, "test": 6130, "validation": 3051}
    train = log[log["part"] == "train"]
    assert (train["user_id"].nunique(), train["item_id"].nunique()) == (9298, 6245)
    assert {name: feature.values.shape for name, feature in source.features.items()} == {"image": (6710, 128), "audio": (6710, 128)}
    assert all(feature.present.all() for feature in source.features.values()) and source.split_name == "tiktok"


@pytest.mark.data
def test_lastfm_is_as_published(real):
    source = real("lfm2k-mm")
    log = source.interactions.table
    assert (log["user_id"].nunique(), len(source.catalog), len(log)) == (1858, 1425, 56_345)
    assert log["part"].value_counts().to_dict() == {"train": 44_327, "test": 7219, "validation": 4799}
    shapes = {"text": (1425, 384), "vggish": (1425, 128), "whisper": (1425, 512)}
    assert {name: feature.values.shape for name, feature in source.features.items()} == shapes
    for feature in source.features.values():
        np.testing.assert_allclose(np.linalg.norm(feature.values, axis=1), 1, atol=1e-5)
    assert source.catalog.table["title"][0] == "Groove Armada" and "house" in source.catalog.table["tags_text"][0]


@pytest.mark.data
def test_amazon_sports_is_as_published(real):
    source = real("amazon-sports-mmrec")
    log = source.interactions.table
    assert (log["user_id"].nunique(), len(source.catalog), len(log)) == (35_598, 18_357, 296_337)
    assert log["part"].value_counts().to_dict() == {"train": 218_409, "test": 40_029, "validation": 37_899}
    assert source.catalog.table["title"][1] == "led bicycle rear tail red bike torch laser beam lamp" and not source.features
