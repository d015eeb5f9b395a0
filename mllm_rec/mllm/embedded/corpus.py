"""What the embedded model learns from: drawings of goods that no shop sells, and what they show."""

import json
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from tqdm import tqdm

from mllm_rec.data.files import atomic, write_json
from mllm_rec.data.sources.demo import DEMO, draw, read, recipes
from mllm_rec.data.sources.drawing.scene import VIEWS, picture, views
from mllm_rec.errors import InputError
from mllm_rec.mllm.examples import sentence
from mllm_rec.mllm.schema import PROSE, UNKNOWN, CaptionSchema

#: Seeds of the demo shop's drawings lie below; ours from here on, so that no drawing is ever shared.
FIRST_SEED = 2**31
#: What the drawings are made from.
DRAWN = ("category", "color", "pattern", "shape", "material")
_CHUNK = 250


@dataclass(frozen=True)
class Drawing:
    """One drawing to be: what it shows by field (``UNKNOWN`` where it hides it), and what ``draw`` needs."""

    attributes: Mapping[str, str]
    seed: int
    hard: bool

    def shown(self) -> dict[str, str]:
        """The value of each drawn field; ``UNKNOWN`` where this view hides it."""
        hidden = VIEWS[self.attributes["view"]]
        return {field: UNKNOWN if field in hidden else self.attributes[field] for field in DRAWN}


def drawings(domain_file: str | Path, count: int, seed: int, hard_share: float = 0.0, hidden_share: float = 0.08) -> list[Drawing]:
    """``count`` goods, every attribute drawn evenly; none has the attributes of an item of the demo shop.

    Args:
        domain_file: what there is to draw.
        count: how many.
        seed: below 2^20; other seeds give other goods and other drawings.
        hard_share: share of ``hard`` drawings.
        hidden_share: share of views that hide something.
    """
    domain = read(domain_file)
    taken = shop_goods()
    rng = np.random.default_rng([seed, 4])
    fields, kinds = domain["fields"], domain["categories"]
    made: list[Drawing] = []
    while len(made) < count:
        name = str(rng.choice(list(kinds)))
        kind = kinds[name]
        hides = views(kind["drawn_as"])[1:]
        attributes = {
            "category": name,
            "color": str(rng.choice(list(fields["color"]["hex"]))),
            "pattern": str(rng.choice(fields["pattern"]["values"])),
            "shape": str(rng.choice(kind["shapes"])),
            "material": str(rng.choice(kind["materials"])),
            "view": str(rng.choice(hides)) if rng.random() < hidden_share else "front",
        }
        own = FIRST_SEED + seed * 2**24 + len(made)
        if tuple(attributes[field] for field in DRAWN) not in taken:
            made.append(Drawing(attributes, own, bool(rng.random() < hard_share)))
    return made


def check_domain(domain_file: str | Path) -> None:
    """See that a domain file has all that is drawn and sold, and nothing that the generator can't draw.

    Raises:
        InputError: what is missing or can't be drawn; the message names the part.
    """
    domain = read(domain_file)

    def part(of: Any, where: str, *names: str) -> None:
        if missing := [name for name in names if not isinstance(of, Mapping) or not of.get(name)]:
            raise InputError(f"{domain_file}: {where} has no {', '.join(missing)}; see prompts/domains/home_goods.yaml")

    part(domain, "the file", "fields", "categories", "collections", "phrases")
    fields, kinds, phrases = domain["fields"], domain["categories"], domain["phrases"]
    part(fields, "'fields'", *DRAWN, "style", "room")
    for name in DRAWN:
        part(fields[name], f"field '{name}'", "values")
    part(fields["color"], "field 'color'", "hex")
    part(phrases, "'phrases'", "style", "room", "closing", "color", "pattern", "shape", "material")
    part(phrases["style"], "'phrases: style'", *domain["collections"])
    listed = {name: set(fields[name]["values"]) for name in DRAWN}
    for kind, said in kinds.items():
        part(said, f"category '{kind}'", "drawn_as", "nouns", "shapes", "materials", "price", "rooms", "texts")
        for field, values in (("category", [kind]), ("shape", said["shapes"]), ("material", said["materials"])):
            if strange := set(values) - listed[field]:
                raise InputError(
                    f"{domain_file}: category '{kind}' has {', '.join(map(str, sorted(strange)))}, which field '{field}' does not list"
                )
    if strange := set(fields["color"]["hex"]) - listed["color"]:
        raise InputError(f"{domain_file}: field 'color' has a hex for {', '.join(map(str, sorted(strange)))}, but no such value")
    _check_drawable(domain_file, kinds, fields)


def _check_drawable(domain_file: str | Path, kinds: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    """Draw every shape of every category, every pattern and every material once, as lines."""
    tints, patterns = list(fields["color"]["hex"].values()), fields["pattern"]["values"]
    for kind, said in kinds.items():
        for number in range(max(len(said["shapes"]), len(said["materials"]), len(patterns))):
            drawn = {
                "view": "front",
                "kind": said["drawn_as"],
                "shape": said["shapes"][number % len(said["shapes"])],
                "pattern": patterns[number % len(patterns)],
                "material": said["materials"][number % len(said["materials"])],
                "colors": tints[0],
                "others": [tint[0] for tint in tints[1:]],
            }
            try:
                picture(drawn, Random(0), hard=False)
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{domain_file}: category '{kind}' can't be drawn: {error}") from error


@cache
def shop_goods() -> frozenset[tuple[str, ...]]:
    """The attributes of the demo shop's goods."""
    made = recipes(DEMO["domain_file"], DEMO["items"], DEMO["seed"]).values()
    return frozenset(tuple(item[field] for field in DRAWN) for item, _ in made)


def pixels(made: list[Drawing], domain_file: str | Path, side: int, folder: Path, progress: bool = True) -> np.ndarray:
    """The drawings as the model's picture processor shrinks them: ``(len(made), side, side, 3)`` uint8, read from disk.

    Drawn in parallel, in chunks that are kept in ``folder``: interrupted, the same call draws only what is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = {"drawings": [[dict(one.attributes), one.seed, one.hard] for one in made], "side": side, "domain": read(domain_file)}
    said = folder / "drawings.json"
    if not said.exists() or json.loads(said.read_text()) != key:
        for old in folder.glob("*.npy"):
            old.unlink()
        write_json(said, key)
    chunks = {start: made[start : start + _CHUNK] for start in range(0, len(made), _CHUNK)}
    left = {start: chunk for start, chunk in chunks.items() if not (folder / f"{start}.npy").exists()}
    bar = tqdm(total=len(made), initial=len(made) - sum(map(len, left.values())), desc="drawing", unit="picture", disable=not progress)
    jobs = [(folder / f"{start}.npy", chunk, domain_file, side) for start, chunk in left.items()]
    with bar, ExitStack() as stack:
        # spawned, not forked: a fork beside torch's threads may hang
        workers = stack.enter_context(ProcessPoolExecutor(mp_context=get_context("spawn"))) if len(jobs) > 1 else None
        for drawn in map(_draw_chunk, jobs) if workers is None else workers.map(_draw_chunk, jobs):
            bar.update(drawn)
    return np.concatenate([np.load(folder / f"{start}.npy") for start in chunks])


def _draw_chunk(job: tuple[Path, list[Drawing], str | Path, int]) -> int:
    from PIL import Image

    path, chunk, domain_file, side = job
    drawn = [
        draw(one.attributes, one.seed, one.hard, domain_file=domain_file).resize((side, side), Image.Resampling.BICUBIC) for one in chunk
    ]
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.save(file, np.stack([np.asarray(picture) for picture in drawn]))
    return len(chunk)


def answer(schema: CaptionSchema, shown: Mapping[str, str]) -> str:
    """The caption of a drawing, as the JSON that the schema asks for."""
    said = {name: [] if field.many else shown.get(name, UNKNOWN) for name, field in schema.fields.items()}
    return json.dumps({**said, PROSE: sentence(shown)}, separators=(",", ":"), ensure_ascii=False)
