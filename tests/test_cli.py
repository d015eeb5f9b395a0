"""The command line, from words to exit codes."""

import json

import pandas as pd
import pytest

from mllm_rec.cli import main, make_parser
from mllm_rec.data.catalog import Catalog

COMMANDS = ("build", "inspect", "systems", "train", "evaluate", "compare", "recommend", "explain", "chat", "doctor")


def run(capsys, *words):
    status = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture(scope="module")
def files(shop_inputs):
    said = ",".join(f"{name}={column}" for name, column in shop_inputs.map.items())
    return [shop_inputs.items, "--images", shop_inputs.images, "--interactions", shop_inputs.interactions, "--map", said]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and f"mllm-rec {command}" in said and "--json" in said
    options = make_parser()._subparsers._group_actions[0].choices[command]._actions
    assert [option.dest for option in options if not option.help] == []


def test_inspect_understands(files, capsys):
    status, out, _ = run(capsys, "inspect", *files)
    assert status == 0 and "sku" in out and "global-time" in out
    status, out, _ = run(capsys, "inspect", *files, "--json")
    value = json.loads(out)
    assert status == 0 and value["understood"] and value["items"]["items"] == 120


def test_standard_output_is_the_object_only(workspace, capsys, tmp_path):
    for words in (
        ["systems"],
        ["doctor"],
        ["evaluate", workspace.root, "--systems", "popularity"],
        ["recommend", workspace.root, "--user", "U0003", "--k", 3, "--explain"],
        ["recommend", workspace.root, "--all-users", "--k", 2, "--out", tmp_path / "recs.parquet"],
        ["explain", workspace.root, "--user", "U0003", "--item", "H0007"],
    ):
        status, out, _ = run(capsys, *words, "--json")
        assert status == 0 and isinstance(json.loads(out), dict) and out.count("\n") == 1


def test_evaluate_says_split_and_mask_beside_the_figures(workspace, capsys):
    _, out, _ = run(capsys, "evaluate", workspace.root, "--json", "--ks", "5,20")
    value = json.loads(out)
    assert value["split"] == "global-time" and value["mask"] == "train+validation"
    assert {"recall@5", "ndcg@20", "coverage@20"} <= set(value["systems"][0]["metrics"])
    assert set(value["systems"][0]["metrics"]["recall@20"]) == {"mean", "low", "high"} and "seconds" in value["systems"][0]
    popularity = next(row["popularity"] for row in value["systems"] if row["system"] == "popularity")
    assert list(popularity)[:3] == ["head", "middle", "tail"] and popularity["head"] > popularity["tail"]
    _, out, _ = run(capsys, "evaluate", workspace.root)
    assert "by popularity of the item in training" in out and f"{popularity['head']:.4f}" in out.rpartition("by popularity")[2]


def test_a_list_keeps_the_rules(workspace, capsys, tmp_path):
    catalog = Catalog.load(workspace.catalog)
    lamps = catalog.item_ids[(catalog.table["category"] == "lamp") & catalog.available]
    (tmp_path / "no.txt").write_text("\n".join(lamps[:3]))
    _, out, _ = run(capsys, "recommend", workspace.root, "--words", "a lamp", "--k", 50, "--exclude", tmp_path / "no.txt", "--json")
    assert {item["item_id"] for item in json.loads(out)["items"]} == set(lamps[3:])
    run(capsys, "recommend", workspace.root, "--all-users", "--k", 20, "--exclude", tmp_path / "no.txt", "--out", tmp_path / "recs.csv")
    assert not set(pd.read_csv(tmp_path / "recs.csv")["item_id"]) & set(lamps[:3])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate", "{tmp}/nowhere"], "is not a workspace; make one with"),
        (["recommend", "{shop}"], "say for whom"),
        (["recommend", "{shop}", "--user", "nobody"], "user 'nobody' is not in the log of 80 users"),
        (["recommend", "{shop}", "--like", "H9"], "item 'H9' is not in the catalog"),
        (["recommend", "{shop}", "--all-users"], "--all-users needs --out"),
        (["build", "--out", "{tmp}/w"], "name a source"),
        (["build", "demo", "--items", "x.csv", "--out", "{tmp}/w"], "one of the two"),
        (["build", "demo", "--systems", "fredom", "--out", "{tmp}/w"], "did you mean 'freedom'"),
        (["build", "--items", "{tmp}/missing.csv", "--out", "{tmp}/w"], "missing.csv does not exist"),
        (["train", "{shop}", "--systems", "ease", "--set", "lambda=3"], "no setting 'lambda'"),
        (["chat", "{shop}", "--user", "nobody", "--port", "1"], "nobody"),
        (["explain", "{shop}", "--user", "U0001", "--item", "lamp"], "is not in the catalog"),
    ],
)
def test_errors_are_sentences(words, said, workspace, tmp_path, capsys):
    status, out, err = run(capsys, *[word.format(shop=workspace.root, tmp=tmp_path) for word in words])
    assert status == 1 and said in err and "Traceback" not in err and not out


def test_a_traceback_is_shown_when_asked_for(tmp_path):
    with pytest.raises(Exception, match="is not a workspace"):
        main(["evaluate", str(tmp_path / "nowhere"), "--debug"])


@pytest.mark.parametrize(
    "words", [[], ["bulid"], ["recommend", "w", "--k", "0"], ["evaluate", "w", "--ks", "ten"], ["build", "demo", "--map", "a"]]
)
def test_wrong_usage_is_2(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*words, *(["--out", "w"] if "build" in words else [])])
    assert ended.value.code == 2 and "usage" in capsys.readouterr().err


def test_a_file_where_a_folder_belongs_is_wrong_usage(tmp_path, capsys):
    (tmp_path / "taken").write_text("x")
    for words in (
        ["compare", "--data", "demo", "--results"],
        ["robustness", "--data", "demo", "--out"],
        ["export", "w", "--to", "mmrec", "--out"],
    ):
        with pytest.raises(SystemExit) as ended:
            main([*words, str(tmp_path / "taken")])
        assert ended.value.code == 2 and "taken is a file; name a folder" in capsys.readouterr().err


def test_a_model_is_judged_with_its_adapter_on(monkeypatch, capsys, tmp_path):
    from mllm_rec.mllm.providers import Answer, Loading
    from mllm_rec.mllm.providers.scripted import Scripted

    asked = []

    class Judged(Scripted):
        def prepare(self, job):
            asked.append(job)

    def load(name, adapters=(), patience=None, loading=None):
        asked.append((name, list(adapters), loading))
        return Judged(lambda conversation: Answer("{}"))

    monkeypatch.setattr("mllm_rec.mllm.providers.load_provider", load)
    (tmp_path / "adapter_config.json").write_text("{}")
    words = ["--mllm", "m", "--adapter", tmp_path, "--device", "cuda:1", "--bits", "8", "--dtype", "float16", "--count", "2"]
    status, out, _ = run(capsys, "judge", *words, "--json")
    assert status == 0 and asked == [("m", [tmp_path], Loading("cuda:1", "float16", 8)), "caption"]
    assert {row["unknown/hidden"] for row in json.loads(out)["fields"] if row["field"] in ("style", "room")} == {1.0}


def test_training_on_a_gpu_that_is_not_there_is_refused_at_once(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    status, _, err = run(capsys, "train-mllm", "--out", tmp_path / "model", "--device", "cuda")
    assert status == 1 and "no CUDA" in err and not (tmp_path / "model").exists()


def test_interrupted(workspace, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("mllm_rec.pipeline.evaluate_workspace", stop)
    status, _, err = run(capsys, "evaluate", workspace.root)
    assert status == 130 and "goes on where it stopped" in err


def test_what_is_named_by_a_path_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("models/vit", "cnn", "words.vec"):
        (tmp_path / name).mkdir(parents=True)
    said = ["image=models/vit?pca=8", "text=words.vec", "video=frames:models/vit?frames=3", "audio=org/model", "attributes=attributes"]
    words = ["build", "demo", "--out", "w", "--mllm", "models/vit", *(part for one in said for part in ("--encoder", one))]
    args = make_parser().parse_args(words)
    here = str(tmp_path)
    assert args.mllm == f"{here}/models/vit" and args.encoder == {
        "image": f"{here}/models/vit?pca=8",
        "text": f"{here}/words.vec",
        "video": f"frames:{here}/models/vit?frames=3",
        "audio": "org/model",
        "attributes": "attributes",
    }
    args = make_parser().parse_args(["build", "demo", "--out", "w", "--mllm", "openai:m@http://h/v1", "--encoder", "image=cnn?width=8"])
    assert args.mllm == "openai:m@http://h/v1" and args.encoder == {"image": "cnn?width=8"}
    args = make_parser().parse_args(["build", "demo", "--out", "w", "--encoder", "image=mllm:models/vit"])
    assert args.encoder == {"image": f"mllm:{here}/models/vit"}
