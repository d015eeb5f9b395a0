"""Many continuations of one prefix scored in a single forward: each sees the prefix and itself, and nothing of the others.

Order can't matter and one item's words can't touch another's score. Where a model computes otherwise (found out
once, on three items), the continuations are scored one by one.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mllm_rec.errors import InputError
from mllm_rec.mllm.providers.base import Conversation

if TYPE_CHECKING:
    from mllm_rec.mllm.providers.local import Local

#: Largest difference between packed and separate scores that rounding explains.
TOLERANCE = 1e-3
#: Tokens of continuations in one forward.
_MOST_TOKENS = 2_048


def score(model: "Local", prefix: Conversation, continuations: Sequence[str], labels: tuple[str, str]) -> np.ndarray:
    """See ``Provider.score``."""
    first, second = (_spellings(model, label) for label in labels)
    inputs = model.inputs([prefix])
    pieces = [model.processor.tokenizer(model.plain(text), add_special_tokens=False)["input_ids"] for text in continuations]
    if any(not piece for piece in pieces):
        raise InputError("a continuation to score is empty")
    if model.packs is None:
        probe = [*pieces[:3], *pieces[:1] * max(0, 3 - len(pieces))]
        together, apart = (way(model, inputs, probe, first, second) for way in (_packed, _loop))
        model.packs = together is not None and apart is not None and bool(np.abs(together - apart).max() <= TOLERANCE)
    scores: list[np.ndarray] = []
    for batch in _batches(pieces):
        found = _packed(model, inputs, batch, first, second) if model.packs else None
        scores.append(found if found is not None else _loop(model, inputs, batch, first, second))
    return np.concatenate(scores) if scores else np.zeros(0)


def _spellings(model: "Local", label: str) -> list[int]:
    """Tokens that start a label: with and without a blank before it, small and capital."""
    said = [f"{blank}{word}" for blank in ("", " ") for word in (label, label.capitalize())]
    ids = {int(piece[0]) for one in said if (piece := model.processor.tokenizer(one, add_special_tokens=False)["input_ids"])}
    return sorted(ids)


def _batches(pieces: Sequence[list[int]]) -> list[list[list[int]]]:
    batches: list[list[list[int]]] = [[]]
    for piece in pieces:
        if batches[-1] and sum(map(len, batches[-1])) + len(piece) > _MOST_TOKENS:
            batches.append([])
        batches[-1].append(piece)
    return [batch for batch in batches if batch]


def _packed(model: "Local", inputs: dict[str, Any], pieces: Sequence[list[int]], first: list[int], second: list[int]) -> np.ndarray | None:
    """All in one forward; None where the model doesn't take a mask of its own."""
    prefix = inputs["input_ids"]
    length = prefix.shape[1]
    device = prefix.device
    flat = [token for piece in pieces for token in piece]
    added = torch.tensor([flat], device=device)
    total = length + len(flat)
    positions = torch.tensor([[*range(length), *(length + place for piece in pieces for place in range(len(piece)))]], device=device)
    owner = torch.tensor([0] * length + [number + 1 for number, piece in enumerate(pieces) for _ in piece], device=device)
    allowed = torch.ones(total, total, dtype=torch.bool, device=device).tril() & ((owner[None] == 0) | (owner[None] == owner[:, None]))
    dtype = model.model.dtype
    mask = torch.zeros(total, total, dtype=dtype, device=device).masked_fill(~allowed, torch.finfo(dtype).min)[None, None]
    ends = torch.tensor([len(piece) for piece in pieces], device=device).cumsum(0) + length - 1
    given = {**lengthened(inputs, input_ids=added), "attention_mask": mask, "position_ids": positions}
    try:
        with torch.inference_mode():
            logits = model.model(**given, logits_to_keep=ends).logits[0]
    except (TypeError, ValueError, RuntimeError, IndexError):
        return None
    return _odds(logits, first, second) if len(logits) == len(pieces) else None


def _loop(model: "Local", inputs: dict[str, Any], pieces: Sequence[list[int]], first: list[int], second: list[int]) -> np.ndarray:
    """One by one."""
    found = []
    for piece in pieces:
        added = torch.tensor([piece], device=inputs["input_ids"].device)
        with torch.inference_mode():
            logits = model.model(**lengthened(inputs, input_ids=added, attention_mask=torch.ones_like(added))).logits[0, -1:]
        found.append(_odds(logits, first, second))
    return np.concatenate(found)


def lengthened(inputs: Mapping[str, Any], **added: Tensor) -> dict[str, Any]:
    """A model's inputs with ``(batch, more)`` columns added to all that has a value for each token: those said, zeros elsewhere."""
    shape, zeros = inputs["input_ids"].shape, torch.zeros_like(added["input_ids"])
    return {
        name: torch.cat([value, added.get(name, zeros).to(value.dtype)], dim=1) if value.shape == shape else value
        for name, value in inputs.items()
    }


def _odds(logits: Tensor, first: list[int], second: list[int]) -> np.ndarray:
    logprobs = logits.float().log_softmax(-1)
    return (logprobs[:, first].logsumexp(1) - logprobs[:, second].logsumexp(1)).cpu().numpy().astype(np.float64)
