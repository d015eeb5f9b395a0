"""Which column of which file means what: as said by ``--map``, else guessed from names and contents."""

import difflib
import mimetypes
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from mllm_rec.data import kinds
from mllm_rec.data.pictures import fault
from mllm_rec.data.tables import Table
from mllm_rec.errors import InputError


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ITEM = _words(
    "item_id sku asin parent_asin product_id article_id article isbn gtin ean movie_id track_id book_id artist_id video_id "
    "news_id recipe_id goods_id offer_id listing_id variant_id artikelnummer artikelnr artikel_id art_nr bestellnummer "
    "referencia articulo_id codigo_articulo reference ref codice handle iid id code codigo uid item product articulo artikel"
)
#: Names that columns of shops have, by what they mean; earlier ones win. Compared without case and punctuation.
ITEM_NAMES: dict[str, tuple[str, ...]] = {
    "item_id": _ITEM,
    "title": _words(
        "title name product_name item_name product_title item_title movie_title book_title label heading bezeichnung artikelname "
        "produktname titel nombre titulo denominacion nom titre libelle nome product item"
    ),
    "text": _words(
        "text description desc long_description product_description plot summary synopsis overview abstract details body about "
        "beschreibung descripcion descrizione"
    ),
    "image": _words(
        "image photo picture img image_path image_file image_name img_path main_image poster thumbnail thumb cover pic images "
        "filename file image_url bild bilddatei foto imagen fotografia immagine"
    ),
    "audio": _words("audio audio_path audio_file sound mp3"),
    "video": _words("video video_path video_file clip"),
    "price": _words(
        "price cost sale_price unit_price list_price retail_price amount price_usd price_eur preis verkaufspreis vk prix precio pvp "
        "importe prezzo"
    ),
    "category": _words(
        "category kind type product_type item_type department section product_category main_category class group kategorie "
        "warengruppe categoria categorie tipo"
    ),
    "available": _words(
        "available in_stock is_available availability stock stock_level qty quantity inventory on_hand units lagernd lieferbar "
        "verfugbar bestand lagerbestand disponible disponibilidad existencias en_stock disponibile"
    ),
}
LOG_NAMES: dict[str, tuple[str, ...]] = {
    "user_id": _words(
        "user_id user customer_id customer client_id client buyer_id buyer member_id member visitor_id visitor account_id "
        "account reviewer_id reviewer uid profile_id person session_id session kunde kundennummer kundennr kunden_id cliente "
        "cliente_id utente acheteur"
    ),
    "item_id": _ITEM,
    "timestamp": _words(
        "timestamp time when ts unix_review_time datetime date created_at created event_time ordered_at order_date purchased_at "
        "purchase_date bought_at clicked_at viewed_at review_time at day datum zeit zeitpunkt bestelldatum fecha hora data"
    ),
    "rating": _words("rating stars score overall review_score rate grade"),
    "weight": _words("weight count times play_count plays clicks quantity qty"),
}
_FIELDS = tuple(dict.fromkeys([*ITEM_NAMES, *LOG_NAMES]))
#: Fields whose columns shops like to call by several words, the first of which says what they are.
_LONG_NAMED = ("title", "text", "price", "available", "timestamp")
_ENOUGH = 0.5
_LOOKED_AT = 200
_UNIQUE = 0.9
_SAMPLE = 20_000


@dataclass(frozen=True)
class Meaning:
    """What the columns mean.

    Attributes:
        items: column of the items file by catalog role.
        log: column of the log by field of ``Interactions``.
        given: (file, field) pairs that ``--map`` said; the others are guesses.
    """

    items: Mapping[str, str]
    log: Mapping[str, str] = field(default_factory=dict)
    given: frozenset[tuple[str, str]] = frozenset()


def _check_fields(fields: Iterable[str]) -> None:
    for name in fields:
        if name not in _FIELDS:
            near = difflib.get_close_matches(name, _FIELDS, n=2)
            raise InputError(
                f"--map {name}=..: '{name}' is no field; "
                + (f"did you mean {' or '.join(near)}? " if near else "")
                + f"Fields are {', '.join(_FIELDS)}"
            )


def understand(items: Table, log: Table | None, said: Mapping[str, str] | None = None, images: Path | None = None) -> Meaning:
    """What each file's columns mean.

    Args:
        items: the items file.
        log: the log, if there is one.
        said: column by field; where the files' columns differ, both with a bar between them (``item_id: sku|product``).
            What isn't said is guessed.
        images: folder of pictures; a column that names its files is the image's.

    Raises:
        InputError: a column that neither file has, or an id that can't be guessed.
    """
    wanted = {name: _alternatives(columns, [table for table in (items, log) if table]) for name, columns in (said or {}).items()}
    _check_fields(wanted)
    files = {"items": (items, ITEM_NAMES), "log": (log, LOG_NAMES)}
    found: dict[str, dict[str, str]] = {"items": {}, "log": {}}
    for name, columns in wanted.items():
        for file, (table, names) in files.items():
            if table is not None and name in names and (column := next(filter(None, (_column(table, column) for column in columns)), None)):
                found[file][name] = column
        if not any(name in found[file] for file in files) and not (log is None and name not in ITEM_NAMES):
            raise InputError(_absent(name, columns, items, log))
    given = frozenset((file, name) for file, fields in found.items() for name in fields)
    _guess_pictures(items, found["items"], images)
    _guess_ids(items, log, found)
    _guess_rest(items, ITEM_NAMES, found["items"])
    if log is not None:
        _guess_rest(log, LOG_NAMES, found["log"])
        _demand(log, found["log"], "user_id", "the user")
        if found["log"]["user_id"] == found["log"]["item_id"]:
            raise InputError(
                f"{log.path}: column '{found['log']['item_id']}' can't be both the user and the item; say which it is, for example {_example('user_id', log)}"
            )
    return Meaning(found["items"], found["log"], given)


def _alternatives(said: str, tables: Sequence[Table]) -> tuple[str, ...]:
    return (said,) if any(_column(table, said) for table in tables) else tuple(part.strip() for part in said.split("|"))


def _column(table: Table, name: str) -> str | None:
    if name in table.columns:
        return name
    same = [column for column in table.columns if _plain(column) == _plain(name)]
    return same[0] if len(same) == 1 else None


def _absent(name: str, columns: tuple[str, ...], items: Table, log: Table | None) -> str:
    tables = [table for table, names in ((items, ITEM_NAMES), (log, LOG_NAMES)) if table is not None and name in names]
    have = list(dict.fromkeys(column for table in tables for column in table.columns))
    near = difflib.get_close_matches(columns[0], have, n=3, cutoff=0.5)
    where = " nor ".join(table.path for table in tables)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {', '.join(map(repr, have[:20]))}"
    return f"--map {name}={columns[0]}: {'neither ' if len(tables) > 1 else ''}{where} has {'a' if len(tables) > 1 else 'no'} column '{columns[0]}'; {hint}"


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name.lower())
    return re.sub(r"[\W_]+", "", "".join(sign for sign in letters if not unicodedata.combining(sign)))


def _named(table: Table, names: Sequence[str], taken: Iterable[str] = ()) -> list[str]:
    """Columns with one of the names, in the order of the names."""
    free = [column for column in table.columns if column not in set(taken)]
    return [column for name in names for column in free if _plain(column) == _plain(name)]


def _begins(table: Table, names: Sequence[str], taken: Iterable[str]) -> list[str]:
    """Columns whose first word is one of the names: "Preis in EUR", "Nombre del artículo"."""
    free = [column for column in table.columns if column not in set(taken)]
    return [column for column in free if (words := re.split(r"[\W_]+", column.strip())) and len(words) > 1 and _plain(words[0]) in names]


def _guess_ids(items: Table, log: Table | None, found: dict[str, dict[str, str]]) -> None:
    """The item id of both files: named like one and, with a log, the pair of columns that share most values."""
    ours, theirs = found["items"], found["log"]
    mine = [ours["item_id"]] if "item_id" in ours else _named(items, _ITEM, ours.values())
    named = bool(mine)
    if "item_id" not in ours and (log is not None or not mine):
        mine += [column for column in _unique_columns(items, ours.values()) if column not in mine]
    mine.sort(key=lambda column: not items.frame[column].is_unique)
    others = _log_candidates(log, theirs) if log is not None else []
    shared = {(a, b): _shared(items.frame[a], log.frame[b]) for a in mine for b in others} if log is not None else {}
    # The first of the best: candidates stand in the order of their names.
    best = max(shared, key=lambda pair: shared[pair], default=None)
    if best and shared[best] >= _ENOUGH:
        ours.setdefault("item_id", best[0])
        theirs.setdefault("item_id", best[1])
    elif mine and (named or log is None or not len(log.frame)):
        ours.setdefault("item_id", mine[0])
    _demand(items, ours, "item_id", "the item's id (a value of its own in each row)")
    if log is not None:
        if others and (len(others) == 1 or others[0] in _named(log, _ITEM)):
            theirs.setdefault("item_id", others[0])
        _demand(log, theirs, "item_id", "the item's id")


def _log_candidates(log: Table, found: Mapping[str, str]) -> list[str]:
    """Columns of the log that could be the item: named so, else all that are named like nothing else."""
    if "item_id" in found:
        return [found["item_id"]]
    other = {column for field_name in ("user_id", "timestamp", "rating") for column in _named(log, LOG_NAMES[field_name])}
    named = [column for column in _named(log, _ITEM, found.values()) if column not in other]
    return named or [column for column in log.columns if column not in {*found.values(), *other}]


def _unique_columns(table: Table, taken: Iterable[str]) -> list[str]:
    """Columns that could be ids: present and different in nearly every row, short, without blanks; prices and dates are none."""
    named = {column for role, names in ITEM_NAMES.items() if role != "item_id" for column in _named(table, names)}
    columns = [column for column in table.columns if column not in set(taken) and column not in named]
    return [
        column
        for column in columns
        if len(table.frame)
        and table.frame[column].nunique() >= _UNIQUE * len(table.frame)
        and not table.frame[column].str.contains(r"\s|^.{65}").any()
    ]


def _shared(known: pd.Series, used: pd.Series) -> float:
    """Share of a log column's values that an items column has."""
    values = used.dropna().iloc[:_SAMPLE].drop_duplicates()
    return float(values.isin(known.dropna()).mean()) if len(values) else 0.0


def _guess_rest(table: Table, names: Mapping[str, Sequence[str]], found: dict[str, str]) -> None:
    for role, called in names.items():
        if role in found:
            continue
        likely = _named(table, called, found.values())
        likely += _begins(table, called, [*found.values(), *likely]) if role in _LONG_NAMED else []
        fitting = [column for column in likely if _fits(role, table.frame[column], column)]
        if fitting:
            found[role] = fitting[0]
    left = [column for column in table.columns if column not in found.values()]
    if names is ITEM_NAMES and "title" not in found:
        titles = [column for column in left if _could_be_title(table.frame[column].iloc[:_SAMPLE], column)]
        if titles:
            found["title"] = min(titles, key=lambda column: table.frame[column].str.len().mean())
    if names is LOG_NAMES and "user_id" not in found and len(left) == 1:
        found["user_id"] = left[0]
    if names is LOG_NAMES and "timestamp" not in found:
        free = [column for column in table.columns if column not in found.values()]
        times = [column for column in free if kinds.infer(table.frame[column].iloc[:_SAMPLE], column).kind == "date"]
        if len(times) == 1:
            found["timestamp"] = times[0]


def _guess_pictures(items: Table, found: dict[str, str], images: Path | None) -> None:
    """The column most of whose cells are files in the folder of pictures, and are not called sounds or films."""
    if images is None or "image" in found or not Path(images).is_dir():
        return
    for column in items.columns:
        cells = items.frame[column].dropna().iloc[:_LOOKED_AT]
        there = [fault(Path(images), cell, picture=False) is None and not _heard_or_played(cell) for cell in cells]
        if column not in found.values() and len(there) and np.mean(there) >= _ENOUGH:
            found["image"] = column
            return


def _heard_or_played(name: str) -> bool:
    return (mimetypes.guess_type(name)[0] or "").startswith(("audio/", "video/"))


def _could_be_title(values: pd.Series, name: str) -> bool:
    """Words that are different in most rows and not too long."""
    present = kinds.known(values).dropna()
    if not len(present) or present.nunique() < 0.7 * len(present) or present.str.len().mean() > 200:
        return False
    if present.str.contains(r"^\S+\.[A-Za-z]{3,4}$").mean() > _ENOUGH:  # names of files
        return False
    return kinds.infer(present, name).kind in ("text", "category") and present.str.contains(r"[^\W\d_]{2}").mean() > 0.8


def _fits(role: str, values: pd.Series, name: str) -> bool:
    """Whether a column's contents can be what its name suggests."""
    present = kinds.known(values.iloc[:_SAMPLE]).dropna()
    if not len(present):
        return not len(values) or role in ("title", "text")
    if role == "price":
        return bool(np.mean(~np.isnan(kinds.numbers(present, affix=True))) >= _ENOUGH)
    if role in ("rating", "weight"):
        return bool(np.mean(~np.isnan(kinds.numbers(present))) >= _ENOUGH)
    if role == "available":
        return bool(np.mean(~np.isnan(kinds.truths(present))) >= _ENOUGH)
    if role == "timestamp":
        return bool(kinds.dates(present, "timestamp").notna().mean() >= _ENOUGH)
    if role in ("image", "audio", "video"):
        return bool(present.str.contains(r"\.\w{2,5}\W*$|://", regex=True).mean() >= _ENOUGH)
    if role == "category":
        return kinds.infer(present, name).kind == "category"
    return True


def _demand(table: Table, found: Mapping[str, str], role: str, what: str) -> None:
    if role not in found:
        have = ", ".join(map(repr, table.columns[:20]))
        raise InputError(
            f"{table.path}: no column looks like {what}; it has {have}. Say which one it is, for example {_example(role, table, found)}"
        )


def _example(role: str, table: Table, found: Mapping[str, str] | None = None) -> str:
    free = [column for column in table.columns if column not in (found or {}).values()] or table.columns
    return f"--map {role}={free[0]}"
