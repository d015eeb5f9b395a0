"""How much the model's opinion is worth here, measured on validation."""

import sys
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from mllm_rec.data.files import read_json
from mllm_rec.encoders.store import Store
from mllm_rec.errors import InputError
from mllm_rec.mllm.prompts import prompt_for
from mllm_rec.mllm.providers import ProviderError, load_provider
from mllm_rec.mllm.rerank import CANDIDATES, Case, Reranker, tuned
from mllm_rec.pipeline.advise import Model, rerank_key
from mllm_rec.pipeline.caption import known_catalog
from mllm_rec.pipeline.runs import Runs
from mllm_rec.pipeline.workspace import Workspace
from mllm_rec.recommender import Query

#: Users that validation asks.
USERS = 200


def tune_rerank(workspace: Workspace, model: Model = Model(), users: int = USERS, seed: int = 0) -> tuple[dict[str, Any], str]:
    """Choose the weight of the model's odds on validation users, and note it in the manifest.

    The system is the one that serves, as trained on the training part; its candidates are its best ``CANDIDATES`` items
    that the user doesn't have in training. What the model said is kept: interrupted, the same call goes on where it stopped.

    Raises:
        InputError: no model is named, it stops answering, or nothing is held out for validation.
    """
    name, adapters = model.of(workspace), model.found(workspace)
    provider = load_provider(name, adapters, loading=model.loading)
    if provider is None:
        raise InputError("no model is named; say which one reranks with --mllm MODEL")
    runs = Runs(workspace)
    held = runs.held["validation"]
    if not held.shape[1]:
        raise InputError(f"nothing is held out for validation in {workspace.root}, so the weight can't be chosen")
    system = runs.train(read_json(workspace.serving)["system"], 0).system
    known = torch.unique(held[0][runs.data.user_counts[held[0]] > 0])
    chosen = known[torch.from_numpy(np.random.default_rng(seed).permutation(len(known))[:users])]
    prompt = prompt_for("match", provider)
    reranker = Reranker(provider, prompt, known_catalog(workspace))
    cases = []
    with workspace.writing(), Store(workspace.root / "opinions.sqlite") as store:
        for user in tqdm(chosen.tolist(), "asking the model", unit="user", disable=None, file=sys.stderr):
            mine = torch.tensor([user])
            new = (runs.data.history(mine)[0] == 0).nonzero().flatten()
            best = system.score(Query(mine))[0, new].topk(min(CANDIDATES, len(new)))
            rows = new[best.indices].tolist()
            wanted = set(held[1][held[0] == user].tolist())
            liked = runs.data.edges[1][runs.data.edges[0] == user].tolist()
            hits = np.array([row in wanted for row in rows], dtype=float)
            cases.append(Case(best.values.numpy(), _odds(reranker, liked, rows, store), hits, len(wanted)))
        value = {"mllm": name, "adapters": [str(folder) for folder in adapters], "prompt": prompt.key, **tuned(cases)}
        workspace.record(rerank={**value, "key": rerank_key(workspace, name, adapters)})
    return value, _text(value)


def _odds(reranker: Reranker, liked: list[int], rows: list[int], store: Store) -> np.ndarray:
    """What the model says of one user's candidates, or said before."""
    key = reranker.key(liked, rows)
    if kept := store.find([key]):
        return np.frombuffer(kept[key])
    try:
        odds = reranker.odds(liked, rows)
    except ProviderError as error:
        raise InputError(f"{error}; what the model said so far is kept, and the same command goes on from there") from error
    store.add({key: odds.astype(float).tobytes()})
    return odds


def _text(value: dict[str, Any]) -> str:
    metric = next(key for key in value if key.startswith("ndcg"))
    lines = [f"{value['mllm']}, prompt {value['prompt']}, {value['users']} validation users, {metric}:"]
    lines += [f"  {name:11} {worth:.4f}" for name, worth in value[metric].items()]
    said = f"weight {value['weight']}" if value["weight"] else f"weight 0: the gain of the best weight ({value['best weight']}) may be none"
    return "\n".join([*lines, f"{said}, 95 % interval of the gain {value['gain'][0]:+.4f} to {value['gain'][1]:+.4f}"])
