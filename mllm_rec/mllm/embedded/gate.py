"""Which pictures are foreign to a model: those whose vision features lie further out than its own drawings ever do.

Mahalanobis distance of the tower's pooled tokens, with a shrunk covariance, fitted on drawings only (Lee et al. A
Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks. NeurIPS 2018).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mllm_rec.data.files import atomic

if TYPE_CHECKING:
    from PIL import Image

    from mllm_rec.mllm.providers.local import Local

#: The gate's file, beside the model's.
GATE = "gate.safetensors"
#: Share of drawings that may be taken for foreign.
_FALSE_ALARMS = 0.003
_BATCH = 64


class Gate:
    """Mean, whitening and the largest distance that is still at home."""

    def __init__(self, mean: Tensor, whitening: Tensor, limit: float):
        self.mean, self.whitening, self.limit = mean, whitening, limit

    @classmethod
    def load(cls, folder: Path) -> "Gate | None":
        """The gate of a model's folder, if it has one."""
        from safetensors.torch import load_file

        if not (folder / GATE).exists():
            return None
        found = load_file(folder / GATE)
        return cls(found["mean"], found["whitening"], float(found["limit"]))

    def foreign(self, features: Tensor) -> list[bool]:
        """Of ``(batch, width)`` features, which are foreign."""
        return (self.distance(features) > self.limit).tolist()

    def distance(self, features: Tensor) -> Tensor:
        """``(batch,)`` Mahalanobis distances."""
        return ((features.cpu().float() - self.mean) @ self.whitening.float()).norm(dim=1)


def pooled(model: Any, pixel_values: Tensor) -> Tensor:
    """``(batch, 2 width)``: mean and maximum of a vision tower's tokens."""
    tower = model.get_base_model().model.vision_tower if hasattr(model, "get_base_model") else model.model.vision_tower
    with torch.inference_mode():
        tokens = tower(pixel_values.to(tower.dtype)).last_hidden_state.float()
    return torch.cat([tokens.mean(1), tokens.amax(1)], dim=1)


def fit_gate(local: "Local", pictures: "Sequence[Image.Image]", folder: Path) -> None:
    """Fit a gate on a model's own drawings and write it: the covariance on one half, the limit on the other."""
    from safetensors.torch import save_file
    from sklearn.covariance import LedoitWolf

    parts = []
    for start in range(0, len(pictures), _BATCH):
        batch = local.processor.image_processor(images=list(pictures[start : start + _BATCH]), return_tensors="pt")
        parts.append(pooled(local.model, batch["pixel_values"]).cpu())
    features = torch.cat(parts).numpy()
    fitted = LedoitWolf().fit(features[::2])
    values, directions = np.linalg.eigh(fitted.covariance_)
    whitening = torch.from_numpy((directions / np.sqrt(values)).astype(np.float32))
    gate = Gate(torch.from_numpy(fitted.location_.astype(np.float32)), whitening, 0.0)
    limit = float(np.quantile(gate.distance(torch.from_numpy(features[1::2])).numpy(), 1 - _FALSE_ALARMS))
    with atomic(folder / GATE) as temporary:
        save_file({"mean": gate.mean, "whitening": whitening.half().contiguous(), "limit": torch.tensor(limit)}, temporary)
