"""``mllm-rec finetune``: a LoRA adapter from a workspace's own data, with its card."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from mllm_rec.agent.reply import Occasion, Shop, explanations
from mllm_rec.agent.session import Session
from mllm_rec.data.catalog import Catalog
from mllm_rec.data.domain import Domain
from mllm_rec.data.files import read_json, write_json
from mllm_rec.encoders.hub import quiet
from mllm_rec.errors import InputError
from mllm_rec.mllm.adapters import CARD, WEIGHTS
from mllm_rec.mllm.caption import Captioner
from mllm_rec.mllm.embedded.corpus import drawings, pixels
from mllm_rec.mllm.embedded.gate import GATE, fit_gate
from mllm_rec.mllm.embedded.recipe import DOMAIN
from mllm_rec.mllm.examples import Example, caption_example, match_examples, read_examples, word_example
from mllm_rec.mllm.finetune import Metric, Tuner, Tuning, data_hash, token_accuracy, write_card
from mllm_rec.mllm.judge import accuracy, fit_calibration, judged, match_auc
from mllm_rec.mllm.prompts import Prompt, prompt_for
from mllm_rec.mllm.providers.local import Local
from mllm_rec.mllm.schema import CaptionSchema
from mllm_rec.pipeline.caption import caption_schema, domain_of
from mllm_rec.pipeline.serve import open_shop
from mllm_rec.pipeline.workspace import Workspace

#: Share of the examples that is held out, and the most of them; the most that a workspace gives.
_HELD, _MOST_HELD, _MOST = 0.15, 300, 6_000
#: Pictures of either domain that the gate is fitted on, at most.
_FITTED = 1_500
#: Where the drawings of the base's own domain lie until the adapter is done.
_REPLAY = "replay"
#: Lists that reasons are learned from, and items of one.
_LISTS, _LIST = 150, 4


def finetune(
    workspace: Workspace,
    task: str,
    base: str,
    out: Path,
    data: Path | None = None,
    replay: int = 0,
    qlora: bool = False,
    merge: Path | None = None,
    settings: Tuning = Tuning(),
) -> tuple[dict[str, Any], str]:
    """Train an adapter for one job and write its card; interrupted, the same call goes on where it stopped.

    Args:
        workspace: whose items, log or reasons are learned from; its schema is what captions say.
        task: caption, match or word.
        base: the model, as ``--mllm`` names it.
        out: the adapter's folder.
        data: a file of examples instead of the workspace's own, see ``read_examples``.
        replay: drawings of the base's own domain that are learned along, so that they are not forgotten.
        qlora: the base in 4 bits, on a GPU.
        merge: a folder to write base and adapter to as one model.
        settings: how it is trained.

    Raises:
        InputError: nothing to learn from, a model that can't be trained here, or another adapter in ``out``.
    """
    if base in ("none", "") or base.startswith("openai:"):
        raise InputError(f"'{base}' can't be trained here; --base wants embedded, or a model's folder or hub name")
    if qlora and not torch.cuda.is_available():
        raise InputError("4-bit training (--qlora) needs a GPU, and there is none here; leave --qlora out")
    local = Local(base, bits=4 if qlora else None)
    prompt = prompt_for(task, local)
    schema = caption_schema(workspace, Catalog.load(workspace.catalog)) if task == "caption" else None
    examples = read_examples(data, prompt, schema) if data is not None else _from_workspace(workspace, task, prompt, schema)
    held = examples[len(examples) - min(_MOST_HELD, int(_HELD * len(examples))) :]
    train = examples[: len(examples) - len(held)]
    if len(held) < 2:
        raise InputError(f"{len(examples)} examples are too few to learn from and to check; {2 / _HELD:.0f} are the least")
    if task == "match" and len({one.answer for one in held}) < 2:
        raise InputError(f"the {len(held)} examples held out, the last ones, all have one answer; mix yes and no")
    replay = replay if task == "caption" else 0
    card = {
        "task": task,
        "base": local.base,
        "base name": base,
        "data": data_hash(train),
        "settings": vars(settings),
        "replayed": replay,
        "qlora": qlora,
    }
    if (found := _finished(out, card)) is None:
        old, old_schema = _replayed(local, prompt, replay + len(held), out) if replay else ([], schema)
        old_held, old = old[: len(held)], old[len(held) :]
        tuned = Tuner(local, [*train, *old], _metric(task, schema, held), settings, out).run()
        found = {**card, "examples": len(train), "held out": len(held), "prompt": prompt.key, "metrics": tuned}
        if schema is not None and old_schema is not None:
            said = pd.concat([_said(local, schema, held), _said(local, old_schema, old_held)])
            found |= {"domain": schema.key(), **fit_calibration(said)}
            if local.gate is not None:
                fit_gate(local, _pictures(local, [*train[:_FITTED], *old[:_FITTED]]), _pictures(local, [*held, *old_held]), out)
        write_card(out, found)
        shutil.rmtree(out / _REPLAY, ignore_errors=True)
    if merge is not None:
        _merge(base, out, task, merge)
    return {"out": str(out), **found}, _text(out, found, merge)


def _finished(out: Path, card: dict[str, Any]) -> dict[str, Any] | None:
    """The card of an adapter that was trained just so before; None where there is none.

    Raises:
        InputError: there is another adapter.
    """
    if not (out / CARD).exists() or not (out / WEIGHTS).exists():
        return None
    found = read_json(out / CARD)
    if any(found.get(name) != value for name, value in card.items()):
        raise InputError(f"{out} holds an adapter that was trained otherwise; choose another --out, or delete it")
    return found


def _from_workspace(workspace: Workspace, task: str, prompt: Prompt, schema: CaptionSchema | None) -> list[Example]:
    rng = np.random.default_rng(0)
    if schema is not None:
        return _captions(workspace, prompt, schema, rng)
    if task == "match":
        log = pd.read_parquet(workspace.interactions)
        log = log[log["part"] == "train"].sort_values("timestamp", kind="stable") if "timestamp" in log else log[log["part"] == "train"]
        catalog = Catalog.load(workspace.catalog)
        histories = [np.array([catalog.positions[item] for item in items]) for _, items in log.groupby("user_id", sort=False)["item_id"]]
        return list(match_examples(prompt, catalog, [histories[row] for row in rng.permutation(len(histories))], rng))[:_MOST]
    shop = open_shop(workspace)
    return list(_reasons(shop, prompt, rng))


def _captions(workspace: Workspace, prompt: Prompt, schema: CaptionSchema, rng: np.random.Generator) -> list[Example]:
    """Pictures with what the catalog says of them; what it doesn't say, or no picture shows, is left open."""
    catalog = Catalog.load(workspace.catalog)
    domain = domain_of(workspace)
    visible = {name for name in schema.fields if name not in domain.fields or domain.fields[name].shown}
    made: list[Example] = []
    for row in rng.permutation(len(catalog)).tolist():
        path = catalog.picture(row)
        named = {name: values for name, values in catalog.named(row).items() if name in visible}
        values = {
            name: [value for value in said if value in schema.fields[name].values] if schema.fields[name].many else said[0]
            for name, said in named.items()
            if schema.fields[name].many or said[0] in schema.fields[name].values
        }
        if path is not None and values and len(made) < _MOST:
            made.append(caption_example(prompt, schema, values, path, **Captioner.inputs(prompt, catalog, row)))
    if not made:
        raise InputError(f"no item of {workspace.root} has a picture and a known value of {', '.join(schema.fields)}")
    return made


def _reasons(shop: Shop, prompt: Prompt, rng: np.random.Generator) -> Iterator[Example]:
    """Reasons as the templates word them, for the lists of some users."""
    for user in rng.permutation(shop.data.num_users)[:_LISTS].tolist():
        session = Session(shop, user, size=_LIST)
        ranked = session.rank(shop.catalog.available & ~shop.excluded, _LIST)
        told = explanations(Occasion(shop, session.state, shop.explainer.history(user).tolist(), user), ranked)
        for row, one in zip(ranked.items, told, strict=True):
            yield word_example(prompt, str(shop.catalog.table["title"].iat[row] or ""), one)


def _replayed(local: Local, prompt: Prompt, count: int, out: Path) -> tuple[list[Example], CaptionSchema]:
    """Drawings of the domain that an embedded kind of model was made for, and what there is to say of them."""
    path = local.folder / DOMAIN
    if not path.exists():
        raise InputError(f"--replay is for models that train-mllm made; {local.folder} has no {DOMAIN}")
    schema = CaptionSchema.of_domain(Domain.load(path))
    made = drawings(path, count, seed=3_000, hidden_share=0.1)
    drawn = pixels(made, path, local.processor.image_processor.size["height"], out / _REPLAY, progress=sys.stderr.isatty())
    examples = [
        caption_example(prompt, schema, one.shown(), Image.fromarray(picture), **dict.fromkeys(prompt.inputs, ""))
        for one, picture in zip(made, drawn, strict=True)
    ]
    return examples, schema


def _metric(task: str, schema: CaptionSchema | None, held: list[Example]) -> Metric:
    """What is measured on examples held out, higher is better."""
    if schema is not None:
        return lambda local: {"attribute accuracy": accuracy(_said(local, schema, held))}
    if task == "match":
        return lambda local: {"AUC": match_auc(local, held)}
    return lambda local: {"token accuracy": token_accuracy(local, held)}


def _said(local: Local, schema: CaptionSchema, held: list[Example]) -> pd.DataFrame:
    """What the model says of pictures, its gate open: foreign or not is another question."""
    if not held:
        return pd.DataFrame(columns=["picture", "field", "true", "said", "confidence"])
    gate, local.gate = local.gate, None
    try:
        return judged(local, schema, [one.conversation for one in held], [one.truth for one in held])[0]
    finally:
        local.gate = gate


def _pictures(local: Local, examples: list[Example]) -> list[Image.Image]:
    """The examples' pictures, shrunk as the model's picture processor does it: thousands of them fit in memory."""
    side = local.processor.image_processor.size["height"]
    return [
        next(part["image"].resize((side, side), Image.Resampling.BICUBIC) for part in one.conversation[-1]["content"] if "image" in part)
        for one in examples
    ]


def _merge(base: str, adapter: Path, task: str, out: Path) -> None:
    """Base and adapter as one model in a folder of its own, with what is known of both."""
    local = Local(base)
    local.use(adapter)
    with quiet():
        local.model.merge_and_unload().save_pretrained(out)
        local.processor.save_pretrained(out)
    write_json(out / CARD, {**local.card, "jobs": sorted(local.jobs | {task}), "merged": [base, read_json(adapter / CARD)]})
    for folder in (adapter, local.folder):
        if (folder / GATE).exists():
            shutil.copyfile(folder / GATE, out / GATE)
            break


def _text(out: Path, card: dict[str, Any], merge: Path | None) -> str:
    metrics = card["metrics"]
    lines = [f"{out}: {card['task']} on {card['base name']}, {card['examples']} examples, best after {metrics['step']} steps"]
    lines += [f"  {name}: {worth:.4f} before, {metrics['after'][name]:.4f} after" for name, worth in metrics["before"].items()]
    if all(metrics["after"][name] <= worth for name, worth in metrics["before"].items()):
        lines.append("  no gain over the base: more --steps, more examples or another --lr may help")
    return "\n".join([*lines, *([f"base and adapter as one model: {merge}"] if merge else [])])
