"""Models behind one protocol, and the one string that names them everywhere."""

import os
from pathlib import Path

from mllm_rec.errors import InputError
from mllm_rec.mllm.providers.base import CAPABILITIES, Answer, Conversation, Provider, ProviderError

__all__ = ["CAPABILITIES", "EMBEDDED", "MODEL", "Answer", "Conversation", "Provider", "ProviderError", "load_provider"]

#: The environment variable that names the model where ``--mllm`` doesn't.
MODEL = "MLLM_REC_MLLM"
#: Where the model that we trained lies.
EMBEDDED = Path(__file__).resolve().parent.parent / "embedded" / "weights"


def named(said: str | None, default: str = "none") -> str:
    """The model asked for: what is said, else ``MLLM_REC_MLLM``, else ``default``."""
    return said or os.environ.get(MODEL) or default


def load_provider(name: str, adapter: Path | None = None) -> Provider | None:
    """The model that a name stands for: ``embedded``, ``none`` (gives None), ``openai:MODEL@URL``, a folder or a hub name.

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
        if adapter is not None:
            raise InputError(f"'{name}' runs on a server, so --adapter can't be put on it here; load the adapter there")
        return OpenAI(model, url)
    from mllm_rec.mllm.providers.local import Local

    if name == "embedded" and not EMBEDDED.exists():
        raise InputError("the embedded model is not part of this installation; 'mllm-rec train-mllm' makes it, or say --mllm none")
    return Local(EMBEDDED if name == "embedded" else name, adapter=adapter)
