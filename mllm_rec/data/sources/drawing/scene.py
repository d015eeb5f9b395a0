"""A product picture: an item in a room, seen and lit a little differently each time."""

from __future__ import annotations

import io
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mllm_rec.data.sources.drawing import silhouettes
from mllm_rec.data.sources.drawing.backdrop import backdrop, foreground, nearby, wall_color
from mllm_rec.data.sources.drawing.canvas import Canvas, brightness, distance, shade
from mllm_rec.data.sources.drawing.items import item
from mllm_rec.data.sources.drawing.marks import Look
from mllm_rec.data.sources.drawing.surfaces import paint

if TYPE_CHECKING:
    from PIL import Image

#: What each view of an item hides. The drawing code of a view never reads what it hides.
VIEWS = {"front": (), "detail": ("category", "shape"), "backlit": ("color", "pattern", "material")}

_HANGS, _LIES = ("clock", "kite"), ("rug",)
_ENLARGED = {"mug": 1.25, "bowl": 1.15, "clock": 1.12, "cushion": 1.1, "planter": 1.05, "teapot": 1.06, "bag": 1.06, "rug": 0.92}


def views(kind: str) -> list[str]:
    """The views that suit a kind of item; nobody sees a rug against the light."""
    return [view for view in VIEWS if view != "backlit" or kind not in _LIES]


def render(drawn: Mapping[str, Any], seed: int, hard: bool, size: int) -> Image.Image:
    """The picture ``(size, size)`` RGB of one item.

    Args:
        drawn: ``kind``, ``shape``, ``pattern``, ``material``, ``colors`` (hex tints of its color),
            ``others`` (hex of the other colors) and ``view`` (one of ``VIEWS``).
        seed: of everything the attributes leave open.
        hard: more rotation, occlusion and colored light, busier rooms.
        size: pixels a side.

    Raises:
        ValueError: a view, kind, shape, pattern or material that the generator cannot draw.
    """
    import resvg_py
    from PIL import Image

    if drawn["view"] not in VIEWS:
        raise ValueError(f"'{drawn['view']}' is not a view; choose one of {', '.join(VIEWS)}")
    svg = picture(drawn, random.Random(seed), hard)
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGB")


def picture(drawn: Mapping[str, Any], rng: random.Random, hard: bool) -> str:
    """The SVG of one item's picture, 240 x 240."""
    canvas = Canvas()
    if drawn["view"] == "detail":
        _detail(canvas, drawn, rng)
    else:
        _scene(canvas, drawn, rng, hard)
    _air(canvas, rng, hard)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 240 240"><defs>{"".join(canvas.defs)}</defs>'
        f'<rect width="240" height="240" fill="#fff"/>{"".join(canvas.body)}</svg>'
    )


def _look(drawn, light: float, rng: random.Random) -> Look:
    if drawn["view"] == "backlit":
        return Look("#808080", ("#808080", "#808080"), "plain", "ceramic", light, backlit=True)
    color = rng.choice(drawn["colors"])
    pale, dark = ["#f6efe1", "#fffaf0", "#ece3d2"], ["#2f3440", shade(color, -0.6), "#3a2f2a"]
    neutral = dark if brightness(color) > 0.68 else pale if brightness(color) < 0.5 else pale + dark
    vivid = [c for c in drawn["others"] if distance(c, color) > 120]
    first = rng.choice(vivid) if vivid and rng.random() < 0.4 else rng.choice(neutral)
    second = rng.choice([c for c in [*drawn["others"], *neutral] if distance(c, first) > 70 and distance(c, color) > 60] or neutral)
    return Look(color, (first, second), drawn["pattern"], drawn["material"], light)


def _scene(canvas: Canvas, drawn, rng: random.Random, hard: bool) -> None:
    light, kind, reach = rng.uniform(-1, 1), drawn["kind"], 1.8 if hard else 1.0
    look = _look(drawn, light, rng)
    lies, hangs = kind in _LIES, kind in _HANGS
    setting = "floor" if lies else "window" if look.backlit else "wall" if hangs else rng.choice(["table", "table", "table", "studio"])
    stand = backdrop(canvas, setting, wall_color(look.color, rng), light, rng)
    scale, turn = rng.uniform(1.28, 1.52) * _ENLARGED.get(kind, 1), rng.gauss(0, 2.2) * reach
    if lies:
        turn = rng.uniform(-16, 16) * reach
    if hard:
        scale *= rng.uniform(0.75, 1.1)
    x = 120 + rng.uniform(-14, 14) * reach
    if setting == "table":
        sides = [rng.choice([30, 208])] if rng.random() < (0.95 if hard else 0.6) else []
        for side in sides + ([238 - sides[0]] if hard and sides else []):
            nearby(canvas, side + rng.uniform(-8, 8), stand - rng.uniform(8, 18), rng, rng.uniform(0.8, 1.05))
    mirror = rng.choice([-1, 1])
    skew = rng.uniform(-3, 3) * reach
    markup = item(canvas, kind, drawn["shape"], look, rng.uniform(0.16, 0.32), rng)
    if setting == "window" and hangs:
        stand -= 48 * scale
    else:
        _shadow(canvas, kind, setting, x, stand, scale, light, drawn["shape"])
    canvas.add(
        f'<g transform="translate({x:.1f} {stand:.1f}) rotate({turn:.2f}) skewX({skew:.2f}) scale({mirror * scale:.3f} {scale:.3f})">{markup}</g>'
    )
    if rng.random() < (0.75 if hard else 0.14) and not look.backlit:
        foreground(canvas, rng.uniform(0.22, 0.36) if hard else rng.uniform(0.14, 0.22), rng)


def _shadow(canvas, kind, setting, x, stand, scale, light, shape):
    if setting in ("floor", "wall"):
        edge = silhouettes.edge(shape, *silhouettes.PANELS[kind][shape]) * scale * 1.01
        data = "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in edge)
        reach = 9 if setting == "wall" else 3
        canvas.add(
            f'<path d="{data}Z" transform="translate({x - reach * light:.1f} {stand + reach * 0.8:.1f})" fill="#000" fill-opacity=".34" filter="url(#{canvas.blur(4)})"/>'
        )
        return
    wide = {
        "chair": 38,
        "lamp": 26,
        "cushion": 38,
        "bag": 36,
        "mug": 28,
        "vase": 20,
        "bowl": 26,
        "planter": 30,
        "teapot": 32,
        "jar": 28,
        "basket": 36,
    }[kind] * scale
    far = 26 * light
    canvas.add(
        f'<ellipse cx="{x - far:.1f}" cy="{stand - 1:.1f}" rx="{wide * 1.35:.1f}" ry="9" fill="#000" fill-opacity=".24" filter="url(#{canvas.blur(6)})"/>'
        f'<ellipse cx="{x:.1f}" cy="{stand - 1:.1f}" rx="{wide:.1f}" ry="5" fill="#000" fill-opacity=".45" filter="url(#{canvas.blur(2.5)})"/>'
    )


def _detail(canvas: Canvas, drawn, rng: random.Random) -> None:
    """The surface alone, close up: neither the kind of item nor its shape can be seen."""
    look = _look(drawn, rng.uniform(-1, 1), rng)
    square = np.array([(-70.0, -70), (70, -70), (70, 70), (-70, 70)])
    canvas.add(f'<rect width="240" height="240" fill="{shade(look.color, 0.3)}"/>')
    markup = paint(canvas, silhouettes.panel(square), look, rng)
    canvas.add(f'<g transform="translate(120 120) rotate({rng.uniform(-25, 25):.1f}) scale({rng.uniform(2.4, 2.7):.2f})">{markup}</g>')
    if look.material in ("linen", "wool", "leather"):  # a fold across
        angle, x = rng.uniform(-30, 30), rng.uniform(60, 180)
        fold = canvas.gradient([(0, "#000", 0), (0.45, "#000", 0.32), (0.55, "#fff", 0.3), (1, "#fff", 0)])
        canvas.add(
            f'<rect x="{x - 50:.0f}" y="-80" width="100" height="400" fill="url(#{fold})" transform="rotate({angle:.0f} {x:.0f} 120)"/>'
        )


def _air(canvas: Canvas, rng: random.Random, hard: bool) -> None:
    """The light's own color."""
    tint, strength = rng.choice(["#ffdca8", "#fff3dc", "#cfe0ff", "#ffffff"]), rng.uniform(0.02, 0.1) * (2.4 if hard else 1)
    canvas.add(f'<rect width="240" height="240" fill="{tint}" fill-opacity="{strength:.2f}"/>')
    if hard and rng.random() < 0.4:
        canvas.add(f'<rect width="240" height="240" fill="#101522" fill-opacity="{rng.uniform(0.12, 0.34):.2f}"/>')
