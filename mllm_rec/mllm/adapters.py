"""LoRA adapters: a folder with weights, peft's configuration, and a card that says which base and which job they were made for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mllm_rec.data.files import read_json
from mllm_rec.errors import InputError

#: What a model or an adapter says about itself, beside its weights.
CARD = "mllm_rec.json"
CONFIGURATION, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def find_adapter(said: Path, roots: Sequence[Path] = ()) -> Path:
    """The folder of an adapter, given as one or by its name in ``adapters/`` here or in one of ``roots``.

    Raises:
        InputError: there is none.
    """
    places = [said, *(root / "adapters" / said for root in (Path(), *roots))]
    found = next((place for place in places if (place / CONFIGURATION).exists()), None)
    if found is None:
        raise InputError(f"there is no adapter '{said}'; looked in {', '.join(map(str, places))} for {CONFIGURATION}")
    return found.resolve()


def read_card(adapter: Path) -> dict[str, Any]:
    """The card of an adapter; empty where it has none.

    Raises:
        InputError: the folder holds no adapter.
    """
    if not (adapter / CONFIGURATION).exists() or not (adapter / WEIGHTS).exists():
        raise InputError(f"{adapter} holds no LoRA adapter; it needs {CONFIGURATION} and {WEIGHTS}")
    path = adapter / CARD
    return read_json(path) if path.exists() else {}


def check_base(adapter: Path, card: Mapping[str, Any], base: str) -> None:
    """Refuse an adapter whose card names another base than the model with the key ``base``.

    Raises:
        InputError: it does.
    """
    made_for = card.get("base")
    if made_for is not None and made_for != base:
        raise InputError(f"{adapter} was trained on another base model (key {made_for}, this one has {base}); train it again with --base")
