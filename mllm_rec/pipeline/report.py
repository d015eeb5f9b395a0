"""``report.html``: what went into a workspace, what was mended, how training went, what it is worth, and lists with reasons.

One file that needs no other: pictures and plots are in it, nothing is fetched, nothing runs. The plots are PNG files beside it too.
"""

import io
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mllm_rec import __version__
from mllm_rec.agent.reply import Card, Shop
from mllm_rec.agent.session import Session
from mllm_rec.data import pictures
from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.data.files import read_json
from mllm_rec.errors import InputError
from mllm_rec.pipeline.pages import data_url, figure, render
from mllm_rec.pipeline.runs import evaluate_workspace
from mllm_rec.pipeline.serve import open_shop
from mllm_rec.pipeline.since import retraining_pays, told
from mllm_rec.pipeline.workspace import Workspace
from mllm_rec.systems import SYSTEMS

#: Pictures shown of the catalog; problems quoted of each kind; people and items of the lists; liked items beside a list.
PICTURES, QUOTED, PEOPLE, LIST, LIKED = 24, 3, 3, 6, 8
#: Longest side of a picture, in pixels.
SIDE = 112
#: Tables of ``evaluate``, and what they say.
TABLES = {
    "warm": "Users with a past, every item",
    "cold-user": "Users without a past",
    "cold-item": "Items that nobody liked before, ranked among all",
}


def report(workspace: Workspace, again: bool = True) -> tuple[dict[str, Any], str]:
    """Write ``report.html`` and ``report/*.png`` into a workspace.

    Args:
        workspace: built.
        again: also where nothing that they tell of has changed.

    Returns:
        Where they are.

    Raises:
        InputError: the build did not get far enough to answer.
    """
    path, folder = workspace.root / "report.html", workspace.root / "report"
    stages = {name: stage["key"] for name, stage in workspace.manifest()["stages"].items() if name != "report"}
    inputs = [__version__, stages, workspace.catalog, workspace.interactions, workspace.problems]
    workspace.stage("report", inputs, lambda: _write(workspace, path, folder), [path], again)
    plots = sorted(map(str, folder.glob("*.png")))
    return {"report": str(path), "plots": plots}, f"report: {path} ({path.stat().st_size / 1e6:.1f} MB), its plots also in {folder}"


def _write(workspace: Workspace, path: Path, folder: Path) -> None:
    shop = open_shop(workspace)
    manifest = workspace.manifest()
    log = pd.read_parquet(workspace.interactions)
    plots = _plots(workspace, shop, folder)
    said = {
        "version": __version__,
        "when": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        "title": shop.title or workspace.root.name,
        "note": shop.note,
        "workspace": str(workspace.root),
        "counts": _counts(shop.catalog, log, manifest),
        "notes": manifest.get("notes", []),
        "columns": _columns(shop.catalog),
        "features": _features(workspace),
        "problems": _problems(workspace),
        "pictures": _pictures(shop.catalog),
        "plots": [{"name": path.stem, "about": about, "url": data_url(path.read_bytes(), "png")} for path, about in plots],
        "stale": told(manifest.get("since") or {}),
        "pays": retraining_pays(workspace),
        **_metrics(workspace, manifest),
        "serving": read_json(workspace.serving)["system"],
        "people": _people(shop),
    }
    for old in set(folder.glob("*.png")) - {path for path, _ in plots}:
        old.unlink()
    render("report.html", said, path)


def _counts(catalog: Catalog, log: pd.DataFrame, manifest: dict[str, Any]) -> dict[str, str]:
    liked = log[~log["part"].isin(["seen", "forgotten"])]
    parts = liked["part"].value_counts()
    split = ", ".join(f"{name} {parts[name]:,}" for name in ("train", "validation", "test", "since") if name in parts)
    return {
        "source": manifest.get("source", ""),
        "items": f"{len(catalog):,}",
        "of them available": f"{int(catalog.available.sum()):,}",
        "with a picture": f"{sum(catalog.picture(row) is not None for row in range(len(catalog))):,}",
        "users": f"{liked['user_id'].nunique():,}",
        "interactions": f"{len(liked):,}",
        "split": f"{manifest['split']['name']}" + (f": {split}" if split else ""),
        "captions by": manifest.get("mllm", "none"),
    }


def _columns(catalog: Catalog) -> list[dict[str, str]]:
    rows = []
    for name, column in catalog.columns.items():
        there = catalog.table[name].notna().mean() if len(catalog) else 0.0
        rows.append({"name": name, "kind": column.kind, "known": f"{there:.0%}"})
    return rows


def _features(workspace: Workspace) -> list[dict[str, str]]:
    rows = []
    for path in sorted((workspace.root / "features").glob("*.safetensors")):
        one = Features.load(path)
        made = str(one.spec.get("encoder", one.spec.get("source", "")))
        rows.append({"name": path.stem, "width": f"{one.width:,}", "present": f"{one.present.mean():.0%}", "by": made})
    return rows


def _problems(workspace: Workspace) -> list[dict[str, Any]]:
    """Kinds of problems, most frequent first, with the first of each."""
    lines = [json.loads(line) for line in workspace.problems.read_text(encoding="utf-8").splitlines()]
    kinds: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        kinds.setdefault(line["kind"], []).append(line)
    rows = []
    for kind, found in sorted(kinds.items(), key=lambda pair: -len(pair[1])):
        quoted = [f"{Path(one['file']).name}{', row ' + str(one['row']) if 'row' in one else ''}: {one['why']}" for one in found[:QUOTED]]
        actions = " and ".join(sorted({one["action"] for one in found}))
        rows.append({"kind": kind, "count": f"{len(found):,}", "action": actions, "quoted": quoted})
    return rows


def _pictures(catalog: Catalog) -> list[dict[str, str]]:
    """Pictures from all over the catalog."""
    rows = [row for row in range(len(catalog)) if catalog.picture(row) is not None]
    chosen = [rows[place] for place in np.unique(np.linspace(0, len(rows) - 1, min(PICTURES, len(rows))).astype(int))] if rows else []
    return [{"title": str(catalog.table["title"].iat[row]), "url": _thumbnail(catalog.picture(row))} for row in chosen]


def _metrics(workspace: Workspace, manifest: dict[str, Any]) -> dict[str, Any]:
    """The tables of ``evaluate``; none, and why, where there is nothing to judge by."""
    seeds = min((workspace.seeds(name) for name in SYSTEMS if workspace.seeds(name)), default=1)
    try:
        value, _ = evaluate_workspace(workspace, None, seeds, "test", "train+validation", (10, 20))
    except InputError as error:
        return {"tables": [], "why": str(error), "seeds": seeds}
    found = []
    for key, title in TABLES.items():
        systems = [row for row in value["systems"] if key in row["tables"]]
        if systems:
            names = [name for name in ("recall@10", "recall@20", "ndcg@20", "coverage@20") if name in systems[0]["tables"][key]["metrics"]]
            rows = [{"system": row["system"], "cells": [_cell(row["tables"][key]["metrics"][name]) for name in names]} for row in systems]
            found.append({"title": title, "users": f"{systems[0]['tables'][key]['users']:,}", "names": names, "rows": rows})
    return {"tables": found, "why": "", "seeds": seeds}


def _cell(metric: Any) -> dict[str, str]:
    if not isinstance(metric, dict):
        return {"mean": f"{metric:.4f}", "interval": ""}
    interval = f"{metric['low']:.4f} to {metric['high']:.4f}" if metric.get("low") is not None else ""
    return {"mean": f"{metric['mean']:.4f}", "interval": interval}


def _people(shop: Shop) -> list[dict[str, Any]]:
    """Lists for people with few, some and many likes; in a shop without a log for a visitor who likes one item."""
    data = shop.data
    counts = np.bincount(data.edges[0].numpy(), minlength=data.num_users)
    there = np.argsort(counts, kind="stable")[np.sort(counts) > 0]
    if not len(there):
        session = Session(shop, size=LIST)
        liked = [item for row, item in enumerate(shop.catalog.item_ids) if shop.catalog.available[row]][:1]
        for item in liked:
            session.like(item)
        return [_person(shop, "a visitor", [shop.catalog.position(item) for item in liked], session.refresh().cards)]
    chosen = np.unique(np.linspace(0, len(there) - 1, PEOPLE + 2).astype(int)[1:-1])
    found = []
    for user in there[chosen]:
        liked = data.edges[1][data.edges[0] == int(user)].tolist()
        found.append(_person(shop, f"user {data.users[user]}", liked, Session(shop, int(user), size=LIST).refresh().cards))
    return found


def _person(shop: Shop, name: str, liked: Sequence[int], cards: Sequence[Card]) -> dict[str, Any]:
    catalog = shop.catalog
    return {
        "name": name,
        "count": len(liked),
        "liked": [
            {"title": shop.item_title(catalog.item_ids[row]), "url": _thumbnail(catalog.picture(row))} for row in list(liked)[-LIKED:]
        ],
        "list": [{"title": card.title, "amount": card.amount, "url": _thumbnail(card.picture), "why": list(card.why)} for card in cards],
    }


def _thumbnail(path: Path | None) -> str:
    """A small picture as a data URL; empty where there is none."""
    if path is None:
        return ""
    file = io.BytesIO()
    try:
        pictures.opened(path.read_bytes(), SIDE).save(file, "JPEG", quality=80)
    except (OSError, ValueError):
        return ""
    return data_url(file.getvalue(), "jpeg")


def _plots(workspace: Workspace, shop: Shop, folder: Path) -> list[tuple[Path, str]]:
    """The plots as PNG files, each with what it shows."""
    runs = {name: read_json(workspace.run(name, 0) / "metrics.json")["run"] for name in SYSTEMS if workspace.seeds(name)}
    histories = {name: run for name, run in runs.items() if len(run["history"]) > 1}
    counts = np.bincount(shop.data.edges[1].numpy(), minlength=shop.data.num_items)
    found = []
    if any(line["validation"] is not None for run in histories.values() for line in run["history"]):
        about = (
            "NDCG@20 on the validation part, epoch by epoch; the dot is the epoch that was kept. Dashed: on a sample of the training "
            "part, ranked as if it had been held out; the gap is what was learned by heart"
        )
        found.append((_validation(histories, folder / "validation.png"), about))
    if histories:
        found.append((_loss(histories, folder / "loss.png"), "Training loss, as a share of that of the first epoch"))
    if counts.any():
        found.append((_popularity(counts, folder / "popularity.png"), "Interactions of each item, the most popular first"))
    return found


def _validation(runs: dict[str, Any], path: Path) -> Path:
    with figure(path) as axes:
        for name, run in runs.items():
            lines = [line for line in run["history"] if line["validation"] is not None]
            drawn = axes.plot([line["epoch"] for line in lines], [line["validation"] for line in lines], label=name)
            learned = [line for line in lines if "watched" in line]
            axes.plot(
                [line["epoch"] for line in learned], [line["watched"] for line in learned], "--", color=drawn[0].get_color(), alpha=0.6
            )
            best = [line["validation"] for line in lines if line["epoch"] == run["best_epoch"]]
            axes.plot([run["best_epoch"]] * len(best), best, "o", color=drawn[0].get_color())
        axes.set_xlabel("epoch")
        axes.set_ylabel("NDCG@20, logarithmic above 0.01")
        axes.set_yscale("symlog", linthresh=0.01)
    return path


def _loss(runs: dict[str, Any], path: Path) -> Path:
    with figure(path) as axes:
        for name, run in runs.items():
            whole = np.array([sum(line["loss"].values()) for line in run["history"]])
            axes.plot([line["epoch"] for line in run["history"]], whole / max(abs(whole[0]), 1e-12), label=name)
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss, first epoch = 1")
    return path


def _popularity(counts: np.ndarray, path: Path) -> Path:
    with figure(path, legend=False) as axes:
        liked = np.sort(counts)[::-1]
        axes.fill_between(np.arange(1, len(liked) + 1), liked, alpha=0.35, step="mid")
        axes.plot(np.arange(1, len(liked) + 1), liked)
        axes.set_yscale("symlog")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("item, by rank")
        axes.set_ylabel("interactions")
    return path
