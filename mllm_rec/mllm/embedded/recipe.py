"""``mllm-rec train-mllm``: from a domain file to a model folder with its card."""

import json
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mllm_rec import __version__, resources
from mllm_rec.data.domain import Domain
from mllm_rec.data.files import atomic, write_json
from mllm_rec.errors import InputError
from mllm_rec.mllm.adapters import CARD
from mllm_rec.mllm.embedded.corpus import DRAWN, answer, drawings, pixels
from mllm_rec.mllm.embedded.gate import fit_gate
from mllm_rec.mllm.embedded.judge import fit_calibration, judged, table
from mllm_rec.mllm.embedded.model import new_processor
from mllm_rec.mllm.embedded.train import Lessons, Recipe, Training
from mllm_rec.mllm.prompts import load_prompt
from mllm_rec.mllm.providers.local import Local
from mllm_rec.mllm.schema import CaptionSchema

#: Seeds of the drawings that calibrate and of those that judge; training has the recipe's own.
VALIDATION_SEED, TEST_SEED = 1_000, 2_000
_LIMITS = (
    "Knows the drawings of its own domain file and nothing else: any other picture is foreign to it, and it says unknown.",
    "Reads the picture only; titles and texts are not shown to it.",
    "Small differences of surface (matt stone against matt ceramic) are what it gets wrong most.",
)


def train_mllm(out: Path, domain_file: str | Path, recipe: Recipe, device: str = "cpu") -> tuple[dict[str, Any], str]:
    """Train the embedded model and write its folder; interrupted, the same call goes on where it stopped.

    Args:
        out: the model's folder; what is needed to go on lies in ``out/work`` until it is done.
        domain_file: what there is to draw and to say; a path, or a name under ``prompts/``.
        recipe: sizes, steps and seed.
        device: ``cpu`` or ``cuda``.

    Raises:
        InputError: the domain can't be drawn.
    """
    path = Path(domain_file) if Path(domain_file).is_file() else resources.path(str(domain_file))
    schema = CaptionSchema.of_domain(Domain.load(path))
    if missing := [name for name in DRAWN if name not in schema.fields]:
        raise InputError(f"{path} has no values for {', '.join(missing)}; the generator draws {', '.join(DRAWN)}")
    start, work = time.perf_counter(), out / "work"
    made = drawings(path, recipe.drawings, recipe.seed, recipe.hard_share, recipe.hidden_share)
    held = drawings(path, recipe.validation, VALIDATION_SEED, 0.0, recipe.hidden_share)
    side = recipe.size.side
    pictures = pixels(made, path, side, work / "train")
    held_pictures = pixels(held, path, side, work / "validation")
    processor = new_processor([*(answer(schema, one.shown()) for one in made), "caption\n"], recipe.size)
    lessons = Lessons(pictures, made, schema, processor, prompt_ids(processor), recipe)
    model = Training(lessons, processor, recipe, work, device).run(progress=sys.stderr.isatty())
    model.to("cpu", torch.float16).save_pretrained(out)
    processor.save_pretrained(out)
    card: dict[str, Any] = {"prompts": "embedded", "domain": schema.key()}
    write_json(out / CARD, card)
    local = Local(out)
    said, _ = judged(local, schema, held, held_pictures)
    card |= fit_calibration(said)
    fit_gate(local, [Image.fromarray(one) for one in held_pictures], out)
    write_json(out / CARD, card)
    test = {}
    for name, hard in (("plain", False), ("hard", True)):
        unseen = drawings(path, recipe.validation, TEST_SEED + hard, float(hard), recipe.hidden_share)
        said, speed = judged(Local(out), schema, unseen, pixels(unseen, path, side, work / f"test-{name}"))
        test[name] = {"captions/s": round(speed, 1), "fields": table(said, card).to_dict("records")}
    card |= {
        "made with": {
            "mllm-rec": __version__,
            "recipe": asdict(recipe),
            "domain file": path.name,
            "minutes": round((time.perf_counter() - start) / 60, 1),
        },
        "data": f"{recipe.drawings:,} drawings from seeds and goods that the demo shop doesn't have; tested on {recipe.validation:,} more",
        "test": test,
        "limits": list(_LIMITS),
    }
    write_json(out / CARD, card)
    with atomic(out / "README.md") as temporary:
        temporary.write_text(card_text(card), encoding="utf-8")
    shutil.rmtree(work)
    return card, card_text(card)


def prompt_ids(processor: Any) -> list[int]:
    """Token ids of what stands before an answer: the picture's tokens and the prompt of the job."""
    conversation = load_prompt("caption", "embedded").say(picture=Image.new("RGB", (8, 8)))
    made = processor.apply_chat_template([conversation], tokenize=True, add_generation_prompt=True, return_dict=True, return_tensors="np")
    return np.asarray(made["input_ids"])[0].tolist()


def card_text(card: dict[str, Any]) -> str:
    """The model card in words."""
    lines = ["# Embedded model", "", f"Trained on {card['data']}; all of them synthetic.", ""]
    for name, found in card["test"].items():
        lines += [f"{name} drawings, never seen ({found['captions/s']} captions/s):", ""]
        lines += ["| field | shown | wrong/stated | unknown/shown | unknown/hidden | calibration error |", "|---|---|---|---|---|---|"]
        for row in found["fields"]:
            cells = [
                row["field"],
                row["shown"],
                *(row[key] for key in ("wrong/stated", "unknown/shown", "unknown/hidden", "calibration error")),
            ]
            lines.append("| " + " | ".join("-" if cell != cell else str(cell) for cell in cells) + " |")
        lines.append("")
    recipe = json.dumps(card["made with"]["recipe"])
    return "\n".join(
        [*lines, "Limits:", *(f"* {one}" for one in card["limits"]), "", f"Recipe: `{recipe}`, {card['made with']['minutes']} minutes.", ""]
    )
