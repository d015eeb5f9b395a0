"""The room around an item: wall, table or floor, light through a window, things nearby."""

from __future__ import annotations

import math
import random

from mllm_rec.data.sources.drawing.canvas import Canvas, distance, shade
from mllm_rec.data.sources.drawing.items import GREENS, TIMBER, leaf

QUIET = ["#efe7da", "#e4e9e2", "#e9e3ea", "#dfe7ec", "#f3e3da", "#e6dfd0", "#d5dcd6", "#f2efe8", "#c9d3d8", "#d9c8bb"]
BOLD = [
    "#b5523f",
    "#2f5d62",
    "#d9a441",
    "#7c8f5a",
    "#35507a",
    "#c97b84",
    "#6b4a6e",
    "#8a5a3b",
    "#3f4a45",
    "#e0b7a0",
    "#4f86a0",
    "#a9b89a",
    "#d77a4a",
    "#8c97b8",
    "#27343f",
]


def wall_color(color: str, rng: random.Random) -> str:
    """A hex color that ``color`` stands out from."""
    choices = [c for c in (QUIET if rng.random() < 0.55 else BOLD) if distance(c, color) > 75]
    return rng.choice(choices or QUIET)


def backdrop(canvas: Canvas, setting: str, wall: str, light: float, rng: random.Random) -> float:
    """Draws the room on a canvas of 240 x 240; returns where things stand, in pixels from the top.

    ``setting``: 'table', 'studio', 'wall' (things hang), 'floor' (seen from above) or 'window' (against the light).
    """
    if setting == "window":
        return _window(canvas, rng)
    if setting == "floor":
        _floor(canvas, wall, rng)
        return 120.0
    glow = canvas.glow([(0, shade(wall, 0.28), 1), (1, shade(wall, -0.16), 1)], 0.5 + 0.4 * light, 0.25, 0.95)
    canvas.add(f'<rect width="240" height="240" fill="url(#{glow})"/>')
    if setting == "studio":
        stand = rng.uniform(176, 200)
        sweep = canvas.gradient([(0, shade(wall, -0.14), 0), (0.3, shade(wall, -0.14), 0.5), (1, shade(wall, 0.25), 0.8)], 0, 1)
        canvas.add(f'<rect y="{stand - 40:.0f}" width="240" height="110" fill="url(#{sweep})"/>')
        return stand
    _decorate(canvas, wall, light, rng)
    if setting == "wall":
        if rng.random() < 0.6:
            _shelf(canvas, rng)
        return rng.uniform(92, 112)
    horizon = rng.uniform(160, 184)
    _table(canvas, horizon, wall, rng)
    return rng.uniform(horizon + 12, min(horizon + 34, 208))


def _window(canvas, rng):
    """The sky behind a window sill, at one end of the day."""
    high, low = rng.choice(
        [("#8fb3d9", "#fdf1d8"), ("#f3a773", "#ffe9b8"), ("#d98a94", "#ffd9a8"), ("#b7cfe0", "#fbfbf4"), ("#7d83b8", "#f9c9a6")]
    )
    sky = canvas.gradient([(0, high, 1), (0.75, low, 1), (1, low, 1)], 0, 1)
    sill, middle = rng.uniform(196, 208), rng.uniform(60, 180)
    canvas.add(f'<rect width="240" height="240" fill="url(#{sky})"/>')
    for shade_of, rise in ((0.28, 60), (0.1, 36)):
        hills = f"M0 {sill:.0f}V{sill - rise + rng.uniform(-12, 12):.0f}q60 {rng.uniform(-34, -8):.0f} 120 0t120 {rng.uniform(-10, 10):.0f}V{sill:.0f}z"
        canvas.add(f'<path d="{hills}" fill="{shade(high, shade_of)}" fill-opacity=".75"/>')
    canvas.add(
        f'<path d="M{middle:.0f} 0V{sill:.0f}M0 {rng.uniform(46, 80):.0f}H240" stroke="#5b4a40" stroke-opacity=".8" stroke-width="5"/>'
        f'<rect y="{sill:.0f}" width="240" height="50" fill="#5b4a40"/><rect y="{sill:.0f}" width="240" height="3" fill="#fff" fill-opacity=".35"/>'
    )
    return sill + 8


def _decorate(canvas, wall, light, rng):
    """What hangs on the wall or falls on it: a panel, a picture, sun through a window, a plant's shadow."""
    style = rng.choice(["panel", "picture", "sun", "sun", "leaves", "arch", "none"])
    if style == "panel":
        y = rng.uniform(90, 130)
        canvas.add(
            f'<rect y="{y:.0f}" width="240" height="150" fill="{shade(wall, -0.13)}"/><rect y="{y:.0f}" width="240" height="4" fill="{shade(wall, 0.25)}"/>'
        )
    elif style == "picture":
        x, size, tint = rng.choice([rng.uniform(-14, 14), rng.uniform(158, 190)]), rng.uniform(58, 78), rng.choice(BOLD)
        canvas.add(
            f'<g transform="translate({x:.0f} {rng.uniform(8, 30):.0f})"><rect x="2" y="3" width="{size:.0f}" height="{size * 1.3:.0f}" fill="#000" fill-opacity=".16"/>'
            f'<rect width="{size:.0f}" height="{size * 1.3:.0f}" fill="{rng.choice(TIMBER)}"/><rect x="3" y="3" width="{size - 6:.0f}" height="{size * 1.3 - 6:.0f}" fill="#f7f2e8"/>'
            f'<circle cx="{size * 0.5:.0f}" cy="{size * 0.52:.0f}" r="{size * 0.22:.0f}" fill="{tint}"/><path d="M10 {size * 0.95:.0f}q{size * 0.4 - 5:.0f} -26 {size - 20:.0f} 0z" fill="{shade(tint, 0.4)}"/></g>'
        )
    elif style == "sun":
        lean, x = -40 * light, rng.uniform(20, 110)
        blur = canvas.blur(2.5)
        panes = "".join(f'<path d="M{x + c * 46:.0f} {20 + r * 58:.0f}h40l{lean:.0f} 50h-40z"/>' for c in (0, 1) for r in (0, 1))
        canvas.add(f'<g fill="#fff6dc" fill-opacity="{rng.uniform(0.22, 0.42):.2f}" filter="url(#{blur})">{panes}</g>')
    elif style == "leaves":
        x, angle = rng.choice([(0, 0.3), (240, math.pi - 0.3)])
        blur = canvas.blur(3)
        shadow = "".join(
            leaf(x, rng.uniform(10, 50), rng.uniform(60, 110), angle + rng.uniform(-0.6, 0.8), "#1c2a22", 0.12) for _ in range(6)
        )
        canvas.add(f'<g opacity=".16" filter="url(#{blur})">{shadow}</g>')
    elif style == "arch":
        tint, radius = shade(wall, rng.choice([-0.2, 0.35])), rng.uniform(64, 88)
        x = rng.uniform(90, 150)
        canvas.add(
            f'<path d="M{x - radius:.0f} 240V{36 + radius:.0f}a{radius:.0f} {radius:.0f} 0 0 1 {2 * radius:.0f} 0V240z" fill="{tint}"/>'
        )


def _table(canvas, horizon, wall, rng):
    color = rng.choice([*TIMBER, "#e8e2d8", "#cfc6ba", "#f1ece3", shade(wall, 0.35), shade(wall, -0.3)])
    fill = canvas.gradient([(0, shade(color, -0.22), 1), (0.25, color, 1), (1, shade(color, 0.22), 1)], 0, 1)
    canvas.add(f'<rect y="{horizon:.0f}" width="240" height="90" fill="url(#{fill})"/>')
    if color in TIMBER:
        lines = "".join(f"M0 {horizon + y:.0f}q60 {rng.uniform(-2, 2):.1f} 120 0t120 0" for y in (7, 15, 26, 38, 52, 68))
        canvas.add(f'<path d="{lines}" fill="none" stroke="#000" stroke-opacity=".13"/>')
    canvas.add(f'<rect y="{horizon - 1:.0f}" width="240" height="2.5" fill="#fff" fill-opacity=".25"/>')


def _shelf(canvas, rng):
    y, color = rng.uniform(206, 220), rng.choice(TIMBER)
    nearby(canvas, 60 if rng.random() < 0.5 else 185, y, rng, rng.uniform(0.6, 0.8))
    canvas.add(
        f'<rect y="{y:.0f}" width="240" height="9" fill="{color}"/><rect y="{y:.0f}" width="240" height="2" fill="{shade(color, 0.3)}"/>'
        f'<rect y="{y + 9:.0f}" width="240" height="6" fill="#000" fill-opacity=".15"/>'
    )


def _floor(canvas, wall, rng):
    if rng.random() < 0.7:
        color, width = rng.choice([*TIMBER[:4], "#c9b79c", "#9b9186"]), rng.uniform(26, 40)
        canvas.add(f'<rect width="240" height="240" fill="{color}"/><g transform="rotate({rng.choice([0, 90, 24, -30]):.0f} 120 120)">')
        for k in range(-4, 12):
            tone = shade(color, rng.uniform(-0.12, 0.12))
            joint = rng.uniform(0, 240)
            canvas.add(
                f'<rect x="-80" y="{k * width:.0f}" width="400" height="{width:.0f}" fill="{tone}" stroke="#000" stroke-opacity=".25"/>'
                f'<path d="M{joint:.0f} {k * width:.0f}v{width:.0f}" stroke="#000" stroke-opacity=".3"/>'
                f'<path d="M-80 {(k + 0.35) * width:.0f}q100 {rng.uniform(-7, 7):.0f} 200 0t200 0" fill="none" stroke="#000" stroke-opacity=".1"/>'
            )
        canvas.add("</g>")
    else:
        canvas.add(f'<rect width="240" height="240" fill="{wall}"/>')
    for _ in range(rng.randint(0, 2)):
        x, y = rng.choice([(6, 10), (234, 8), (8, 232), (232, 234)])
        tint = rng.choice(BOLD + TIMBER)
        canvas.add(
            f'<circle cx="{x + 4}" cy="{y + 5}" r="44" fill="#000" fill-opacity=".2"/><circle cx="{x}" cy="{y}" r="42" fill="{tint}"/><circle cx="{x}" cy="{y}" r="36" fill="{shade(tint, 0.12)}"/>'
        )


def nearby(canvas: Canvas, x: float, y: float, rng: random.Random, size: float = 1.0) -> None:
    """Something else that stands at (x, y): books, a bottle with a twig, a candle, jars, a pear."""
    tint, other = rng.choice(BOLD), rng.choice(BOLD + QUIET)
    style = rng.choice(["books", "bottle", "candle", "jars", "pear"])
    parts = ['<ellipse rx="26" ry="5" fill="#000" fill-opacity=".2"/>']
    if style == "books":
        base = 0.0
        for tone in (tint, other, rng.choice(QUIET)):
            thick, wide = rng.uniform(8, 13), rng.uniform(42, 56)
            base -= thick
            parts.append(
                f'<rect x="{-wide / 2 + rng.uniform(-3, 3):.0f}" y="{base:.0f}" width="{wide:.0f}" height="{thick:.0f}" rx="1.5" fill="{tone}"/>'
                f'<rect x="{-wide / 2 + 5:.0f}" y="{base + 3:.0f}" width="7" height="{thick - 6:.0f}" fill="#fff" fill-opacity=".5"/>'
            )
    elif style == "bottle":
        green = rng.choice(GREENS)
        parts.append(f'<path d="M0 -60Q6 -100 {rng.uniform(-14, 14):.0f} -128" fill="none" stroke="{green}" stroke-width="1.6"/>')
        parts += [leaf(3, -66 - 9 * k, 22, -1.57 + (0.9 if k % 2 else -0.9), green, 0.2) for k in range(6)]
        parts.append(
            f'<path d="M-5 -64h10v18q11 5 11 16v24q0 6 -6 6h-20q-6 0 -6 -6v-24q0 -11 11 -16z" fill="{tint}" fill-opacity=".82"/><path d="M-10 -30v22" stroke="#fff" stroke-opacity=".5" stroke-width="2.5"/>'
        )
    elif style == "candle":
        parts.append(
            f'<circle cy="-62" r="26" fill="#ffe7a6" fill-opacity=".3"/><rect x="-9" y="-48" width="18" height="46" rx="2" fill="#f7f0e2"/><path d="M0 -68q7 10 0 17q-7 -7 0 -17z" fill="#f2a93b"/><rect x="-18" y="-4" width="36" height="5" rx="2" fill="{tint}"/>'
        )
    elif style == "jars":
        parts += [
            f'<rect x="{dx}" y="{-h}" width="24" height="{h}" rx="5" fill="{tone}"/><rect x="{dx + 2}" y="{-h - 6}" width="20" height="8" rx="2" fill="{shade(tone, -0.35)}"/><rect x="{dx + 4}" y="{-h + 6}" width="3" height="{h - 16}" fill="#fff" fill-opacity=".35"/>'
            for dx, h, tone in ((-28, 42, tint), (2, 30, other))
        ]
    else:
        parts += [
            f'<g transform="translate({dx} 0)"><path d="M0 -38q9 2 8 12q12 10 6 20q-6 8 -14 6q-8 2 -14 -6q-6 -10 6 -20q-1 -10 8 -12z" fill="{tone}"/><path d="M0 -38l3 -8" stroke="#4a3a28" stroke-width="2"/></g>'
            for dx, tone in ((-15, "#b7b24a"), (14, "#c9964a"))
        ]
    canvas.add(f'<g transform="translate({x:.0f} {y:.0f}) scale({size:.2f})">{"".join(parts)}</g>')


def foreground(canvas: Canvas, amount: float, rng: random.Random) -> None:
    """Something blurred in front: a twig from a corner, or the rim of another thing; ``amount`` of the frame."""
    blur, side = canvas.blur(1.6), rng.choice([0, 240])
    if rng.random() < 0.6:
        color, root = rng.choice(GREENS), rng.uniform(150, 250)
        toward = -0.5 if side == 0 else math.pi + 0.5
        twig = "".join(
            leaf(
                side,
                root - 9 * k,
                240 * amount * rng.uniform(0.8, 1.5),
                toward + rng.uniform(-0.7, 0.7),
                shade(color, rng.uniform(-0.25, 0.2)),
                0.13,
            )
            for k in range(6)
        )
        canvas.add(f'<g filter="url(#{blur})">{twig}</g>')
    else:
        reach, color = 240 * amount * 1.15, rng.choice(BOLD + TIMBER)
        x = -12 if side == 0 else 252 - reach
        canvas.add(
            f'<g filter="url(#{blur})"><rect x="{x:.0f}" y="{rng.uniform(120, 170):.0f}" width="{reach:.0f}" height="150" rx="16" fill="{color}"/></g>'
        )
