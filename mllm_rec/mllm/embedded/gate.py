"""Which pictures are foreign to a model: those whose vision features leave the space that its own drawings span.

The share of a picture's features outside the drawings' principal space, fitted on drawings only: the residual of
Wang et al. ViM: Out-Of-Distribution with Virtual-logit Matching. CVPR 2022 (eq. 3), by the features' norm.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mllm_rec.data.files import atomic

if TYPE_CHECKING:
    from PIL import Image

    from mllm_rec.mllm.providers.local import Local

#: The gate's file, beside the model's.
GATE = "gate.safetensors"
#: Share of the drawings' variance that their principal space holds.
_VARIANCE = 0.98
#: Standard deviations above the mean of its own drawings' logarithms where the foreign begins: 1 % of them lie further out.
_LIMIT = 2.33
_BATCH = 64


class Gate:
    """Mean, principal directions ``(width, dimensions)``, and the largest residual that is still at home."""

    def __init__(self, mean: Tensor, directions: Tensor, limit: float):
        self.mean, self.directions, self.limit = mean, directions, limit

    @classmethod
    def load(cls, folder: Path) -> "Gate | None":
        """The gate of a model's folder, if it has one."""
        from safetensors.torch import load_file

        if not (folder / GATE).exists():
            return None
        found = load_file(folder / GATE)
        return cls(found["mean"], found["directions"], float(found["limit"]))

    def foreign(self, features: Tensor) -> list[bool]:
        """Of ``(batch, width)`` features, which are foreign."""
        return (self.residual(features) > self.limit).tolist()

    def residual(self, features: Tensor) -> Tensor:
        """``(batch,)`` shares in [0, 1] of the centered features' norm that lie outside the principal space."""
        centered, directions = features.cpu().float() - self.mean, self.directions.float()
        return (centered - centered @ directions @ directions.T).norm(dim=1) / centered.norm(dim=1)


def pooled(model: Any, pixel_values: Tensor) -> Tensor:
    """``(batch, 2 width)``: mean and maximum of a vision tower's tokens."""
    tower = model.get_base_model().model.vision_tower if hasattr(model, "get_base_model") else model.model.vision_tower
    with torch.inference_mode():
        tokens = tower(pixel_values.to(tower.device, tower.dtype)).last_hidden_state.float()
    return torch.cat([tokens.mean(1), tokens.amax(1)], dim=1)


def fit_gate(local: "Local", pictures: "Sequence[Image.Image]", held: "Sequence[Image.Image]", folder: Path) -> None:
    """Fit a gate on a model's own drawings and write it.

    Args:
        local: the model.
        pictures: give the principal space.
        held: others, that the model never saw; they give the limit.
        folder: where the gate is written.
    """
    from safetensors.torch import save_file

    features = _features(local, pictures)
    mean = features.mean(0)
    _, spread, directions = torch.linalg.svd(features - mean, full_matrices=False)
    share = spread.square().cumsum(0) / spread.square().sum()
    kept = directions[: int((share < _VARIANCE).sum()) + 1].T
    logs = Gate(mean, kept, 0.0).residual(_features(local, held)).log()
    limit = (logs.mean() + _LIMIT * logs.std(unbiased=False)).exp()
    with atomic(folder / GATE) as temporary:
        save_file({"mean": mean, "directions": kept.half().contiguous(), "limit": limit}, temporary)


def _features(local: "Local", pictures: "Sequence[Image.Image]") -> Tensor:
    parts = []
    for start in range(0, len(pictures), _BATCH):
        batch = local.processor.image_processor(images=list(pictures[start : start + _BATCH]), return_tensors="pt")
        parts.append(pooled(local.model, batch["pixel_values"]).cpu())
    return torch.cat(parts)
