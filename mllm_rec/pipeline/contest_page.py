"""The page of ``mllm-rec compare``: the table, quality against cost, the curves, and recall by popularity."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from mllm_rec import __version__
from mllm_rec.pipeline.pages import INK, data_url, figure, render

#: Costs that quality is drawn against: what each is called, what one unit is, and the least that is told apart.
COSTS = {"seconds": ("seconds of a training (1: at most 1)", 1.0, 1.0), "peak_memory": ("peak memory, MiB", 2.0**20, 1.0)}
#: Colors of validation and of training pairs: readable on white and on black.
KEPT, LEARNED = "#2f9e78", "#c2803a"
GROUPS = ("head", "middle", "tail", "unseen")


def write_page(path: Path, value: Mapping[str, Any], results: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write the page, and its plots as PNG files into a folder ``plots`` beside it.

    Args:
        path: of the page.
        value: of ``compare_systems``.
        results: by system its results, one for each seed.
    """
    rows, folder = value["systems"], path.parent / "plots"
    metric, choice = next(iter(rows[0]["metrics"])), next(iter(next(iter(results.values()))[0]["validation"]))
    costs = {name: _cost(rows, metric, name, folder / f"{name}.png") for name in COSTS}
    curves = {row["system"]: folder / f"curve-{row['system']}.png" for row in rows if results[row["system"]][0]["curve"]}
    for name, place in curves.items():
        _curve(results[name], place)
    for old in set(folder.glob("*.png")) - {*costs.values(), *curves.values()}:
        old.unlink()
    most = max(share for row in rows for share in row["popularity"].values()) or 1.0
    said = {
        **value,
        "version": __version__,
        "when": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        "metric": metric,
        "choice": choice,
        "counts": {
            "users": f"{value['users_of_data']:,}",
            "items": f"{value['items']:,}",
            "training interactions": f"{value['interactions']:,}",
            "split": value["split"],
            "users ranked": f"{rows[0]['users']:,}",
            "systems": f"{len(rows)}",
            "trainings": f"{sum(row['seeds'] for row in rows)}",
        },
        "names": [name for name in rows[0]["metrics"] if "spread" in rows[0]["metrics"][name]],
        "costs": [{"about": COSTS[name][0], "url": data_url(place.read_bytes(), "png")} for name, place in costs.items()],
        "curves": [
            {"row": row, "url": data_url(curves[row["system"]].read_bytes(), "png"), "epoch": results[row["system"]][0]["epoch"]}
            for row in rows
            if row["system"] in curves
        ],
        "groups": [group for group in GROUPS if any(group in row["popularity"] for row in rows)],
        "most": most,
        "changed": [row["system"] for row in rows if row["changed"]],
    }
    render("contest.html", said, path)


def _cost(rows: Sequence[Mapping[str, Any]], metric: str, name: str, path: Path) -> Path:
    """Every system by its rank; by name those that no other beats at less cost."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    title, unit, least = COSTS[name]
    cost = np.array([max(row[name] / unit, least) for row in rows])
    quality = np.array([row["metrics"][metric]["mean"] for row in rows])
    gap, best, last = np.ptp(quality) / 24, -np.inf, -np.inf
    with figure(path, legend=False, size=(6.4, 4.4)) as axes:
        for place in np.lexsort((-quality, cost)):
            at, in_front = (cost[place], quality[place]), quality[place] > best
            color = KEPT if in_front else INK
            axes.plot(*at, "o", color=color, markersize=5, fillstyle="none" if rows[place]["reconstructed"] else "full")
            if in_front:
                best, last = at[1], max(at[1], last + gap)  # names don't cover each other
                axes.annotate(
                    f"{rows[place]['system']} ", (at[0], last), ha="right", va="bottom", color=color, fontsize=8, annotation_clip=False
                )
            else:
                axes.annotate(str(place + 1), at, (4, -2), textcoords="offset points", color=color, fontsize=6)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(title)
        axes.set_ylabel(metric)
        axes.margins(x=0.15, y=0.1)
    return path


def _curve(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Validation (solid) and training pairs (dashed) of every seed; the dot is the epoch that was kept."""
    with figure(path, legend=False, size=(3.2, 2.0)) as axes:
        for one in results:
            epochs, _, validation, training = (
                np.array([np.nan if part is None else part for part in column], float) for column in zip(*one["curve"], strict=True)
            )
            there = ~np.isnan(validation)
            axes.plot(epochs[there], validation[there], color=KEPT, linewidth=1.2)
            there = ~np.isnan(training)
            axes.plot(epochs[there], training[there], "--", color=LEARNED, linewidth=1.0)
            kept = epochs == one["epoch"]
            axes.plot(epochs[kept], validation[kept], "o", color=KEPT, markersize=4)
        axes.set_yscale("symlog", linthresh=0.01)
        axes.set_ylim(0, 1)
        axes.set_yticks([0, 0.01, 0.1, 1], ["0", ".01", ".1", "1"])
        axes.minorticks_off()
