"""How well a model does its jobs on what it never saw; and what makes its confidence honest."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mllm_rec.mllm.caption import MOST_TOKENS, calibrated, read_answer
from mllm_rec.mllm.examples import Example
from mllm_rec.mllm.providers.base import Conversation, Provider
from mllm_rec.mllm.schema import UNKNOWN, CaptionSchema

_BINS = 15
#: What the floors aim at: wrong among stated (a little below the goal of .04, for validation is a sample), unknown among shown.
GOALS = {"wrong": 0.036, "unknown": 0.10}


def judged(
    provider: Provider, schema: CaptionSchema, conversations: Sequence[Conversation], truths: Sequence[Mapping[str, Any]]
) -> tuple[pd.DataFrame, float]:
    """What the model said of pictures, beside the truth.

    Args:
        provider: the model.
        schema: what there is to say.
        conversations: each of the job "caption".
        truths: by field, for each picture: ``"unknown"`` where it hides it; a field that is None or missing isn't judged.

    Returns:
        One row per picture and field (picture, field, true, said, confidence: as the model has it, not calibrated), and captions
        per second.
    """
    start = time.perf_counter()
    answers = provider.generate(conversations, schema.json_schema(), MOST_TOKENS)
    speed = len(conversations) / (time.perf_counter() - start)
    rows: list[tuple[Any, ...]] = []
    for number, (truth, answer) in enumerate(zip(truths, answers, strict=True)):
        caption = read_answer(schema, answer)
        for name in schema.fields:
            if truth.get(name) is None:
                continue
            true, said = (one[0] if isinstance(one, list | tuple) and one else one for one in (truth[name], caption.values.get(name)))
            told = caption.confidence.get(name) or (np.nan,)
            rows.append((number, name, true or UNKNOWN, said or UNKNOWN, told[0]))
    return pd.DataFrame(rows, columns=["picture", "field", "true", "said", "confidence"]), speed


def accuracy(said: pd.DataFrame) -> float:
    """Share of the fields that a picture shows in which the model said what is true."""
    shown = said[said["true"] != UNKNOWN]
    return float((shown["said"] == shown["true"]).mean()) if len(shown) else 0.0


def fit_calibration(said: pd.DataFrame) -> dict[str, dict[str, float]]:
    """By field the ``temperature`` whose probabilities fit what was right best, and the ``floor`` below which it says unknown.

    The floor is where the worse of wrong among stated and unknown among shown, each measured by its goal, is best.
    """
    found: dict[str, dict[str, float]] = {"temperature": {}, "floor": {}}
    for name, asked in said.groupby(said["field"].astype(str), sort=False):
        rows = asked[(asked["said"] != UNKNOWN) & asked["confidence"].notna()]
        right = (rows["said"] == rows["true"]).to_numpy()
        raw = rows["confidence"].to_numpy(dtype=float)
        visible = int((asked["true"] != UNKNOWN).sum())
        if not len(rows) or not visible:
            continue
        temperatures = np.geomspace(0.4, 5, 60)
        losses = []
        for temperature in temperatures:
            p = np.array([calibrated(one, temperature) for one in raw])
            losses.append(-np.mean(np.where(right, np.log(p), np.log1p(-p))))
        best = float(temperatures[int(np.argmin(losses))])
        p = np.array([calibrated(one, best) for one in raw])
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


def match_auc(provider: Provider, examples: Sequence[Example]) -> float:
    """How often an item that was bought is said to suit more than one that wasn't: the area under the ROC curve, in [0, 1]."""
    from sklearn.metrics import roc_auc_score

    odds = [float(provider.score(one.conversation, [one.given])[0]) for one in examples]
    return float(roc_auc_score([one.answer == "yes" for one in examples], odds))
