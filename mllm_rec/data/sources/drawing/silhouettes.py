"""The geometry of what the demo shop sells: turned bodies and flat panels.

Coordinates are in units: an item is about 100 units tall, stands on y = 0, and y points down.
A surface maps its own coordinates (u along, v down, both in [0, 1]) to the picture, so a pattern
drawn in (u, v) bends around a vase and lies flat on a rug.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Profile = list[tuple[float, float]]

# Radius by height, from the rim (0) to the foot (1); the first number is the body's height.
PROFILES: dict[str, dict[str, tuple[float, Profile]]] = {
    "mug": {
        "straight": (64, [(0, 29), (0.93, 29), (1, 26)]),
        "tapered": (64, [(0, 35), (0.94, 21), (1, 19)]),
        "round": (60, [(0, 26), (0.3, 35), (0.65, 36), (1, 21)]),
        "flared": (64, [(0, 39), (0.18, 31), (0.5, 25), (1, 25)]),
        "curved": (66, [(0, 32), (0.5, 20), (1, 32)]),
        "tall": (90, [(0, 22), (0.95, 22), (1, 20)]),
    },
    "vase": {
        "round": (82, [(0, 14), (0.16, 11), (0.36, 28), (0.65, 40), (0.88, 32), (1, 20)]),
        "tall": (108, [(0, 15), (0.96, 16), (1, 14)]),
        "tapered": (92, [(0, 22), (0.08, 24), (0.2, 35), (0.3, 35), (1, 13)]),
        "flared": (94, [(0, 39), (0.14, 28), (0.4, 14), (0.75, 13), (1, 23)]),
        "curved": (98, [(0, 17), (0.14, 12), (0.3, 24), (0.5, 12), (0.76, 32), (1, 20)]),
        "oval": (92, [(0, 15), (0.12, 20), (0.5, 31), (0.86, 21), (1, 15)]),
    },
    "bowl": {
        "round": (42, [(0, 47), (0.35, 46), (0.72, 36), (1, 18)]),
        "flared": (42, [(0, 56), (0.16, 42), (0.45, 30), (0.8, 24), (1, 20)]),
        "straight": (36, [(0, 45), (0.9, 45), (1, 42)]),
        "tapered": (46, [(0, 51), (1, 13)]),
        "curved": (56, [(0, 46), (0.3, 43), (0.52, 22), (0.64, 9), (0.8, 10), (1, 27)]),
        "oval": (46, [(0, 30), (0.2, 42), (0.5, 48), (0.75, 42), (1, 24)]),
    },
    "planter": {
        "straight": (58, [(0, 36), (0.95, 36), (1, 34)]),
        "tapered": (58, [(0, 41), (1, 23)]),
        "round": (56, [(0, 28), (0.25, 40), (0.6, 43), (1, 24)]),
        "flared": (58, [(0, 47), (0.2, 36), (0.55, 27), (1, 26)]),
        "curved": (60, [(0, 39), (0.5, 24), (1, 39)]),
        "tall": (84, [(0, 25), (1, 20)]),
    },
    "lamp": {
        "tapered": (44, [(0, 17), (1, 39)]),
        "straight": (42, [(0, 34), (1, 34)]),
        "round": (54, [(0, 12), (0.2, 31), (0.5, 38), (0.8, 31), (1, 13)]),
        "domed": (38, [(0, 5), (0.08, 17), (0.35, 33), (0.7, 41), (1, 42)]),
        "flared": (46, [(0, 13), (0.45, 17), (0.8, 30), (1, 45)]),
        "curved": (46, [(0, 34), (0.5, 17), (1, 34)]),
    },
    "teapot": {
        "round": (50, [(0, 14), (0.2, 30), (0.55, 39), (0.85, 31), (1, 22)]),
        "straight": (48, [(0, 28), (0.08, 32), (0.94, 32), (1, 29)]),
        "tapered": (54, [(0, 15), (0.9, 38), (1, 36)]),
        "oval": (38, [(0, 16), (0.2, 37), (0.5, 46), (0.8, 37), (1, 22)]),
        "tall": (74, [(0, 15), (0.5, 24), (0.92, 27), (1, 24)]),
        "curved": (58, [(0, 24), (0.35, 19), (0.75, 39), (1, 27)]),
    },
    "jar": {
        "straight": (62, [(0, 27), (0.06, 30), (0.95, 30), (1, 28)]),
        "round": (58, [(0, 24), (0.25, 37), (0.65, 38), (1, 24)]),
        "tapered": (64, [(0, 36), (1, 20)]),
        "tall": (88, [(0, 22), (0.95, 23), (1, 21)]),
    },
    "basket": {
        "round": (44, [(0, 38), (0.4, 46), (0.75, 42), (1, 26)]),
        "straight": (44, [(0, 40), (1, 38)]),
        "tapered": (48, [(0, 46), (1, 26)]),
        "flared": (46, [(0, 52), (0.2, 38), (1, 30)]),
    },
}

# Width and height of the flat things.
PANELS: dict[str, dict[str, tuple[float, float]]] = {
    "cushion": {
        "square": (76, 76),
        "rectangular": (104, 62),
        "round": (82, 82),
        "oval": (104, 66),
        "hexagonal": (88, 80),
        "scalloped": (84, 84),
    },
    "clock": {
        "round": (84, 84),
        "square": (78, 78),
        "hexagonal": (90, 80),
        "arched": (70, 88),
        "oval": (68, 94),
        "scalloped": (90, 90),
    },
    "rug": {
        "rectangular": (146, 92),
        "square": (110, 110),
        "round": (120, 120),
        "oval": (146, 94),
        "hexagonal": (132, 116),
        "scalloped": (124, 124),
    },
    "bag": {
        "square": (68, 68),
        "rectangular": (96, 54),
        "round": (78, 78),
        "tapered": (92, 64),
        "arched": (72, 72),
        "curved": (98, 56),
    },
    "kite": {
        "diamond": (84, 104),
        "square": (80, 80),
        "round": (84, 84),
        "arched": (76, 92),
    },
    "chair": {
        "square": (56, 50),
        "arched": (58, 62),
        "round": (56, 56),
        "tapered": (64, 54),
        "oval": (42, 64),
        "flared": (64, 60),
    },
}


@dataclass(frozen=True)
class Surface:
    """A piece of an item that carries color, pattern and texture."""

    outline: np.ndarray  #: ``(points, 2)`` the closed edge, in units
    place: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]  #: (u, v) to (x, y)
    size: tuple[float, float]  #: width and height of the unrolled surface, in units
    turned: bool  #: round like a vase, or flat like a rug
    puffed: bool = False  #: flat but stuffed, like a cushion


def body(profile: Profile, top: float, height: float, tilt: float) -> Surface:
    """A turned body seen from slightly above; ``tilt`` is the flattening of its circles."""
    steps = np.linspace(0, 1, 41)
    knots = np.array(profile, float)
    wide = _smooth(steps, knots[:, 0], knots[:, 1])

    def place(u, v):
        angle = (np.clip(u, 0, 1) - 0.5) * np.pi
        v = np.clip(v, -0.1, 1.3)
        r = np.interp(v, steps, wide)
        return r * np.sin(angle), top + v * height + tilt * r * np.cos(angle)

    arc = np.linspace(-np.pi / 2, np.pi / 2, 19)
    front = [np.stack([r * np.sin(arc), y + tilt * r * np.cos(arc)], 1) for r, y in ((wide[-1], top + height), (wide[0], top))]
    side = np.stack([wide, top + steps * height], 1)
    outline = np.concatenate([side * [-1, 1], front[0], side[::-1], front[1][::-1]])
    return Surface(outline, place, (2.6 * wide.max(), height), turned=True)


def radius(profile: Profile, height: float) -> float:
    """The radius at a height from 0 (the rim) to 1 (the foot), in units."""
    return float(np.interp(height, [at for at, _ in profile], [wide for _, wide in profile]))


def _smooth(t: np.ndarray, knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A curve through the knots that overshoots none of them (Fritsch and Carlson 1980, harmonic mean of slopes)."""
    gaps = np.diff(knots)
    slopes = np.diff(values) / gaps
    before, after = slopes[:-1], slopes[1:]
    agree = before * after > 0
    inner = np.where(agree, 2 * before * after / np.where(agree, before + after, 1), 0)
    tangents = np.concatenate([slopes[:1], inner, slopes[-1:]])
    k = np.clip(np.searchsorted(knots, t, side="right") - 1, 0, len(gaps) - 1)
    x, gap = (t - knots[k]) / gaps[k], gaps[k]
    start = (1 + 2 * x) * (1 - x) ** 2 * values[k] + x * (1 - x) ** 2 * gap * tangents[k]
    return start + x**2 * (3 - 2 * x) * values[k + 1] + x**2 * (x - 1) * gap * tangents[k + 1]


def panel(edge: np.ndarray, puffed: bool = False) -> Surface:
    """A flat surface inside ``edge`` ``(points, 2)``."""
    low, high = edge.min(0), edge.max(0)
    span = high - low

    def place(u, v):
        if puffed:  # threads bow outwards over the stuffing
            u, v = u + 0.1 * (u - 0.5) * (1 - (2 * v - 1) ** 2), v + 0.1 * (v - 0.5) * (1 - (2 * u - 1) ** 2)
        return low[0] + u * span[0], low[1] + v * span[1]

    return Surface(edge, place, (float(span[0]), float(span[1])), turned=False, puffed=puffed)


def edge(shape: str, width: float, height: float, pinch: float = 0.0) -> np.ndarray:
    """The edge ``(points, 2)`` of a flat thing, around the origin; ``pinch`` draws its sides in.

    Raises:
        ValueError: the shape is unknown.
    """
    angle = np.linspace(0, 2 * np.pi, 97)[:-1]
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    if shape in ("round", "oval"):
        unit = circle
    elif shape == "scalloped":
        unit = circle * (0.84 + 0.16 * np.abs(np.sin(4 * angle)))[:, None]
    elif shape in ("square", "rectangular"):
        unit = _rounded([(-1, -1), (1, -1), (1, 1), (-1, 1)], 0.14, pinch)
    elif shape == "diamond":
        unit = _rounded([(0, -1), (1, -0.2), (0, 1), (-1, -0.2)], 0.05, pinch)
    elif shape == "hexagonal":
        unit = _rounded([(-1, 0), (-0.5, -1), (0.5, -1), (1, 0), (0.5, 1), (-0.5, 1)], 0.08, pinch / 2)
    elif shape == "tapered":
        unit = _rounded([(-0.58, -1), (0.58, -1), (1, 1), (-1, 1)], 0.12, pinch)
    elif shape == "flared":
        unit = _rounded([(-1, -1), (-0.45, -0.82), (0.45, -0.82), (1, -1), (0.62, 1), (-0.62, 1)], 0.12, 0)
    elif shape == "arched":
        top = circle[48:] * [1, 1.25] + [0, 0.25]
        unit = np.concatenate([top, [(1, 0.86), (0.9, 1), (-0.9, 1), (-1, 0.86)]])
    elif shape == "curved":
        bottom = circle[:49] * [1, 1.7] - [0, 0.7]
        unit = np.concatenate([bottom, [(-0.9, -0.95), (0, -0.72), (0.9, -0.95)]])
    else:
        raise ValueError(f"'{shape}' is not a shape of a flat item")
    return unit * [width / 2, height / 2]


def _rounded(corners, radius: float, pinch: float) -> np.ndarray:
    """A polygon with rounded corners and sides drawn inwards by ``pinch``."""
    corners = np.array(corners, float)
    points = []
    for before, corner, after in zip(np.roll(corners, 1, 0), corners, np.roll(corners, -1, 0), strict=True):
        start = corner + (before - corner) * radius
        end = corner + (after - corner) * radius
        for t in np.linspace(0, 1, 5):
            points.append((1 - t) ** 2 * start + 2 * t * (1 - t) * corner + t**2 * end)
        for t in np.linspace(0.2, 0.8, 4):
            side = end + (after + (corner - after) * radius - end) * t
            points.append(side * (1 - pinch * 4 * t * (1 - t)))
    return np.array(points)
