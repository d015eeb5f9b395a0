"""Every command in the README and in docs/ is understood; those that need nothing else run, in order, in a small shop."""

import re
import shlex
import shutil
from pathlib import Path

import pandas as pd
import pytest

from mllm_rec.cli import main, make_parser
from mllm_rec.pipeline import Workspace

CHECKOUT = Path(__file__).parent.parent
PAGES = ("README.md", *sorted(str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "docs").glob("*.md")))
QUICK = {name: {"fit.epochs": 1} for name in ("lightgcn", "freedom", "vbpr")}


#: Commands of others that tests run too: ``make test`` is how this runs, and the chat's and the index's tests start the servers.
OTHERS = ("make demo", "make test", "chroma run ")


def lines_of(page):
    blocks = re.findall(r"```sh\n(.*?)```", (CHECKOUT / page).read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def commands(page):
    return [line for line in lines_of(page) if line.startswith("mllm-rec ")]


def words(line):
    return shlex.split(line, comments=True)[1:]


def runs(line):
    """Whether it needs nothing but the shop's files; the chat serves until it is interrupted, and has tests of its own."""
    return "# needs " not in line and words(line)[0] != "chat"


@pytest.mark.parametrize(("page", "line"), [(page, line) for page in PAGES for line in commands(page)])
def test_commands_are_understood(page, line):
    assert callable(make_parser().parse_args(words(line)).run)


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_others_say_what_they_need(page):
    others = [line for line in lines_of(page) if not line.startswith(("mllm-rec ", *OTHERS))]
    assert [line for line in others if "# needs " not in line] == []


@pytest.fixture(scope="module")
def shop(shop_inputs, tmp_path_factory):
    """The files that the pages speak of, under the names they use, and a workspace ``shop`` built from them."""
    folder = tmp_path_factory.mktemp("docs")
    items = pd.read_csv(shop_inputs.items, dtype=str).rename(columns={column: field for field, column in shop_inputs.map.items()})
    log = pd.read_csv(shop_inputs.interactions, dtype=str).rename(columns={column: field for field, column in shop_inputs.map.items()})
    items["item_id"] = items["item_id"].replace({items["item_id"].iloc[0]: "4711"})
    log["item_id"] = log["item_id"].replace({pd.read_csv(shop_inputs.items, dtype=str)["sku"].iloc[0]: "4711"})
    users = log["user_id"].value_counts().index
    log["user_id"] = log["user_id"].replace({users[0]: "42", users[1]: "17"})
    items.to_csv(folder / "items.csv", index=False)
    log.to_csv(folder / "log.csv", index=False)
    items.head(2).assign(item_id=["n1", "n2"], image=None).to_csv(folder / "new.csv", index=False)
    pd.DataFrame({"user_id": ["42", "new"], "item_id": ["n1", "4711"], "timestamp": [2e9, 2e9]}).to_csv(
        folder / "yesterday.csv", index=False
    )
    shutil.copytree(shop_inputs.images, folder / "pictures")
    shutil.copy(next((folder / "pictures").iterdir()), folder / "photo.png")
    for name in ("shop", "trained", "plain"):
        Workspace(folder / name).record(settings=QUICK)
    assert (
        main(["build", "--items", str(folder / "items.csv"), "--interactions", str(folder / "log.csv"), "--out", str(folder / "shop")]) == 0
    )
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_commands_run(page, shop, tmp_path, monkeypatch, capsys):
    if not (lines := [line for line in commands(page) if runs(line)]):
        pytest.skip("every command here says what it needs")
    shutil.copytree(shop, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    for line in lines:
        status = main(words(line))
        assert status == 0, f"{page}: {line}\n{capsys.readouterr().err}"


def test_links_and_files_exist():
    for page in PAGES:
        text = (CHECKOUT / page).read_text(encoding="utf-8")
        for name in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
            assert ((CHECKOUT / page).parent / name).exists(), f"{page}: {name}"
    dockerfile = (CHECKOUT / "deploy" / "Dockerfile").read_text()
    for name in re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE):
        assert all((CHECKOUT / part).exists() for part in name.split())
    unit = (CHECKOUT / "deploy" / "mllm-rec.service").read_text()
    served = [re.search(r'CMD \["(.*)"\]', dockerfile)[1].split('", "'), re.search(r"ExecStart=\S+ (.*)", unit)[1].split()]
    assert all(make_parser().parse_args(said).host for said in served)


def test_every_page_is_reached_from_the_readme():
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert [page for page in PAGES[1:] if f"({page})" not in text] == []
