"""LoRA on a domain's own data: any model that ``Local`` loads, any of the three jobs (Hu et al. LoRA. ICLR 2022).

The base is never written to: with the adapter off it is exactly the base. Training runs in evaluation mode, so that
statistics of normalization layers stay the base's too.
"""

import hashlib
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from mllm_rec.data.files import atomic, digest, write_json
from mllm_rec.encoders.hub import quiet
from mllm_rec.errors import InputError
from mllm_rec.mllm.adapters import CARD
from mllm_rec.mllm.examples import Example
from mllm_rec.mllm.packed import lengthened
from mllm_rec.mllm.precision import fast
from mllm_rec.mllm.providers.local import Local

#: Models up to so many parameters are adapted in every layer, convolutions too; larger ones beside their vision tower only.
SMALL = 50_000_000
_IGNORED = -100
_STATE = "resume.pt"


@dataclass(frozen=True)
class Tuning:
    """How an adapter is trained."""

    rank: int = 32
    lr: float | None = None  #: None: 4e-3 for models of up to ``SMALL`` parameters, 2e-4 for larger ones
    batch_size: int = 16
    steps: int = 800  #: at most
    check_every: int = 100  #: steps between two looks at the validation metric
    patience: int = 3  #: looks without a better metric after which it stops
    seed: int = 0


Metric = Callable[[Local], dict[str, float]]


class Tuner:
    """Trains one adapter.

    Args:
        local: the base, loaded; it leaves with the adapter on.
        train: what is learned.
        metric: of the model as it is, on examples held out; the first value decides, higher is better.
        settings: how.
        out: the adapter's folder; what is needed to go on lies there until it is done.
    """

    def __init__(self, local: Local, train: Sequence[Example], metric: Metric, settings: Tuning, out: Path):
        if not train:
            raise InputError("there is nothing to learn from: no example")
        self.local, self.train, self.metric, self.settings, self.out = local, train, metric, settings, out
        self.path = out / _STATE

    def run(self, progress: bool = True) -> dict[str, Any]:
        """Train, and leave the best adapter in ``out``; interrupted, the same call goes on where it stopped.

        Returns:
            The metrics before and after, and the step of the best adapter.
        """
        from accelerate import Accelerator
        from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

        settings, local = self.settings, self.local
        torch.manual_seed(settings.seed)
        targets = adapted_layers(local.model)
        configuration = LoraConfig(r=settings.rank, lora_alpha=2 * settings.rank, target_modules=targets)
        with quiet():
            model = get_peft_model(_prepared(local.model), configuration).eval()
        local.model = model
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        accelerator = Accelerator(cpu=local.device == "cpu")
        rate = settings.lr or (4e-3 if is_small(local.model) else 2e-4)
        optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._slope)
        model, optimizer = accelerator.prepare(model, optimizer)
        said = json.dumps([asdict(settings), local.key, data_hash(self.train)])
        if self.path.exists() and (found := torch.load(self.path, weights_only=True))["said"] == said:
            state: dict[str, Any] = found
            set_peft_model_state_dict(local.model, state["now"])
            optimizer.load_state_dict(state["optimizer"])
            schedule.load_state_dict(state["schedule"])
            print(f"  going on after step {state['step']}", file=sys.stderr)
        else:
            before = self.metric(local)  # a new adapter changes nothing yet
            state = {"step": 0, "best": -math.inf, "best step": 0, "before": before, "said": said}
            _told(0, before)
        first = state["step"]
        bar = tqdm(
            range(first, settings.steps),
            "tuning",
            settings.steps,
            initial=first,
            unit="step",
            disable=not progress or None,
            file=sys.stderr,
        )
        for step in bar:
            if step - state["best step"] >= settings.patience * settings.check_every:
                break
            loss = self._loss(accelerator, model, np.random.default_rng([settings.seed, step]))
            optimizer.zero_grad()
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
            if (step + 1) % settings.check_every and step + 1 < settings.steps:
                continue
            now = {name: value.detach().cpu().clone() for name, value in get_peft_model_state_dict(local.model).items()}
            measured = self.metric(local)
            worth = next(iter(measured.values()))
            if worth > state["best"]:
                state |= {"best": worth, "best step": step + 1, "after": measured, "adapter": now}
            state |= {"step": step + 1, "now": now, "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
            self._keep(state)
            _told(step + 1, measured)
        set_peft_model_state_dict(local.model, state["adapter"])
        local.model.save_pretrained(self.out)
        local.model.set_adapter("default")
        return {"before": state["before"], "after": state["after"], "step": state["best step"]}

    def _keep(self, state: Mapping[str, Any]) -> None:
        try:
            with atomic(self.path) as temporary:
                torch.save(state, temporary)
        except (OSError, RuntimeError) as error:  # torch's own, on a full disk
            raise InputError(
                f"{self.path} can't be written: {error}; what was kept before is there, and the same command goes on"
            ) from error

    def _slope(self, step: int) -> float:
        warmup = max(1, min(50, self.settings.steps // 10))
        return min(1.0, (step + 1) / warmup) * max(0.02, 1 - step / self.settings.steps)

    def _loss(self, accelerator: Any, model: Any, generator: np.random.Generator) -> Tensor:
        rows = generator.integers(len(self.train), size=self.settings.batch_size)
        inputs, labels = encoded(self.local, [self.train[row] for row in rows])
        with fast(self.local.device):
            logits = model(**inputs).logits
        return F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=_IGNORED)


def encoded(local: Local, examples: Sequence[Example]) -> tuple[dict[str, Tensor], Tensor]:
    """What the model takes for some examples, and the labels ``(batch, length)``: the prompt's tokens and the padding are not learned."""
    inputs = local.inputs([one.conversation for one in examples])
    tokenizer = local.processor.tokenizer
    pieces = [_pieces(local, one) for one in examples]
    longest = max(len(ids) for ids, _ in pieces)
    device = inputs["input_ids"].device

    def padded(rows: list[list[int]], fill: int) -> Tensor:
        return torch.tensor([row + [fill] * (longest - len(row)) for row in rows], device=device)

    added = padded([ids for ids, _ in pieces], tokenizer.pad_token_id)
    mask = padded([[1] * len(ids) for ids, _ in pieces], 0)
    labels = padded([ids if learned is None else learned for ids, learned in pieces], _IGNORED)
    labels = torch.cat([torch.full_like(inputs["input_ids"], _IGNORED), labels], dim=1)
    return lengthened(inputs, input_ids=added, attention_mask=mask), labels


def _pieces(local: Local, example: Example) -> tuple[list[int], list[int]]:
    """Token ids after the prompt, and what is learned of each: not what is given, and not what is left open."""
    tokenizer = local.processor.tokenizer
    given = tokenizer(local.plain(example.given), add_special_tokens=False)["input_ids"] if example.given else []
    said = tokenizer(example.answer, add_special_tokens=False, return_offsets_mapping=bool(example.open))
    learned = [
        _IGNORED if any(start < last and end > first for first, last in example.open) else token
        for token, (start, end) in zip(said["input_ids"], said.get("offset_mapping") or [(0, 0)] * len(said["input_ids"]), strict=True)
    ]
    end = [tokenizer.eos_token_id]
    return [*given, *said["input_ids"], *end], [*([_IGNORED] * len(given)), *learned, *end]


def adapted_layers(model: nn.Module) -> list[str]:
    """Names of the layers that get an adapter."""
    small = is_small(model)
    kinds = (nn.Linear, nn.Conv2d) if small else (nn.Linear,)
    found = [name for name, layer in model.named_modules() if isinstance(layer, kinds) and not name.endswith("lm_head")]
    return [name for name in found if small or "vision" not in name]


def _told(step: int, measured: Mapping[str, float]) -> None:
    print(f"  step {step}: {', '.join(f'{name} {value:.4f}' for name, value in measured.items())}", file=sys.stderr)


def is_small(model: nn.Module) -> bool:
    """Whether a model has at most ``SMALL`` parameters."""
    return sum(parameter.numel() for parameter in model.parameters()) <= SMALL


def data_hash(examples: Sequence[Example]) -> str:
    """Hash of everything that is learned, pictures included."""
    hashed = hashlib.sha256()
    for one in examples:
        for part in (part for message in one.asked for part in message["content"]):
            picture = part.get("image")
            content = digest(picture).encode() if isinstance(picture, Path) else np.asarray(picture).tobytes()
            hashed.update(part["text"].encode() if part["type"] == "text" else content)
        hashed.update(json.dumps([one.given, one.answer, one.open]).encode())
    return hashed.hexdigest()[:16]


def _prepared(model: Any) -> Any:
    if getattr(model, "is_loaded_in_4bit", False) or getattr(model, "is_loaded_in_8bit", False):
        from peft import prepare_model_for_kbit_training

        return prepare_model_for_kbit_training(model)
    return model


def write_card(out: Path, card: Mapping[str, Any]) -> None:
    """The adapter's card; what was needed to go on is deleted, for now it is done."""
    write_json(out / CARD, dict(card))
    with atomic(out / "README.md") as temporary:  # in the place of peft's empty form
        temporary.write_text(_card_text(card), encoding="utf-8")
    (out / _STATE).unlink(missing_ok=True)


def _card_text(card: Mapping[str, Any]) -> str:
    """The adapter's card in words."""
    metrics = card["metrics"]
    lines = [f"# LoRA adapter: {card['task']}", "", f"Base: {card['base name']} (key {card['base']}); it is refused on another."]
    lines += ["", "| held out | before | after |", "|---|---|---|"]
    lines += [f"| {name} | {worth:.4f} | {metrics['after'][name]:.4f} |" for name, worth in metrics["before"].items()]
    data = f"{card['examples']:,} examples (hash {card['data']}), {card['held out']:,} held out, {card['replayed']:,} old drawings replayed"
    settings = ", ".join(f"{name} {value}" for name, value in card["settings"].items() if value is not None)
    return "\n".join([*lines, "", f"Data: {data}.", "", f"Best after {metrics['step']} steps. Settings: {settings}.", ""])


def token_accuracy(local: Local, examples: Sequence[Example]) -> float:
    """Share of the learned tokens that the model finds likeliest, each given the right ones before it."""
    right = total = 0
    size = local.batch_size
    for start in range(0, len(examples), size):
        inputs, labels = encoded(local, examples[start : start + size])
        with torch.inference_mode():
            said = local.model(**inputs).logits[:, :-1].argmax(-1)
        learned = labels[:, 1:] != _IGNORED
        right += int(((said == labels[:, 1:]) & learned).sum())
        total += int(learned.sum())
    return right / max(1, total)
