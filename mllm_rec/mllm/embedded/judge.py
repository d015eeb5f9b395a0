"""How well a model captions drawings that it never saw, field by field; and what makes its confidence honest."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from mllm_rec.data.sources.demo import draw
from mllm_rec.mllm.caption import MOST_TOKENS, calibrated, read_answer
from mllm_rec.mllm.embedded.corpus import DRAWN, Drawing
from mllm_rec.mllm.prompts import load_prompt
from mllm_rec.mllm.providers.base import Provider
from mllm_rec.mllm.schema import UNKNOWN, CaptionSchema

_BINS = 15
#: What is aimed at: wrong among stated, unknown among all that the picture shows.
GOALS = {"wrong": 0.04, "unknown": 0.10}


def judged(
    provider: Provider, schema: CaptionSchema, drawings: Sequence[Drawing], pictures: Sequence[Image.Image] | np.ndarray
) -> tuple[pd.DataFrame, float]:
    """What the model said of drawings, beside the truth.

    Returns:
        One row per drawing and field (drawing, field, true: ``"unknown"`` where the picture hides it, said, confidence: as the
        model has it, not calibrated), and captions per second.
    """
    prompt = load_prompt("caption", provider.prompts)
    inputs = dict.fromkeys(prompt.inputs, "")
    asked = [prompt.say(picture=one if isinstance(one, Image.Image) else Image.fromarray(one), **inputs) for one in pictures]
    provider.generate(asked[:1], schema.json_schema(), MOST_TOKENS)
    start = time.perf_counter()
    answers = provider.generate(asked, schema.json_schema(), MOST_TOKENS)
    speed = len(asked) / (time.perf_counter() - start)
    rows: list[tuple[Any, ...]] = []
    for number, (one, answer) in enumerate(zip(drawings, answers, strict=True)):
        caption, shown = read_answer(schema, answer), one.shown()
        for name, field in schema.fields.items():
            said = caption.values.get(name, ())
            if field.many:
                said = said[0] if said else UNKNOWN
            told = caption.confidence.get(name) or (np.nan,)
            rows.append((number, name, shown.get(name, UNKNOWN), said or UNKNOWN, told[0]))
    return pd.DataFrame(rows, columns=["drawing", "field", "true", "said", "confidence"]), speed


def fit_calibration(said: pd.DataFrame) -> dict[str, dict[str, float]]:
    """By field the ``temperature`` whose probabilities fit what was right best, and the ``floor`` below which it says unknown.

    The floor is where the worse of wrong among stated and unknown among shown, each measured by its goal, is best.
    """
    found: dict[str, dict[str, float]] = {"temperature": {}, "floor": {}}
    for name in DRAWN:
        rows = said[(said["field"] == name) & (said["said"] != UNKNOWN) & said["confidence"].notna()]
        right = (rows["said"] == rows["true"]).to_numpy()
        raw = rows["confidence"].to_numpy(dtype=float)
        if not len(rows):
            continue
        temperatures = np.geomspace(0.4, 5, 60)
        losses = []
        for temperature in temperatures:
            p = np.array([calibrated(one, temperature) for one in raw])
            losses.append(-np.mean(np.where(right, np.log(p), np.log1p(-p))))
        best = float(temperatures[int(np.argmin(losses))])
        p = np.array([calibrated(one, best) for one in raw])
        visible = int((said[said["field"] == name]["true"] != UNKNOWN).sum())
        worst = {}
        for candidate in (0.0, *np.linspace(0.2, 0.95, 76)):
            stated = p >= candidate
            wrong = (~right[stated]).mean() if stated.any() else 0.0
            worst[float(candidate)] = max(wrong / GOALS["wrong"], (1 - stated.sum() / visible) / GOALS["unknown"])
        floor = min(worst, key=lambda candidate: worst[candidate])
        found["temperature"][name], found["floor"][name] = round(best, 4), round(floor, 4)
    return found


def table(said: pd.DataFrame, card: Mapping[str, Any]) -> pd.DataFrame:
    """By field: wrong among stated, unknown among shown, unknown among hidden, and the expected calibration error."""
    temperature, floor = card.get("temperature", {}), card.get("floor", {})
    rows = []
    for name, group in said.groupby(said["field"].astype(str), sort=False):
        p = np.array([calibrated(one, temperature.get(name, 1.0)) if np.isfinite(one) else np.nan for one in group["confidence"]])
        value = np.where((group["said"] != UNKNOWN) & ~(p < floor.get(name, 0.0)), group["said"], UNKNOWN)
        shown, stated = (group["true"] != UNKNOWN).to_numpy(), value != UNKNOWN
        right = value == group["true"].to_numpy()
        rows.append(
            {
                "field": name,
                "shown": int(shown.sum()),
                "wrong/stated": _share(~right, stated & shown),
                "unknown/shown": _share(~stated, shown),
                "unknown/hidden": _share(~stated, ~shown),
                "calibration error": _calibration_error(p[stated & shown], right[stated & shown]),
            }
        )
    return pd.DataFrame(rows)


def _share(what: np.ndarray, among: np.ndarray) -> float:
    return round(float(what[among].mean()), 4) if among.any() else float("nan")


def _calibration_error(p: np.ndarray, right: np.ndarray) -> float:
    """Mean difference between confidence and share of right values, over bins of equal width, weighted by their size."""
    known = np.isfinite(p)
    p, right = p[known], right[known]
    if not len(p):
        return float("nan")
    bins = np.minimum((p * _BINS).astype(int), _BINS - 1)
    gaps = [abs(p[bins == one].mean() - right[bins == one].mean()) * (bins == one).mean() for one in np.unique(bins)]
    return round(float(sum(gaps)), 4)


def pictures_of(drawings: Sequence[Drawing], domain_file: str | Path) -> list[Image.Image]:
    """The drawings, drawn."""
    return [draw(one.attributes, one.seed, one.hard, domain_file=domain_file) for one in drawings]
