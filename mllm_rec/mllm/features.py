"""What captions become: a table of typed fields, a catalog that knows more, and the feature ``caption``; beside them, hidden states."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mllm_rec.data.catalog import Catalog, Column
from mllm_rec.data.features import Features
from mllm_rec.encoders import Encoder
from mllm_rec.interaction.bridge import item_attribute_graph, propagate
from mllm_rec.mllm.caption import Caption, calibrated
from mllm_rec.mllm.hidden import HiddenStates, PictureStates, WordStates
from mllm_rec.mllm.schema import PROSE, UNKNOWN, CaptionSchema

#: Hidden states of a multimodal model as features, by modality.
STATES: dict[str, type[HiddenStates]] = {"image": PictureStates, "text": WordStates}
#: Calibrated confidence from which a value counts as known, where the catalog knows none.
KNOWN = 0.8
#: Weight of what items that share values bring to an attribute vector.
SHARED = 0.5
COLUMNS = ["item_id", "field", "value", "confidence", "source", "conflict"]
#: Where a value comes from: the picture alone, or the picture and the catalog; None where nothing is stated.
PICTURE, BOTH = "picture", "both"


def caption_table(
    catalog: Catalog, captions: Mapping[int, Caption], schema: CaptionSchema, card: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """One row per captioned item, field and value; the sentence is the field ``caption``.

    A sentence that names a value of which the model is not sure enough is left out.

    Args:
        catalog: its own values tell whether a value is seen only in the picture or known besides.
        captions: by row.
        schema: the fields.
        card: the model's: ``temperature`` and ``floor`` by field. A value less sure than its floor is unknown.

    Returns:
        item_id, field, value ("unknown" where the picture doesn't show it), confidence (calibrated; NaN: not told), source
        ("picture", or "both" where the catalog says the same; None for what is unknown), conflict (the catalog says otherwise).
    """
    temperature, floor = (dict((card or {}).get(name, {})) for name in ("temperature", "floor"))
    rows: list[tuple[Any, ...]] = []
    for row, caption in sorted(captions.items()):
        named, unsure = catalog.named(row), set[str]()
        for name, field in schema.fields.items():
            said = caption.values.get(name, () if field.many else UNKNOWN)
            values = said if isinstance(said, tuple) else (said,)
            told = caption.confidence.get(name) or (np.nan,) * len(values)
            own = named.get(name, ())
            known = []
            for value, raw in zip(values, told, strict=True):
                confidence = calibrated(raw, temperature.get(name, 1.0)) if np.isfinite(raw) else np.nan
                sure = value != UNKNOWN and not confidence < floor.get(name, 0.0)
                unsure |= set() if sure else {value}
                known += [(value, confidence)] if sure or value == UNKNOWN else []
            for value, confidence in known or [(UNKNOWN, np.nan)]:
                agrees = value in own
                conflict = value != UNKNOWN and bool(own) and not agrees
                source = None if value == UNKNOWN else BOTH if agrees else PICTURE
                rows.append((catalog.item_ids[row], name, value, confidence, source, conflict))
        if caption.sentence and not any(value in caption.sentence for value in unsure - {UNKNOWN}):
            rows.append((catalog.item_ids[row], PROSE, caption.sentence, np.nan, PICTURE, False))
    return pd.DataFrame(rows, columns=COLUMNS)


def fields_of(table: pd.DataFrame) -> pd.DataFrame:
    """The table without its sentences."""
    return table[table["field"] != PROSE]


def by_item(table: pd.DataFrame, catalog: Catalog, least: float | None = None) -> dict[str, list[tuple[str, ...]]]:
    """By field, the known values of each row of the catalog; with ``least``, those less sure or of untold confidence left out."""
    table = fields_of(table)
    found: dict[str, list[tuple[str, ...]]] = {name: [()] * len(catalog) for name in table["field"].unique()}
    known = table[table["value"] != UNKNOWN]
    known = known if least is None else known[known["confidence"] >= least]
    for (item_id, name), values in known.groupby(["item_id", "field"], sort=False)["value"]:
        if item_id in catalog.positions:
            found[str(name)][catalog.positions[item_id]] = tuple(map(str, values))
    return found


def enriched(catalog: Catalog, table: pd.DataFrame, schema: CaptionSchema) -> Catalog:
    """The catalog with what captions know for sure (confidence from ``KNOWN``) where it knows nothing itself; never other values.

    Fields that it has no column for become columns of their own.
    """
    frame, columns = catalog.table.copy(), dict(catalog.columns)
    looked: dict[str, np.ndarray] = {}
    for name, values in by_item(table, catalog, KNOWN).items():
        many = schema.fields[name].many
        if name not in frame:
            frame[name] = pd.Series([None] * len(frame), dtype=object)
            columns[name] = Column(name, "set" if many else "category")
        if columns[name].kind not in ("category", "ordinal", "set"):
            continue
        as_set = columns[name].kind == "set"
        own = frame[name].tolist()
        looked[name] = np.array([before is None and bool(one) for before, one in zip(own, values, strict=True)], dtype=bool)
        frame[name] = pd.Series(
            [
                before if before is not None else ((seen if as_set else seen[0]) if seen else None)
                for before, seen in zip(own, values, strict=True)
            ],
            dtype=object,
        )
    known = Catalog(frame, columns, catalog.root)
    known.seen = looked
    return known


def caption_features(
    catalog: Catalog,
    table: pd.DataFrame,
    schema: CaptionSchema,
    spec: Mapping[str, Any],
    encoders: tuple[Encoder, Encoder],
    new: bool = False,
) -> Features:
    """The feature ``caption``: the sentence as a text vector beside the fields as an attribute vector, each of length 1.

    The attribute vector takes in what the item-attribute graph brings in two hops: of items that share values, rare ones
    more, the other values too. An item without a caption, or of which nothing is known, is missing.

    Args:
        catalog: the items.
        table: of ``caption_table``.
        schema: its fields.
        spec: what determines the captions.
        encoders: of the sentence and of the fields. They learn from these captions, or, ``new``, have learned from earlier ones.
        new: see ``encoders``.
    """
    values = by_item(table, catalog)
    frame = pd.DataFrame({"item_id": catalog.item_ids})
    sentences = table[table["field"] == PROSE].set_index("item_id")["value"].to_dict()
    frame["title"] = [sentences.get(item_id, "") for item_id in catalog.item_ids]
    for name, field in schema.fields.items():
        known = values.get(name, [()] * len(catalog))
        frame[name] = pd.Series([(one if field.many else one[0]) if one else None for one in known], dtype=object)
    seen = Catalog(frame, {name: "set" if field.many else "category" for name, field in schema.fields.items()})
    text, attributes = ((one.encode_new(seen) if new else one.encode(seen)).values for one in encoders)
    known_rows = np.array([any(rows[row] for rows in values.values()) for row in range(len(catalog))], dtype=bool)
    reached = _two_hops(table, catalog, torch.from_numpy(attributes)).numpy()
    joined = np.concatenate([text, _unit(attributes + SHARED * reached)], axis=1)
    return Features(joined, known_rows, {"encoder": "caption", "version": 3, **spec})


def _two_hops(table: pd.DataFrame, catalog: Catalog, x: Tensor) -> Tensor:
    """What reaches each item from those that share its values, ``(num_items, width)``."""
    known = fields_of(table[table["value"] != UNKNOWN])
    rows = torch.tensor([catalog.positions[item] for item in known["item_id"]], dtype=torch.int64)
    codes, values = pd.factorize(known["field"].astype(str) + "=" + known["value"].astype(str))
    weights = torch.from_numpy(known["confidence"].fillna(1.0).clip(lower=1e-3).to_numpy(np.float32))
    graph = item_attribute_graph(rows, torch.from_numpy(codes.astype(np.int64)), weights, (len(catalog), len(values)))
    return propagate(graph, torch.cat([x, x.new_zeros(len(values), x.shape[1])]), 2)[-1][: len(catalog)]


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
