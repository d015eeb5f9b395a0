"""A catalog from a table of items: every cell checked, every mend noted."""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from mllm_rec.data import kinds, pictures
from mllm_rec.data.catalog import ROLES, Catalog, Column
from mllm_rec.data.download import Downloads, is_address
from mllm_rec.data.ids import read_ids
from mllm_rec.data.problems import Problems, shown
from mllm_rec.data.tables import Table
from mllm_rec.errors import InputError

#: Longer cells are cut to this many characters.
LONGEST = {"title": 500, "": 10_000}
_LOOKED_AT = 200
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|<!--.*?-->|&(?:[a-zA-Z]{2,8}|#\d{1,6}|#x[0-9a-fA-F]{1,5});", re.DOTALL)


def catalog_from(
    table: Table,
    roles: Mapping[str, str],
    problems: Problems,
    kinds_said: Mapping[str, str | Column] | None = None,
    images: Path | None = None,
    notes: list[str] | None = None,
    downloads: Downloads | None = None,
) -> Catalog:
    """The catalog that a table describes.

    A row without an id, or with one that an earlier row has, is refused. A missing title becomes the id. A price that
    is no number or negative is missing. ``available`` is False only where the cell says so (zero or less, "no", "out
    of stock"); an unclear cell stays available. A file that is missing, broken, on the web or outside ``images`` is
    marked missing. Cells longer than ``LONGEST`` are cut.

    Args:
        table: the items file.
        roles: column by catalog role, with ``item_id``; columns not named become attributes.
        problems: where mends and refusals are noted.
        kinds_said: kinds by column, as ``kinds.read_kinds`` reads them; the others are inferred.
        images: folder that relative paths start from; None: the file's own, where the pictures are found there.
        notes: sentences for the reader are appended here.
        downloads: fetches pictures that are named by an address on the web; None: they are marked missing.

    Raises:
        InputError: no row left, an unknown column in ``kinds_said``, a role's column without one usable value, or
            ``images`` is no folder.
    """
    notes = [] if notes is None else notes
    said = _kinds_by_column(table, roles, kinds.read_kinds(kinds_said or {}))
    frame = _rows_with_ids(table, roles["item_id"], problems)
    columns: dict[str, Column] = {}
    cells: dict[str, pd.Series] = {"item_id": frame[roles["item_id"]].astype(object)}
    cells["title"] = _titles(frame, table, roles, problems)
    for role in ("text", "category"):
        if role in roles:
            columns[role] = kinds.settle_order(said.get(roles[role], Column(role, ROLES[role])), frame[roles[role]])
            cells[role] = _attribute(frame, table, roles[role], columns[role], problems)
    if "price" in roles:
        cells["price"] = _prices(frame, table, roles["price"], problems)
    if "available" in roles:
        cells["available"] = _available(frame, table, roles["available"], problems)
    root = _folder(frame, table, roles, images, problems, notes, downloads)
    for role in ("image", "audio", "video"):
        if role in roles and root is not None:
            cells[role] = _files(frame, table, roles, role, root, problems, downloads)
    for name in [name for name in table.columns if name not in roles.values()]:
        if name not in said and kinds.known(frame[name]).isna().all():
            notes.append(f"column '{name}' is empty and left out")
            continue
        if name not in said and kinds.names_an_id(name) and frame[name].nunique() > 0.9 * frame[name].count():
            notes.append(f"column '{name}' looks like a key into something else and is left out; keep it with --kind '{name}=text'")
            continue
        called = name if name not in ROLES else f"{name} (column)"
        kind = said.get(name) or kinds.infer(frame[name], name)
        columns[called] = kinds.settle_order(replace(kind, name=called), frame[name])
        cells[called] = _attribute(frame, table, name, columns[called], problems)
    return Catalog(pd.DataFrame({name: values.reset_index(drop=True) for name, values in cells.items()}), columns, root=root)


def _kinds_by_column(table: Table, roles: Mapping[str, str], said: Mapping[str, Column]) -> dict[str, Column]:
    found = {}
    for name, column in said.items():
        place = name if name in table.columns else roles.get(name)
        if place is None:
            raise InputError(f"--kind {name}={column.kind}: {table.path} has no column '{name}'; it has {', '.join(table.columns[:20])}")
        role = next((role for role, held in roles.items() if held == place), None)
        if role and (role not in ("text", "category") or column.kind not in ("text", "category", "set", "ordinal")):
            raise InputError(
                f"--kind {name}={column.kind}: column '{place}' is the {role}, whose kind is fixed; map another column to {role}"
            )
        found[place] = Column(role or name, column.kind, column.order)
    return found


def _rows_with_ids(table: Table, column: str, problems: Problems) -> pd.DataFrame:
    ids = read_ids(table, column, "item", problems)
    frame = table.frame.loc[ids.index].assign(**{column: ids})
    twice = frame[column].duplicated()
    why = [f"item id {shown(name)} stands in an earlier row, which is kept" for name in frame.loc[twice, column]]
    problems.add(table.path, "repeated item id", why, "refused", rows=frame.index[twice], column=column)
    frame = frame[~twice]
    if not len(frame):
        raise InputError(
            f"{table.path} has no usable row: {'it has a header only' if not len(table.frame) else f'no row has a value in column {column!r}'}; each item needs a row with an id"
        )
    return frame


def _titles(frame: pd.DataFrame, table: Table, roles: Mapping[str, str], problems: Problems) -> pd.Series:
    ids = frame[roles["item_id"]].astype(object)
    if "title" not in roles:
        problems.add(
            table.path,
            "no title",
            "no column holds titles; the item ids are shown instead. Say which one does with --map title=..",
            "mended",
        )
        return ids
    said = roles["title"]
    titles = _cut(_unmarked(kinds.known(frame[said]), table, said, problems), table, said, "title", problems)
    problems.add(
        table.path, "missing title", "no title; the item id is shown instead", "mended", rows=frame.index[titles.isna()], column=said
    )
    lines = [
        " ".join(title.split()) if isinstance(title, str) else item_id
        for title, item_id in zip(titles.to_numpy(dtype=object), ids, strict=True)
    ]
    return pd.Series(lines, index=frame.index, dtype=object)


def _unmarked(values: pd.Series, table: Table, column: str, problems: Problems) -> pd.Series:
    """Words without the HTML around them, each cell that had any noted."""
    marked = values.str.contains(_MARKUP.pattern, regex=True, flags=re.DOTALL).fillna(False).to_numpy(dtype=bool)
    if not marked.any():
        return values
    plain = [
        " ".join(html.unescape(_MARKUP.sub(lambda found: found.group() if found.group()[0] == "&" else " ", cell)).split())
        for cell in values[marked]
    ]
    problems.add(table.path, "HTML", "HTML in a text; its tags are left out", "mended", rows=values.index[marked], column=column)
    values = values.copy()
    values[marked] = [cell or None for cell in plain]
    return values


def _cut(values: pd.Series, table: Table, column: str, role: str, problems: Problems) -> pd.Series:
    most = LONGEST.get(role, LONGEST[""])
    long = values.str.len() > most
    if long.any():
        why = [f"{length:.0f} characters; cut to {most}" for length in values[long].str.len()]
        problems.add(table.path, "overlong cell", why, "mended", rows=values.index[long], column=column)
        values = values.where(~long, values.str.slice(0, most - 1).str.rstrip() + "…")
    return values


def _attribute(frame: pd.DataFrame, table: Table, name: str, column: Column, problems: Problems) -> pd.Series:
    values = _unmarked(frame[name], table, name, problems) if column.kind == "text" else frame[name]
    values = _cut(values, table, name, column.name, problems)
    read, bad = kinds.convert(values, column)
    if bad.all() or (bad.any() and read.isna().all()):
        raise InputError(
            f"{table.path}: no value of column '{name}' is of kind {column.kind} (row {values.index[bad][0]}: {shown(values[bad].iloc[0])}); set another with --kind '{name}=text'"
        )
    why = [f"{shown(value)} is not of kind {column.kind}; marked missing" for value in values[bad]]
    problems.add(table.path, f"no {column.kind}", why, "mended", rows=values.index[bad], column=name)
    return read


def _prices(frame: pd.DataFrame, table: Table, name: str, problems: Problems) -> pd.Series:
    values = kinds.known(frame[name])
    amounts = kinds.numbers(values, affix=True)
    if (thousands := kinds.parts_thousands(values)).any():
        amounts[thousands] *= 1_000
        why = [f"the point in {shown(value)} is read as parting thousands" for value in values[thousands]]
        problems.add(table.path, "thousands with a point", why, "mended", rows=values.index[thousands], column=name)
    unread = values.notna().to_numpy() & np.isnan(amounts)
    _demand_one(values, ~np.isnan(amounts), table, "price", name, "a number, like 12.50")
    problems.add(
        table.path,
        "unparsable price",
        [f"{shown(value)} is no price; marked missing" for value in values[unread]],
        "mended",
        rows=values.index[unread],
        column=name,
    )
    negative = amounts < 0
    problems.add(
        table.path,
        "negative price",
        [f"{shown(value)} is below zero; marked missing" for value in values[negative]],
        "mended",
        rows=values.index[negative],
        column=name,
    )
    return pd.Series(np.where(negative, np.nan, amounts), index=values.index)


def _available(frame: pd.DataFrame, table: Table, name: str, problems: Problems) -> pd.Series:
    values = frame[name]
    said = kinds.truths(kinds.known(values))
    unclear = np.isnan(said)
    _demand_one(values, ~unclear, table, "available", name, "a number in stock, or yes and no")
    problems.add(
        table.path,
        "unclear availability",
        [f"{shown('' if pd.isna(value) else value)} says neither yes nor no; taken as available" for value in values[unclear]],
        "mended",
        rows=values.index[unclear],
        column=name,
    )
    return pd.Series(unclear | (said > 0), index=values.index)


def _demand_one(values: pd.Series, good: np.ndarray, table: Table, role: str, name: str, wanted: str) -> None:
    some = kinds.known(values).dropna()
    if len(some) and not good.any():
        raise InputError(
            f"{table.path}: column '{name}' is read as {role}, but none of its values is {wanted} (row {some.index[0]}: {shown(some.iloc[0])}); map another column with --map {role}=.."
        )


def _folder(
    frame: pd.DataFrame,
    table: Table,
    roles: Mapping[str, str],
    images: Path | None,
    problems: Problems,
    notes: list[str],
    downloads: Downloads | None,
) -> Path | None:
    """The folder that files are read from; None where no folder was said and the files neither lie beside the table nor are fetched."""
    if images is not None:
        if not Path(images).is_dir():
            raise InputError(f"{images} is not a folder; --images names the folder that holds the pictures")
        if not {"image", "audio", "video"} & set(roles):
            notes.append(f"no column of {table.name} names files in {images}; say which one does with --map image=..")
        return Path(images)
    beside = Path(table.path).resolve().parent
    for role in ("image", "audio", "video"):
        cells: Sequence[str] = list(kinds.known(frame[roles[role]]).dropna().iloc[:_LOOKED_AT]) if role in roles else []
        if any(pictures.fault(beside, cell, picture=False) is None for cell in cells):
            return beside
        if role == "image" and downloads is not None and any(map(is_address, cells)):
            return beside
        if role == "image" and any(map(is_address, cells)):
            mend = "it holds addresses on the web, and --download fetches such pictures"
        else:
            mend = "say with --images where its files lie"
        if cells:
            notes.append(f"column '{roles[role]}' names no file beside {table.name}: {mend}")
            problems.add(table.path, "no folder of pictures", f"column '{roles[role]}' is not used: {mend}", "mended", column=roles[role])
    return None


def _files(
    frame: pd.DataFrame, table: Table, roles: Mapping[str, str], role: str, root: Path, problems: Problems, downloads: Downloads | None
) -> pd.Series:
    name, items = roles[role], frame[roles["item_id"]].tolist()
    cells = [_first(cell) for cell in kinds.known(frame[name]).to_numpy(dtype=object)]
    named = zip(items, cells, strict=True)
    fetched = downloads.fetch({item: cell for item, cell in named if cell and is_address(cell)}) if downloads and role == "image" else {}
    faults = pictures.faults(root, [None if item in fetched else cell for item, cell in zip(items, cells, strict=True)], role == "image")
    faults = [fetched.get(item, fault) for item, fault in zip(items, faults, strict=True)]  # type: ignore[misc]
    paths = [
        str(fault) if isinstance(fault, Path) else pictures.relative_path(cell) if cell and not fault else None
        for cell, fault in zip(cells, faults, strict=True)
    ]
    empty = np.array([cell is None for cell in cells], dtype=bool)
    broken = np.array([isinstance(fault, str) for fault in faults], dtype=bool)
    what = "picture" if role == "image" else f"{role} file"
    problems.add(table.path, f"no {what}", "names none; marked missing", "mended", rows=frame.index[empty], column=name)
    why = [f"{shown(cell)} {fault}; marked missing" for cell, fault in zip(cells, faults, strict=True) if isinstance(fault, str)]
    problems.add(table.path, f"missing or broken {what}", why, "mended", rows=frame.index[broken], column=name)
    return pd.Series(paths, index=frame.index, dtype=object)


def _first(cell: object) -> str | None:
    """The first file of a cell that lists several."""
    if not isinstance(cell, str):
        return None
    listed = kinds.literal_list(cell)
    return cell if listed is None else str(listed[0]).strip() if listed else None
