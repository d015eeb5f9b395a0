"""Patterns and textures as marks: shapes in units on the unrolled surface.

The surface places their points, so stripes follow the belly of a vase.
"""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass

import numpy as np

from mllm_rec.data.sources.drawing.canvas import brightness, shade


@dataclass(frozen=True)
class Look:
    """What an item's surface looks like; ``backlit`` leaves a dark outline and nothing else."""

    color: str  #: hex
    accents: tuple[str, str]  #: hex, of the pattern
    pattern: str
    material: str
    light: float  #: where the light stands: -1 left, 1 right
    backlit: bool = False

    def tone(self, color: str) -> str:
        """``color``, or the dark of a backlit picture."""
        return "#2b2624" if self.backlit else color


@dataclass(frozen=True)
class Marks:
    """Shapes of one style: ``(points, 2)`` arrays in units, filled, or stroked with ``width`` > 0."""

    shapes: list[np.ndarray]
    color: str
    opacity: float = 1.0
    width: float = 0.0


def _bands(width, height, step, share, angle):
    """Parallel bands ``step`` apart, each ``share`` of a step wide, turned by ``angle`` radians."""
    reach = 0.75 * math.hypot(width, height)
    along = np.linspace(-reach, reach, 22)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    bands = []
    for y in np.arange(-reach, reach, step):
        lower, upper = np.stack([along, np.full(22, y)], 1), np.stack([along[::-1], np.full(22, y + share * step)], 1)
        bands.append(np.concatenate([lower, upper]) @ turn + [width / 2, height / 2])
    return bands


def _grid(width, height, step, jitter, rng):
    """Points in staggered rows, ``step`` apart."""
    points = []
    for row, y in enumerate(np.arange(step * 0.3, height + step, step * 0.87)):
        for x in np.arange(step * (0.2 + 0.5 * (row % 2)), width + step, step):
            points.append((x + rng.uniform(-jitter, jitter) * step, y + rng.uniform(-jitter, jitter) * step))
    return points


def _disc(center, radius, corners=12, start=0.0):
    angle = np.linspace(0, 2 * np.pi, corners + 1)[:-1] + start
    return np.stack([np.cos(angle), np.sin(angle)], 1) * radius + center


def _star(center, radius, start):
    angle = np.arange(10) * np.pi / 5 + start - np.pi / 2
    reach = np.where(np.arange(10) % 2, 0.42, 1.0) * radius
    return np.stack([np.cos(angle), np.sin(angle)], 1) * reach[:, None] + center


def pattern(look: Look, width: float, height: float, rng: random.Random) -> list[Marks]:
    """The marks of ``look.pattern`` on a surface of ``width`` x ``height`` units.

    Raises:
        ValueError: the pattern is unknown.
    """
    first, second = look.accents
    size = rng.uniform(0.85, 1.25)
    if look.pattern == "plain":
        return []
    if look.pattern == "striped":
        angle = rng.choice([0, 0, math.pi / 2, math.pi / 2, math.pi / 4, -math.pi / 4])
        marks = [Marks(_bands(width, height, 14 * size, rng.uniform(0.34, 0.46), angle), first)]
        return marks + ([Marks(_bands(width, height, 14 * size, 0.1, angle), second)] if rng.random() < 0.3 else [])
    if look.pattern == "checked":
        step, turn = 17 * size, rng.choice([0, 0, 0, math.pi / 4])
        return [Marks(_bands(width, height, step, 0.36, turn + angle), first, 0.55) for angle in (0, math.pi / 2)]
    if look.pattern == "dotted":
        radius = rng.uniform(2.6, 4.2) * size
        return [Marks([_disc(c, radius) for c in _grid(width, height, 13 * size, 0, rng)], first)]
    if look.pattern == "zigzag":
        step = 8.5 * size
        x = np.arange(-step, width + 2 * step, step)
        rise = np.where(np.arange(len(x)) % 2, 0.0, step)
        lines = [np.stack([x, y + rise], 1) for y in np.arange(-step, height + step, step * 1.75)]
        return [Marks(lines, first, width=step * rng.uniform(0.4, 0.54))]
    if look.pattern == "wavy":
        step, reach = 12 * size, rng.uniform(0.28, 0.4)
        x = np.linspace(-step, width + step, 60)
        rows = np.arange(-step, height + 2 * step, step)
        return [Marks([np.stack([x, y + reach * step * np.sin(2 * np.pi * x / (2.2 * step))], 1) for y in rows], first, width=0.34 * step)]
    if look.pattern == "starred":
        radius, spin = rng.uniform(4.4, 5.8) * size, rng.uniform(-0.3, 0.3)
        return [Marks([_star(center, radius, spin) for center in _grid(width, height, 16 * size, 0, rng)], first)]
    if look.pattern == "harlequin":
        wide, high = 15 * size, 22 * size
        corners = np.array([(0, -0.5), (0.5, 0), (0, 0.5), (-0.5, 0)]) * [wide, high]
        return [
            Marks([corners + np.array([x, y]) for x in np.arange(0, width + wide, wide) for y in np.arange(0, height + high, high)], first),
        ]
    if look.pattern == "floral":
        return _flowers(width, height, 21 * size, first, second, rng)
    if look.pattern == "speckled":
        chips: list[list[np.ndarray]] = [[], [], []]
        for center in _grid(width, height, 8.5 * size, 0.4, rng):
            chip = _disc(center, rng.uniform(1.2, 3.1), rng.choice([4, 5, 6]), rng.uniform(0, 6))
            rng.choice(chips).append(chip)
        colors = (first, second, shade(look.color, -0.4 if brightness(look.color) > 0.4 else 0.5))
        return [Marks(shapes, color) for shapes, color in zip(chips, colors, strict=True)]
    raise ValueError(f"'{look.pattern}' is not a pattern the generator can draw")


def _flowers(width, height, step, first, second, rng):
    petals, hearts, leaves = [], [], []
    for center in _grid(width, height, step, 0.12, rng):
        start, reach = rng.uniform(0, 6), step * rng.uniform(0.17, 0.22)
        for k in range(5):
            angle = start + k * 2 * math.pi / 5
            petals.append(_disc(np.add(center, (reach * math.cos(angle), reach * math.sin(angle))), reach * 0.72, 8))
        hearts.append(_disc(center, reach * 0.5, 8))
        for side in (0.6, 1.6):
            tip = np.add(center, (2.5 * reach * math.cos(start + side), 2.5 * reach * math.sin(start + side)))
            leaves.append(_disc(tip, reach * 0.6, 3, start + side))
    return [Marks(leaves, second, 0.85), Marks(petals, first), Marks(hearts, second)]


def texture(look: Look, width: float, height: float, rng: random.Random) -> list[Marks]:
    """The marks that tell ``look.material``: grain, threads, stitches, weave, veins.

    Raises:
        ValueError: the material is unknown.
    """
    if look.material in ("ceramic", "glass", "metal"):
        return []
    makers = {"wood": _grain, "stone": _veins, "linen": _threads, "wool": _knit, "leather": _hide, "rattan": _weave}
    if look.material not in makers:
        raise ValueError(f"'{look.material}' is not a material the generator can draw")
    ink = "#000" if brightness(look.color) > 0.3 else "#fff"
    return makers[look.material](width, height, ink, rng)


def _grain(width, height, ink, rng):
    x = np.linspace(-2, width + 2, 26)
    lines: list[np.ndarray] = []
    fine: list[np.ndarray] = []
    knots: list[np.ndarray] = []
    phase, knot = rng.uniform(0, 6), (rng.uniform(0.2, 0.8) * width, rng.uniform(0.25, 0.75) * height)
    for k, y in enumerate(np.arange(0, height + 3, 3.1)):
        bump = np.exp(-(((x - knot[0]) / 10) ** 2)) * np.sign(y - knot[1]) * 7 * math.exp(-abs(y - knot[1]) / 9)
        line = np.stack([x, y + 1.6 * np.sin(x / 19 + phase + y / 17) + bump + rng.uniform(-0.8, 0.8)], 1)
        (lines if k % 3 == 0 else fine).append(line)
    for radius in (2.2, 4.2):
        knots.append(_disc(knot, radius)[np.r_[0:12, 0]] * [1.5, 1] - [0.5 * knot[0], 0])
    return [Marks(fine, ink, 0.2, 0.9), Marks(lines + knots, ink, 0.42, 1.3)]


def _veins(width, height, ink, rng):
    veins: list[np.ndarray] = []
    thin: list[np.ndarray] = []
    t = np.linspace(0, 1, 26)
    for k in range(7):
        start, lean, wave = rng.uniform(-0.2, 0.9) * width, rng.uniform(0.1, 0.8) * width, rng.uniform(0, 6)
        wander = 3.2 * np.sin(7 * t + wave) + 1.6 * np.sin(19 * t + 2 * wave)
        (veins if k < 3 else thin).append(np.stack([start + lean * t + wander, t * (height + 6) - 3], 1))
    clouds = [_disc((rng.uniform(0, width), rng.uniform(0, height)), rng.uniform(5, 13), 20) for _ in range(9)]
    clouds = [np.mean(cloud, 0) + (cloud - np.mean(cloud, 0)) * [1.5, 0.8] for cloud in clouds]
    return [Marks(clouds, "#fff", 0.09), Marks(thin, ink, 0.35, 0.7), Marks(veins, "#fff", 0.6, 1.9), Marks(veins, ink, 0.45, 0.8)]


def _threads(width, height, ink, rng):
    across, down = np.linspace(-2, width + 2, 14), np.linspace(-2, height + 2, 14)
    weft = [np.stack([across, np.full(14, y)], 1) for y in np.arange(0, height + 2, 2.9)]
    warp = [np.stack([np.full(14, x), down], 1) for x in np.arange(0, width + 2, 2.9)]
    slubs = []
    for _ in range(26):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        slubs.append(np.array([(x, y), (x + rng.uniform(5, 14), y)]))
    return [Marks(weft, ink, 0.26, 0.9), Marks(warp, "#fff", 0.3, 0.9), Marks(slubs, "#fff", 0.32, 1.4)]


def _knit(width, height, ink, rng):
    step = rng.uniform(4.4, 5.2)
    stitches = []
    for x in np.arange(0, width + step, step):
        for y in np.arange(-step, height + step, step * 0.8):
            stitches.append(np.array([(x, y), (x + step / 2, y + step * 0.62), (x + step, y)]))
    return [Marks([stitch + np.array([0, 1.5]) for stitch in stitches], "#000", 0.24, 1.3), Marks(stitches, "#fff", 0.24, 1.2)]


def _hide(width, height, ink, rng):
    creases = []
    for _ in range(70):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        creases.append(np.array([(x + rng.uniform(-3, 3), y + rng.uniform(-3, 3)) for _ in range(3)]))
    inset, seams = 5.5, []
    box = [(inset, inset), (width - inset, inset), (width - inset, height - inset), (inset, height - inset), (inset, inset)]
    for (x0, y0), (x1, y1) in itertools.pairwise(box):
        for t in np.arange(0, 1, 5 / max(abs(x1 - x0) + abs(y1 - y0), 5)):
            ahead = min(t + 3 / (abs(x1 - x0) + abs(y1 - y0)), 1)
            seams.append(np.array([(x0 + (x1 - x0) * k, y0 + (y1 - y0) * k) for k in (t, ahead)]))
    return [
        Marks(creases, ink, 0.22, 0.8),
        Marks([seam + np.array([0.5, 0.9]) for seam in seams], "#000", 0.4, 1.4),
        Marks(seams, "#f6e7c8", 0.95, 1.2),
    ]


def _weave(width, height, ink, rng):
    step = rng.uniform(6.2, 7.4)
    lines: list[list[np.ndarray]] = [[], []]
    for row, y in enumerate(np.arange(0, height + step, step)):
        for column, x in enumerate(np.arange(0, width + step, step)):
            for k in (0.2, 0.5, 0.8):
                flat = np.array([(x + 0.4, y + k * step), (x + step / 2, y + k * step), (x + step - 0.4, y + k * step)])
                upright = np.array([(x + k * step, y + 0.4), (x + k * step, y + step / 2), (x + k * step, y + step - 0.4)])
                lines[(row + column) % 2].append(flat if (row + column) % 2 else upright)
    return [Marks(lines[0], "#000", 0.42, 1.2), Marks(lines[1], "#fff", 0.3, 1.2)]
