"""An adapter from a workspace's own data: the same command for every model and job; the base stays what it was."""

import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import FAMILIES

from mllm_rec.errors import InputError
from mllm_rec.mllm.adapters import CARD, find_adapter
from mllm_rec.mllm.examples import Example, caption_example, match_examples
from mllm_rec.mllm.finetune import Tuner, Tuning, adapted_layers, encoded
from mllm_rec.mllm.prompts import load_prompt
from mllm_rec.mllm.providers import EMBEDDED, load_provider
from mllm_rec.mllm.providers.local import Local
from mllm_rec.mllm.schema import CaptionSchema, Field
from mllm_rec.pipeline.finetune import finetune

SHORT = Tuning(rank=4, lr=5e-3, batch_size=4, steps=4, check_every=4)
SCHEMA = CaptionSchema({"color": Field(("red", "blue")), "made": Field(("oak", "iron"))})


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {name: make(folder / name) for name, make in FAMILIES.items()}


@pytest.fixture(autouse=True)
def few_held_out(monkeypatch):
    monkeypatch.setattr(sys.modules[finetune.__module__], "_MOST_HELD", 4)


def pictures(count, schema=SCHEMA, version="v1"):
    """Plain red and blue pictures; what they are made of is left open."""
    prompt = load_prompt("caption", version)
    blank = dict.fromkeys(prompt.inputs, "")
    rng = np.random.default_rng(0)
    for number in range(count):
        color = ("red", "blue")[number % 2]
        shade = tuple(int(c) for c in rng.integers(0, 60, 3) + (np.array([180, 0, 0]) if color == "red" else np.array([0, 0, 180])))
        yield caption_example(prompt, schema, {"color": color, "made": None}, Image.new("RGB", (32, 32), shade), **blank)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_only_the_answer_is_learned(models, family):
    local = Local(models[family])
    examples = list(pictures(2))
    inputs, labels = encoded(local, examples)
    decode = local.processor.tokenizer.decode
    assert inputs["input_ids"].shape == labels.shape == inputs["attention_mask"].shape
    for row, one in zip(labels, examples, strict=True):
        learned = decode(row[row >= 0], skip_special_tokens=True)
        assert one.truth == {"color": one.answer[10:].split('"')[0], "made": None}
        assert learned.startswith(one.answer[:14]) and learned.endswith('seen close up."}') and "unknown" not in learned


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("task", ["caption", "match", "word"])
def test_the_same_command_for_both_families_and_every_job(models, family, task, workspace, tmp_path):
    value, text = finetune(workspace, task, str(models[family]), tmp_path / "own", settings=SHORT, merge=tmp_path / "merged")
    card = json.loads((tmp_path / "own" / CARD).read_text())
    assert card["task"] == task and card["data"] and set(card["metrics"]) == {"before", "after", "step"}
    assert value["examples"] == card["examples"] > 10 and "before" in text
    assert not (tmp_path / "own" / "resume.pt").exists()
    assert f"# LoRA adapter: {task}" in (tmp_path / "own" / "README.md").read_text()
    adapted, merged = Local(models[family], adapters=[tmp_path / "own"]), load_provider(str(tmp_path / "merged"))
    adapted.prepare(task)
    asked = [one.conversation for one in pictures(2)]
    inputs = adapted.inputs(asked)
    with torch.inference_mode():
        assert torch.allclose(adapted.model(**inputs).logits, merged.model(**inputs).logits, atol=1e-4)
        adapted.prepare("another job")
        assert torch.equal(adapted.model(**inputs).logits, Local(models[family]).model(**inputs).logits), "off is exactly the base"


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Files of examples, by job."""
    folder = tmp_path_factory.mktemp("told")
    Image.new("RGB", (40, 40), "red").save(folder / "a.png")
    inputs = {"title": "", "text": "", "attributes": ""}
    profile = {"profile": "a red lamp", "leaning": ""}
    said = {
        "caption": [{"image": "a.png", "inputs": inputs, "answer": {"color": "red"}}],
        "match": [{"inputs": profile, "given": f"a {color} mug\n", "answer": answer} for color, answer in (("red", "yes"), ("blue", "no"))],
    }
    said["yes"] = said["match"][:1]
    for job, lines in said.items():
        (folder / f"{job}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines * 16))
    return {job: folder / f"{job}.jsonl" for job in said}


def test_what_is_done_is_not_done_again(models, workspace, told, tmp_path):
    first, again = (finetune(workspace, "match", str(models["llava"]), tmp_path, told["match"], settings=SHORT)[0] for _ in range(2))
    assert again == first
    with pytest.raises(InputError, match="trained otherwise"):
        finetune(workspace, "match", str(models["llava"]), tmp_path, told["match"], settings=replace(SHORT, steps=5))


@pytest.mark.skipif(not EMBEDDED.exists(), reason="this checkout has no embedded model; 'mllm-rec train-mllm' makes one")
def test_it_learns_and_stops_when_it_no_longer_does(tmp_path):
    local = Local(EMBEDDED)
    local.gate = None
    examples = list(pictures(40, version="embedded"))

    def colors(model):
        said = model.generate([one.conversation for one in examples[30:]], SCHEMA.json_schema(), 60)
        return {"accuracy": float(np.mean([one.truth["color"] in said.text for one, said in zip(examples[30:], said, strict=True)]))}

    settings = Tuning(rank=16, lr=8e-3, batch_size=4, steps=120, check_every=8, patience=2)
    tuned = Tuner(local, examples[:30], colors, settings, tmp_path).run()
    assert tuned["before"]["accuracy"] < 0.9 and tuned["after"]["accuracy"] == 1.0 and tuned["step"] < 90, "it stopped early"
    assert colors(local)["accuracy"] == 1.0, "and left with the best adapter on"


def test_interrupted_training_comes_to_the_same_adapter(models, tmp_path):
    examples = list(pictures(20))

    def run(folder, stop=None):
        looks = []

        def metric(model):
            looks.append(1)
            if len(looks) == stop:
                raise KeyboardInterrupt
            grown = sum(float(p.detach().abs().sum()) for name, p in model.model.named_parameters() if "lora_B" in name)
            return {"grown": grown}

        Tuner(Local(models["llava"]), examples, metric, replace(SHORT, check_every=2), folder).run(progress=False)

    run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", stop=3)  # after step 4; the last it kept is step 2
    run(tmp_path / "cut")
    whole, cut = ((tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("whole", "cut"))
    assert whole == cut


def test_what_has_stopped_early_is_not_trained_on(models, tmp_path):
    settings = Tuning(rank=4, lr=5e-3, batch_size=2, steps=8, check_every=1, patience=2)

    def run(folder):
        return Tuner(Local(models["llava"]), list(pictures(4)), lambda model: {"flat": 0.0}, settings, folder).run(progress=False)

    run(tmp_path)
    before = torch.load(tmp_path / "resume.pt", weights_only=True)["step"]
    run(tmp_path)  # as if killed before the card was written
    assert torch.load(tmp_path / "resume.pt", weights_only=True)["step"] == before == 3


def test_several_adapters_are_swapped_by_the_job(models, workspace, told, tmp_path, monkeypatch):
    for name, task in (("captions", "caption"), ("matches", "match")):
        finetune(workspace, task, str(models["llava"]), tmp_path / "adapters" / name, told[task], settings=SHORT)
    monkeypatch.chdir(tmp_path)
    local = Local(models["llava"], adapters=[find_adapter(name) for name in map(type(tmp_path), ("captions", "matches"))])
    keys = []
    for job in ("caption", "match", "word", "caption"):
        local.prepare(job)
        keys.append(local.key)
    assert keys[0] == keys[3] and len(set(keys)) == 3 and keys[2] == Local(models["llava"]).key
    for loading in ({"bits": 8}, {"dtype": "bfloat16"}):
        other = Local(models["llava"], adapters=[tmp_path / "adapters" / "captions"], **loading)
        other.prepare("caption")
        assert other.generate([one.conversation for one in pictures(1)], max_tokens=3) and other.key not in keys
    shutil.copytree(tmp_path / "adapters" / "captions", tmp_path / "strange")
    card = json.loads((tmp_path / "strange" / CARD).read_text())
    (tmp_path / "strange" / CARD).write_text(json.dumps({**card, "base": "0" * 16}))
    with pytest.raises(InputError, match="another base model"):
        Local(models["llava"], adapters=[tmp_path / "strange"])
    with pytest.raises(InputError, match="no adapter 'nothing'"):
        find_adapter(type(tmp_path)("nothing"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2"),
        ("[1]", "line 2: wanted a JSON object"),
        ('{"image": "a.png"}', "has no 'answer'"),
        ('{"answer": {"category": "spaceship"}, "image": "a.png"}', "spaceship"),
        ('{"answer": {"flavor": "sweet"}, "image": "a.png"}', "no field 'flavor'"),
        ('{"answer": {"category": "lamp"}, "image": "b.png"}', "line 2"),
        ('{"answer": {"category": "lamp"}}', "has no 'image'"),
    ],
)
def test_data_of_ones_own(models, workspace, tmp_path, line, message):
    Image.new("RGB", (40, 40), "red").save(tmp_path / "a.png")
    inputs = {"title": "", "text": "", "attributes": ""}
    good = {"image": "a.png", "answer": {"category": "lamp", "color": None}, "inputs": inputs}
    bad = line if line in ("{", "[1]") else json.dumps({"inputs": inputs, **json.loads(line)})
    (tmp_path / "data.jsonl").write_text(f"{json.dumps(good)}\n{bad}\n")
    with pytest.raises(InputError, match=message):
        finetune(workspace, "caption", str(models["llava"]), tmp_path / "own", data=tmp_path / "data.jsonl", settings=SHORT)


def test_what_cannot_be_trained_is_said(models, workspace, told, tmp_path):
    for base in ("none", "openai:m@http://127.0.0.1:1/v1"):
        with pytest.raises(InputError, match="can't be trained here"):
            finetune(workspace, "match", base, tmp_path / "own")
    with pytest.raises(InputError, match="4-bit"):
        finetune(workspace, "match", str(models["llava"]), tmp_path / "own", qlora=True)
    with pytest.raises(InputError, match="mix yes and no"):
        finetune(workspace, "match", str(models["llava"]), tmp_path / "own", told["yes"])
    with pytest.raises(InputError, match="nothing to learn"):
        Tuner(Local(models["llava"]), [], lambda model: {}, SHORT, tmp_path)


def test_people_of_a_profile_never_have_what_is_asked(workspace):
    from mllm_rec.data.catalog import Catalog

    catalog = Catalog.load(workspace.catalog)
    histories = [np.array([1, 2, 3, 4, 5]), np.array([7, 8]), np.array([9, 10, 11, 12])]
    made = list(match_examples(load_prompt("match"), catalog, histories, np.random.default_rng(0)))
    assert [one.answer for one in made] == ["yes", "no"] * 6, "two people have a history that is long enough"
    titles = [catalog.table["title"].iat[row] for row in histories[0]]
    for one in made[:6]:
        bought = any(title in one.given for title in titles)
        assert bought == (one.answer == "yes")
        profile = one.asked[-1]["content"][-1]["text"]
        assert not any(title in profile and title in one.given for title in titles)


def test_layers_that_are_adapted(models):
    names = adapted_layers(Local(models["llava"]).model)
    assert any("vision" in name for name in names) and any("q_proj" in name for name in names)
    assert not any(name.endswith("lm_head") for name in names)
    assert Example([], "yes").open == ()
