"""Training a system under strategies: teachers first, then the system with what is put around it, all over the one loop."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mllm_rec.data.dataset import Dataset
from mllm_rec.errors import InputError
from mllm_rec.optimization.fit import FitSettings, Run, fit
from mllm_rec.recommender import Recommender, create
from mllm_rec.strategies import known_strategies
from mllm_rec.strategies.around import Around
from mllm_rec.strategies.ips import IPS
from mllm_rec.strategies.mirror_gradient import MirrorGradient
from mllm_rec.strategies.modality_balancing import ModalityBalancing
from mllm_rec.strategies.promptmm import PromptMM, PromptMMTeacher
from mllm_rec.strategies.sgfd import SGFD, SGFDTeacher, distilled

_AROUND: dict[str, type[Around]] = {
    "sgfd": SGFD,
    "promptmm": PromptMM,
    "modality-balancing": ModalityBalancing,
    "ips": IPS,
    "mirror-gradient": MirrorGradient,
}
#: Those that bring a teacher.
_TAUGHT = ("sgfd", "promptmm")


def is_reconstructed_strategy(name: str) -> bool:
    """Whether a strategy was built from an abstract rather than from its paper or code; its docstring then says what is ours."""
    said = sys.modules[_AROUND[name].__module__].__doc__ if name in _AROUND else None
    return "(reconstructed" in (said or "").partition("\n")[0]


def as_read(data: Dataset, strategies: Sequence[str]) -> Dataset:
    """The data set as a system reads it that is trained under the strategies."""
    return distilled(data, SGFDTeacher.Settings().dim) if "sgfd" in strategies else data


def train_system(
    kind: type[Recommender],
    data: Dataset,
    settings: Any = None,
    seed: int = 0,
    strategies: Sequence[str] = (),
    validate: Callable[[Any], float] | None = None,
    training: FitSettings | None = None,
    out: Path | None = None,
    watch: Callable[[Any], float] | None = None,
) -> tuple[Recommender, Run]:
    """A system created and fitted under strategies, whose teachers' seconds are in its own; without any ``create`` and ``fit``.

    Args:
        kind: class of the system.
        data: what it learns from.
        settings: of the system; None: its defaults.
        seed: of its initial state, and of its teacher's.
        strategies: names of ``STRATEGIES``; ``end-to-end`` is the data set's, see ``Dataset.encodable``.
        validate, training, out, watch: of ``fit``; a teacher is trained in folders of ``out``.

    Raises:
        InputError: there is no such strategy, or it doesn't suit the system or the data.
    """
    strategies, training = known_strategies(strategies), training or FitSettings()
    if {"sgfd", "end-to-end"} <= set(strategies):
        raise InputError("'sgfd' and 'end-to-end' both train what a system reads of its items; take one of them")
    system = create(kind, as_read(data, strategies), settings, seed)
    if strategies and not system.trained:
        raise InputError(f"{kind.__name__} is solved in one go, so no strategy can train it; leave '{strategies[0]}' out")
    for name in strategies:
        if name in _AROUND and (why := _AROUND[name].unfit(system)):
            raise InputError(f"'{name}' does not suit {kind.__name__}: {why}; leave the strategy out, or take another system")
    around: Any = system
    teachers: list[Run] = []
    if "sgfd" in strategies:
        teacher = create(SGFDTeacher, data, None, seed)
        epochs = SGFDTeacher.Settings().epochs
        said = replace(training, epochs=epochs, patience=epochs)
        teachers.append(fit(teacher, data, None, said, out / "sgfd-teacher" if out else None))
        around = SGFD(around, teacher=teacher)  # type: ignore[arg-type]
    if "promptmm" in strategies:
        teacher = create(PromptMMTeacher, data, None, seed)
        teachers.append(fit(teacher, data, validate, training, out / "promptmm-teacher" if out else None))
        around = PromptMM(around, teacher=teacher)  # type: ignore[arg-type]
    for name in strategies:
        if name in _AROUND and name not in _TAUGHT:
            around = _AROUND[name](around)
    run = fit(around, system.data, validate, training, out, watch)
    return system, replace(run, seconds=run.seconds + sum(one.seconds for one in teachers))
