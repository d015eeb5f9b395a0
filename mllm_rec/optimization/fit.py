"""The one training loop."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from mllm_rec.data.dataset import Dataset
from mllm_rec.errors import InputError
from mllm_rec.optimization.checkpoint import RunFolder, run_key
from mllm_rec.optimization.memory import freed_memory_kept, peak_memory
from mllm_rec.optimization.sampling import Batch, Triples


class Trainable(Protocol):
    """What the loop asks of a system.

    Called where there is one: ``begin_epoch(generator)``; ``pretrain_loss(batch)``, for the first ``settings.pretrain_epochs`` epochs, and
    ``end_pretraining()`` after them; ``solve()`` where it isn't trained.
    """

    trained: bool
    by_user: bool
    settings: Any

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms whose sum is minimized."""

    def encoder_parameters(self) -> list[Tensor]:
        """Those of its parameters that belong to encoders trained with it."""

    def state(self) -> dict[str, Tensor]:
        """All that training found."""

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over what ``state`` gave."""


@dataclass(frozen=True)
class FitSettings:
    """How a system is trained; a system's own weights and widths are in its ``Settings``."""

    epochs: int = 300  #: passes over the training interactions, at most
    batch_size: int = 2048  #: training triples per step
    lr: float = 3e-3  #: Adam's step size
    encoder_lr: float = 3e-3  #: that of encoders trained with the system
    weight_decay: float = 0.0  #: Adam's penalty on the squared length of all that is trained, the system's own penalties apart
    patience: int = 20  #: validations without a better value before training stops
    validate_every: int = 1  #: epochs between validations
    seed: int = 0  #: order of interactions, negatives, everything drawn while training

    def __post_init__(self):
        for name in ("epochs", "batch_size", "patience", "validate_every", "lr", "encoder_lr"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"fit setting '{name}' is {getattr(self, name)}; it must be greater than 0")
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(f"fit setting 'weight_decay' is {self.weight_decay}; it must be 0 or greater")


@dataclass(frozen=True)
class Run:
    """What came of a training.

    Attributes:
        best_epoch: the epoch whose state the system holds, from 1; 0 where it was solved.
        epochs: epochs trained.
        best: validation value of that epoch; None without validation.
        history: per epoch ``{"epoch", "loss": {term: mean over batches}, "validation", "seconds"}``, and "watched" where
            ``watch`` was given; epochs of pretraining end with 0.
        parameters: numbers that were trained, or the size of what was solved.
        seconds: time taken, interruptions not counted.
        peak_memory: bytes at most in use, of the accelerator or else of this process.
    """

    best_epoch: int
    epochs: int
    best: float | None
    history: list[dict[str, Any]]
    parameters: int
    seconds: float
    peak_memory: int


@dataclass
class _Progress:
    """Where a training stands; everything but the system's and the optimizer's state."""

    pretrained: int = 0
    epoch: int = 0
    best_epoch: int = 0
    best: float | None = None
    waited: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    best_state: dict[str, Tensor] = field(default_factory=dict)


def fit(
    system: Any,
    data: Dataset,
    validate: Callable[[Any], float] | None = None,
    settings: FitSettings | None = None,
    out: Path | None = None,
    watch: Callable[[Any], float] | None = None,
) -> Run:
    """Train a system; in the end it holds the state of its best epoch, on the CPU, ready to serve.

    Interrupted at any moment and called again with the same arguments it goes on after the last whole epoch, to the same
    result; a finished run is read back. Both need ``out``.

    Args:
        system: of ``create``; a ``Trainable``.
        data: whose ``edges`` are learned.
        validate: value of a system, higher is better; the epoch with the highest is kept. None: the last epoch is kept.
        settings: how to train; None: the defaults.
        watch: another value of a system, noted beside each validation and choosing nothing.
        out: folder for ``checkpoint.safetensors``, ``metrics.json`` and ``log.jsonl``; None: nothing is written.

    Raises:
        InputError: a loss term or the validation stopped being a finite number, or there is nothing to train on.
    """
    settings = settings or FitSettings()
    folder = RunFolder(out, run_key(system, data, settings, validate is not None)) if out else None
    if folder and (found := folder.finished()):
        system.load_state(folder.checkpoint)
        system.eval()
        return Run(**found)
    run = _train(system, data, validate, settings, folder, watch) if system.trained else _solve(system, validate)
    if folder:
        folder.finish(system, asdict(run))
    return run


def _solve(system: Any, validate: Callable[[Any], float] | None) -> Run:
    start = time.perf_counter()
    system.solve()
    system.eval()
    seconds = time.perf_counter() - start
    best = _validation(system, validate, 0) if validate else None
    size = sum(tensor.numel() for tensor in system.state().values())
    return Run(0, 0, best, [], size, seconds, peak_memory(torch.device("cpu")))


@freed_memory_kept()
def _train(
    system: Any,
    data: Dataset,
    validate: Callable[[Any], float] | None,
    settings: FitSettings,
    folder: RunFolder | None,
    watch: Callable[[Any], float] | None,
) -> Run:
    from accelerate import Accelerator
    from tqdm import tqdm

    # sparse products are missing on Apple's GPUs
    accelerator = Accelerator(cpu=torch.backends.mps.is_available())
    triples = Triples(data.edges, data.shape, settings.batch_size, system.by_user)
    system.to(accelerator.device)
    optimizer = _optimizer(system, settings)
    progress = _Progress()
    if folder and (found := folder.interrupted()):
        system.restore(found.pop("state"))
        optimizer.load_state_dict(found.pop("optimizer"))
        progress = _Progress(**{name: value for name, value in found.items() if name != "key"})
    bar = tqdm(
        desc=type(system).__name__, total=settings.epochs, initial=progress.epoch, unit="epoch", leave=False, disable=None, file=sys.stderr
    )
    pretraining = getattr(system.settings, "pretrain_epochs", 0)
    while progress.pretrained < pretraining:
        start = time.perf_counter()
        progress.pretrained += 1
        with _seeded(settings.seed, 0, accelerator.device, progress.pretrained) as generator:
            terms = _epoch(system, system.pretrain_loss, triples, optimizer, accelerator, generator, progress.pretrained - pretraining)
        if progress.pretrained == pretraining:
            system.eval()
            system.end_pretraining()
            optimizer = _optimizer(system, settings)
        _note(progress, progress.pretrained - pretraining, terms, None, time.perf_counter() - start)
        if folder and accelerator.is_main_process:
            folder.keep({"state": system.state(), "optimizer": optimizer.state_dict(), **vars(progress)})
        bar.set_postfix({"pretraining": f"{progress.pretrained}/{pretraining}", "loss": f"{sum(terms.values()):.4f}"})
    while progress.epoch < settings.epochs and progress.waited < settings.patience:
        start = time.perf_counter()
        progress.epoch += 1
        with _seeded(settings.seed, progress.epoch, accelerator.device) as generator:
            terms = _epoch(system, system.loss, triples, optimizer, accelerator, generator, progress.epoch)
        system.eval()
        due = validate and (progress.epoch % settings.validate_every == 0 or progress.epoch == settings.epochs)
        value = _validation(system, validate, progress.epoch) if validate and due else None
        _judge(progress, system, value, last=progress.epoch == settings.epochs, validated=validate is not None)
        _note(progress, progress.epoch, terms, value, time.perf_counter() - start)
        if watch and due:
            progress.history[-1]["watched"] = _validation(system, watch, progress.epoch)
        if folder and accelerator.is_main_process:
            folder.keep({"state": system.state(), "optimizer": optimizer.state_dict(), **vars(progress)})
        bar.update()
        bar.set_postfix({"loss": f"{sum(terms.values()):.4f}"} | ({} if progress.best is None else {"best": f"{progress.best:.4f}"}))
    bar.close()
    system.to("cpu")
    system.restore(progress.best_state)
    system.eval()
    parameters = sum(parameter.numel() for parameter in system.parameters())
    peak = peak_memory(accelerator.device)
    return Run(progress.best_epoch, progress.epoch, progress.best, progress.history, parameters, progress.seconds, peak)


def _note(progress: _Progress, epoch: int, terms: dict[str, float], value: float | None, seconds: float) -> None:
    progress.seconds += seconds
    progress.history.append({"epoch": epoch, "loss": terms, "validation": value, "seconds": seconds})


def _optimizer(system: Any, settings: FitSettings) -> torch.optim.Optimizer:
    """Adam, with a step size of its own for the encoders."""
    encoders = system.encoder_parameters()
    apart = {id(parameter) for parameter in encoders}
    groups: list[dict[str, Any]] = [{"params": [parameter for parameter in system.parameters() if id(parameter) not in apart]}]
    if encoders:
        groups.append({"params": encoders, "lr": settings.encoder_lr})
    return torch.optim.Adam(groups, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)


def _epoch(
    system: Any,
    loss_of: Callable[[Batch], dict[str, Tensor]],
    triples: Triples,
    optimizer: torch.optim.Optimizer,
    accelerator: Any,
    generator: torch.Generator,
    epoch: int,
) -> dict[str, float]:
    """One pass; the mean of each loss term over batches."""
    system.train()
    if hasattr(system, "begin_epoch"):
        system.begin_epoch(generator)
    total: dict[str, Tensor] = {}
    batches = 0
    passes = getattr(system, "passes", lambda step: (1.0,))
    for step, drawn in enumerate(triples.epoch(generator)):
        batch = drawn.every(accelerator.num_processes, accelerator.process_index).to(accelerator.device)
        for number, factor in enumerate(passes(step)):
            terms = loss_of(batch)
            loss: Tensor = sum(terms.values())  # type: ignore[assignment]
            if not torch.isfinite(loss):
                _name_broken(terms, epoch)
            optimizer.zero_grad(set_to_none=True)
            accelerator.backward(factor * loss)
            if accelerator.num_processes > 1:
                for parameter in system.parameters():
                    if parameter.grad is not None:
                        parameter.grad = accelerator.reduce(parameter.grad, "mean")
            optimizer.step()
            for name, term in terms.items() if number == 0 else ():
                total[name] = total.get(name, 0.0) + term.detach()
        batches += 1
    return {name: float(term) / batches for name, term in total.items()}


def _judge(progress: _Progress, system: Any, value: float | None, last: bool, validated: bool) -> None:
    """Keep the state if it is the best so far (without validation: the last)."""
    if value is not None and (progress.best is None or value > progress.best):
        progress.waited = 0
    elif value is not None:
        progress.waited += 1
        return
    elif validated or not last:
        return
    progress.best, progress.best_epoch = value, progress.epoch
    progress.best_state = {name: tensor.detach().cpu().clone() for name, tensor in system.state().items()}


def _validation(system: Any, validate: Callable[[Any], float], epoch: int) -> float:
    with torch.no_grad():
        value = float(validate(system))
    if not math.isfinite(value):
        raise InputError(f"validation gave {value} in epoch {epoch}; are there validation interactions, and is lr small enough?")
    return value


def _name_broken(terms: dict[str, Tensor], epoch: int) -> None:
    for name, term in terms.items():
        if not torch.isfinite(term):
            came = "nan" if torch.isnan(term) else "infinite"
            raise InputError(
                f"loss term '{name}' became {came} in epoch {epoch}; try a smaller lr, and look for extreme values in the features"
            )
    raise InputError(f"the sum of the loss terms {', '.join(terms)} became infinite in epoch {epoch}; try a smaller lr")


@contextmanager
def _seeded(seed: int, epoch: int, device: torch.device, *more: int) -> Iterator[torch.Generator]:
    """Chance that depends on seed and epoch alone, so that a run goes on as if it had not been interrupted."""
    drawn, elsewhere = (int(word) for word in np.random.SeedSequence([seed, epoch, *more]).generate_state(2, np.uint64) >> np.uint64(1))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(elsewhere)
        yield torch.Generator().manual_seed(drawn)
