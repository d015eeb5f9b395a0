"""The recipe of the embedded model: first to see, then to say, then to judge what suits whom.

The tower learns each field with a linear head; the heads are then kept as a lesser loss while the whole
model learns to write captions. Text alone teaches the tower little; heads first is what makes it see.
"""

import hashlib
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from string import ascii_letters
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor, nn
from tqdm import tqdm

from mllm_rec.data.files import atomic
from mllm_rec.mllm.embedded.corpus import DRAWN, Drawing, answer
from mllm_rec.mllm.embedded.model import Size, new_model
from mllm_rec.mllm.examples import Example
from mllm_rec.mllm.precision import fast
from mllm_rec.mllm.schema import UNKNOWN, CaptionSchema

_IGNORED = -100


@dataclass(frozen=True)
class Recipe:
    """How the embedded model is trained; the defaults are those of the model that ships."""

    drawings: int = 12_000
    validation: int = 1_500
    matches: int = 24_000  #: questions whether an item suits, from invented shops
    hard_share: float = 0.15  #: of the training drawings
    hidden_share: float = 0.12  #: views that hide something
    foreign_share: float = 0.08  #: of a batch: pictures of nothing, whose every field is unknown
    batch_size: int = 32
    head_steps: int = 2_700
    head_lr: float = 2e-3
    tower_lr: float = 0.1  #: Muon's, of the tower's convolutions
    word_steps: int = 1_000
    match_steps: int = 800
    word_lr: float = 1.2e-3
    layer_lr: float = 0.02  #: Muon's, of the language model's layers
    tower_share: float = 0.3  #: of their learning rates, for tower and heads while words are learned
    head_weight: float = 0.3  #: of the heads' loss beside the words'
    seed: int = 1
    keep_every: int = 200  #: steps between two checkpoints
    size: Size = field(default_factory=Size)


class Heads(nn.Module):
    """A reading of the tower's tokens for each field: ``(batch, tokens, dim)`` to logits by field.

    Mean and maximum over all tokens, beside what a few queries of the field attend to: the goods, not the room they stand in.
    """

    def __init__(self, values: dict[str, list[str]], dim: int, queries: int = 4):
        super().__init__()
        self.queries = nn.ParameterDict({name: nn.Parameter(torch.randn(queries, dim) * dim**-0.5) for name in values})
        self.fields = nn.ModuleDict({name: nn.Linear((2 + queries) * dim, len(known)) for name, known in values.items()})

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        """Logits of each field's values."""
        tokens = tokens.float()
        whole = torch.cat([tokens.mean(1), tokens.amax(1)], dim=1)
        logits = {}
        for name, head in self.fields.items():
            attention = (tokens @ self.queries[name].T).softmax(1)
            logits[name] = head(torch.cat([whole, (attention.transpose(1, 2) @ tokens).flatten(1)], dim=1))
        return logits


class Lessons:
    """Batches of drawings with what they show: pixels, head targets and caption tokens."""

    def __init__(
        self,
        pictures: np.ndarray,
        drawings: list[Drawing],
        matches: list[Example],
        schema: CaptionSchema,
        processor: Any,
        prompt: list[int],
        recipe: Recipe,
    ):
        self.recipe, self.pictures = recipe, pictures
        self.values = {name: [*schema.fields[name].values, UNKNOWN] for name in DRAWN}
        shown = [one.shown() for one in drawings] + [dict.fromkeys(DRAWN, UNKNOWN)]
        self.targets = {name: torch.tensor([known.index(row[name]) for row in shown]) for name, known in self.values.items()}
        tokenizer = processor.tokenizer

        def ids(text: str) -> list[int]:
            return tokenizer(text, add_special_tokens=False)["input_ids"]

        self.answers, self.lengths = _padded([[*ids(answer(schema, row)), tokenizer.eos_token_id] for row in shown], tokenizer.pad_token_id)
        self.prompt = torch.tensor(prompt)
        asked = [processor.apply_chat_template(one.conversation, add_generation_prompt=True) for one in matches]
        rows = [[*ids(text), *ids(one.given), *ids(one.answer)] for text, one in zip(asked, matches, strict=True)]
        self.questions, self.sizes = _padded(rows, tokenizer.pad_token_id)

    def key(self) -> str:
        """Hash of all that is learned."""
        hashed = hashlib.sha256(str([self.values, self.prompt.tolist()]).encode())
        for part in (self.pictures, self.answers.numpy(), self.questions.numpy()):
            hashed.update(np.ascontiguousarray(part).data)
        return hashed.hexdigest()[:16]

    def batch(self, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Pixels ``(batch, 3, side, side)`` in [-1, 1] and the row of each in the targets; the last row stands for foreign pictures."""
        rows = generator.integers(len(self.pictures), size=self.recipe.batch_size)
        drawn = _moved(self.pictures[rows], generator)
        foreign = generator.random(len(rows)) < self.recipe.foreign_share
        for row in np.flatnonzero(foreign):
            drawn[row] = _foreign(drawn, generator)
        rows = np.where(foreign, len(self.pictures), rows)
        gain = torch.from_numpy(generator.uniform(0.97, 1.03, (len(rows), 3, 1, 1)).astype(np.float32) / 127.5)
        pixels = torch.from_numpy(drawn).permute(0, 3, 1, 2)  # channels last in memory
        return (pixels * gain).sub_(1).clamp_(max=1), torch.from_numpy(rows)

    def match(self, generator: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Token ids ``(batch, length)`` of questions without their answer, the place of each one's last, and the answer's id."""
        rows = torch.from_numpy(generator.integers(len(self.questions), size=2 * self.recipe.batch_size))
        sizes = self.sizes[rows]
        asked = self.questions[rows, : int(sizes.max()) - 1]
        return asked, sizes - 2, self.questions[rows, sizes - 1]

    def words(self, rows: Tensor) -> dict[str, Tensor]:
        """Token ids, mask and labels of the rows' conversations; only the answer is learned."""
        answers = self.answers[rows, : int(self.lengths[rows].max())]
        prompt = self.prompt.expand(len(rows), -1)
        mask = torch.arange(answers.shape[1]) < self.lengths[rows, None]
        labels = torch.cat([torch.full_like(prompt, _IGNORED), answers.masked_fill(~mask, _IGNORED)], dim=1)
        return {
            "input_ids": torch.cat([prompt, answers], dim=1),
            "attention_mask": torch.cat([torch.ones_like(prompt, dtype=torch.bool), mask], dim=1).long(),
            "labels": labels,
        }


def _padded(rows: list[list[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Rows filled up on the right to ``(rows, longest)``, and their lengths."""
    longest = max(map(len, rows))
    return torch.tensor([row + [pad] * (longest - len(row)) for row in rows]), torch.tensor([len(row) for row in rows])


def _moved(drawn: np.ndarray, generator: np.random.Generator, most: int = 5) -> np.ndarray:
    """Shifted by a few pixels, the edge repeated, and mirrored half of the time."""
    padded = np.pad(drawn, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    down, right = generator.integers(0, 2 * most + 1, 2)
    side = drawn.shape[1]
    drawn = padded[:, down : down + side, right : right + side]
    return np.ascontiguousarray(drawn[:, :, ::-1]) if generator.random() < 0.5 else drawn


def _foreign(drawn: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A picture of nothing: one color, noise of several grains, a gradient, drawings cut up and thrown together, or shapes and letters."""
    side = drawn.shape[1]
    kind = generator.integers(5)
    color = _plain_color(drawn, generator)
    if kind == 0:
        return np.broadcast_to(color, (side, side, 3)).astype(np.uint8)
    if kind == 1:
        return _noise(side, color, generator)
    if kind == 2:
        slope = np.linspace(0, 1, side)[:, None] * generator.normal() + np.linspace(0, 1, side) * generator.normal()
        return (color + slope[:, :, None] * generator.uniform(0, 120, 3)).clip(0, 255).astype(np.uint8)
    return _cut_up(drawn, generator) if kind == 3 else _scene(side, color, generator)


def _plain_color(drawn: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """``(3,)``: the ground of a drawing, as if its item were gone; a tint of paper; or any color."""
    kind = generator.integers(3)
    if kind == 0:
        return drawn[generator.integers(len(drawn)), 0, 0].astype(float)
    return 255 - generator.exponential(6, 3).clip(max=255) if kind == 1 else generator.uniform(0, 255, 3)


def _noise(side: int, color: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Noise of fine and coarse grain in random shares, as photographs have."""
    picture = np.broadcast_to(color, (side, side, 3))
    for share in (1, 2, 4, 12, 48):
        grains = max(side // share, 2)
        noise = generator.uniform(0, 255, (grains, grains, 3)).astype(np.uint8)
        large = np.asarray(Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC), dtype=np.float32)
        picture = picture + generator.exponential(0.4) * (large - 127.5)
    return picture.clip(0, 255).astype(np.uint8)


def _cut_up(drawn: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Pieces of drawings side by side, each turned."""
    side, tiles = drawn.shape[1], int(generator.choice([2, 4, 7]))
    width = side // tiles
    picture = np.zeros((side, side, 3), dtype=np.uint8)
    for y in range(tiles):
        for x in range(tiles):
            top, left = generator.integers(0, side - width + 1, 2)
            piece = drawn[generator.integers(len(drawn)), top : top + width, left : left + width]
            picture[y * width : (y + 1) * width, x * width : (x + 1) * width] = np.rot90(piece, int(generator.integers(4)))
    return picture


def _scene(side: int, color: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Shapes and letters of any color over noise, more or less blurred: a scene of no goods."""
    picture = Image.fromarray(_noise(side, color, generator))
    pen = ImageDraw.Draw(picture)
    for _ in range(int(generator.integers(3, 25))):
        ink = tuple(generator.integers(0, 256, 3).tolist())
        x, y = generator.uniform(0, side, 2)
        width, height = generator.uniform(side / 24, side / 2, 2)
        shape = int(generator.integers(4))
        if shape == 0:
            pen.ellipse((x - width / 2, y - height / 2, x + width / 2, y + height / 2), fill=ink)
        elif shape == 1:
            pen.rectangle((x - width / 2, y - height / 2, x + width / 2, y + height / 2), fill=ink)
        elif shape == 2:
            pen.polygon([(x + dx, y + dy) for dx, dy in generator.normal(0, side / 6, (5, 2)).tolist()], fill=ink)
        else:
            letters = "".join(generator.choice(list(ascii_letters), int(generator.integers(2, 10))))
            pen.text((x - width, y), letters, fill=ink, font_size=float(generator.uniform(8, side / 4)))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(float(generator.exponential(1.0)))))


#: Parameters with AdamW's and Muon's learning rate.
Pace = tuple[Sequence[nn.Parameter], float, float]


class Muon(torch.optim.Muon):
    """Muon over convolutions, too, each as the matrix ``(out, 9 in)`` that it is: drawings are learned in far fewer steps than AdamW takes.

    Jordan et al. Muon: An optimizer for hidden layers in neural networks. 2024.
    """

    def __init__(self, groups: Sequence[tuple[Sequence[nn.Parameter], float]]):
        self.weights = [weight for weights, _ in groups for weight in weights]
        matrices = [{"params": [nn.Parameter(_matrix(one.detach())) for one in weights], "lr": lr} for weights, lr in groups]
        super().__init__(matrices, weight_decay=0.01)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step along the gradients of the weights, which the matrices share their memory with."""
        matrices = [matrix for group in self.param_groups for matrix in group["params"]]
        for matrix, weight in zip(matrices, self.weights, strict=True):
            matrix.grad = None if weight.grad is None else _matrix(weight.grad)
        super().step(closure)


def _matrix(weight: Tensor) -> Tensor:
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1) if weight.ndim == 4 else weight


class Training:
    """The three stages over one stream of batches, kept every few steps and taken up where it stopped."""

    def __init__(self, lessons: Lessons, processor: Any, recipe: Recipe, folder: Path, device: str = "cpu"):
        torch.manual_seed(recipe.seed)
        self.lessons, self.recipe, self.device = lessons, recipe, device
        self.model = new_model(processor, recipe.size).to(device, memory_format=torch.channels_last)
        self.model.set_attn_implementation("eager")  # backward through the fused one takes twice as long on a CPU
        self.heads = Heads(lessons.values, self.model.config.vision_config.hidden_size).to(device)
        self.path = folder / "resume.pt"
        self.folder = folder
        self.tower = self.model.model.vision_tower

    def run(self, progress: bool = True) -> Any:
        """The trained model."""
        found = torch.load(self.path, weights_only=True) if self.path.exists() else None
        said = f"{asdict(self.recipe)} {self.lessons.key()}"
        if found and found["recipe"] != said:
            found = None
        recipe, eyes = self.recipe, [*self.tower.parameters(), *self.heads.parameters()]
        seeing = {id(parameter) for parameter in eyes}
        tongue = [parameter for parameter in self.model.parameters() if id(parameter) not in seeing]
        learns, speaks = (eyes, recipe.head_lr, recipe.tower_lr), (tongue, recipe.word_lr, recipe.layer_lr)
        watches = (eyes, recipe.tower_share * recipe.head_lr, recipe.tower_share * recipe.tower_lr)
        stages: list[tuple[str, int, Callable[[np.random.Generator], dict[str, Tensor]], list[Pace]]] = [
            ("seeing", recipe.head_steps, self._see, [learns]),
            ("saying", recipe.word_steps, self._say, [watches, speaks]),
            ("matching", recipe.match_steps, self._match, [speaks]),
        ]
        for stage, (name, steps, loss, paces) in enumerate(stages):
            if found and found["stage"] > stage:
                continue
            optimizers = self._optimizers(paces)
            parameters = [parameter for pace in paces for parameter in pace[0]]
            schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, _cosine(steps)) for optimizer in optimizers]
            moving: list[Any] = [*optimizers, *schedules]
            first = 0
            if found and found["stage"] == stage:
                first = found["step"]
                self.model.load_state_dict(found["model"])
                self.heads.load_state_dict(found["heads"])
                for part, state in zip(moving, found["moving"], strict=True):
                    part.load_state_dict(state)
            self.model.train()
            if name == "matching":
                self.tower.eval().requires_grad_(False)
            bar = tqdm(
                range(first, steps),
                name,
                steps,
                initial=first,
                unit="step",
                disable=not progress,
                mininterval=2 if sys.stderr.isatty() else 30,
            )
            shown: dict[str, float] = {}
            for step in bar:
                terms = loss(np.random.default_rng([self.recipe.seed, stage, step]))
                self.model.zero_grad()
                self.heads.zero_grad()
                torch.stack(list(terms.values())).sum().backward()
                nn.utils.clip_grad_norm_(parameters, 1.0)
                for part in moving:
                    part.step()
                now = {name: term.item() for name, term in terms.items()}
                shown = {name: 0.95 * shown.get(name, value) + 0.05 * value for name, value in now.items()}
                bar.set_postfix({name: f"{value:.3f}" for name, value in shown.items()}, refresh=False)
                if (step + 1) % self.recipe.keep_every == 0 or step + 1 == steps:
                    self._keep(stage, step + 1, moving, said)
        return self.model.eval()

    def _optimizers(self, paces: Sequence[Pace]) -> list[torch.optim.Optimizer]:
        """Muon for what maps one hidden layer to another, AdamW for the rest: embeddings, what reads pixels, scales, heads."""
        inside = {
            id(weight)
            for name, weight in self.model.named_parameters()
            if weight.ndim >= 2 and weight.shape[1] > 3 and "embed" not in name and "lm_head" not in name
        }
        rest = [{"params": [one for one in parameters if id(one) not in inside], "lr": lr} for parameters, lr, _ in paces]
        hidden = [([one for one in parameters if id(one) in inside], lr) for parameters, _, lr in paces]
        return [torch.optim.AdamW(rest, weight_decay=0.02, betas=(0.9, 0.98)), Muon(hidden)]

    def _keep(self, stage: int, step: int, moving: Sequence[Any], said: str) -> None:
        state = {"model": self.model.state_dict(), "heads": self.heads.state_dict(), "moving": [part.state_dict() for part in moving]}
        with atomic(self.path) as temporary:
            torch.save({"stage": stage, "step": step, "recipe": said, **state}, temporary)

    def _see(self, generator: np.random.Generator) -> dict[str, Tensor]:
        pixels, rows = self.lessons.batch(generator)
        with fast(self.device):
            tokens = self.tower(pixels.to(self.device)).last_hidden_state
        return self._head_terms(tokens, rows, 1.0)

    def _say(self, generator: np.random.Generator) -> dict[str, Tensor]:
        said, tokens, rows = self._words(generator)
        return {"words": said, **self._head_terms(tokens, rows, self.recipe.head_weight)}

    def _match(self, generator: np.random.Generator) -> dict[str, Tensor]:
        said, _, _ = self._words(generator)
        asked, ends, answers = (part.to(self.device) for part in self.lessons.match(generator))
        with fast(self.device):
            hidden = self.model.model(input_ids=asked).last_hidden_state
            logits = self.model.lm_head(hidden[torch.arange(len(asked)), ends])
        return {"words": said, "match": F.cross_entropy(logits.float(), answers)}

    def _words(self, generator: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """The loss of a batch of captions, the tower's tokens, and the row of each picture in the targets."""
        pixels, rows = self.lessons.batch(generator)
        words = {name: value.to(self.device) for name, value in self.lessons.words(rows).items()}
        labels = words.pop("labels")
        seen: list[Tensor] = []
        hook = self.tower.register_forward_hook(lambda _, __, output: seen.append(output.last_hidden_state))
        with fast(self.device):
            logits = self.model(pixel_values=pixels.to(self.device), **words).logits
        hook.remove()
        said = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=_IGNORED)
        return 4 * said, seen[0], rows

    def _head_terms(self, tokens: Tensor, rows: Tensor, weight: float) -> dict[str, Tensor]:
        logits = self.heads(tokens)
        return {name: weight * F.cross_entropy(logits[name], self.lessons.targets[name][rows].to(self.device)) for name in logits}


def _cosine(steps: int, warmup: int = 100) -> Callable[[int], float]:
    return lambda step: min(1.0, (step + 1) / warmup) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(steps, 1)))))
