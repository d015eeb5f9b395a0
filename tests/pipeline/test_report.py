"""``report.html``: whole, self-contained, escaped, and with the figures that ``evaluate`` gives."""

import html
import json
import re
import shutil

import pandas as pd
import pytest
from html_page import EVIL, read
from PIL import Image

from mllm_rec.cli import main
from mllm_rec.pipeline import Inputs, Workspace, build, evaluate_workspace, update
from mllm_rec.pipeline.report import report


@pytest.fixture(scope="module")
def own(workspace, tmp_path_factory):
    own = Workspace(shutil.copytree(workspace.root, tmp_path_factory.mktemp("report") / "shop"))
    report(own)
    return own


def test_everything_is_in_it(own):
    page = read(own.root / "report.html")
    for heading in ("What went in", "Mended and refused", "Pictures", "Training", "What it is worth", "Lists, with their reasons"):
        assert heading in page.text
    assert {"120", "119", "category", "freedom (serves)", "ease", "popularity"} & set(page.text) >= {"120", "119", "category", "popularity"}
    plots = sorted(path.name for path in (own.root / "report").iterdir())
    assert plots == ["loss.png", "popularity.png", "validation.png"]
    for name in plots:
        with Image.open(own.root / "report" / name) as image:
            assert image.width > 600 and len(image.convert("L").getcolors(1 << 20)) > 10
    pictures = [one for tag, one in page.found if tag == "img"]
    assert len(pictures) >= 24 + 3 + 3 * 6 and all(one["alt"] for one in pictures)
    assert any("liked" in text for text in page.text) and any(tag == "meta" and one.get("name") == "viewport" for tag, one in page.found)


def test_every_curve_has_the_value_on_training_pairs_beside_that_of_validation(own):
    history = json.loads((own.run("freedom", 0) / "metrics.json").read_text())["run"]["history"]
    assert all(line["watched"] >= 0 for line in history) and history[-1]["watched"] > history[-1]["validation"]
    assert any("Dashed: on a sample of the training part" in text for text in read(own.root / "report.html").text)


def test_the_figures_are_those_of_evaluate(own):
    said = read(own.root / "report.html").text
    value, _ = evaluate_workspace(own, None, 1, "test", "train+validation", (10, 20))
    for row in value["systems"]:
        for name in ("recall@20", "ndcg@20"):
            one = row["tables"]["warm"]["metrics"][name]
            place = [f"{row['system']}{serves}" for serves in ("", " (serves)")]
            start = next(said.index(name) for name in place if name in said)
            assert f"{one['mean']:.4f}" in said[start:] and f"{one['low']:.4f} to {one['high']:.4f}" in said[start:]


def test_problems_are_counted_and_quoted(own):
    lines = [json.loads(line) for line in own.problems.read_text().splitlines()]
    said = read(own.root / "report.html").text
    for kind in {line["kind"] for line in lines}:
        assert said[said.index(kind) + 1] == str(sum(line["kind"] == kind for line in lines))
    assert any(lines[0]["why"] in text and f"row {lines[0]['row']}" in text for text in said)


def test_what_a_catalog_says_stays_text(tmp_path):
    rows = {"item_id": [f"m{row}" for row in range(8)], "title": [f"{EVIL} {row}" for row in range(8)], "price": ["x" + EVIL, *range(7)]}
    pd.DataFrame(rows).to_csv(tmp_path / "items.csv", index=False)
    log = [("<b>u</b>", f"m{item}") for item in range(4)] + [("v", f"m{item}") for item in range(2, 8)]
    pd.DataFrame(log, columns=["user_id", "item_id"]).to_csv(tmp_path / "log.csv", index=False)
    build(Inputs(items=tmp_path / "items.csv", interactions=tmp_path / "log.csv"), tmp_path / "<i>w", systems=["popularity", "ease"])
    report(Workspace(tmp_path / "<i>w"))
    page = read(tmp_path / "<i>w" / "report.html")
    assert any("user <b>u</b>" in text for text in page.text) and any("\"' lamp" in text for text in page.text)
    raw = (tmp_path / "<i>w" / "report.html").read_text()
    assert "No item has one." in page.text and html.escape("<b>u</b>") in raw and "<b>u</b>" not in raw


def test_a_catalog_without_a_log(tmp_path):
    pd.DataFrame({"item_id": ["a", "b", "c"], "title": ["red mug", "red bowl", "blue rug"]}).to_csv(tmp_path / "items.csv", index=False)
    build(Inputs(items=tmp_path / "items.csv"), tmp_path / "w")
    value, _ = report(Workspace(tmp_path / "w"))
    page = " ".join(read(tmp_path / "w" / "report.html").text)
    assert (
        value["plots"] == [] and "There is no log" in page and "nothing is held out" in page and "For a visitor, who liked 1 item" in page
    )


def test_stale_runs_are_said_and_give_no_figures(workspace, tmp_path):
    own = Workspace(shutil.copytree(workspace.root, tmp_path / "shop"))
    pd.DataFrame({"item_id": ["new"], "title": ["Zanzibar lantern"]}).to_csv(tmp_path / "new.csv", index=False)
    update(own, tmp_path / "new.csv")
    report(own)
    page = " ".join(read(own.root / "report.html").text)
    assert "Since the systems were trained: 1 new items." in page and "No figures: the runs of" in page and "121" in page


def test_build_makes_it_and_leaves_it_where_nothing_changed(shop_files, tmp_path, capsys):
    shutil.copy(shop_files / "items.csv", tmp_path / "items.csv")
    words = ["build", "--items", str(tmp_path / "items.csv"), "--map", "item_id=sku,title=name,text=about", "--out", str(tmp_path / "w")]
    assert main([*words, "--json"]) == 0
    path = tmp_path / "w" / "report.html"
    assert json.loads(capsys.readouterr().out)["report"] == str(path)
    made = path.stat().st_mtime_ns
    assert main(words) == 0 and path.stat().st_mtime_ns == made and str(path) in capsys.readouterr().out
    assert main(["report", str(tmp_path / "w")]) == 0 and path.stat().st_mtime_ns > made
    assert re.search(r"report: .*report\.html \(\d\.\d MB\)", capsys.readouterr().out)
