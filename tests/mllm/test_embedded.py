"""The recipe of the embedded model, at the smallest size; and the model that ships, where it is part of the checkout."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from mllm_rec import resources
from mllm_rec.data.sources.demo import DEMO, draw, recipes
from mllm_rec.errors import InputError
from mllm_rec.mllm.embedded.corpus import DRAWN, FIRST_SEED, answer, drawings
from mllm_rec.mllm.embedded.matches import matches
from mllm_rec.mllm.embedded.model import Size
from mllm_rec.mllm.embedded.recipe import asked_of, train_mllm
from mllm_rec.mllm.embedded.train import Muon, Recipe
from mllm_rec.mllm.examples import sentence
from mllm_rec.mllm.judge import fit_calibration, judged, table
from mllm_rec.mllm.providers import EMBEDDED, load_provider
from mllm_rec.mllm.providers.local import CARD
from mllm_rec.mllm.schema import UNKNOWN, CaptionSchema

DOMAIN = DEMO["domain_file"]
TINY = Recipe(
    drawings=8,
    matches=24,
    validation=4,
    batch_size=4,
    head_steps=4,
    word_steps=6,
    match_steps=4,
    keep_every=2,
    size=Size(side=32, paths=((4,), (8, 8)), dim=32),
)


@pytest.fixture(scope="module")
def schema():
    from mllm_rec.data.domain import Domain

    return CaptionSchema.of_domain(Domain.load(resources.path(DOMAIN)))


def test_drawings_share_nothing_with_the_shop():
    made = drawings(DOMAIN, 300, seed=5, hidden_share=0.3)
    goods = {tuple(item[field] for field in DRAWN) for item, _ in recipes(DOMAIN, DEMO["items"], DEMO["seed"]).values()}
    assert min(one.seed for one in made) >= FIRST_SEED
    assert not goods & {tuple(one.attributes[field] for field in DRAWN) for one in made}
    assert {one.seed for one in made}.isdisjoint(one.seed for one in drawings(DOMAIN, 300, seed=6))
    hidden = [one for one in made if one.attributes["view"] != "front"]
    assert hidden and all(UNKNOWN in one.shown().values() for one in hidden)


def test_what_is_taught_fits_the_schema(schema):
    for one in drawings(DOMAIN, 50, seed=5, hidden_share=0.5):
        said = schema.parse(answer(schema, one.shown()))
        assert all(said[field] == value for field, value in one.shown().items()) and said["style"] == UNKNOWN
    shown = {"category": "mug", "color": "red", "pattern": "striped", "shape": "tapered", "material": "ceramic"}
    assert sentence(shown) == "A striped red mug of ceramic, tapered."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda domain: domain["categories"]["jar"].update(drawn_as="robot"), "'jar' can't be drawn: 'robot' is not a kind"),
        (lambda domain: domain["fields"]["category"]["values"].remove("jar"), "'jar' has jar, which field 'category' does not list"),
        (lambda domain: domain["fields"]["pattern"]["values"].append("tartan"), "'tartan' is not a pattern"),
        (lambda domain: domain["categories"]["kite"].pop("price"), "category 'kite' has no price"),
        (lambda domain: domain.pop("collections"), "the file has no collections"),
    ],
)
def test_a_domain_that_cannot_be_drawn_is_said_at_once(tmp_path, change, said):
    domain = yaml.safe_load(resources.path("domains/picnic.yaml").read_text(encoding="utf-8"))
    change(domain)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(domain))
    with pytest.raises(InputError, match=said):
        train_mllm(tmp_path / "model", tmp_path / "mine.yaml", TINY)
    assert not (tmp_path / "model").exists()


def test_a_domain_of_few_kinds_gives_as_many_questions_as_any():
    assert len({one.given for one in matches("domains/picnic.yaml", 40, seed=1)}) > 20


def test_interrupted_training_comes_to_the_same_model(tmp_path, monkeypatch, schema):
    from mllm_rec.mllm.embedded import train as module

    whole, _ = train_mllm(tmp_path / "whole", DOMAIN, TINY)
    keep = module.Training._keep

    def stop(self, stage, step, *rest):
        keep(self, stage, step, *rest)
        if (stage, step) == (1, 2):
            raise KeyboardInterrupt

    monkeypatch.setattr(module.Training, "_keep", stop)
    with pytest.raises(KeyboardInterrupt):
        train_mllm(tmp_path / "parts", DOMAIN, TINY)
    monkeypatch.setattr(module.Training, "_keep", keep)
    train_mllm(tmp_path / "parts", DOMAIN, TINY)
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert one == other
    assert whole["domain"] == schema.key() and not (tmp_path / "whole" / "work").exists()
    assert "wrong/stated" in (tmp_path / "whole" / "README.md").read_text()


def test_what_was_kept_of_other_lessons_is_not_gone_on_with(tmp_path, schema):
    from mllm_rec.mllm.embedded.model import new_processor
    from mllm_rec.mllm.embedded.recipe import prompt_ids
    from mllm_rec.mllm.embedded.train import Lessons, Training
    from mllm_rec.mllm.examples import Example

    recipe = replace(TINY, head_steps=1, word_steps=1, match_steps=1)
    made = drawings(DOMAIN, 4, seed=5)
    processor = new_processor(["caption yes no"], recipe.size)
    question = Example([{"role": "user", "content": [{"type": "text", "text": "caption"}]}], "yes")

    def trained(pictures, folder):
        folder.mkdir(exist_ok=True)
        lessons = Lessons(pictures, made, [question], schema, processor, prompt_ids(processor), recipe)
        return Training(lessons, processor, recipe, folder).run(progress=False).state_dict()

    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 256, (2, 4, 32, 32, 3), dtype=np.uint8)
    trained(one, tmp_path / "used")
    fresh, again = trained(other, tmp_path / "new"), trained(other, tmp_path / "used")
    assert all(torch.equal(fresh[name], again[name]) for name in fresh)


def test_muon_turns_a_convolution_by_an_orthogonal_matrix():
    convolution = torch.nn.Conv2d(8, 16, 3, bias=False).to(memory_format=torch.channels_last)
    before = convolution.weight.detach().clone()
    convolution(torch.randn(2, 8, 5, 5)).square().sum().backward()
    Muon([([convolution.weight], 1.0)]).step()
    moved = (0.99 * before - convolution.weight.detach()).permute(0, 2, 3, 1).reshape(16, 72)
    sizes = torch.linalg.svdvals(moved)
    assert sizes.min() > 0.5 and sizes.max() < 1.5, "Newton-Schulz brings singular values near 1"


def test_calibration_brings_wrong_values_down():
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.3, 1.0, 4000)
    right = rng.random(4000) < sure
    said = pd.DataFrame(
        {"picture": range(4000), "field": "color", "true": "red", "said": np.where(right, "red", "blue"), "confidence": sure}
    )
    found = fit_calibration(said)
    assert found["temperature"]["color"] == pytest.approx(1.0, abs=0.1) and found["floor"]["color"] > 0.3
    row = table(said, found).iloc[0]
    assert row["calibration error"] < 0.03 and row["wrong/stated"] < (~right).mean()


shipped = pytest.mark.skipif(not EMBEDDED.exists(), reason="this checkout has no embedded model; 'mllm-rec train-mllm' makes one")


@shipped
def test_the_model_that_ships(schema):
    model = load_provider("embedded")
    assert model.name == "embedded" and model.jobs == {"caption", "match"}
    card = json.loads((EMBEDDED / CARD).read_text())
    assert sum(path.stat().st_size for path in EMBEDDED.iterdir()) <= 15_000_000
    unseen = drawings(DOMAIN, 120, seed=77, hidden_share=0.25)
    pictures = [np.asarray(draw(one.attributes, one.seed, one.hard)) for one in unseen]
    said, speed = judged(model, schema, *asked_of(model, schema, unseen, pictures))
    found = table(said, card).set_index("field")
    shown = found.loc[list(DRAWN)]
    promised = pd.DataFrame(card["test"]["plain"]["fields"]).set_index("field").loc[list(DRAWN)]
    for kind, goal in {"wrong/stated": 0.04, "unknown/shown": 0.10}.items():
        assert (promised[kind] <= goal).all()
        few = 2 * (goal * (1 - goal) / shown["shown"]) ** 0.5  # as far as so many drawings can tell
        assert (shown[kind] <= goal + few).all()
    assert (promised["calibration error"] <= 0.05).all()
    assert (found["unknown/hidden"].dropna() >= 0.9).all() and (promised["unknown/hidden"] >= 0.9).all()
    assert speed > 5
    blanks = [np.asarray(Image.new("RGB", (224, 224), color)) for color in ("white", "black", "gray", "tan")]
    said, _ = judged(model, schema, *asked_of(model, schema, unseen[:4], blanks))
    assert (said["said"] == UNKNOWN).mean() >= 0.9
