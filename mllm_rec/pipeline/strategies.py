"""Strategies of training in a workspace: for which systems they are wanted, and what they need."""

import copy
from collections.abc import Iterable, Sequence

import numpy as np

from mllm_rec.data.dataset import Dataset
from mllm_rec.data.features import Encodable
from mllm_rec.encoders import Encoder, load_encoder
from mllm_rec.errors import InputError
from mllm_rec.mllm.features import STATES
from mllm_rec.pipeline.workspace import Workspace
from mllm_rec.strategies import OF_FEATURES
from mllm_rec.systems import system_class

_MEND = "build with --encoder image=cnn, text=textcnn or text=gru, or ?trained=64 behind another encoder; or say --strategy none"


def wanted(workspace: Workspace, systems: Iterable[str], strategies: Sequence[str]) -> dict[str, list[str]]:
    """Strategies by system as the manifest keeps them, with these for those of ``systems`` that they suit.

    Raises:
        InputError: one suits none of them.
    """
    suited = {name: [one for one in strategies if suits(one, name)] for name in systems if system_class(name).trained}
    for one in strategies:
        if not any(one in ways for ways in suited.values()):
            need = "that reads features" if one in OF_FEATURES else "that is trained by epochs"
            raise InputError(f"{', '.join(systems)}: '{one}' suits none of them; take a system {need}")
    return {**workspace.manifest().get("strategies", {}), **suited}


def suits(strategy: str, system: str) -> bool:
    """Whether a system can be trained so, as far as its class says."""
    kind = system_class(system)
    return kind.trained and (kind.multimodal or strategy not in OF_FEATURES)


def check_encoders(strategies: Sequence[str], encoders: Iterable[Encoder]) -> None:
    """Nothing, where the encoders are such that the strategies have something to train.

    Raises:
        InputError: all of them are frozen.
    """
    if "end-to-end" in strategies and not any(encoder.trainable for encoder in encoders):
        raise InputError(f"nothing can be trained end-to-end: every encoder is frozen; {_MEND}")


def under_strategies(workspace: Workspace, data: Dataset, strategies: Sequence[str]) -> Dataset:
    """The data set as systems see it that are trained so.

    Raises:
        InputError: every encoder of the workspace is frozen.
    """
    if "end-to-end" not in strategies:
        return data
    inputs = {path.stem: path for path in sorted((workspace.root / "inputs").glob("*.npy"))}
    encoders = {name: load_encoder(workspace.encoder(name), list(STATES.values())) for name in inputs}
    check_encoders(strategies, encoders.values())
    data = copy.copy(data)
    data.encodable = {
        name: Encodable(np.load(path, allow_pickle=False), module)
        for name, path in inputs.items()
        if (module := encoders[name].module()) is not None
    }
    return data
