"""Between reading and encoding: the model looks at every picture."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.domain import Domain
from mllm_rec.data.features import Features
from mllm_rec.data.files import atomic, digest, read_json
from mllm_rec.encoders import load_encoder
from mllm_rec.encoders.attributes import Attributes
from mllm_rec.encoders.store import Store
from mllm_rec.encoders.text import Text
from mllm_rec.errors import InputError
from mllm_rec.mllm.adapters import CARD, WEIGHTS, read_card
from mllm_rec.mllm.caption import NOT_YET, Captioner
from mllm_rec.mllm.features import caption_features, caption_table, enriched, fields_of
from mllm_rec.mllm.prompts import load_prompt, prompt_keys
from mllm_rec.mllm.providers import Loading, load_provider, model_folder, named
from mllm_rec.mllm.schema import UNKNOWN, CaptionSchema
from mllm_rec.pipeline.encode import stamps
from mllm_rec.pipeline.workspace import Workspace

#: The model's card, beside its weights.
_CARD = model_folder("embedded") / CARD


def caption_schema(workspace: Workspace, catalog: Catalog) -> CaptionSchema:
    """What captions say here: the domain file's fields, else those the catalog's columns suggest.

    Raises:
        InputError: there is nothing to say.
    """
    schema = CaptionSchema.of_domain(domain_of(workspace))
    return schema if schema.fields else CaptionSchema.of_catalog(catalog)


def domain_of(workspace: Workspace) -> Domain:
    """What people call the fields and values of a workspace; empty where it has no domain file."""
    return Domain.load(workspace.domain) if workspace.domain.exists() else Domain()


def chosen_model(workspace: Workspace, said: str | None, adapters: Sequence[Path] = ()) -> str:
    """The model asked for; else the embedded one where this is its own domain or that of an adapter; else none."""
    own = CaptionSchema.of_domain(domain_of(workspace))
    known = {read_card(adapter).get("domain") for adapter in adapters} | ({read_json(_CARD)["domain"]} if _CARD.exists() else set())
    at_home = bool(own.fields) and own.key() in known
    return named(said, "embedded" if at_home else "none")


def caption(
    workspace: Workspace,
    said: str | None = None,
    adapters: Sequence[Path] = (),
    retry_failed: bool = False,
    loading: Loading = Loading(),
) -> str:
    """Run the stage "captions" unless nothing it depends on changed; the name of the model that was used.

    Args:
        workspace: with its catalog.
        said: of ``--mllm``.
        adapters: folders of LoRA adapters.
        retry_failed: try those pictures again that failed before.
        loading: device and precision.
    """
    catalog = Catalog.load(workspace.catalog)
    pictured = "image" in catalog.columns and any(catalog.picture(row) for row in range(len(catalog)))
    name = chosen_model(workspace, said, adapters) if pictured else "none"
    feature = workspace.feature("caption")
    if name == "none":
        for path in (workspace.captions, *([] if "caption" in workspace.imported else [feature])):
            path.unlink(missing_ok=True)
        workspace.record(mllm="none", captions=None)
        if pictured and said is None:
            print("  no captions: the embedded model knows its own drawings only; --mllm names a model for these pictures", file=sys.stderr)
        return name
    folder = model_folder(name)
    schema = caption_schema(workspace, catalog)
    before = workspace.manifest().get("captions") or {}
    inputs = {
        "catalog": workspace.catalog,
        "mllm": name,
        "model": folder if folder.is_dir() else None,
        "adapters": [[str(folder), digest(folder / WEIGHTS)] for folder in adapters],
        "precision": [loading.dtype, loading.bits],
        "schema": schema.key(),
        "prompts": prompt_keys("caption"),
        "pictures": stamps(catalog, "image"),
    }
    again = bool(before.get("left") or (retry_failed and before.get("failed")))
    workspace.stage(
        "captions", inputs, lambda: _run(workspace, catalog, schema, name, adapters, retry_failed, loading), [workspace.captions], again
    )
    return name


def _run(
    workspace: Workspace,
    catalog: Catalog,
    schema: CaptionSchema,
    name: str,
    adapters: Sequence[Path],
    retry_failed: bool,
    loading: Loading,
) -> None:
    provider = load_provider(name, adapters, loading=loading)
    assert provider is not None
    prompt = load_prompt("caption", provider.prompts)
    with Store(workspace.caption_store) as store:
        done = Captioner(provider, prompt, schema, store, retry_failed).run(catalog)
    card: Mapping[str, Any] = getattr(provider, "card", {})
    table = caption_table(catalog, done.captions, schema, card)
    with atomic(workspace.captions) as temporary:
        table.to_parquet(temporary, index=False)
    encoders = (Text(), Attributes())
    features = caption_features(catalog, table, schema, {"mllm": name, "prompt": prompt.key, "schema": schema.key()}, encoders)
    if "caption" not in workspace.imported:
        if features.present.any():
            features.save(workspace.feature("caption"))
            for encoder in encoders:
                encoder.save(_learned(workspace, encoder.name))
        else:
            workspace.feature("caption").unlink(missing_ok=True)
    left = sum(why == NOT_YET for why in done.failed.values())
    workspace.record(
        mllm=name,
        captions={
            "captioned": len(done.captions),
            "failed": len(done.failed) - left,
            "left": left,
            "prompt": prompt.key,
            "schema": schema.key(),
            "model": provider.key,
            "adapters": [str(folder) for folder in adapters],
            "fields": schema.to_dict(),
        },
    )
    fields = fields_of(table)["value"]
    known = (fields != UNKNOWN).mean() if len(fields) else 0.0
    print(f"  {name}: {len(done.captions)} pictures captioned, {known:.0%} of their fields made out", file=sys.stderr)
    for why, count in Counter(done.failed.values()).most_common(3):
        mend = "the same build again goes on" if why == NOT_YET else "'mllm-rec build ... --retry-failed' tries again"
        print(f"  {count} not captioned: {why}; {mend}", file=sys.stderr)


def known_catalog(workspace: Workspace) -> Catalog:
    """The catalog, with what captions know for sure where it knows nothing itself."""
    catalog = Catalog.load(workspace.catalog)
    if not workspace.captions.exists():
        return catalog
    return enriched(catalog, pd.read_parquet(workspace.captions), _captioned(workspace))


def recaption(workspace: Workspace, catalog: Catalog, rows: np.ndarray) -> tuple[pd.DataFrame, Features | None] | None:
    """Captions of a catalog of which some rows are new, by the model that captioned the others; None: there are no captions.

    Args:
        workspace: as it was built.
        catalog: its items now.
        rows: ``(n,)`` positions of new and changed ones.

    Returns:
        The table of all captions, and the feature of all items in the space it had; None: none was worth keeping, or it was imported.

    Raises:
        InputError: that model can't be loaded.
    """
    if not workspace.captions.exists():
        return None
    manifest, schema = workspace.manifest(), _captioned(workspace)
    provider = load_provider(manifest["mllm"], [Path(folder) for folder in manifest["captions"]["adapters"]])
    assert provider is not None
    with Store(workspace.caption_store) as store:
        done = Captioner(provider, load_prompt("caption", provider.prompts), schema, store, False).run(some := catalog.rows(rows))
    before = pd.read_parquet(workspace.captions)
    table = caption_table(some, done.captions, schema, getattr(provider, "card", {}))
    table = pd.concat([before[~before["item_id"].isin(some.item_ids)], table], ignore_index=True)
    if not workspace.feature("caption").exists() or "caption" in workspace.imported:
        return table, None
    kept = Features.load(workspace.feature("caption"))
    encoders = (load_encoder(_learned(workspace, Text.name)), load_encoder(_learned(workspace, Attributes.name)))
    made = caption_features(catalog, table, schema, kept.spec, encoders, new=True)
    return table, kept.padded(len(catalog)).replaced(rows, made.rows(rows))


def _captioned(workspace: Workspace) -> CaptionSchema:
    """The fields that the captions were made with."""
    return CaptionSchema.of_dict(workspace.manifest()["captions"]["fields"])


def _learned(workspace: Workspace, name: str) -> Path:
    """What an encoder of captions learned from them."""
    return workspace.root / "encoders" / "caption" / f"{name}.safetensors"


def captions(workspace: Workspace, show: int = 0, sheet: Path | None = None, out: Path | None = None) -> tuple[dict[str, Any], str]:
    """What the model said: as a table on disk, as a contact sheet, and counted by field.

    Raises:
        InputError: this workspace has no captions.
    """
    if not workspace.captions.exists():
        raise InputError(f"{workspace.root} has no captions; 'mllm-rec build ... --mllm MODEL --out {workspace.root}' makes them")
    catalog, table = Catalog.load(workspace.catalog), pd.read_parquet(workspace.captions)
    if out is not None:
        with atomic(out) as temporary:
            table.to_parquet(temporary, index=False) if out.suffix == ".parquet" else table.to_csv(temporary, index=False)
    if show:
        from mllm_rec.mllm.sheet import caption_sheet

        sheet = sheet or workspace.root / "captions.png"
        with atomic(sheet) as temporary:
            caption_sheet(catalog, table, show).save(temporary, "PNG")
    fields = []
    for name, rows in fields_of(table).groupby("field", sort=False):
        stated = rows[rows["value"] != UNKNOWN]
        fields.append(
            {
                "field": str(name),
                "items": int(rows["item_id"].nunique()),
                "unknown": round(1 - stated["item_id"].nunique() / max(1, rows["item_id"].nunique()), 4),
                "confidence": round(float(mean), 4) if np.isfinite(mean := stated["confidence"].mean()) else None,
                "conflicts": int(stated["conflict"].sum()),
            }
        )
    value = {"mllm": workspace.manifest().get("mllm"), **(workspace.manifest().get("captions") or {}), "fields": fields}
    lines = [f"{value['mllm']}: {value.get('captioned', 0)} captioned, {value.get('failed', 0)} failed, {value.get('left', 0)} left"]
    for row in fields:
        sure = "   -" if row["confidence"] is None else f"{row['confidence']:.2f}"
        lines.append(f"  {row['field']!s:12} unknown {row['unknown']:6.1%}   confidence {sure}   against the catalog {row['conflicts']}")
    lines += [f"contact sheet: {sheet}"] if show else []
    lines += [f"{len(table):,} rows in {out}"] if out else []
    return value, "\n".join(lines)
