"""A benchmark whose right answer is known: made-up worlds in which taste follows the picture, the text, both, the ID, or nothing.

In a world users like items by the product of two vectors. What makes up an item's vector is seen in its picture, in its text, half in one
and half in the other, or in neither; or there is no taste at all. A system that reads a modality must do better with it than with the
same rows dealt out to other items ("shuffled"), in the world where it carries the taste; every system must find taste that only shows
in who liked what; and in the world without taste none may do better than chance. A tenth of the items are cold: no training row names
them, and they are ranked among themselves.

    python benchmarks/planted.py                                   # every system; hours at first, then read from results/planted
    python benchmarks/planted.py --systems vbpr,freedom --worlds 2

Gains are paired over the users of all worlds of a kind; "*": p < 0.05 after Holm's correction over a system's claims. Training stops by
validation on warm items; settings are the defaults but for the step, the batch and the patience, the same for all.
"""

import argparse
import sys
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mllm_rec import SYSTEMS, Dataset, FitSettings, Interactions, create, evaluate, fit, validator
from mllm_rec.cli import names, positive
from mllm_rec.data.features import Features
from mllm_rec.data.files import read_json, write_json
from mllm_rec.evaluation.significance import holm, resampled_means
from mllm_rec.pipeline.results import code_of

USERS, ITEMS, COLD = 400, 300, 30
#: Interactions of each user: with warm items to train, to validate, to test, and with cold items.
COUNTS = (8, 2, 4, 2)
#: What an item's vector consists of, in each kind of world.
KINDS = {"picture": ("image",), "text": ("text",), "both": ("image", "text"), "ID": ("hidden",), "none": ()}
#: How sharply users tell items apart: the temperature of the draw.
SHARPNESS = 4.0
#: What may be found where there is no taste: lists that are alike for all users are lucky or unlucky together, which p doesn't see.
MARGIN = 0.05
FIT = FitSettings(epochs=120, batch_size=256, lr=5e-3, patience=12)
RESULTS = Path(__file__).parent / "results" / "planted"


@dataclass(frozen=True)
class World:
    """A data set and the pairs ``(2, n)`` held out of it; cold items have positions from ``ITEMS - COLD`` on."""

    data: Dataset
    validation: torch.Tensor
    warm: torch.Tensor
    cold: torch.Tensor

    def shuffled(self, *modalities: str) -> "World":
        """With the rows of these modalities dealt out anew, within the warm and within the cold items."""
        random = np.random.default_rng(zlib.crc32(" ".join(modalities).encode()))
        order = np.concatenate([random.permutation(ITEMS - COLD), ITEMS - COLD + random.permutation(COLD)])
        features = {name: one.rows(order) if name in modalities else one for name, one in self.data.features.items()}
        nothing = Interactions(pd.DataFrame(columns=["user_id", "item_id"]))
        data = Dataset(self.data.items, self.data.users, nothing, features)
        data.edges = self.data.edges
        return replace(self, data=data)


def world(kind: str, seed: int) -> World:
    """A world of a kind of ``KINDS``."""
    random = np.random.default_rng([seed, list(KINDS).index(kind)])
    latent = {name: random.normal(size=(ITEMS, 4)) for name in ("image", "text", "hidden")}
    seen = {name: latent[name] @ random.normal(size=(4, 16)) + 0.1 * random.normal(size=(ITEMS, 16)) for name in ("image", "text")}
    likes = sum((random.normal(size=(USERS, 4)) @ latent[name].T for name in KINDS[kind]), np.zeros((USERS, ITEMS)))
    likes = SHARPNESS * likes / max(likes.std(), 1e-9)
    worth = likes + random.gumbel(size=likes.shape)  # the largest of these are a draw by softmax
    train, validation, test, cold = COUNTS
    warm_items = np.argsort(-worth[:, : ITEMS - COLD], 1)[:, : train + validation + test]
    warm_items = random.permuted(warm_items, axis=1)
    cold_items = ITEMS - COLD + np.argsort(-worth[:, ITEMS - COLD :], 1)[:, :cold]
    log = Interactions(
        pd.DataFrame({"user_id": np.repeat(np.arange(USERS), train).astype(str), "item_id": warm_items[:, :train].ravel().astype(str)})
    )
    features = {name: Features(values.astype(np.float32), np.ones(ITEMS, dtype=bool)) for name, values in seen.items()}
    data = Dataset(map(str, range(ITEMS)), map(str, range(USERS)), log, features)
    return World(
        data,
        _pairs(warm_items[:, train : train + validation]),
        _pairs(warm_items[:, train + validation :]),
        _pairs(cold_items),
    )


def _pairs(items: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.repeat(np.arange(USERS), items.shape[1]), items.ravel()]))


def measured(system: str, place: World, seed: int, training: FitSettings = FIT) -> dict[str, np.ndarray]:
    """``(num_users,)`` recall of a system trained in a world: @20 of warm items, @5 of cold ones among themselves."""
    everyone = torch.arange(USERS)
    cold_items, warm_items = torch.arange(ITEMS - COLD, ITEMS), torch.arange(ITEMS - COLD)
    made = create(SYSTEMS[system], place.data, None, seed)
    hidden = torch.cat([place.data.edges, torch.cartesian_prod(everyone, cold_items).T], 1)
    fit(made, place.data, validator(place.validation, hidden), replace(training, seed=seed))
    warm = evaluate(made, place.warm, torch.cat([hidden, place.validation], 1), (20,))
    cold = evaluate(made, place.cold, torch.cartesian_prod(everyone, warm_items).T, (5,))
    return {"warm": warm.per_user("recall@20"), "cold": cold.per_user("recall@5")}


#: By claim: the kind of world, and what is shuffled in the other training; None: popularity is the other.
CLAIMS: Mapping[str, tuple[str, tuple[str, ...] | None]] = {
    "picture": ("picture", ("image",)),
    "text": ("text", ("text",)),
    "both: picture": ("both", ("image",)),
    "both: text": ("both", ("text",)),
    "ID": ("ID", None),
    "none": ("none", None),
}


def judged(system: str, worlds: int) -> dict[str, dict[str, dict[str, float]]]:
    """By claim, on warm and on cold items: the value, the gain over the other training, and its one-sided p before correction."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    runs: dict[tuple, dict[str, np.ndarray]] = {}

    def run(name: str, kind: str, seed: int, modalities: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
        key = name, kind, seed, modalities
        if key not in runs:
            runs[key] = measured(name, world(kind, seed).shuffled(*modalities), seed)
        return runs[key]

    for claim, (kind, modalities) in CLAIMS.items():
        if modalities and not SYSTEMS[system].multimodal:
            continue
        pairs = [
            (run(system, kind, seed), run(*((system, kind, seed, modalities) if modalities else ("popularity", kind, seed))))
            for seed in range(worlds)
        ]
        found[claim] = {}
        for part in ("warm", "cold"):
            gains = np.concatenate([one[part] - other[part] for one, other in pairs])
            means = resampled_means(gains[:, None], 4000, 0)[:, 0]
            found[claim][part] = {
                "value": float(np.mean([one[part].mean() for one, _ in pairs])),
                "gain": float(gains.mean()),
                "p": float(1 + (means <= 0).sum()) / (len(means) + 1),
            }
    return found


def held(claim: str, gains: Mapping[str, float], p: Mapping[str, float]) -> bool:
    """Whether a claim holds: a gain on warm or on cold items, or, where there is no taste, hardly any on either."""
    return max(gains.values()) < MARGIN if claim == "none" else min(p.values()) < 0.05


def row_of(system: str, found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> tuple[str, list[str]]:
    """A line of the table, and the claims that are missed."""
    keys = [(claim, part) for claim in found for part in found[claim]]
    corrected = dict(zip(keys, holm(found[claim][part]["p"] for claim, part in keys), strict=True))
    cells, missed = [], []
    for claim in CLAIMS:
        if claim not in found:
            cells.append("")
            continue
        gains = {part: found[claim][part]["gain"] for part in found[claim]}
        p = {part: float(corrected[claim, part]) for part in gains}
        cells.append(" / ".join(f"{gains[part]:+.3f}{'*' if p[part] < 0.05 else ''}" for part in gains))
        if not held(claim, gains, p):
            missed.append(claim)
    return f"| {system} | {' | '.join(cells)} | {', '.join(missed) or 'all held'} |", missed


def main() -> None:
    """Measure what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", type=names, default=[name for name in SYSTEMS if name != "popularity"], metavar="A,B")
    parser.add_argument("--worlds", type=positive, default=3, metavar="N", help="of each kind (default 3)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    lines = []
    for system in args.systems:
        path = RESULTS / f"{system}.json"
        said = {"worlds": args.worlds, "fit": asdict(FIT), "settings": asdict(SYSTEMS[system].Settings()), "code": code_of(system)}
        if not path.exists() or {name: one for name, one in read_json(path).items() if name in said} != said:
            write_json(path, {**said, "claims": judged(system, args.worlds)})
        lines.append(row_of(system, read_json(path)["claims"])[0])
        print(lines[-1], file=sys.stderr)
    print(f"| system | {' | '.join(CLAIMS)} | missed |\n{'|---' * (len(CLAIMS) + 2)}|")
    print("\n".join(lines))
    print(
        f"\nGain in recall, warm items @20 / cold items @5; {args.worlds} worlds of each kind; ID and none: over popularity; *: p < 0.05."
    )


if __name__ == "__main__":
    main()
