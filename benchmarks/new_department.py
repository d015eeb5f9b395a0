"""A new department for the embedded model: goods, patterns, colors and words that it never saw, learned by an adapter.

    python benchmarks/new_department.py --out build/department

draws labelled pictures of ``prompts/domains/picnic.yaml``, builds a small shop of them, runs ``mllm-rec finetune`` on it (old
drawings replayed), and prints what the model says of drawings it never saw: of the new department and of its own domain, with the
adapter off and on.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from mllm_rec import resources
from mllm_rec.cli import main as command
from mllm_rec.data.domain import Domain
from mllm_rec.data.sources.demo import draw, world
from mllm_rec.mllm.embedded.corpus import drawings
from mllm_rec.mllm.embedded.recipe import asked_of
from mllm_rec.mllm.finetune import Tuning
from mllm_rec.mllm.judge import accuracy, judged, table
from mllm_rec.mllm.providers import EMBEDDED
from mllm_rec.mllm.providers.local import Local
from mllm_rec.mllm.schema import CaptionSchema

NEW, OLD = "domains/picnic.yaml", "domains/home_goods.yaml"


def labelled(folder: Path, count: int) -> Path:
    """``count`` pictures of the new department and what they show, one JSON object a line; drawn once."""
    file = folder / "labelled.jsonl"
    if file.exists():
        return file
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    lines = []
    for number, one in enumerate(drawings(resources.path(NEW), count, seed=11, hidden_share=0.05)):
        draw(one.attributes, one.seed, domain_file=NEW).save(folder / "pictures" / f"{number}.png")
        lines.append(json.dumps({"image": f"pictures/{number}.png", "inputs": {}, "answer": one.shown()}))
    file.write_text("\n".join(lines) + "\n")
    return file


def shop(folder: Path) -> Path:
    """A workspace of the new department: its items and its log, for the schema and for what is sold."""
    workspace = folder / "shop"
    if not (workspace / "serving.json").exists():
        items, log, _ = world(NEW, items=150, users=60, seed=11)
        items["room"] = ["" if rooms is None else "|".join(rooms) for rooms in items["room"]]
        items.drop(columns="image").to_csv(folder / "items.csv", index=False)
        log.to_csv(folder / "log.csv", index=False)
        said = ["--items", folder / "items.csv", "--interactions", folder / "log.csv", "--domain", resources.path(NEW), "--mllm", "none"]
        ran(["build", *said, "--systems", "popularity", "--out", workspace])
    return workspace


def ran(arguments: list[object]) -> None:
    """Run a command of the toolkit, or end with its error."""
    if command(list(map(str, arguments))):
        raise SystemExit(1)


def seen(local: Local, domain: str, count: int) -> tuple[float, float, float]:
    """Accuracy with the gate open; then, as it is used, wrong among stated and unknown among shown, means over the fields."""
    schema = CaptionSchema.of_domain(Domain.load(resources.path(domain)))
    unseen = drawings(resources.path(domain), count, seed=12, hidden_share=0.05)
    pictures = [np.asarray(draw(one.attributes, one.seed, domain_file=domain)) for one in unseen]
    asked, truths = asked_of(local, schema, unseen, pictures)
    gate, local.gate = local.gate, None
    free = accuracy(judged(local, schema, asked, truths)[0])
    local.gate = gate
    used = table(judged(local, schema, asked, truths)[0], local.card)
    used = used[used["shown"] > 0]
    return free, float(used["wrong/stated"].mean()), float(used["unknown/shown"].mean())


def main() -> None:
    """Draw, tune, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/department"), metavar="DIR", help="where everything goes")
    parser.add_argument("--pictures", type=int, default=2_400, metavar="N", help="labelled pictures (default 2400)")
    parser.add_argument("--steps", type=int, default=Tuning.steps, metavar="N", help="steps at most (default %(default)s)")
    parser.add_argument("--count", type=int, default=400, metavar="N", help="unseen drawings of each domain (default 400)")
    args = parser.parse_args()
    data, workspace, adapter = labelled(args.out, args.pictures), shop(args.out), args.out / "adapters" / "picnic"
    start = time.perf_counter()
    tune = ["finetune", workspace, "--task", "caption", "--base", "embedded", "--data", data, "--replay", args.pictures // 2]
    ran([*tune, "--steps", args.steps, "--out", adapter])
    print(f"tuned in {(time.perf_counter() - start) / 60:.1f} minutes (old drawings drawn meanwhile)\n")
    print("| domain | adapter | accuracy, gate open | wrong/stated | unknown/shown |\n|---|---|---|---|---|")
    base, tuned = Local(EMBEDDED), Local(EMBEDDED, adapters=[adapter])
    tuned.prepare("caption")
    for domain in (NEW, OLD):
        for name, model in (("off", base), ("on", tuned)):
            free, wrong, unknown = seen(model, domain, args.count)
            print(f"| {Path(domain).stem} | {name} | {free:.3f} | {wrong:.3f} | {unknown:.3f} |")
    tuned.prepare("match")
    print(f"\nadapter off: the same answers as the base, token by token: {same(base, tuned, args.count // 4)}")


def same(base: Local, tuned: Local, count: int) -> bool:
    """Whether two models give the same answers with the same probabilities on the old domain."""
    schema = CaptionSchema.of_domain(Domain.load(resources.path(OLD)))
    unseen = drawings(resources.path(OLD), count, seed=13)
    pictures = [np.asarray(draw(one.attributes, one.seed, domain_file=OLD)) for one in unseen]
    asked, _ = asked_of(base, schema, unseen, pictures)
    return base.generate(asked, schema.json_schema(), 400) == tuned.generate(asked, schema.json_schema(), 400)


if __name__ == "__main__":
    main()
