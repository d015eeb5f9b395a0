"""Models behind one protocol, and the one string that names them everywhere."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mllm_rec.data.files import read_json
from mllm_rec.errors import InputError
from mllm_rec.mllm.adapters import CARD
from mllm_rec.mllm.providers.base import CAPABILITIES, JOBS, Answer, Conversation, Provider, ProviderError, UnreachableError

__all__ = [
    "CAPABILITIES",
    "EMBEDDED",
    "JOBS",
    "MODEL",
    "Answer",
    "Conversation",
    "Loading",
    "Provider",
    "ProviderError",
    "UnreachableError",
    "jobs",
    "load_provider",
    "model_folder",
    "named",
]

#: The environment variable that names the model where ``--mllm`` doesn't.
MODEL = "MLLM_REC_MLLM"
#: Where the model that we trained lies.
EMBEDDED = Path(__file__).resolve().parent.parent / "embedded" / "weights"


@dataclass(frozen=True)
class Loading:
    """How a model is loaded on this machine; see ``Local``."""

    device: str | None = None
    dtype: str | None = None
    bits: int | None = None


def named(said: str | None, default: str = "none") -> str:
    """The model asked for: what is said, else ``MLLM_REC_MLLM``, else ``default``."""
    return said or os.environ.get(MODEL) or default


def model_folder(name: str) -> Path:
    """Where a model on this machine lies; for a name on the hub there is no such folder."""
    return EMBEDDED if name == "embedded" else Path(name)


def jobs(name: str) -> frozenset[str]:
    """What a model can be asked to do, as its card says, without loading it; none for ``none``."""
    if name == "none":
        return frozenset()
    card = model_folder(name) / CARD
    return frozenset(read_json(card).get("jobs", JOBS)) if card.exists() else JOBS


def load_provider(name: str, adapters: Sequence[Path] = (), patience: float | None = None, loading: Loading = Loading()) -> Provider | None:
    """The model that a name stands for: ``embedded``, ``none`` (gives None), ``openai:MODEL@URL``, a folder or a hub name.

    Args:
        name: of the model.
        adapters: folders of LoRA adapters for it.
        patience: seconds that a server may take for anything, its start included; one that takes longer is no error,
            but looked for again later. None: a server must answer now.
        loading: device and precision of a model on this machine.

    Raises:
        InputError: there is no such model, or it can't be used; the message says what to do.
    """
    if name == "none":
        return None
    if name.startswith("openai:"):
        from mllm_rec.mllm.providers.openai import OpenAI, check_address

        model, _, url = name.removeprefix("openai:").partition("@")
        if not model or not url:
            raise InputError("a server's model is named openai:MODEL@URL, like openai:llava@http://127.0.0.1:8000/v1")
        if adapters:
            raise InputError(f"'{name}' runs on a server, so --adapter can't be put on it here; load the adapter there")
        if loading != Loading():
            raise InputError(f"'{name}' runs on a server, which chose device and precision; leave --device, --dtype and --bits out")
        check_address(model, url)
        if patience is None:
            return OpenAI(model, url)
        from mllm_rec.mllm.providers.later import Later

        return Later(model, url, patience)
    from mllm_rec.mllm.providers.local import Local

    return Local(name, adapters=adapters, **asdict(loading))
