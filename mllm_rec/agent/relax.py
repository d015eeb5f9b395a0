"""When nothing fits: the smallest steps back, offered and never taken silently."""

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from mllm_rec.agent.state import Chip, DialogueState, bounds
from mllm_rec.data.catalog import Catalog
from mllm_rec.retrieval.columns import column_index
from mllm_rec.retrieval.filters import And, Compare, Expression, In, Not, columns, describe, mask

#: Chips tried in pairs and triples; beyond this many only single steps and all at once are offered.
_TOGETHER = 12


@dataclass(frozen=True)
class Relaxation:
    """One step back: ``label`` for a button, the chips it takes away, the wider chip it puts in their place, and how many items then fit."""

    label: str
    removed: tuple[str, ...]
    added: Chip | None
    count: int


def relaxations(state: DialogueState, catalog: Catalog, allowed: np.ndarray, most: int = 4) -> list[Relaxation]:
    """The smallest changes after which something fits, at most ``most``: bounds widened to the nearest value, then fewest chips dropped.

    Empty where something fits already.

    Args:
        allowed: ``(num_items,)`` bool, what may be shown at all.
    """
    chips = [chip for chip in state.chips if chip.kind == "filter" and chip.expression is not None]
    passing = [mask(chip.expression, catalog) for chip in chips if chip.expression is not None]
    if not chips or np.logical_and.reduce([allowed, *passing]).any():
        return []
    without = [np.logical_and.reduce([allowed, *passing[:place], *passing[place + 1 :]]) for place in range(len(chips))]
    found = [wide for chip, rows in zip(chips, without, strict=True) if (wide := _widened(chip, catalog, rows))]
    # The category goes last: whoever asks for a lamp is served least by a bag.
    order = sorted(range(len(chips)), key=lambda place: (_is_category(chips[place]), -int(without[place].sum())))
    found += [
        Relaxation(_dropped(chips[place], catalog), (chips[place].id,), None, int(without[place].sum()))
        for place in order
        if without[place].any()
    ]
    for size in range(2, len(chips)):
        if found or len(chips) > _TOGETHER or size > 3:
            break
        for places in combinations(order, size):
            rows = np.logical_and.reduce([allowed, *(passing[place] for place in range(len(chips)) if place not in places)])
            if rows.any():
                label = ", ".join(_dropped(chips[place], catalog) for place in places)
                found.append(Relaxation(label, tuple(chips[place].id for place in places), None, int(rows.sum())))
    if not found and len(chips) > 1 and allowed.any():
        found.append(Relaxation("without any filter", tuple(chip.id for chip in chips), None, int(allowed.sum())))
    return found[:most]


def relax(state: DialogueState, relaxation: Relaxation) -> DialogueState:
    """The state after a step back was chosen."""
    chips = tuple(chip for chip in state.chips if chip.id not in relaxation.removed)
    return replace(state, chips=chips if relaxation.added is None else (*chips, relaxation.added))


def _widened(chip: Chip, catalog: Catalog, rows: np.ndarray) -> Relaxation | None:
    """The nearest single bound that lets one of ``rows`` in (a range gives way on one side)."""
    bound = bounds(chip.expression)
    if bound is None or catalog.columns[bound[0]].kind not in ("number", "date"):
        return None
    column, parts = bound
    index, date = column_index(catalog, column), catalog.columns[column].kind == "date"
    steps: list[tuple[float, Expression]] = []
    for part in parts:
        others = tuple(other for other in parts if other is not part)
        reach = index.known & rows & mask(And(others), catalog)
        if part.operator == "=" or not reach.any():
            continue
        upper = part.operator in ("<", "<=")
        nearest = index.values[reach].min() if upper else index.values[reach].max()
        value: float | str = str(nearest.astype("datetime64[D]")) if date else float(nearest)
        wider = Compare(column, "<=" if upper else ">=", value)
        said = np.datetime64(str(part.value)).astype(nearest.dtype) if date else float(part.value)
        steps.append((abs((nearest - said).astype(float)), And((*others, wider) if upper else (wider, *others)) if others else wider))
    if not steps:
        return None
    expression = min(steps, key=lambda step: step[0])[1]
    count = int((mask(expression, catalog) & rows).sum())
    return Relaxation(describe(expression, catalog), (chip.id,), Chip("filter", describe(expression, catalog), expression), count)


def _dropped(chip: Chip, catalog: Catalog) -> str:
    if isinstance(chip.expression, Not):
        return f"{chip.label.removeprefix('not ')} too"
    if isinstance(chip.expression, In) or bounds(chip.expression):
        return f"any {columns(chip.expression)[0].replace('_', ' ')}"  # type: ignore[arg-type]
    return f"without “{chip.label}”"


def _is_category(chip: Chip) -> bool:
    return "category" in columns(chip.expression) and not isinstance(chip.expression, Not)  # type: ignore[arg-type]
