"""``forget``: a user is gone from every file, and does not come back."""

import json
import shutil
import sqlite3

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from mllm_rec.cli import main
from mllm_rec.encoders.store import Store
from mllm_rec.errors import InputError
from mllm_rec.pipeline import (
    Inputs,
    Workspace,
    ablate,
    build,
    evaluate_workspace,
    forget,
    open_shop,
    recommend,
    recommend_all,
    update,
)

SYSTEMS = ["popularity", "bpr", "lightgcn", "vbpr"]
#: No such run of characters stands anywhere by chance; one is in the log with spaces around it, which is mended and noted.
MARGUERITE = "Marguerite Þórsdóttir-4711"


@pytest.fixture(scope="module")
def built(shop_inputs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("forget")
    log = pd.read_csv(shop_inputs.interactions, dtype=str)
    user = log["customer"].iloc[40]
    log["customer"] = log["customer"].where(log["customer"] != user, MARGUERITE)
    log = pd.concat([log, log[log["customer"] == MARGUERITE].iloc[:1].assign(sku="no such item")])
    log.to_csv(folder / "log.csv", index=False)
    inputs = Inputs(**{**vars(shop_inputs), "interactions": folder / "log.csv"})
    workspace = Workspace(folder / "shop")
    short = {"fit.epochs": 2, "dim": 8}
    workspace.record(settings={"bpr": short, "lightgcn": short, "vbpr": {**short, "content_dim": 8}})
    build(inputs, workspace.root, SYSTEMS)
    evaluate_workspace(workspace, None, 1, "test", "train+validation", (10,))
    ablate(workspace, ["vbpr"], seeds=1)
    return workspace, inputs


@pytest.fixture
def own(built, tmp_path):
    return Workspace(shutil.copytree(built[0].root, tmp_path / "shop"))


def cells(path):
    """Everything a file says: its bytes as they are, and what they hold where that is packed."""
    yield path.read_bytes()
    if path.suffix == ".parquet":
        yield pd.read_parquet(path).to_csv().encode()
    if path.suffix in (".sqlite", ".sqlite3"):
        with sqlite3.connect(path) as database:
            yield "\n".join(map(str, database.iterdump())).encode()
        database.close()


def files_naming(root, word):
    spelled = (word.encode(), json.dumps(word)[1:-1].encode(), word.encode("utf-16-le"))
    paths = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)) for path in paths if any(one in said for said in cells(path) for one in spelled)}


def test_no_file_names_them(own):
    log = pd.read_parquet(own.interactions)
    theirs = log[log["user_id"] == MARGUERITE]
    noted = {"file": "log.csv", "row": 7, "kind": "odd id", "why": f"'{MARGUERITE}' is odd", "action": "mended"}
    problems = own.problems.read_text(encoding="utf-8")
    own.problems.write_text(problems + json.dumps(noted) + "\n", encoding="utf-8")
    with Store(own.root / "opinions.sqlite") as store:
        store.add({MARGUERITE: b"likes lamps"})
    recommend_all(own, 5, own.root / "lists.parquet")
    assert {"interactions.parquet", "problems.jsonl", "opinions.sqlite", "lists.parquet"} <= files_naming(own.root, MARGUERITE)
    value, text = forget(own, MARGUERITE)
    lists = own.root / "lists.parquet"
    assert value == {"user": MARGUERITE, "rows": len(theirs), "stale": True, "named in": [str(lists)]}
    assert "--retrain" in text and f"{lists} still names this user" in text
    lists.unlink()
    assert own.problems.read_text(encoding="utf-8") == problems
    assert files_naming(own.root, MARGUERITE) == set()
    left = pd.read_parquet(own.interactions)
    kept = left[left["part"] != "forgotten"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, log[log["user_id"] != MARGUERITE].reset_index(drop=True))


def test_their_row_in_every_checkpoint_is_zero_and_others_stay(own):
    shop = open_shop(own)
    position = shop.data.user(MARGUERITE)
    paths = {path.relative_to(own.root): load_file(path) for path in own.root.glob("runs/*/*/checkpoint.safetensors")}
    paths[(own.serving_folder / "checkpoint.safetensors").relative_to(own.root)] = load_file(own.serving_folder / "checkpoint.safetensors")
    lists = {str(user): recommend(own, str(user), [], "", 5)[0] for user in shop.data.users[:3] if user != MARGUERITE}
    forget(own, MARGUERITE)
    tables = 0
    for path, before in paths.items():
        after = load_file(own.root / path)
        for name, tensor in before.items():
            if tensor.dim() and len(tensor) == shop.data.num_users:
                assert tensor[position].any() and not after[name][position].any(), (path, name)
                tables += 1
                keep = np.arange(len(tensor)) != position
                assert (after[name][keep] == tensor[keep]).all()
            else:
                assert (after[name] == tensor).all()
    assert tables >= 3
    assert {user: recommend(own, user, [], "", 5)[0] for user in lists} == lists
    with pytest.raises(InputError, match="Marguerite"):
        recommend(own, MARGUERITE, [], "", 5)


def test_runs_are_stale_until_retrained_and_nothing_brings_them_back(own, built, tmp_path, capsys):
    forget(own, MARGUERITE)
    with pytest.raises(InputError, match=r"1 users forgotten since .* --retrain"):
        evaluate_workspace(own, None, 1, "test", "train+validation", (10,))
    assert "forgotten" in update(own, retrain=True)[1] or not own.manifest()["since"]
    assert evaluate_workspace(own, None, 1, "test", "train+validation", (10,))[0]["systems"]
    assert open_shop(own).data.num_users == 79 and set(pd.read_parquet(own.interactions)["part"]) == {"train", "validation", "test"}
    log = pd.DataFrame({"user_id": [MARGUERITE, "another"], "item_id": list(open_shop(own).catalog.item_ids[:2])})
    log.to_csv(tmp_path / "more.csv", index=False)
    assert update(own, interactions=tmp_path / "more.csv")[0]["since"]["users"] == 1
    inputs = Inputs(**{**vars(built[1]), "k_core": 1})  # other inputs: the old log is read anew
    build(inputs, own.root, SYSTEMS)
    assert MARGUERITE not in open_shop(own).data.users and files_naming(own.root, MARGUERITE) == set()
    assert len(json.loads((own.root / "forgotten.json").read_text())["hashes"]) == 1


def test_an_update_between_keeps_everybody_at_their_place(own, tmp_path):
    log = pd.DataFrame({"user_id": ["newcomer"] * 3, "item_id": list(open_shop(own).catalog.item_ids[:3])})
    log.to_csv(tmp_path / "more.csv", index=False)
    update(own, interactions=tmp_path / "more.csv")
    users = list(open_shop(own).data.users)
    forget(own, MARGUERITE)
    after = list(open_shop(own).data.users)
    assert [user for user in users if user != MARGUERITE] == [user for user in after if not user.startswith("forgotten")]
    assert after.index("newcomer") == users.index("newcomer") and len(recommend(own, "newcomer", [], "", 5)[0]["items"]) == 5
    forget(own, "newcomer")
    assert len(recommend(own, users[0], [], "", 5)[0]["items"]) == 5


def test_what_cannot_be_forgotten_is_said(own, capsys):
    with pytest.raises(InputError, match="'nobody' is not in the log"):
        forget(own, "nobody")
    forget(own, MARGUERITE)
    with pytest.raises(InputError, match="forgotten before"):
        forget(own, MARGUERITE)
    assert main(["forget", str(own.root), "nobody"]) == 1 and "nobody" in capsys.readouterr().err


def test_two_workspaces_hash_the_same_user_differently(own, tmp_path):
    other = Workspace(shutil.copytree(own.root, tmp_path / "other"))
    for workspace in (own, other):
        forget(workspace, MARGUERITE)
    first, second = (json.loads((one.root / "forgotten.json").read_text())["hashes"] for one in (own, other))
    assert first != second
