"""SVG under construction, and arithmetic on colors."""

from __future__ import annotations

import colorsys
import math

import numpy as np


class Canvas:
    """SVG under construction: definitions and body, with fresh ids."""

    def __init__(self):
        self.defs: list[str] = []
        self.body: list[str] = []

    def define(self, markup: str) -> str:
        """Adds a definition whose id is written ``ID``; returns the id."""
        name = f"d{len(self.defs)}"
        self.defs.append(markup.replace("ID", name))
        return name

    def add(self, markup: str) -> None:
        """Draws ``markup`` on top."""
        self.body.append(markup)

    def gradient(self, stops: list[tuple[float, str, float]], x2=1.0, y2=0.0) -> str:
        """A linear gradient over its shape's box; stops are (offset, color, opacity)."""
        inner = "".join(f'<stop offset="{o:.3f}" stop-color="{c}" stop-opacity="{a:.2f}"/>' for o, c, a in stops)
        return self.define(f'<linearGradient id="ID" x1="0" y1="0" x2="{x2:.2f}" y2="{y2:.2f}">{inner}</linearGradient>')

    def glow(self, stops: list[tuple[float, str, float]], x=0.5, y=0.5, r=0.5) -> str:
        """A radial gradient over its shape's box; stops are (offset, color, opacity)."""
        inner = "".join(f'<stop offset="{o:.3f}" stop-color="{c}" stop-opacity="{a:.2f}"/>' for o, c, a in stops)
        return self.define(f'<radialGradient id="ID" cx="{x:.2f}" cy="{y:.2f}" r="{r:.2f}">{inner}</radialGradient>')

    def blur(self, amount: float) -> str:
        """A blur filter; ``amount`` in units of the drawing it is used in."""
        return self.define(
            f'<filter id="ID" x="-0.4" y="-0.4" width="1.8" height="1.8"><feGaussianBlur stdDeviation="{amount:.1f}"/></filter>'
        )


def shade(color: str, amount: float) -> str:
    """``color`` mixed with white (``amount`` > 0) or black (< 0); hex in, hex out."""
    target = 255 if amount > 0 else 0
    parts = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(p + (target - p) * abs(amount)):02x}" for p in parts)


def distance(a: str, b: str) -> float:
    """How far two hex colors are apart, 0 to 441."""
    return math.dist(*([int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in (a, b)))


def brightness(color: str) -> float:
    """Lightness of a hex color, in [0, 1]."""
    return colorsys.rgb_to_hls(*(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)))[1]


def path(points: np.ndarray, closed: bool = True) -> str:
    """SVG path data through ``points`` ``(points, 2)``."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points.tolist()) + ("Z" if closed else "")
