"""MovieLens-100K, with posters and plots where they lie beside it.

Harper and Konstan. The MovieLens Datasets: History and Context. ACM TiiS 5(4), 2015. https://doi.org/10.1145/2827872
"""

from pathlib import Path

import numpy as np
import pandas as pd

from mllm_rec import resources
from mllm_rec.data import pictures
from mllm_rec.data.catalog import Catalog
from mllm_rec.data.interactions import Interactions
from mllm_rec.data.problems import Problems
from mllm_rec.data.sources.base import Source, find
from mllm_rec.data.tables import read_table
from mllm_rec.errors import InputError

#: A rating from here on is a like.
LIKE = 4.0
#: Names of the cast that are kept; the first are the best known.
CAST = 10
#: Folders of the data cache that it may lie in, and a file that it has.
FOLDERS, NEEDED = ("ml100k-mm", "ml-100k", "ml100k"), "u.item"
_HOW = (
    "Get ml-100k.zip from grouplens.org/datasets/movielens/100k and unpack it there as 'ml-100k'; "
    "plots and posters are added where items.tsv (item_id, title, plot, genres, year, directors, cast) and posters/ITEM_ID.jpg lie in the same folder."
)
_MARKS = ["user_id", "item_id", "rating", "timestamp"]


def movielens(split: str = "ua") -> Source:
    """MovieLens-100K with a split of its own: ``ua`` (ten ratings of each user are the test) or ``u1`` (a fifth of all).

    A rating of 4 or 5 is a like. Lower ratings are no interactions: they are not trained on, masked or relevant, but
    the user has seen these movies. The last tenth (rounded up) of a user's training likes validate where there are two.
    Titles, plots, genres, years, directors and the first ten of the cast come from ``items.tsv`` where it is there;
    titles, genres and years else from ``u.item``.

    Raises:
        InputError: the data set is not on this machine, or the split's files are not.
    """
    folder = find(FOLDERS, NEEDED, "MovieLens-100K", _HOW)
    if not all((folder / f"{split}.{part}").is_file() for part in ("base", "test")):
        raise InputError(f"{folder} has no split '{split}': {split}.base and {split}.test have to lie there, as in GroupLens's archive")
    problems = Problems()
    table = _movies(folder)
    notes = [f"a rating of {LIKE:.0f} or more is a like; lower ratings are only seen"]
    kinds = {"genres": "set", "year": "number"}
    if (folder / "items.tsv").is_file():
        table = _described(table, folder, problems)
        kinds |= {"directors": "set", "cast": "set"}
        notes.append(f"genres, years and titles are those of items.tsv where it has them; of each cast the first {CAST} names are kept")
    if (folder / "posters").is_dir():
        table["image"] = _posters(folder, table["item_id"], problems)
    likes, seen = _ratings(folder, split, table["item_id"])
    return Source(
        "movielens-100k",
        Catalog(table, kinds, folder / "posters"),
        likes,
        seen,
        "given",
        split,
        problems=problems,
        notes=notes,
        domain=resources.path("domains/movies.yaml"),
    )


def _movies(folder: Path) -> pd.DataFrame:
    """The archive's own words on movies: title, genres and year."""
    try:
        genres = [line.partition("|")[0] for line in (folder / "u.genre").read_text(encoding="latin-1").splitlines() if line.strip()]
        rows = [line.split("|") for line in (folder / "u.item").read_text(encoding="latin-1").splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}: {Path(error.filename).name}; {_HOW}") from error
    if {len(row) for row in rows} != {5 + len(genres)}:
        raise InputError(
            f"{folder / 'u.item'}: wanted {5 + len(genres)} cells with bars between them in each row, for {len(genres)} genres in u.genre"
        )
    table = pd.DataFrame({"item_id": [row[0] for row in rows], "title": [row[1] for row in rows]}).astype(object)
    year = table["title"].str.extract(r"\((\d{4})\)\s*$")[0]
    table["year"] = pd.to_numeric(year, errors="coerce").astype(np.float64)
    plain = table["title"].str.replace(r"\s*\(\d{4}\)\s*$", "", regex=True)
    table["title"] = plain.str.replace(r"^(.*), (The|A|An|Les?|La|Il|Das|Der|Die|El)(?= \(|$)", r"\2 \1", regex=True).astype(object)
    marked = [tuple(name for name, mark in zip(genres, row[5:], strict=True) if mark == "1" and name != "unknown") for row in rows]
    table["genres"] = pd.Series([names or None for names in marked], dtype=object)
    return table


def _described(table: pd.DataFrame, folder: Path, problems: Problems) -> pd.DataFrame:
    """The movies with what ``items.tsv`` says of them."""
    said = read_table(folder / "items.tsv", problems, delimiter="\t")
    if "item_id" not in said.columns:
        raise InputError(f"{said.path} has no column 'item_id'; it has {', '.join(said.columns[:20])}, with tabs between them")
    more = said.frame.drop_duplicates("item_id").set_index("item_id")
    more = more.reindex(index=table["item_id"], columns=["title", "plot", "genres", "year", "directors", "cast"])
    lists = {name: [_names(cell) for cell in more[name].to_numpy(dtype=object)] for name in ("genres", "directors", "cast")}
    table["title"] = more["title"].astype(object).reset_index(drop=True).where(more["title"].notna().to_numpy(), table["title"])
    table["year"] = pd.to_numeric(more["year"], errors="coerce").reset_index(drop=True).fillna(table["year"])
    table["genres"] = pd.Series([names or old for names, old in zip(lists["genres"], table["genres"], strict=True)], dtype=object)
    table["directors"] = pd.Series(lists["directors"], dtype=object)
    table["cast"] = pd.Series([names and names[:CAST] for names in lists["cast"]], dtype=object)
    table["text"] = pd.Series([cell if isinstance(cell, str) else None for cell in more["plot"].to_numpy(dtype=object)], dtype=object)
    return table


def _names(cell: object) -> tuple[str, ...] | None:
    if not isinstance(cell, str):
        return None
    return tuple(dict.fromkeys(name.strip() for name in cell.split(", ") if name.strip())) or None


def _posters(folder: Path, item_ids: pd.Series, problems: Problems) -> pd.Series:
    cells = [f"{item_id}.jpg" for item_id in item_ids]
    faults = pictures.faults(folder / "posters", cells)
    why = [f"'{cell}' {fault}; marked missing" for cell, fault in zip(cells, faults, strict=True) if fault]
    rows = [row for row, fault in enumerate(faults, 1) if fault]
    problems.add(folder / "u.item", "missing or broken picture", why, "mended", rows=rows)
    return pd.Series([None if fault else cell for cell, fault in zip(cells, faults, strict=True)], dtype=object)


def _ratings(folder: Path, split: str, movies: pd.Series) -> tuple[Interactions, Interactions]:
    """Likes with their part, and the other ratings, in the files' order."""
    parts = []
    for part, name in (("train", f"{split}.base"), ("test", f"{split}.test")):
        try:
            rows = pd.read_csv(
                folder / name, sep="\t", names=_MARKS, dtype={"user_id": str, "item_id": str, "rating": float, "timestamp": float}
            )
        except (ValueError, pd.errors.ParserError) as error:
            raise InputError(f"{folder / name}: wanted user, item, rating and time with tabs between them: {error}") from error
        wrong = (rows.isna().any(axis=1) | ~rows["item_id"].isin(movies)).to_numpy()
        if wrong.any() or not len(rows):
            where = f"row {int(wrong.argmax()) + 1} lacks one of them or names no movie of u.item" if len(rows) else "it has no row"
            raise InputError(f"{folder / name}: wanted user, item, rating and time with tabs between them, but {where}")
        parts.append(rows.assign(part=part))
    table = pd.concat(parts, ignore_index=True)
    liked = (table["rating"] >= LIKE).to_numpy()
    likes = table[liked].reset_index(drop=True)
    train = likes["part"] == "train"
    rank_from_last = likes[train].iloc[::-1].sort_values("timestamp", kind="stable", ascending=False).groupby("user_id").cumcount()
    counts = likes[train].groupby("user_id")["item_id"].transform("size")
    last = (rank_from_last.reindex(counts.index) < (counts + 9) // 10) & (counts >= 2)
    likes.loc[last.index[last], "part"] = "validation"
    return Interactions(likes), Interactions(table[~liked].drop(columns="part").reset_index(drop=True))
