"""``mllm-rec train-mllm``: from a domain file to a model folder with its card."""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mllm_rec import __version__, resources
from mllm_rec.data.domain import Domain
from mllm_rec.data.files import atomic, write_json
from mllm_rec.encoders.hub import quiet
from mllm_rec.errors import InputError
from mllm_rec.mllm.adapters import CARD
from mllm_rec.mllm.embedded.corpus import Drawing, answer, check_domain, drawings, pixels
from mllm_rec.mllm.embedded.gate import fit_gate
from mllm_rec.mllm.embedded.matches import matches
from mllm_rec.mllm.embedded.model import new_processor
from mllm_rec.mllm.embedded.train import Lessons, Recipe, Training
from mllm_rec.mllm.judge import fit_calibration, judged, match_auc, table
from mllm_rec.mllm.prompts import load_prompt, prompt_for
from mllm_rec.mllm.providers.base import Conversation, Provider
from mllm_rec.mllm.providers.local import Local
from mllm_rec.mllm.schema import UNKNOWN, CaptionSchema

#: Pixels a side of the drawings that judge.
SIDE = 224
#: What the model was trained to draw and to say, beside its weights.
DOMAIN = "domain.yaml"
#: Seeds of the drawings that calibrate and of those that judge; training has the recipe's own.
VALIDATION_SEED, TEST_SEED = 1_000, 2_000
#: Training drawings that the gate is fitted on.
_FITTED = 3_000
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
    path = _found(domain_file)
    check_domain(path)
    schema = CaptionSchema.of_domain(Domain.load(path))
    start, work = time.perf_counter(), out / "work"
    made = drawings(path, recipe.drawings, recipe.seed, recipe.hard_share, recipe.hidden_share)
    pictures = pixels(made, path, recipe.size.side, work / "train")
    asked = matches(path, recipe.matches, recipe.seed)
    said_of_items = [text for one in asked for text in (one.conversation[0]["content"][0]["text"], one.given, one.answer)]
    processor = new_processor([*(answer(schema, one.shown()) for one in made), "caption\n", *said_of_items], recipe.size)
    lessons = Lessons(pictures, made, asked, schema, processor, prompt_ids(processor), recipe)
    model = Training(lessons, processor, recipe, work, device).run()
    with quiet():
        model.to("cpu", torch.float16).save_pretrained(out)
    shutil.copyfile(path, out / DOMAIN)
    processor.save_pretrained(out)
    card = judged_itself(out, path, pictures[:_FITTED], recipe, work, start, device)
    shutil.rmtree(work)
    return card, card_text(card)


def judged_itself(out: Path, path: Path, pictures: np.ndarray, recipe: Recipe, work: Path, start: float, device: str) -> dict[str, Any]:
    """Fit a trained model's gate on its pictures, calibrate it, judge it on drawings that it never saw, and write its card; the card."""
    schema, side = CaptionSchema.of_domain(Domain.load(path)), recipe.size.side
    held = drawings(path, recipe.validation, VALIDATION_SEED, 0.0, recipe.hidden_share)
    held_pictures = pixels(held, path, side, work / "validation")
    card: dict[str, Any] = {"prompts": "embedded", "jobs": ["caption", "match"], "domain": schema.key()}
    write_json(out / CARD, card)
    fit_gate(Local(out, device=device), [Image.fromarray(one) for one in pictures], [Image.fromarray(one) for one in held_pictures], out)
    local = Local(out, device=device)
    said, _ = judged(local, schema, *asked_of(local, schema, held, held_pictures))
    card |= fit_calibration(said)
    write_json(out / CARD, card)
    test = {}
    for name, hard in (("plain", False), ("hard", True)):
        unseen = drawings(path, recipe.validation, TEST_SEED + hard, float(hard), recipe.hidden_share)
        said, speed = judged(local, schema, *asked_of(local, schema, unseen, pixels(unseen, path, side, work / f"test-{name}")))
        test[name] = {"captions/s": round(speed, 1), "fields": table(said, card).to_dict("records")}
    questions = matches(path, recipe.validation, TEST_SEED)
    card["match"] = {"questions": len(questions), "AUC": round(match_auc(local, questions), 4), "prompt": prompt_for("match", local).key}
    card |= {
        "made with": {
            "mllm-rec": __version__,
            "recipe": asdict(recipe),
            "domain file": path.name,
            "prompt": prompt_for("caption", local).key,
            "minutes": round((time.perf_counter() - start) / 60, 1),
            "on": torch.cuda.get_device_name(0) if device.startswith("cuda") else f"{torch.get_num_threads()} CPU cores",
        },
        "data": f"{recipe.drawings:,} drawings from seeds and goods that the demo shop doesn't have; tested on {recipe.validation:,} more",
        "test": test,
        "limits": list(_LIMITS),
    }
    write_json(out / CARD, card)
    with atomic(out / "README.md") as temporary:
        temporary.write_text(card_text(card), encoding="utf-8")
    return card


def judge_mllm(provider: Provider, domain_file: str | Path, count: int, seed: int, hard: bool = False) -> tuple[dict[str, Any], str]:
    """How a model captions drawings from a seed that no training used: the table of the model card, for any model and domain file.

    Args:
        provider: the model.
        domain_file: what is drawn; a path, or a name under ``prompts/``.
        count: drawings.
        seed: below 2^20; 1, 1000, 2000 and 2001 are the recipe's own.
        hard: harder drawings.
    """
    path = _found(domain_file)
    check_domain(path)
    schema = CaptionSchema.of_domain(Domain.load(path))
    unseen = drawings(path, count, seed, float(hard), Recipe.hidden_share)
    with tempfile.TemporaryDirectory() as folder:
        drawn = pixels(unseen, path, SIDE, Path(folder), progress=sys.stderr.isatty())
    said, speed = judged(provider, schema, *asked_of(provider, schema, unseen, drawn))
    rows = table(said, getattr(provider, "card", {})).to_dict("records")
    prompt = prompt_for("caption", provider).key
    value = {"mllm": provider.name, "prompt": prompt, "seed": seed, "captions/s": round(speed, 1), "fields": rows}
    head = f"{provider.name}, prompt {prompt}, on {count:,} drawings from seed {seed}, {speed:.0f} captions/s:"
    return value, "\n".join([head, *_rows_text(rows)])


def asked_of(
    provider: Provider, schema: CaptionSchema, drawings: Sequence[Drawing], pictures: np.ndarray
) -> tuple[list[Conversation], list[dict[str, str]]]:
    """What is asked of drawings, and what is true of them; both for ``judged``."""
    prompt = prompt_for("caption", provider)
    blank = dict.fromkeys(prompt.inputs, "")
    conversations = [prompt.say(picture=Image.fromarray(picture), **blank) for picture in pictures]
    return conversations, [{**dict.fromkeys(schema.fields, UNKNOWN), **one.shown()} for one in drawings]


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
        lines += [*_rows_text(found["fields"]), ""]
    match = card["match"]
    lines += [f"match: AUC {match['AUC']} on {match['questions']:,} questions about people and goods of shops it never saw.", ""]
    recipe = json.dumps(card["made with"]["recipe"])
    return "\n".join(
        [
            *lines,
            "Limits:",
            *(f"* {one}" for one in card["limits"]),
            "",
            f"Recipe: `{recipe}`, prompt {card['made with']['prompt']}, {card['made with']['minutes']} minutes on {card['made with']['on']}.",
            "",
        ]
    )


def _rows_text(rows: Sequence[Mapping[Any, Any]]) -> list[str]:
    lines = ["| field | shown | wrong/stated | unknown/shown | unknown/hidden | calibration error |", "|---|---|---|---|---|---|"]
    for row in rows:
        cells = [
            row["field"],
            row["shown"],
            *(row[key] for key in ("wrong/stated", "unknown/shown", "unknown/hidden", "calibration error")),
        ]
        lines.append("| " + " | ".join("-" if cell != cell else str(cell) for cell in cells) + " |")
    return lines


def _found(domain_file: str | Path) -> Path:
    """A domain file by its path, or by its name under ``prompts/``.

    Raises:
        InputError: there is none.
    """
    if Path(domain_file).is_file():
        return Path(domain_file)
    try:
        return resources.path(str(domain_file))
    except FileNotFoundError:
        raise InputError(f"there is no domain file {domain_file}; --domain wants a YAML file, like domains/home_goods.yaml") from None
