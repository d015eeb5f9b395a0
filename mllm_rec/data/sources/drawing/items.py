"""Whole items put together from surfaces: a mug has a handle, a lamp a foot, a clock its hands."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np

from mllm_rec.data.sources.drawing import silhouettes
from mllm_rec.data.sources.drawing.canvas import Canvas, path, shade
from mllm_rec.data.sources.drawing.marks import Look
from mllm_rec.data.sources.drawing.surfaces import paint

GREENS = ["#4f7d4a", "#3f6b4b", "#6f9356", "#2f5d4a", "#87a05d"]
BLOOMS = ["#f3c9c5", "#f5e6c4", "#d9738a", "#e8a34d", "#b9a4d6", "#ffffff"]
TIMBER = ["#8a6242", "#b98b5e", "#5b4030", "#d3b48a", "#3a3534"]


def item(canvas: Canvas, kind: str, shape: str, look: Look, tilt: float, rng: random.Random) -> str:
    """The item as SVG in units, standing on y = 0 (a clock hangs, a rug lies: centered on the origin).

    Raises:
        ValueError: the kind, or the shape for this kind, cannot be drawn.
    """
    forms: dict[str, dict[str, Any]] = {**silhouettes.PROFILES, **silhouettes.PANELS}
    if kind not in forms:
        raise ValueError(f"'{kind}' is not a kind the generator can draw; it draws {', '.join(sorted(DRAWN))}")
    shapes = forms[kind]
    if shape not in shapes:
        raise ValueError(f"a {kind} has no shape '{shape}'; it has {', '.join(shapes)}")
    return DRAWN[kind](canvas, shapes[shape], shape, look, tilt, rng)


def _ellipse(x, y, rx, ry, fill, extra="") -> str:
    return f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{rx:.1f}" ry="{ry:.1f}" fill="{fill}" {extra}/>'


def _stroke(data, color, width, extra="") -> str:
    return f'<path d="{data}" fill="none" stroke="{color}" stroke-width="{width:.1f}" stroke-linecap="round" {extra}/>'


def _tube(data, color, width, look) -> str:
    """A round rod: dark below, light above."""
    if look.backlit:
        return _stroke(data, look.tone(color), width)
    light = _stroke(data, shade(color, 0.45), width * 0.3, f'transform="translate({0.16 * width * look.light:.1f} {-0.16 * width:.1f})"')
    return _stroke(data, shade(color, -0.3), width) + _stroke(data, color, width * 0.7) + light


def leaf(x: float, y: float, length: float, angle: float, color: str, wide: float = 0.24) -> str:
    """A leaf from (x, y) in direction ``angle`` (radians, up is -pi/2)."""
    along, over = np.array([math.cos(angle), math.sin(angle)]), np.array([-math.sin(angle), math.cos(angle)])
    root = np.array([x, y])
    tip, left, right = root + along * length, *(root + along * length * 0.45 + s * over * length * wide * 2 for s in (1, -1))
    data = "M{:.1f} {:.1f}Q{:.1f} {:.1f} {:.1f} {:.1f}Q{:.1f} {:.1f} {:.1f} {:.1f}Z".format(*root, *left, *tip, *right, *root)
    vein = "M{:.1f} {:.1f}L{:.1f} {:.1f}".format(*root, *(root + along * length * 0.85))
    return f'<path d="{data}" fill="{color}"/>' + _stroke(vein, shade(color, 0.25), 0.5, 'stroke-opacity=".6"')


def _rim(radius, top, tilt, look, inside) -> str:
    """The opening of a vessel: its wall's edge and what one sees inside."""
    edge = look.tone(shade(look.color, 0.28))
    faint = 'fill-opacity=".55"' if look.material == "glass" and not look.backlit else ""
    return _ellipse(0, top, radius, tilt * radius, edge, faint) + _ellipse(
        0, top + 0.4, radius * 0.9, tilt * radius * 0.86, look.tone(inside), faint
    )


def _vessel(canvas, form, look, tilt, rng, inside=None):
    height, profile = form
    surface = silhouettes.body(profile, -height - tilt * profile[-1][1], height, tilt)
    top, radius = -height - tilt * profile[-1][1], profile[0][1]
    return paint(canvas, surface, look, rng) + _rim(radius, top, tilt, look, inside or shade(look.color, -0.5)), top


def _mug(canvas, form, shape, look, tilt, rng):
    height, profile = form
    _top, high, low = (silhouettes.radius(profile, t) for t in (0, 0.22, 0.78))
    reach = max(high, low) + rng.uniform(17, 24)
    handle = f"M{high * 0.9:.1f} {-0.8 * height:.1f}C{reach + 6:.1f} {-0.95 * height:.1f} {reach + 6:.1f} {-0.16 * height:.1f} {low * 0.9:.1f} {-0.24 * height:.1f}"
    drink = rng.choice(["#3a2418", "#6d4327", "#9c6b3c", shade(look.color, -0.45), shade(look.color, -0.45)])
    markup, _ = _vessel(canvas, form, look, tilt, rng, drink)
    return _tube(handle, look.color, rng.uniform(6, 8.5), look) + markup


def _vase(canvas, form, shape, look, tilt, rng):
    markup, top = _vessel(canvas, form, look, tilt, rng)
    room = 128 + top  # stay inside the picture
    if rng.random() < 0.5 or room < 18:
        return markup
    green, bloom, stems = rng.choice(GREENS), rng.choice(BLOOMS), []
    radius = form[1][0][1]
    for _ in range(rng.randint(2, 4)):
        angle = -math.pi / 2 + rng.uniform(-0.5, 0.5)
        length, root = rng.uniform(0.7, 1) * min(room, 40), rng.uniform(-0.4, 0.4) * radius
        x, y = root + length * math.cos(angle), top + length * math.sin(angle)
        stems.append(_stroke(f"M{root:.1f} {top:.1f}Q{root:.1f} {top - length / 2:.1f} {x:.1f} {y:.1f}", look.tone(green), 1.3))
        stems += [leaf((root + x) / 2, (top + y) / 2, 13, angle + s, look.tone(green)) for s in (-0.8, 0.8)]
        for k in range(6):
            stems.append(_ellipse(x + 4.2 * math.cos(k * 1.05), y + 4.2 * math.sin(k * 1.05), 3.4, 3.4, look.tone(bloom)))
        stems.append(_ellipse(x, y, 2.4, 2.4, look.tone("#c98a2d")))
    return markup + "".join(stems)


def _bowl(canvas, form, shape, look, tilt, rng):
    tilt = tilt * 1.25
    markup, top = _vessel(canvas, form, look, tilt, rng, shade(look.color, -0.25))
    radius = form[1][0][1]
    if rng.random() < 0.4:
        fruit = rng.choice(["#e39a2f", "#d8c43c", "#a83e35", "#8aa043", "#7a4a78"])
        pieces = [
            _ellipse(x * radius, top + dy, 9, 8.6, look.tone(shade(fruit, tone)))
            + _ellipse(x * radius - 2.5, top + dy - 3, 2.4, 1.8, look.tone(shade(fruit, 0.5)))
            for x, dy, tone in ((-0.36, -1, -0.12), (0.38, -2, -0.05), (0.02, -3, 0.05))
        ]
        clip = canvas.define(
            f'<clipPath id="ID"><path d="M{-radius * 0.9:.1f} {top - 40:.1f}H{radius * 0.9:.1f}V{top:.1f}A{radius * 0.9:.1f} {tilt * radius * 0.86:.1f} 0 0 1 {-radius * 0.9:.1f} {top:.1f}Z"/></clipPath>'
        )
        markup += f'<g clip-path="url(#{clip})">{"".join(pieces)}</g>'
    return markup


#: How plants grow: how many leaves, how far they spread (radians), how long and how wide they are.
PLANTS = {"palm": (9, 1.25, 42, 0.16), "blades": (8, 0.5, 46, 0.1), "bush": (15, 1.4, 28, 0.34)}


def _planter(canvas, form, shape, look, tilt, rng):
    markup, top = _vessel(canvas, form, look, tilt, rng, "#3d2d23")
    root, color, style = 0.45 * form[1][0][1], rng.choice(GREENS), rng.choice(["cactus", *PLANTS])
    if style == "cactus":
        return markup + _cactus(top, look.tone(color), look.tone(shade(color, 0.3)))
    count, spread, length, wide = PLANTS[style]
    leaves = []
    for k in range(count):
        angle = -math.pi / 2 + spread * (2 * (k + 0.5) / count - 1) + rng.uniform(-0.15, 0.15)
        tone = look.tone(shade(color, rng.uniform(-0.2, 0.25)))
        leaves.append(leaf(root * math.cos(angle), top, length * rng.uniform(0.75, 1.1), angle, tone, wide))
    return markup + "".join(leaves)


def _cactus(top, color, spines):
    stem = f'<rect x="-8" y="{top - 36:.1f}" width="16" height="40" rx="8" fill="{color}"/>'
    rows = "".join(f"M{x} {top - 33:.1f}V{top:.1f}" for x in (-4, 0, 4))
    return stem + _stroke(rows, spines, 0.8, 'stroke-dasharray="1 3"') + _stroke(f"M8 {top - 14:.1f}h7v-10", color, 7)


def _lamp(canvas, form, shape, look, tilt, rng):
    height, profile = form
    tilt, foot = tilt * 0.55, rng.choice([*TIMBER, "#b08d57", "#d8d2c8", "#4a4f55"])
    top = -rng.uniform(104, 116)
    surface = silhouettes.body(profile, top, height, tilt)
    style, neck = rng.choice(["stick", "stick", "urn", "tripod"]), top + height
    parts = []
    if style == "tripod":
        parts += [_tube(f"M0 {neck - 4:.1f}L{x} {y}", foot, 3.6, look) for x, y in ((-24, 0), (24, 0), (3, 2))]
    else:
        parts.append(_tube(f"M0 {neck - 6:.1f}V-3", foot, 4, look))
        parts.append(_ellipse(0, -2, 22, 5.5, look.tone(shade(foot, -0.25))) + _ellipse(0, -4, 22, 5.5, look.tone(foot)))
    if style == "urn":
        plain = Look(foot, look.accents, "plain", "ceramic", look.light, look.backlit)
        reach = -(neck + 8)
        parts.append(paint(canvas, silhouettes.body([(0, 5), (0.25, 15), (0.6, 19), (1, 10)], -reach - 3, reach, 0.15), plain, rng))
    glow = "" if look.backlit else _ellipse(0, neck, 62, 46, f"url(#{canvas.glow([(0, '#ffedb8', 0.75), (1, '#ffedb8', 0)])})")
    inside = _ellipse(0, top, profile[0][1], tilt * profile[0][1], look.tone(shade(look.color, -0.35)))
    warm = (
        ""
        if look.backlit
        else f'<path d="{path(surface.outline)}" fill="url(#{canvas.gradient([(0.55, "#fff1c4", 0), (1, "#fff1c4", 0.5)], 0, 1)})"/>'
    )
    return glow + "".join(parts) + paint(canvas, surface, look, rng) + inside + warm


def _teapot(canvas, form, shape, look, tilt, rng):
    height, profile = form
    markup, top = _vessel(canvas, form, look, tilt, rng)
    low, high = (silhouettes.radius(profile, t) for t in (0.62, 0.25))
    spout = f"M{-low * 0.85:.1f} {-0.3 * height:.1f}C{-low - 18:.1f} {-0.36 * height:.1f} {-low - 10:.1f} {-0.85 * height:.1f} {-low - 24:.1f} {-0.98 * height:.1f}"
    handle = f"M{high * 0.85:.1f} {-0.84 * height:.1f}C{low + 34:.1f} {-1.05 * height:.1f} {low + 30:.1f} {-0.15 * height:.1f} {low * 0.9:.1f} {-0.28 * height:.1f}"
    radius = profile[0][1] * 0.96
    lid = f'<path d="M{-radius:.1f} {top:.1f}Q0 {top - 15:.1f} {radius:.1f} {top:.1f}A{radius:.1f} {tilt * radius:.1f} 0 0 1 {-radius:.1f} {top:.1f}Z" fill="{look.tone(shade(look.color, 0.08))}" stroke="{look.tone(shade(look.color, -0.4))}" stroke-width=".7"/>'
    knob = _ellipse(0, top - 10, 5, 4.6, look.tone(rng.choice([shade(look.color, -0.2), "#8a6242", "#c8a45c"])))
    return _tube(spout, look.color, 9, look) + _tube(handle, look.color, 6.5, look) + markup + lid + knob


def _cushion(canvas, form, shape, look, tilt, rng):
    pinch = 0.08 if shape in ("square", "rectangular", "hexagonal") else 0
    edge = silhouettes.edge(shape, form[0], form[1], pinch) - [0, form[1] / 2]
    trim = look.tone(rng.choice([shade(look.color, -0.25), look.accents[0], shade(look.color, 0.3)]))
    parts = [_stroke(path(edge), trim, 2.6)] if rng.random() < 0.6 else []
    if shape in ("square", "rectangular") and rng.random() < 0.35:
        for x, y in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
            corner = (x * form[0] * 0.48, (y - 1) * form[1] / 2 - y * 2)
            parts += [_stroke(f"M{corner[0]:.1f} {corner[1]:.1f}l{x * 8 + d} {6 + abs(d)}", trim, 1.2) for d in (-3, 0, 3)]
    parts.append(paint(canvas, silhouettes.panel(edge, puffed=True), look, rng))
    if not look.backlit and rng.random() < 0.3:
        parts.append(
            _ellipse(0, -form[1] / 2, 3, 2.7, trim)
            + _ellipse(0, -form[1] / 2, 9, 8, f"url(#{canvas.glow([(0, '#000', 0.4), (1, '#000', 0)])})")
        )
    return "".join(parts)


def _clock(canvas, form, shape, look, tilt, rng):
    width, height = form
    edge = silhouettes.edge(shape, width, height)
    parts = [paint(canvas, silhouettes.panel(edge), look, rng)]
    radius, middle = min(width, height) * rng.uniform(0.25, 0.3), 4 if shape == "arched" else 0
    dial = look.tone(rng.choice(["#fbf7ee", "#fffdf8", "#f1e8d8", "#2d2f33"]))
    ink = "#2d2a28" if dial != "#2d2f33" else "#f6efe0"
    if look.backlit:
        ink = "#fff3d6"
    else:
        parts += [
            _ellipse(0, middle + 1, radius + 1.6, radius + 1.6, "#000", 'fill-opacity=".35"'),
            _ellipse(0, middle, radius, radius, dial),
        ]
    for hour in range(12):
        angle, inner = hour * math.pi / 6, 0.74 if hour % 3 == 0 else 0.83
        x, y = math.sin(angle) * radius, -math.cos(angle) * radius
        parts.append(
            _stroke(f"M{x * inner:.1f} {middle + y * inner:.1f}L{x * 0.92:.1f} {middle + y * 0.92:.1f}", ink, 1.7 if hour % 3 == 0 else 0.9)
        )
    for length, thick in ((0.5, 2.2), (0.74, 1.4)):
        angle = rng.uniform(0, 2 * math.pi)
        parts.append(
            _stroke(f"M0 {middle}L{math.sin(angle) * length * radius:.1f} {middle - math.cos(angle) * length * radius:.1f}", ink, thick)
        )
    return "".join(parts) + _ellipse(0, middle, 1.9, 1.9, "#c2503f")


def _rug(canvas, form, shape, look, tilt, rng):
    width, height = form
    edge = silhouettes.edge(shape, width, height)
    parts, trim = [], look.tone(rng.choice([shade(look.color, 0.5), "#efe6d3", look.accents[0]]))
    if shape in ("rectangular", "square") and rng.random() < 0.7:
        threads = "".join(
            f"M{s * width / 2:.1f} {y:.1f}l{s * 6} {rng.uniform(-1, 1):.1f}"
            for s in (-1, 1)
            for y in np.arange(-height / 2 + 4, height / 2 - 3, 3)
        )
        parts.append(_stroke(threads, trim, 1.3))
    parts.append(paint(canvas, silhouettes.panel(edge), look, rng))
    if not look.backlit and rng.random() < 0.6:
        parts.append(_stroke(path(edge * 0.93), trim, rng.uniform(1.2, 3)))
    return "".join(parts)


def _bag(canvas, form, shape, look, tilt, rng):
    width, height = form
    edge = silhouettes.edge(shape, width, height) - [0, height / 2]
    strap, span = look.tone(rng.choice(["#6b4630", "#a5744a", "#2f2b29", shade(look.color, -0.35)])), width * rng.uniform(0.17, 0.24)
    start, rise = -height * (0.86 if shape in ("round", "arched", "curved") else 0.97), rng.uniform(26, 42)
    arc = f"M{-span:.1f} {{y:.1f}}C{-span:.1f} {{top:.1f}} {span:.1f} {{top:.1f}} {span:.1f} {{y:.1f}}"
    back = _stroke(arc.format(y=start, top=start - rise - 9), shade(strap, -0.3), 3.4)
    front = _stroke(arc.format(y=start + 7, top=start - rise), strap, 4)
    parts = [back, paint(canvas, silhouettes.panel(edge), look, rng), front]
    if not look.backlit:
        parts += [_ellipse(x, start + 8, 2, 2, "#d9b667") for x in (-span, span)]
        if rng.random() < 0.4:
            parts.append(
                f'<rect x="-6" y="{start + 14:.1f}" width="12" height="9" rx="2" fill="{strap}"/>'
                + _ellipse(0, start + 18.5, 1.8, 1.8, "#e2c37a")
            )
    return "".join(parts)


def _chair(canvas, form, shape, look, tilt, rng):
    wood, turn = rng.choice(TIMBER), rng.uniform(-9, 9)
    width, height = form
    deep, seat = 10 + 18 * tilt, -44
    back_edge = silhouettes.edge(shape, width, height) + np.array([turn, seat - deep - height / 2 + 1])
    seat_edge = np.array(
        [(-26 + turn, seat - deep), (26 + turn, seat - deep), (34, seat - 2), (33, seat + 1), (-33, seat + 1), (-34, seat - 2)]
    )
    legs = [_tube(f"M{x} {seat}L{x * 1.16:.1f} {y:.1f}", wood, 4.4, look) for x, y in ((-29, 0), (29, 0))]
    rear = [_tube(f"M{x + turn:.1f} {seat - 4}L{x + turn * 0.8:.1f} -9", shade(wood, -0.2), 3.6, look) for x in (-22, 22)]
    posts = [_tube(f"M{x + turn:.1f} {seat - deep + 4:.1f}V{seat - deep - 12:.1f}", wood, 3.6, look) for x in (-12, 12)]
    front = (
        f'<path d="M-34 {seat - 2}L34 {seat - 2}L33 {seat + 7}Q0 {seat + 10} -33 {seat + 7}Z" fill="{look.tone(shade(look.color, -0.3))}"/>'
    )
    parts = [
        *rear,
        *posts,
        paint(canvas, silhouettes.panel(back_edge), look, rng),
        *legs,
        front,
        paint(canvas, silhouettes.panel(seat_edge), look, rng),
    ]
    if rng.random() < 0.3:
        parts += [
            _tube(
                f"M{s * 27 + turn:.1f} {seat - deep - 18:.1f}Q{s * 40:.1f} {seat - 24} {s * 35} {seat - 20}L{s * 32} {seat}",
                wood,
                3.4,
                look,
            )
            for s in (-1, 1)
        ]
    return "".join(parts)


def _jar(canvas, form, shape, look, tilt, rng):
    markup, top = _vessel(canvas, form, look, tilt, rng)
    radius = form[1][0][1] * 1.06
    lid, knob = look.tone(rng.choice([*TIMBER, shade(look.color, 0.3)])), rng.uniform(3.6, 5.2)
    rise = rng.uniform(5, 8)
    parts = [
        f'<path d="M{-radius:.1f} {top:.1f}v{-rise:.1f}a{radius:.1f} {tilt * radius:.1f} 0 0 1 {2 * radius:.1f} 0v{rise:.1f}a{radius:.1f} {tilt * radius:.1f} 0 0 1 {-2 * radius:.1f} 0z" fill="{lid}"/>',
        _ellipse(0, top - rise, radius, tilt * radius, look.tone(shade(lid, 0.22))),
        _ellipse(0, top - rise - knob * 0.9, knob, knob, lid),
    ]
    return markup + "".join(parts)


def _basket(canvas, form, shape, look, tilt, rng):
    markup, top = _vessel(canvas, form, look, tilt, rng, shade(look.color, -0.35))
    radius, rise = form[1][0][1], rng.uniform(34, 46)
    arc = f"M{-radius * 0.94:.1f} {top:.1f}C{-radius:.1f} {top - rise * 1.3:.1f} {radius:.1f} {top - rise * 1.3:.1f} {radius * 0.94:.1f} {top:.1f}"
    return markup + _tube(arc, rng.choice(TIMBER[:4]), rng.uniform(4.4, 6), look)


def _kite(canvas, form, shape, look, tilt, rng):
    width, height = form
    edge = silhouettes.edge(shape, width, height)
    sway = rng.uniform(8, 16) * rng.choice([-1, 1])
    foot = height / 2
    tail = f"M0 {foot:.1f}q{sway:.1f} 10 0 20t{-sway * 0.3:.1f} 18"
    bows = [
        f'<path d="M0 {foot + y:.0f}l-7 -4v8zl7 -4v8z" transform="translate({sway * 0.25 * s:.1f} 0)" fill="{look.tone(look.accents[0])}"/>'
        for y, s in ((11, 1), (26, -1))
    ]
    spine = f"M0 {-height / 2:.1f}V{foot:.1f}M{-width * 0.42:.1f} {-height * 0.1:.1f}H{width * 0.42:.1f}"
    cross = "" if look.backlit else _stroke(spine, shade(look.color, -0.4), 1.1, 'stroke-opacity=".5"')
    return _stroke(tail, look.tone("#6b5a4c"), 1.3) + "".join(bows) + paint(canvas, silhouettes.panel(edge), look, rng) + cross


DRAWN = {
    "lamp": _lamp,
    "mug": _mug,
    "vase": _vase,
    "cushion": _cushion,
    "chair": _chair,
    "clock": _clock,
    "bag": _bag,
    "rug": _rug,
    "planter": _planter,
    "bowl": _bowl,
    "teapot": _teapot,
    "jar": _jar,
    "basket": _basket,
    "kite": _kite,
}
