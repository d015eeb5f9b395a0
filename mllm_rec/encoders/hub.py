"""Pretrained models in the form transformers saves them: in a folder, in this machine's cache, or on the hub."""

import contextlib
import logging
import textwrap
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mllm_rec.data.files import digest
from mllm_rec.errors import InputError

# bitsandbytes says at every start which kernel it would like to fetch; its other warnings stay
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
#: Seconds that the hub may take to say whether it has a model.
_HUB_SECONDS = 10.0
#: What is fetched of a model on the hub: no pickles, no weights for other libraries.
_FILES = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
#: What lies in a folder that holds pickles instead of safetensors.
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")


def fetched(name: str, wanted: str) -> Path:
    """The folder that a name stands for: itself, or the one in the local cache, brought there from the hub if need be.

    Where the hub is away, what the cache has. Loading by name would do as much, but asks for each file that a model may
    have, and again for minutes where no hub answers.

    Args:
        name: a folder, or a name on the hub; read from the local cache only where ``HF_HUB_OFFLINE`` is set.
        wanted: what could have been said, for the error.

    Raises:
        InputError: no such model, or no weights in safetensors.
    """
    from huggingface_hub import snapshot_download

    folder = Path(name)
    if not folder.is_dir():
        if folder.is_absolute() or name.startswith((".", "~")):
            raise InputError(f"there is no folder {folder}; {wanted}")
        try:
            folder = Path(snapshot_download(name, allow_patterns=_FILES, etag_timeout=_HUB_SECONDS))
        except Exception as error:  # the hub's client has an error of its own for each way of having no such model
            raise InputError(f"there is no folder '{name}', and the hub gave no such model: {gist(error)}; {wanted}") from error
    _check(folder)
    return folder


def _check(folder: Path) -> None:
    if not (folder / "config.json").exists():
        raise InputError(f"{folder} holds no model: config.json is missing")
    if not list(folder.glob("*.safetensors")):
        pickled = [name for name in _PICKLES if (folder / name).exists()]
        kind = f"only {pickled[0]}, a pickle, which may run code" if pickled else "no weights"
        raise InputError(f"{folder} holds {kind}; save the model as safetensors (model.save_pretrained)")


def content_of(name: str, folder: Path) -> Any:
    """What tells one model from another: the content of a folder's files, or name and commit on the hub."""
    if folder.parent.name == "snapshots":
        return [name, folder.name]
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("*.json"), *folder.glob("*.jinja")])
    return [[path.name, digest(path)] for path in files]


def check_whole(name: str, missing: Iterable[str]) -> None:
    """Refuse a model whose file lacks the weights of some of its layers: the library fills them with random ones.

    A pooler that was never trained is not read.

    Raises:
        InputError: it does.
    """
    if lacking := sorted(one for one in missing if "pooler" not in one):
        raise InputError(f"'{name}' has no weights for {len(lacking)} of its layers, like {lacking[0]}; is the file complete?")


def chosen_device(said: str | None) -> str:
    """The device asked for; None: a GPU if there is one.

    Raises:
        InputError: it isn't there.
    """
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if said is None:
        return "cuda" if there else "cpu"
    try:
        device = torch.device(said)
    except RuntimeError as error:
        raise InputError(f"'{said}' is no device; --device wants cpu, cuda, cuda:1, ...") from error
    if device.type == "cuda" and not there:
        raise InputError(f"device '{said}' was asked for, but there is no CUDA here; leave --device out, or say cpu")
    if device.type == "cuda" and (device.index or 0) >= there:
        raise InputError(f"device '{said}' was asked for, but the last GPU here is cuda:{there - 1}")
    return said


def gist(error: Exception) -> str:
    """The first words of a library's error, in one line."""
    return textwrap.shorten(str(error), 240, placeholder=" ...") or type(error).__name__


@contextlib.contextmanager
def loading(what: str) -> Iterator[None]:
    """Load something of a library's, quietly.

    Raises:
        InputError: it can't be loaded, however the library says so; the message begins with ``what``.
    """
    from safetensors import SafetensorError

    try:
        with quiet():
            yield
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, TypeError, SafetensorError) as error:
        raise InputError(f"{what}: {gist(error)}") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the library's own chatter."""
    from transformers.utils import logging as library

    level = library.get_verbosity()
    bars = library.is_progress_bar_enabled()
    library.set_verbosity_error()
    library.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)  # peft asks for an old name
            yield
    finally:
        library.set_verbosity(level)
        if bars:
            library.enable_progress_bar()
