"""Pages that need no other file: a template, its style, and plots that are readable on white and on black."""

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mllm_rec.data.files import atomic

#: Lines and words of plots: readable on white and on black.
INK = "#7d8590"


def render(template: str, said: Mapping[str, Any], path: Path) -> None:
    """Write a page from a template of this folder; everything said is escaped, and all that the template asks for must be said."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mllm_rec.pipeline", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    with atomic(path) as temporary:
        temporary.write_text(environment.get_template(template).render(said), encoding="utf-8")


def data_url(content: bytes, kind: str) -> str:
    """An image as an address that holds it whole."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


@contextmanager
def figure(path: Path, legend: bool = True, size: tuple[float, float] = (6.4, 3.6)) -> Iterator[Any]:
    """Axes to be drawn on inside the block; then the figure is written."""
    from matplotlib.figure import Figure

    whole = Figure(figsize=size, dpi=150, facecolor="none", layout="constrained")
    axes = whole.add_subplot(facecolor="none")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(INK)
    axes.tick_params(colors=INK, which="both")
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.grid(color=INK, alpha=0.25, linewidth=0.6)
    yield axes
    if legend:
        axes.legend(frameon=False, labelcolor=INK)
    with atomic(path) as temporary:
        whole.savefig(temporary, format="png")
