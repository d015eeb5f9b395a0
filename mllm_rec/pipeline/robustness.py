"""``mllm-rec robustness``: what systems lose where modalities are missing, are not there at all, or items are new."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mllm_rec.data.files import atomic, write_json
from mllm_rec.errors import InputError
from mllm_rec.evaluation import Table, over_seeds
from mllm_rec.evaluation.compare import LEVEL
from mllm_rec.evaluation.significance import Difference, holm, paired_bootstrap
from mllm_rec.pipeline.contest import BASELINE, RESULTS, Found, gather, sufficient, trial_of, tuned_settings
from mllm_rec.pipeline.results import Bench, conditions, named, table_of

#: Metric of the table, and the condition that is compared with the baseline, not with the same system on the whole data.
METRIC, COLD = "recall@20", "cold-items"


def robustness(
    data: str,
    systems: Sequence[str] | None = None,
    seeds: int = 1,
    results: Path = RESULTS,
    out: Path | None = None,
    jobs: int = 1,
    only_done: bool = False,
) -> tuple[dict[str, Any], str]:
    """Train every system on the whole data and under every condition of ``Bench.harder``, and set what comes side by side.

    Settings are those that ``tune`` found, else the defaults. A system that reads no features is trained on the whole data and without cold
    items alone; the other conditions change nothing for it. Popularity is always among the systems.

    Args:
        data: a source, ``mmrec:FOLDER``, or a workspace.
        systems: which; None or ``["all"]``: all that the data suffice for.
        seeds: trainings of each.
        results: folder of the files, one for each training; a training that has one is not repeated.
        out: folder for ``table.md`` and ``table.json``.
        jobs: trainings at a time, each a process of its own with one thread.
        only_done: leave out what isn't there yet.

    Returns:
        By system and condition the mean, the paired difference and its corrected p, "failed" among them; the same as text.

    Raises:
        InputError: no such data or system, a named system needs features and there are none, or nothing came of any.
    """
    bench = Bench.load(data)
    names, lacking = sufficient(bench, systems)
    names = list(dict.fromkeys([BASELINE, *names]))
    tables: dict[str, dict[str, Table]] = {name: {} for name in names}
    failed: list[dict[str, Any]] = []
    for condition in ("", *conditions(bench.data.features)):
        place = f"{data}@{condition}" if condition else data
        concerned = [name for name in names if condition in ("", COLD) or named(name)[0].multimodal]
        found = _trained(place, bench, concerned, seeds, results, jobs, only_done)
        failed += [{**one, "condition": condition} for one in found.failed]
        for name, came in found.results.items():
            tables[name][condition] = over_seeds([table_of(one) for one in came])
    tables = {name: told for name, told in tables.items() if "" in told}
    if not tables:
        raise InputError(f"no result on '{data}' stands in {results} yet; run the same without --only-done")
    rows = sorted((_row(name, told, tables.get(BASELINE, {})) for name, told in tables.items()), key=lambda row: -row["whole"])
    value = {
        "data": bench.name,
        "split": bench.split,
        "metric": METRIC,
        "seeds": seeds,
        "systems": rows,
        "lacking": lacking,
        "failed": failed,
    }
    text = _text(value, conditions(bench.data.features))
    if out is not None:
        write_json(out / "table.json", value)
        with atomic(out / "table.md") as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    return value, text


def _trained(place: str, whole: Bench, names: Sequence[str], seeds: int, results: Path, jobs: int, only_done: bool) -> Found:
    said = {name: tuned_settings(whole, name, results) for name in names}
    trials = [trial_of(name, said[name], seed) for name in names for seed in range(seeds)]
    return gather(place, Bench.load(place), trials, results, jobs, only_done)


def _row(name: str, tables: Mapping[str, Table], baseline: Mapping[str, Table]) -> dict[str, Any]:
    """What a system comes to under each condition; p is corrected for all comparisons of its row."""
    against = {condition: baseline if condition == COLD else {condition: tables[""]} for condition in tables if condition}
    pairs: dict[str, Difference] = {
        condition: paired_bootstrap(tables[condition], other[condition], METRIC)
        for condition, other in against.items()
        if condition in other and tables[condition] is not other[condition]
    }
    corrected = dict(zip(pairs, holm(one.p for one in pairs.values()), strict=True))
    found = {
        condition: {
            "mean": table.mean(METRIC),
            "users": len(table),
            "difference": None
            if condition not in pairs
            else {
                "to": BASELINE if condition == COLD else name,
                "mean": pairs[condition].mean,
                "low": pairs[condition].low,
                "high": pairs[condition].high,
                "p": float(corrected[condition]),
            },
        }
        for condition, table in tables.items()
        if condition
    }
    return {"system": name, "whole": tables[""].mean(METRIC), "multimodal": named(name)[0].multimodal, "conditions": found}


def _text(value: Mapping[str, Any], every: Sequence[str]) -> str:
    lines = [f"| system | whole | {' | '.join(one.replace('-', ' ', 1) for one in every)} |", "|---" * (len(every) + 2) + "|"]
    for row in value["systems"]:
        cells = [_cell(row, condition) for condition in every]
        lines.append(f"| {row['system']} | {row['whole']:.4f} | {' | '.join(cells)} |")
    seeds = "1 seed" if value["seeds"] == 1 else f"{value['seeds']} seeds"
    lines += [
        "",
        f"{value['data']}, {METRIC}, split {value['split']}, {seeds}. missing P: of each modality P % of the items that had it lack it, in "
        "training and test; without: the modality is not there. In percent: change to the same system on the whole data.",
        "cold items: a tenth of the items have no training row, and they alone are to be found among all items, by users with a past; "
        f"{BASELINE} cannot find any but by chance.",
        f"*: p < {LEVEL} (paired bootstrap over users, Holm's correction within the row) to the same system on the whole data, or, for cold items, "
        f"to {BASELINE}. =: the system reads no features.",
    ]
    if value["lacking"]:
        lines.append(f"Left out, for the data bring no features: {', '.join(value['lacking'])}.")
    lines += [f"{one['system']}, seed {one['seed']}, {one['condition'] or 'whole'}, failed: {one['why']}" for one in value["failed"]]
    return "\n".join(lines)


def _cell(row: Mapping[str, Any], condition: str) -> str:
    found = row["conditions"].get(condition)
    if found is None:
        return "-" if row["multimodal"] or condition == COLD else "="
    pair = found["difference"]
    change = "" if pair is None or condition == COLD or not row["whole"] else f" ({100 * pair['mean'] / row['whole']:+.0f} %)"
    return f"{found['mean']:.4f}{change}{'*' if pair and pair['p'] < LEVEL else ''}"
