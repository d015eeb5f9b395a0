"""LoRA adapters: a folder with weights, peft's configuration, and a card that says which base they were made for."""

import json
from pathlib import Path
from typing import Any

from mllm_rec.errors import InputError

#: What an adapter says about itself, beside its weights.
CARD = "mllm_rec.json"


def read_card(adapter: Path) -> dict[str, Any]:
    """The card of an adapter; empty where it has none.

    Raises:
        InputError: the folder holds no adapter.
    """
    if not (adapter / "adapter_config.json").exists() or not (adapter / "adapter_model.safetensors").exists():
        raise InputError(f"{adapter} holds no LoRA adapter; it needs adapter_config.json and adapter_model.safetensors")
    path = adapter / CARD
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def check_adapter(adapter: Path, base: str) -> None:
    """Refuse an adapter that was made for another base.

    Args:
        adapter: its folder.
        base: key of the model it is to be put on.

    Raises:
        InputError: it names another base, or is none.
    """
    made_for = read_card(adapter).get("base")
    if made_for is not None and made_for != base:
        raise InputError(f"{adapter} was trained on another base model (key {made_for}, this one has {base}); train it again with --base")
