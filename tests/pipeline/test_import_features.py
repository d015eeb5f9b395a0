"""``mllm-rec features --import``: matrices become features and stay; what can't be used is named, here and in folders of MMRec."""

import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from mllm_rec.cli import main
from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.data.files import digest
from mllm_rec.data.sources import load
from mllm_rec.errors import InputError
from mllm_rec.pipeline import Inputs, Workspace, build, open_shop, train
from mllm_rec.pipeline.encode import encode
from mllm_rec.pipeline.features import features


@pytest.fixture
def shop(workspace, tmp_path):
    """The small shop, to write into."""
    shutil.copytree(workspace.root, tmp_path / "shop")
    return Workspace.open(tmp_path / "shop")


def matrix(workspace, width=5, seed=0):
    return np.random.default_rng(seed).normal(size=(len(Catalog.load(workspace.catalog)), width)).astype(np.float32)


def written(folder, mapping=None, sep=",", **matrices):
    folder.mkdir(exist_ok=True)
    for name, values in matrices.items():
        np.save(folder / f"{name}_feat.npy", values, allow_pickle=True)
    if mapping is not None:
        mapping.to_csv(folder / "i_id_mapping.csv", sep=sep, index=False)
    return folder


def test_what_was_exported_comes_back_equal(shop, tmp_path):
    features(shop, export=tmp_path / "out")
    before = {path.stem: Features.load(path) for path in (shop.root / "features").glob("*.safetensors")}
    value, text = features(shop, imported=tmp_path / "out")
    assert value["imported"] == {} and text.count("is there already") == len(before) and shop.serving.exists()
    for name in before:
        shop.feature(name).unlink()
    mapping = pd.read_csv(tmp_path / "out" / "i_id_mapping.csv", dtype=str)
    order = np.random.default_rng(0).permutation(len(mapping))  # other rows, and listed in another order
    turned = {name: one.values[order] for name, one in before.items()}
    listed = mapping.iloc[order].assign(itemID=range(len(order))).sample(frac=1, random_state=1)
    value, _ = features(shop, imported=written(tmp_path / "turned", listed, **turned))
    assert set(value["imported"]) == set(before)
    for name, one in before.items():
        back = Features.load(shop.feature(name))
        np.testing.assert_array_equal(back.values, one.values)
        np.testing.assert_array_equal(back.present, one.values.any(axis=1))
        assert back.spec["encoder"] == "published" and back.spec["file"] == f"{name}_feat.npy" and len(back.spec["sha256"]) == 64


def test_it_takes_the_place_of_a_feature_and_stays(shop, shop_inputs, tmp_path, capsys):
    usual = Features.load(shop.feature("image"))
    learned = digest(shop.run("freedom", 0) / "checkpoint.safetensors")
    given = matrix(shop)
    given[3] = 0
    assert main(["features", str(shop.root), "--import", str(written(tmp_path / "in", image=given, sound=given[:, :2])), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["imported"]) == {"image", "sound"}
    with pytest.raises(InputError, match="no system that serves; run the build again"):
        open_shop(shop)
    train(shop, ["freedom"], 1, {})
    again = shop.manifest()["stages"]["training"]["key"]
    assert digest(shop.run("freedom", 0) / "checkpoint.safetensors") != learned, "what reads features is trained again"
    assert "sound" in open_shop(shop).candidates.spaces
    for _ in range(2):
        value, _ = build(shop_inputs, shop.root, ["popularity", "ease", "freedom"], mllm="none")
        image = Features.load(shop.feature("image"))
        np.testing.assert_array_equal(image.values, given)
        assert (
            not image.present[3] and image.present.sum() == len(given) - 1 and value["features"] == ["attributes", "image", "sound", "text"]
        )
    assert shop.manifest()["stages"]["training"]["key"] == again, "trained once, and no more"
    assert not open_shop(shop).candidates.sees_pictures
    shop.feature("sound").unlink()
    build(shop_inputs, shop.root, ["popularity"], mllm="none", encoders={"image": "statistics"})
    assert shop.imported == {} and not shop.feature("sound").exists() and open_shop(shop).candidates.sees_pictures
    np.testing.assert_array_equal(Features.load(shop.feature("image")).values, usual.values)


def test_killed_on_the_way_nothing_was_imported(shop, shop_inputs, tmp_path, monkeypatch):
    usual, save = Features.load(shop.feature("image")), Features.save

    def killed(self, path):
        save(self, path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Features, "save", killed)
        features(shop, imported=written(tmp_path / "in", image=matrix(shop), sound=matrix(shop)))
    assert not np.array_equal(Features.load(shop.feature("image")).values, usual.values)
    build(shop_inputs, shop.root, ["popularity"], mllm="none")
    np.testing.assert_array_equal(Features.load(shop.feature("image")).values, usual.values)
    assert not shop.imported and not shop.feature("sound").exists() and shop.encoder("image").exists()


def test_in_place_of_what_a_source_brings(mmrec, tmp_path):
    np.save(mmrec / "image_feat.npy", np.eye(4, dtype=np.float32))
    inputs, root, own = Inputs(source=f"mmrec:{mmrec}"), tmp_path / "toys", np.arange(8, dtype=np.float32).reshape(4, 2)
    build(inputs, root, ["popularity"])
    workspace = Workspace.open(root)
    features(workspace, imported=written(tmp_path / "in", image=own))
    (mmrec / "toys.inter").touch()  # read anew
    build(inputs, root, ["popularity"])
    with pytest.raises(InputError, match="this source brings its own features"):
        build(inputs, root, ["popularity"], encoders={"image": "statistics"})
    np.testing.assert_array_equal(Features.load(workspace.feature("image")).values, own)
    workspace.feature("image").unlink()
    build(inputs, root, ["popularity"])
    np.testing.assert_array_equal(Features.load(workspace.feature("image")).values, np.eye(4))


def test_a_caption_feature_of_ones_own_stays_without_captions(shop, shop_inputs, tmp_path):
    features(shop, imported=written(tmp_path / "in", caption=matrix(shop)))
    value, _ = build(shop_inputs, shop.root, ["popularity"], mllm="none")
    assert "caption" in value["features"]
    np.testing.assert_array_equal(Features.load(shop.feature("caption")).values, matrix(shop))


def test_the_mapping_of_mmrec_and_items_it_leaves_out(shop, tmp_path):
    ids, given = Catalog.load(shop.catalog).item_ids, matrix(shop)
    mapping = pd.DataFrame({"asin": ids[10:][::-1], "itemID": range(len(ids) - 10)})
    features(shop, imported=written(tmp_path / "in", mapping, sep="\t", reviews=given[10:][::-1]))
    found = Features.load(shop.feature("reviews"))
    assert not found.present[:10].any() and found.present[10:].all()
    np.testing.assert_array_equal(found.values[10:], given[10:])


def test_imported_for_other_items(shop, tmp_path):
    features(shop, imported=written(tmp_path / "in", image=matrix(shop)))
    catalog = Catalog.load(shop.catalog)
    Catalog(catalog.table.iloc[::-1].reset_index(drop=True), catalog.columns, root=catalog.root).save(shop.catalog)
    with pytest.raises(InputError, match=r"items changed since 'image' was imported from image_feat.npy: import it again"):
        encode(shop)
    features(shop, imported=tmp_path / "in")
    assert "image" in encode(shop)


BAD = {
    "rows": (lambda x: x[:-1], r"image_feat.npy has \d+ rows but there are \d+ items; "),
    "nan": (lambda x: np.where(np.arange(len(x))[:, None] == 2, np.nan, x), r"NaN or infinite values in 1 rows, the first is row 2 \(co.*set such rows to"),
    "infinite": (lambda x: np.where(np.arange(len(x))[:, None] == 1, -np.inf, x), r"NaN or infinite values in 1 rows, the first is row 1 "),
    "constant": (lambda x: np.ones_like(x), r"the same values in all \d+ rows; it says nothing"),
    "constant or zero": (lambda x: np.ones_like(x) * (np.arange(len(x)) > 0)[:, None], r"the same values in all \d+ rows that are not zeros"),
    "no width": (lambda x: x[:, :0], r"shape \(\d+, 0\); wanted numbers of shape"),
    "flat": (lambda x: x[:, 0], r"shape \(\d+,\); wanted numbers of shape"),
    "deep": (lambda x: x[None], r"shape \(1, \d+, 3\); wanted numbers of shape"),
    "words": (lambda x: x.astype(str), "holds <U32 of shape"),
    "objects": (lambda x: x.astype(object), r"image_feat.npy can't be read as a NumPy matrix \(.npy\): Object arrays.*numpy.save, numbers only"),
    "complex": (lambda x: x + 1j, "holds complex128 of shape"),
}  # fmt: skip


@pytest.fixture(scope="module")
def mmrec(tmp_path_factory):
    """A folder of MMRec with four items."""
    folder = tmp_path_factory.mktemp("toys")
    (folder / "toys.inter").write_text("userID\titemID\tx_label\n7\t0\t0\n7\t1\t1\n8\t2\t0\n8\t3\t2\n")
    return folder


@pytest.mark.parametrize(("change", "said"), BAD.values(), ids=BAD)
def test_matrices_that_say_nothing_usable(workspace, mmrec, tmp_path, change, said):
    values = np.random.default_rng(0).normal(size=(len(Catalog.load(workspace.catalog)), 3))
    folder = written(tmp_path / "in", fine=values, image=change(values))
    with pytest.raises(InputError, match=said):
        features(workspace, imported=folder)
    assert not workspace.feature("fine").exists() and not workspace.imported, "all are checked before one is taken in"
    np.save(mmrec / "image_feat.npy", change(values[:4]), allow_pickle=True)
    with pytest.raises(InputError, match=said):
        load(f"mmrec:{mmrec}")


def header(shape):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda whole: whole[: len(whole) // 2], "can't be read as a NumPy matrix"),
        (lambda whole: whole[:20], "can't be read as a NumPy matrix"),
        (lambda whole: b"", "can't be read as a NumPy matrix"),
        (lambda whole: whole.replace(b"(4, 3)", b"(4, 3["), "can't be read as a NumPy matrix"),
        (lambda whole: header((4 * 10**15, 300)) + whole[128:], "can't be read as a NumPy matrix"),
    ],
    ids=["half", "header", "empty", "a broken shape", "a shape too large"],
)
def test_files_cut_short(workspace, mmrec, tmp_path, content, said):
    np.save(mmrec / "image_feat.npy", np.random.default_rng(0).normal(size=(4, 3)))
    whole = content((mmrec / "image_feat.npy").read_bytes())
    (tmp_path / "image_feat.npy").write_bytes(whole)
    (mmrec / "image_feat.npy").write_bytes(whole)
    for read in (lambda: features(workspace, imported=tmp_path), lambda: load(f"mmrec:{mmrec}")):
        with pytest.raises(InputError, match=said):
            read()


@pytest.mark.parametrize("name", ["two words", "1st", "..", "", "a" * 41, "größe"])
def test_names_that_are_no_word(workspace, mmrec, tmp_path, name):
    np.save(tmp_path / f"{name}_feat.npy", matrix(workspace))
    with pytest.raises(InputError, match="can't name a feature: wanted a letter, then letters, digits"):
        features(workspace, imported=tmp_path)
    (mmrec / "image_feat.npy").unlink(missing_ok=True)
    np.save(mmrec / f"{name}_feat.npy", np.eye(4))
    with pytest.raises(InputError, match="can't name a feature"):
        load(f"mmrec:{mmrec}")
    (mmrec / f"{name}_feat.npy").unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda x: x.assign(item_id=["nobody", *x["item_id"][1:]]),
            "row 2 names 'nobody', which is no item of the catalog; leave out such",
        ),
        (lambda x: x.assign(item_id=[x["item_id"][1], *x["item_id"][1:]]), r"row 3 has item_id '\w+', as a row before it"),
        (lambda x: x.assign(itemID=[1, *x["itemID"][1:]]), "row 3 has itemID '1', as a row before it"),
        (lambda x: x.assign(itemID=[500, *x["itemID"][1:]]), r"row 2 has itemID 500, but there are \d+ rows; wanted 0 to"),
        (lambda x: x.assign(itemID=["x", *x["itemID"][1:]]), "column 'itemID' must hold whole numbers from 0: row 2 holds 'x'"),
        (lambda x: x.rename(columns={"item_id": "sku"}), "has the columns sku, itemID; wanted item_id or asin, and itemID"),
        (lambda x: x[:-1].assign(), r"rows but there are \d+ items; so many are listed in i_id_mapping.csv"),
    ],
    ids=["unknown", "doubled", "doubled row", "beyond", "no number", "columns", "fewer"],
)
def test_mappings_that_do_not_fit(workspace, tmp_path, change, said):
    ids = Catalog.load(workspace.catalog).item_ids
    mapping = change(pd.DataFrame({"item_id": ids, "itemID": range(len(ids))}, dtype=object))
    with pytest.raises(InputError, match=said):
        features(workspace, imported=written(tmp_path / "in", mapping, image=matrix(workspace)))


def test_nothing_to_take_in_and_nobody_else_writing(shop, tmp_path):
    with pytest.raises(InputError, match=r"holds no NAME_feat.npy; --import wants a folder"):
        features(shop, imported=tmp_path / "nowhere")
    with shop.writing(), pytest.raises(InputError, match="another process is writing"):
        features(shop, imported=written(tmp_path / "in", image=matrix(shop)))
    assert not shop.imported
