"""A surface with its color, pattern, material and light, as SVG."""

from __future__ import annotations

import random

import numpy as np

from mllm_rec.data.sources.drawing.canvas import Canvas, path, shade
from mllm_rec.data.sources.drawing.marks import Look, Marks, pattern, texture
from mllm_rec.data.sources.drawing.silhouettes import Surface


def paint(canvas: Canvas, surface: Surface, look: Look, rng: random.Random) -> str:
    """The surface with its color, pattern, texture and light, as SVG."""
    outline = path(surface.outline)
    if look.backlit:
        return f'<path d="{outline}" fill="{look.tone(look.color)}"/>'
    clip = canvas.define(f'<clipPath id="ID"><path d="{outline}"/></clipPath>')
    opacity = 0.62 if look.material == "glass" else 1
    parts = [f'<path d="{outline}" fill="{look.color}" fill-opacity="{opacity}"/>', f'<g clip-path="url(#{clip})">']
    width, height = surface.size
    drawn = pattern(look, width, height, rng) + texture(look, width, height, rng)
    parts += [_marks(surface, marks) for marks in drawn]
    parts += [_light(canvas, surface, look, outline), "</g>"]
    parts.append(f'<path d="{outline}" fill="none" stroke="{shade(look.color, -0.45)}" stroke-opacity=".35" stroke-width=".8"/>')
    return "".join(parts)


def _marks(surface: Surface, marks: Marks) -> str:
    if not marks.shapes:
        return ""
    points = np.concatenate(marks.shapes)
    placed = np.stack(surface.place(points[:, 0] / surface.size[0], points[:, 1] / surface.size[1]), 1)
    cuts = np.cumsum([len(shape) for shape in marks.shapes])[:-1]
    data = "".join(path(shape, closed=not marks.width) for shape in np.split(placed, cuts))
    if marks.width:
        return (
            f'<path d="{data}" fill="none" stroke="{marks.color}" stroke-width="{marks.width:.1f}" '
            f'stroke-opacity="{marks.opacity:.2f}" stroke-linejoin="round"/>'
        )
    return f'<path d="{data}" fill="{marks.color}" fill-opacity="{marks.opacity:.2f}"/>'


def _light(canvas: Canvas, surface: Surface, look: Look, outline: str) -> str:
    """Roundness and gloss."""
    bright = 0.5 + 0.32 * look.light
    if look.material == "metal":
        fills = [_metal(canvas, bright, slope=0.0 if surface.turned else 0.8)]
    elif surface.turned:
        fills = [_round(canvas, look, bright), canvas.gradient([(0.5, "#000", 0), (1, "#000", 0.25)], 0, 1)]
    elif surface.puffed:
        fills = [canvas.glow([(0, "#fff", 0.24), (0.45, "#fff", 0.04), (0.75, "#000", 0.12), (1, "#000", 0.42)], bright, 0.4, 0.72)]
    else:
        fills = _flat(canvas, look)
    markup = "".join(f'<path d="{outline}" fill="url(#{fill})"/>' for fill in fills)
    return markup + (_streaks(canvas, surface, look) if surface.turned else "")


#: How much light a surface throws back; others .12.
_GLOSS = {"ceramic": 0.34, "glass": 0.3, "leather": 0.22, "stone": 0.16}


def _metal(canvas: Canvas, bright: float, slope: float) -> str:
    """The gradient of polished metal: dark and light bands."""
    bands = [(0, "#000", 0.5), (0.14, "#fff", 0.2), (0.26, "#000", 0.28), (bright, "#fff", 0.75)]
    bands += [(min(bright + 0.13, 0.86), "#000", 0.12), (0.88, "#fff", 0.38), (1, "#000", 0.55)]
    return canvas.gradient(sorted(bands), 1, slope)


def _round(canvas: Canvas, look: Look, bright: float) -> str:
    """The gradient of a turned body: dark at both sides, glass light at its edges."""
    left, right = (bright * 0.55, "#000", 0.12), (bright + (1 - bright) * 0.45, "#000", 0.12)
    lit = [left, (bright, "#fff", _GLOSS.get(look.material, 0.12)), right]
    if look.material == "glass":
        return canvas.gradient([(0, "#fff", 0.35), (0.07, "#000", 0.3), *lit, (0.94, "#000", 0.25), (1, "#fff", 0.3)])
    return canvas.gradient([(0, "#000", 0.46), *lit, (1, "#000", 0.46)])


def _flat(canvas: Canvas, look: Look) -> list[str]:
    """The gradients of a flat surface: light from one side, and a window mirrored in a glossy one."""
    stops = [(0.0, "#fff", _GLOSS.get(look.material, 0.12)), (0.55, "#fff", 0.0), (1.0, "#000", 0.22)]
    if look.light > 0:
        stops = [(1 - offset, color, opacity) for offset, color, opacity in reversed(stops)]
    fills = [canvas.gradient(stops, 1, 0.5)]
    if look.material in ("ceramic", "glass"):
        edge = 0.8 if look.material == "glass" else 0.5
        sheen = [(0.2, "#fff", 0.0), (0.22, "#fff", edge * 0.7), (0.34, "#fff", edge), (0.36, "#fff", 0.0)]
        sheen += [(0.41, "#fff", 0.0), (0.42, "#fff", edge * 0.6), (0.46, "#fff", edge * 0.6), (0.47, "#fff", 0.0)]
        fills.append(canvas.gradient(sheen, 1, 0.7))
    return fills


def _streaks(canvas: Canvas, surface: Surface, look: Look) -> str:
    """The window mirrored in a glossy body."""
    if look.material not in ("ceramic", "glass"):
        return ""
    spots = [(0.5 + 0.27 * look.light, 0.1, 0.55, 4.5, 0.6)]
    if look.material == "glass":
        spots = [
            (0.5 + 0.3 * look.light, 0.06, 0.94, 3, 0.85),
            (0.5 - 0.33 * look.light, 0.1, 0.9, 1.8, 0.6),
            (0.5 + 0.38 * look.light, 0.06, 0.94, 1.2, 0.7),
        ]
    blur = canvas.blur(0.9) if look.material == "ceramic" else None
    parts = []
    for u, start, end, width, opacity in spots:
        v = np.linspace(start, end, 12)
        line = path(np.stack(surface.place(np.full(12, u), v), 1), closed=False)
        soft = f' filter="url(#{blur})"' if blur else ""
        parts.append(
            f'<path d="{line}" fill="none" stroke="#fff" stroke-opacity="{opacity}" stroke-width="{width}" stroke-linecap="round"{soft}/>'
        )
    return "".join(parts)
