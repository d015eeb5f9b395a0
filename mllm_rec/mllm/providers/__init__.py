"""Models behind one protocol, and the one string that names them everywhere."""

import os
import sys
from collections.abc import Sequence
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
    "Provider",
    "ProviderError",
    "jobs",
    "load_provider",
    "named",
]

#: The environment variable that names the model where ``--mllm`` doesn't.
MODEL = "MLLM_REC_MLLM"
#: Where the model that we trained lies.
EMBEDDED = Path(__file__).resolve().parent.parent / "embedded" / "weights"


def named(said: str | None, default: str = "none") -> str:
    """The model asked for: what is said, else ``MLLM_REC_MLLM``, else ``default``."""
    return said or os.environ.get(MODEL) or default


def jobs(name: str) -> frozenset[str]:
    """What a model can be asked to do, as its card says, without loading it; none for ``none``."""
    if name == "none":
        return frozenset()
    card = (EMBEDDED if name == "embedded" else Path(name)) / CARD
    return frozenset(read_json(card).get("jobs", JOBS)) if card.exists() else JOBS


def load_provider(name: str, adapters: Sequence[Path] = (), patient: bool = False) -> Provider | None:
    """The model that a name stands for: ``embedded``, ``none`` (gives None), ``openai:MODEL@URL``, a folder or a hub name.

    Args:
        name: of the model.
        adapters: folders of LoRA adapters for it.
        patient: a server that doesn't answer is no error; it is looked for again later.

    Raises:
        InputError: there is no such model, or it can't be used; the message says what to do.
    """
    if name == "none":
        return None
    if name.startswith("openai:"):
        from mllm_rec.mllm.providers.openai import OpenAI

        model, _, url = name.removeprefix("openai:").partition("@")
        if not model or not url:
            raise InputError(f"'{name}' must be openai:MODEL@URL, like openai:llava@http://127.0.0.1:8000/v1")
        if adapters:
            raise InputError(f"'{name}' runs on a server, so --adapter can't be put on it here; load the adapter there")
        try:
            return OpenAI(model, url)
        except UnreachableError as error:
            if not patient:
                raise
            from mllm_rec.mllm.providers.later import Later

            print(f"  {error}; it is tried again later, and answers do without it till then", file=sys.stderr)
            return Later(model, url)
    from mllm_rec.mllm.providers.local import Local

    if name == "embedded" and not EMBEDDED.exists():
        raise InputError("the embedded model is not part of this installation; 'mllm-rec train-mllm' makes it, or say --mllm none")
    local = Local(EMBEDDED if name == "embedded" else name, adapters=adapters)
    local.name = name
    return local
