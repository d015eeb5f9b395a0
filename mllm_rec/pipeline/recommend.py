"""Lists from a workspace: for one request with reasons, or for everyone at once."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from mllm_rec.agent.reply import Shop
from mllm_rec.agent.session import Session
from mllm_rec.data.files import atomic
from mllm_rec.errors import InputError
from mllm_rec.evaluation.metrics import top_items
from mllm_rec.evaluation.protocol import BLOCK
from mllm_rec.pipeline.advise import Model, advised, rerank_weight
from mllm_rec.pipeline.serve import open_shop
from mllm_rec.pipeline.workspace import Workspace
from mllm_rec.recommender import Query


def recommend(
    workspace: Workspace,
    user: str | None = None,
    liked: Sequence[str] = (),
    words: str = "",
    k: int = 10,
    exclude: Path | None = None,
    explain: bool = False,
    rerank: bool = False,
    model: Model = Model(),
) -> tuple[dict[str, Any], str]:
    """A list for one request, as the chat would give it: filters hard, wishes ranking, everything in the user's log hidden.

    Args:
        workspace: built.
        user: id of a user of the log; None: a stranger.
        liked: item ids that are liked.
        words: wishes in plain words.
        k: length of the list.
        exclude: file of item ids never to show.
        explain: give the reasons.
        rerank: let the model take part with the weight that ``tune_rerank`` chose; where it chose none, with none.
        model: which one.

    Raises:
        InputError: an unknown user or item.
    """
    shop = open_shop(workspace, exclude)
    if rerank or explain:
        shop = advised(workspace, shop, model, rerank, words=explain)
    session = Session(shop, shop.data.user(user) if user is not None else None, size=k)
    for item in liked:
        session.like(item)
    reply = session.turn(words) if words else session.refresh()
    rows: list[dict[str, Any]] = []
    for rank, card in enumerate(reply.cards, 1):
        row = {"rank": rank, "item_id": card.item_id, "title": card.title, "score": card.score}
        rows.append({**row, "reason": card.reason, "why": list(card.why)} if explain else row)
    chips = [{"kind": chip.kind, "label": chip.label} for chip in reply.chips]
    value: dict[str, Any] = {"user": user, "system": type(shop.system).__name__.lower(), "text": reply.text, "chips": chips, "items": rows}
    if rerank:
        value["rerank weight"] = rerank_weight(workspace, model.of(workspace), model.found(workspace))
    return value, _text(value, workspace)


def _text(value: dict[str, Any], workspace: Workspace) -> str:
    lines = [value["text"], *_weighed(value, workspace), *(f"[{chip['kind']}] {chip['label']}" for chip in value["chips"])]
    for row in value["items"]:
        lines.append(f"{row['rank']:3}. {row['title']}  ({row['item_id']})")
        lines += [f"     {sentence}" for sentence in row.get("why", ())]
    return "\n".join(lines)


def _weighed(value: dict[str, Any], workspace: Workspace) -> list[str]:
    """How much the model's opinion counted, where it was asked for."""
    if "rerank weight" not in value:
        return []
    weight = value["rerank weight"]
    if weight is None:
        return [f"model's opinion doesn't count yet: 'mllm-rec rerank {workspace.root}' measures what it is worth here"]
    return [f"model's opinion counts with weight {weight}" if weight else "model's opinion doesn't count: validation gave it weight 0"]


def recommend_all(workspace: Workspace, k: int, out: Path, exclude: Path | None = None) -> tuple[dict[str, Any], str]:
    """A list for every user of the log, written as Parquet or CSV: user_id, item_id, rank (from 1), score.

    A user of whom everything allowed is known already has a shorter list.

    Raises:
        InputError: the file's name ends otherwise.
    """
    if out.suffix not in (".parquet", ".csv"):
        raise InputError(f"{out} must end in .parquet or .csv")
    shop = open_shop(workspace, exclude)
    parts = list(
        tqdm(_lists(shop, k), "recommending", -(-shop.data.num_users // _block(shop)), unit="block", disable=None, file=sys.stderr)
    )
    users, ranks, items, scores = (
        (np.concatenate(columns) for columns in zip(*parts, strict=True)) if parts else [np.zeros(0, np.int64)] * 4
    )
    table = pd.DataFrame({"user_id": shop.data.users[users], "item_id": shop.data.items[items], "rank": ranks + 1, "score": scores})
    with atomic(out) as temporary:
        if out.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)
    value = {"users": int(table["user_id"].nunique()), "rows": len(table), "out": str(out)}
    return value, f"{value['rows']:,} rows for {value['users']:,} users in {out}"


def _block(shop: Shop) -> int:
    return max(1, BLOCK // shop.data.num_items)


def _lists(shop: Shop, k: int) -> Iterator[tuple[np.ndarray, ...]]:
    """User, place, item and score of the lists of a block of users."""
    allowed = torch.from_numpy(shop.catalog.available & ~shop.excluded)
    hidden = torch.from_numpy(shop.hidden)[:, torch.from_numpy(np.argsort(shop.hidden[0], kind="stable"))]
    for users in torch.arange(shop.data.num_users).split(_block(shop)):
        scores = shop.candidates.taste(Query(users)).masked_fill(~allowed, -torch.inf)
        known = slice(*torch.searchsorted(hidden[0].contiguous(), torch.tensor([int(users[0]), int(users[-1]) + 1])).tolist())
        scores[hidden[0, known] - users[0], hidden[1, known]] = -torch.inf
        lists = top_items(scores, k)
        owner, place = (lists >= 0).nonzero(as_tuple=True)
        items = lists[owner, place]
        yield users[owner].numpy(), place.numpy(), items.numpy(), scores[owner, items].numpy()


def explain_item(workspace: Workspace, user: str, item: str, model: Model = Model()) -> tuple[dict[str, Any], str]:
    """Why an item suits a user: every claim with its evidence.

    Raises:
        InputError: an unknown user or item.
    """
    shop = advised(workspace, open_shop(workspace), model, rerank=False)
    row, position = shop.data.user(user), shop.catalog.position(item)
    explanation, note = Session(shop, row).explanation(item)
    known = bool(((shop.hidden[0] == row) & (shop.hidden[1] == position)).any())
    lines = (
        [shop.item_title(item), *(f"  {claim.text}" for claim in explanation.claims)]
        if explanation.claims
        else [f"{shop.item_title(item)}: nothing is known that speaks for it"]
    )
    told = [f"  It is in the log of {user} already, so no list shows it." if known else "", note]
    return {"user": user, "known": known, **explanation.as_dict(), "note": note}, "\n".join([*lines, *filter(None, told)])
