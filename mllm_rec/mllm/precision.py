"""The precision that training computes in."""

from typing import Any

import torch


def fast(device: str) -> Any:
    """A context in which products are bfloat16 where the processor computes in it."""
    able = device != "cpu" or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device.split(":")[0], torch.bfloat16, enabled=able)
