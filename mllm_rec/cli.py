"""The command line: ``mllm-rec build``, ``evaluate``, ``recommend``, ``chat`` and their kin."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from mllm_rec import __version__
from mllm_rec.errors import InputError
from mllm_rec.strategies import STRATEGIES

#: Names of encoders and models that are no files or folders, whatever lies in the folder one is in.
NAMES = ("attributes", "tfidf", "minilm", "textcnn", "gru", "statistics", "cnn", "embedded", "none")
#: What a command gives back: the value that --json prints, and the text that is printed otherwise. Where the value has something under
#: "failed", the exit status is 1.
Answer = tuple[Any, str]

START = """\
examples:
  mllm-rec build demo --out build/demo                     the synthetic demo shop
  mllm-rec build movielens-100k --out movies               a real data set (MLLM_REC_DATA names the data cache)
  mllm-rec inspect items.csv --interactions log.csv        what would be understood of your own files
  mllm-rec build --items items.csv --images pictures/ --interactions log.csv --out shop
  mllm-rec evaluate shop                                   the metric table, with intervals
  mllm-rec recommend shop --user 42 --explain              a list with reasons
  mllm-rec chat shop                                       the chat page, on http://127.0.0.1:7860
"""


def pairs(text: str) -> dict[str, str]:
    """``a=b,c=d`` as a dict; the type of --map, --kind and --set. A part without "=" goes on with the value before: ``a=b, c``."""
    parts: list[str] = []
    for part in text.split(","):
        if "=" in part:
            parts.append(part)
        elif part.strip() and not parts:
            raise argparse.ArgumentTypeError(f"'{text}' must be NAME=VALUE pairs separated by commas")
        elif part.strip():
            parts[-1] += f",{part}"
    return {name.strip(): value.strip() for name, value in (part.split("=", 1) for part in parts)}


class Merge(argparse.Action):
    """An option of pairs that may be given several times."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Add to what was said before."""
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), **values})


def located(name: str) -> str:
    """The name of a model; a file or folder by its whole path, so that it is found from anywhere. The type of --mllm."""
    return str(Path(name).resolve()) if name not in NAMES and Path(name).exists() else name


def encoder(text: str) -> dict[str, str]:
    """``MODALITY=NAME`` as a dict; the type of --encoder."""
    modality, _, said = text.partition("=")
    if not modality.strip() or not said.strip():
        raise argparse.ArgumentTypeError(f"'{text}' must be MODALITY=NAME, like text=minilm")
    name, mark, options = said.strip().partition("?")
    kind, colon, model = name.rpartition(":") if name.startswith(("mllm:", "frames:")) else ("", "", name)
    return {modality.strip(): f"{kind}{colon}{located(model)}{mark}{options}"}


def names(text: str) -> list[str]:
    """Comma-separated names; the type of --systems."""
    return [name.strip().lower() for name in text.split(",") if name.strip()]


def numbers(text: str) -> tuple[int, ...]:
    """Comma-separated positive numbers; the type of --ks."""
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or min(values) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' must be positive whole numbers separated by commas")
    return values


def positive(text: str) -> int:
    """A whole number of at least 1; the type of --k, --seeds."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' must be a whole number of at least 1")
    return int(text)


def folder(text: str) -> Path:
    """A folder, there or not; the type of --results and of --out where many files are written."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a file; name a folder")
    return path


def inspect_command(args: argparse.Namespace) -> Answer:
    """What is understood of a shop's own files, before any build."""
    from mllm_rec.data.inspect import inspect

    return inspect(args.items, args.images, args.interactions, args.map, args.kind, args.min_rating, args.k_core)


def build_command(args: argparse.Namespace) -> Answer:
    """Every stage, from files to a system that answers."""
    from mllm_rec.pipeline import Inputs, Workspace, build
    from mllm_rec.pipeline.report import report

    if (args.source is None) == (args.items is None):
        raise InputError("name a source ('demo', 'movielens-100k', ...) or give your own --items FILE, one of the two")
    inputs = Inputs(
        source=args.source,
        items=args.items,
        images=args.images,
        interactions=args.interactions,
        map=args.map,
        kinds=args.kind,
        min_rating=args.min_rating,
        k_core=args.k_core,
        split=args.split,
        domain=args.domain,
        download=args.download,
    )
    chosen = {"encoders": args.encoder, "chroma": args.chroma, "strategies": args.strategy}
    value, text = build(inputs, args.out, args.systems, args.seeds, args.mllm, args.adapter, args.retry_failed, _loading(args), **chosen)
    made, said = report(Workspace(args.out), again=False)
    return {**value, "report": made["report"]}, f"{text}\n{said}"


def update_command(args: argparse.Namespace) -> Answer:
    """Take in new and changed items and interactions, without training."""
    from mllm_rec.pipeline import Workspace, update

    workspace = Workspace.open(args.workspace)
    return update(workspace, args.items, args.interactions, args.images, args.map, args.retrain, args.chroma, args.download, args.encoder)


def forget_command(args: argparse.Namespace) -> Answer:
    """Take a user out of a workspace, everywhere."""
    from mllm_rec.pipeline import Workspace, forget

    return forget(Workspace.open(args.workspace), args.user)


def captions_command(args: argparse.Namespace) -> Answer:
    """What the multimodal model said of every picture."""
    from mllm_rec.pipeline import Workspace, captions

    return captions(Workspace.open(args.workspace), args.show, args.sheet, args.out)


def features_command(args: argparse.Namespace) -> Answer:
    """Every feature: shape, presence, what made it, and what it takes for alike."""
    from mllm_rec.pipeline import Workspace
    from mllm_rec.pipeline.features import features

    return features(Workspace.open(args.workspace), args.near, args.sheet, args.export, args.imported)


def export_command(args: argparse.Namespace) -> Answer:
    """Write a workspace as a folder that another toolkit reads, split and features included."""
    from mllm_rec.pipeline import Workspace
    from mllm_rec.pipeline.export import export

    return export(Workspace.open(args.workspace), args.to, args.out)


def prompts_command(args: argparse.Namespace) -> Answer:
    """The words said to models: list, show or check them."""
    from mllm_rec.pipeline.describe import prompts

    return prompts(args.action, args.job)


def systems_command(args: argparse.Namespace) -> Answer:
    """Every system by name, and its idea in a line."""
    from mllm_rec.pipeline.describe import systems

    return systems()


def train_command(args: argparse.Namespace) -> Answer:
    """Train systems of a workspace, beyond those that build trained."""
    from mllm_rec.pipeline import Workspace, train

    return train(Workspace.open(args.workspace), args.systems, args.seeds, args.set, args.strategy)


def evaluate_command(args: argparse.Namespace) -> Answer:
    """The metric table."""
    from mllm_rec.pipeline import Workspace, evaluate_workspace

    return evaluate_workspace(Workspace.open(args.workspace), args.systems, args.seeds, args.part, args.mask, args.ks)


def ablate_command(args: argparse.Namespace) -> Answer:
    """What pictures, texts and captions are each worth: the same systems with and without them."""
    from mllm_rec.pipeline import Workspace, ablate

    return ablate(Workspace.open(args.workspace), args.systems, args.seeds)


def compare_command(args: argparse.Namespace) -> Answer:
    """Systems side by side on one data set: trains what is missing, tests all against one, and says what each costs."""
    from mllm_rec.pipeline.contest import compare_systems

    tuned = args.settings == "tuned"
    where = {"results": args.results, "out": args.out, "jobs": args.jobs}
    value, text = compare_systems(args.data, args.systems, args.seeds, tuned, baseline=args.baseline, only_done=args.only_done, **where)
    if args.experiments:
        from mllm_rec.pipeline.reproduce import write_experiments

        write_experiments(args.data, value["systems"], args.experiments)
    return value, text


def robustness_command(args: argparse.Namespace) -> Answer:
    """What systems lose where modalities are missing or not there, and what they find of items that are new."""
    from mllm_rec.pipeline.robustness import robustness

    return robustness(args.data, args.systems, args.seeds, args.results, args.out, args.jobs, args.only_done)


def tune_command(args: argparse.Namespace) -> Answer:
    """Search the settings of systems on validation, with the same budget for each; 'compare' then uses them."""
    from mllm_rec.pipeline.tune import tune

    return tune(args.data, args.systems, args.minutes, args.trials, args.results, args.jobs)


def reproduce_command(args: argparse.Namespace) -> Answer:
    """Run an experiment file and fail where what comes lies outside of what it expects."""
    from mllm_rec.pipeline.reproduce import reproduce

    return reproduce(args.experiment, args.results, args.jobs)


def recommend_command(args: argparse.Namespace) -> Answer:
    """A list for one user, or for all."""
    from mllm_rec.pipeline import Workspace, recommend, recommend_all

    workspace = Workspace.open(args.workspace)
    if args.all_users:
        if args.out is None:
            raise InputError("--all-users needs --out FILE (.parquet or .csv)")
        if args.user is not None or args.like or args.words or args.explain or args.rerank:
            raise InputError(
                "--all-users makes a plain list for everybody; leave --user, --like, --words, --explain and --rerank out, or make one list"
            )
        return recommend_all(workspace, args.k, args.out, args.exclude)
    if args.user is None and not args.like and not args.words:
        raise InputError("say for whom: --user ID, --like ITEM, --words TEXT, or --all-users")
    return recommend(workspace, args.user, args.like, args.words, args.k, args.exclude, args.explain, args.rerank, _asked_model(args))


def search_command(args: argparse.Namespace) -> Answer:
    """Items near words, a picture or a user's taste."""
    from mllm_rec.pipeline import Workspace, search

    return search(Workspace.open(args.workspace), args.words, args.image, args.user, args.k, args.chroma)


def report_command(args: argparse.Namespace) -> Answer:
    """Write W/report.html: what went in, how training went, what it is worth, and lists with reasons."""
    from mllm_rec.pipeline import Workspace
    from mllm_rec.pipeline.report import report

    return report(Workspace.open(args.workspace))


def rerank_command(args: argparse.Namespace) -> Answer:
    """How much a model's opinion of the candidates is worth: retriever, model, both, and the best possible."""
    from mllm_rec.pipeline import Workspace
    from mllm_rec.pipeline.rerank import tune_rerank

    return tune_rerank(Workspace.open(args.workspace), _asked_model(args), args.users)


def explain_command(args: argparse.Namespace) -> Answer:
    """Why one item suits one user."""
    from mllm_rec.pipeline import Workspace, explain_item

    return explain_item(Workspace.open(args.workspace), args.user, args.item, _asked_model(args))


def chat_command(args: argparse.Namespace) -> Answer:
    """The chat page; serves until interrupted."""
    from mllm_rec.pipeline import LiveShop, Workspace, advised, open_shop

    workspace, model = Workspace.open(args.workspace), _asked_model(args)
    shop = LiveShop(workspace, lambda before: advised(workspace, open_shop(workspace, args.exclude, args.chroma), model, before=before))
    shop.watch()
    from mllm_rec.chat import launch

    launch(shop, args.host, args.port, user=args.user)
    return None, ""


def _asked_model(args: argparse.Namespace) -> Any:
    """The options of ``_model`` and ``_timeout``."""
    from mllm_rec.pipeline import Model

    timeout = {"seconds": args.timeout} if getattr(args, "timeout", None) else {}
    return Model(args.mllm, args.adapter, loading=_loading(args), **timeout)


def _loading(args: argparse.Namespace) -> Any:
    """The options of ``_model`` that say how it is loaded."""
    from mllm_rec.mllm.providers import Loading

    return Loading(args.device, args.dtype, args.bits)


def train_mllm_command(args: argparse.Namespace) -> Answer:
    """Train the embedded multimodal model on drawings of a domain file."""
    from mllm_rec.encoders.hub import chosen_device
    from mllm_rec.mllm.embedded.recipe import train_mllm
    from mllm_rec.mllm.embedded.train import Recipe

    whole = {field.name for field in fields(Recipe) if field.type in ("int", int)}
    if wrong := [name for name, value in args.set.items() if name not in whole or not value.isdigit()]:
        raise InputError(f"'{wrong[0]}={args.set[wrong[0]]}' is no setting of the recipe; it has {', '.join(sorted(whole))}, whole numbers")
    changes: dict[str, Any] = {name: int(value) for name, value in args.set.items()}
    return train_mllm(args.out, args.domain, Recipe(**changes), chosen_device(args.device))


def judge_command(args: argparse.Namespace) -> Answer:
    """How a model captions drawings that nothing was trained on: wrong, unknown and honest, field by field."""
    from mllm_rec.mllm.adapters import find_adapter
    from mllm_rec.mllm.embedded.recipe import judge_mllm
    from mllm_rec.mllm.providers import load_provider, named

    provider = load_provider(named(args.mllm, "embedded"), [find_adapter(one) for one in args.adapter], loading=_loading(args))
    if provider is None:
        raise InputError("no model is named; say which one is judged with --mllm MODEL")
    provider.prepare("caption")
    return judge_mllm(provider, args.domain, args.count, args.seed, args.hard)


def finetune_command(args: argparse.Namespace) -> Answer:
    """Train a LoRA adapter for one job on a workspace's own data."""
    from mllm_rec.mllm.finetune import Tuning
    from mllm_rec.pipeline import Workspace, finetune

    given = {"steps": args.steps, "rank": args.rank, "lr": args.lr, "batch_size": args.batch_size, "seed": args.seed}
    settings = Tuning(**{name: value for name, value in given.items() if value is not None})
    workspace = Workspace.open(args.workspace)
    return finetune(workspace, args.task, args.base, args.out, args.data, args.replay, args.qlora, args.merge, settings)


def doctor_command(args: argparse.Namespace) -> Answer:
    """Versions, devices, models, adapters and free disk: what would be used and why; with W also its state."""
    from mllm_rec.pipeline import Workspace
    from mllm_rec.pipeline.doctor import doctor

    return doctor(Workspace.open(args.workspace) if args.workspace else None)


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="mllm-rec",
        description="Make any catalog with pictures and words recommendable: build, evaluate, recommend, explain, chat.",
        epilog=START,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mllm-rec {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON object on standard output, and nothing else there")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], Answer], epilog: str = "") -> argparse.ArgumentParser:
        text = (run.__doc__ or "").strip()
        added = commands.add_parser(
            name,
            help=text[0].lower() + text[1:].rstrip("."),
            description=text,
            epilog=epilog,
            parents=[common],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(run=run)
        return added

    _data_commands(command)
    _model_commands(command)
    _answer_commands(command)
    return parser


def _own_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder that image paths are relative to")
    parser.add_argument("--interactions", type=Path, metavar="FILE", help="the log: user, item, and time or rating where known")
    parser.add_argument(
        "--map",
        type=pairs,
        action=Merge,
        default={},
        metavar="FIELD=COLUMN,..",
        help="names of your columns, in either file: item_id=sku,title=name,image=photo,user_id=customer; what is not named is guessed",
    )
    parser.add_argument(
        "--kind", type=pairs, action=Merge, default={}, metavar="COLUMN=KIND,..", help="number, ordinal, category, set, text or date"
    )
    parser.add_argument("--min-rating", type=float, metavar="R", help="ratings from R up are likes; lower ones are only hidden")
    parser.add_argument(
        "--k-core", type=int, default=0, metavar="K", help="keep users and items with at least K interactions (default: all)"
    )


def _data_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    added = command("inspect", inspect_command, "example: mllm-rec inspect items.csv --images pictures/ --interactions log.csv")
    added.add_argument("items", type=Path, metavar="ITEMS", help="CSV, TSV or Parquet file of items")
    _own_files(added)
    added = command(
        "build",
        build_command,
        "sources: demo, movielens-100k, tiktok-va, amazon-sports-mmrec, lfm2k-mm, mmrec:FOLDER, recbole:FOLDER; or --items with your own files\n"
        "Interrupted, the same command goes on where it stopped.",
    )
    added.add_argument("source", nargs="?", help="a named source")
    added.add_argument("--items", type=Path, metavar="FILE", help="your own items: CSV, TSV or Parquet")
    _own_files(added)
    added.add_argument("--split", metavar="HOW", help="random, user-time, global-time, leave-one-out, cold-items or given")
    added.add_argument("--domain", type=Path, metavar="YAML", help="domain file: what people call your fields and values")
    added.add_argument("--out", type=folder, required=True, metavar="W", help="workspace folder")
    added.add_argument("--systems", type=names, metavar="A,B", help="systems to train (see 'mllm-rec systems')")
    added.add_argument("--seeds", type=positive, default=1, metavar="N", help="train each system N times (default 1)")
    _model(added)
    _encoders(added)
    _chroma(added)
    _strategy(added)
    _download(added)
    added.add_argument("--retry-failed", action="store_true", help="caption those pictures again that failed before")
    added = command("update", update_command, "example: mllm-rec update shop --items new.csv --interactions yesterday.csv")
    added.add_argument("workspace", type=Path, metavar="W", help="workspace folder that build made")
    added.add_argument("--items", type=Path, metavar="FILE", help="new and changed items, columns as in the build")
    added.add_argument("--interactions", type=Path, metavar="FILE", help="what was liked since")
    added.add_argument("--images", type=Path, metavar="DIR", help="folder that image paths are relative to (default: the build's)")
    added.add_argument(
        "--map", type=pairs, action=Merge, default={}, metavar="FIELD=COLUMN,..", help="names of columns that the build did not have"
    )
    added.add_argument("--retrain", action="store_true", help="train every system again ('mllm-rec doctor W' says when it pays)")
    _encoders(added)
    _chroma(added)
    _download(added)
    added = command("forget", forget_command, "example: mllm-rec forget shop 4711")
    added.add_argument("workspace", type=Path, metavar="W", help="workspace folder that build made")
    added.add_argument("user", metavar="USER", help="id of the user")
    added = command("features", features_command, "example: mllm-rec features shop --near 4711 --sheet near.png")
    added.add_argument("workspace", type=Path, metavar="W", help="workspace folder that build made")
    added.add_argument("--near", metavar="ITEM", help="name the nearest items of one by each feature")
    added.add_argument("--sheet", type=Path, metavar="PNG", help="with --near: draw them, a strip of pictures for each feature")
    added.add_argument(
        "--export", type=folder, metavar="DIR", help="write each as NAME_feat.npy, with i_id_mapping.csv, as MMRec names them"
    )
    added.add_argument(
        "--import", dest="imported", type=Path, metavar="DIR", help="take such matrices in as features, which later builds keep"
    )
    added = command("export", export_command, "example: mllm-rec export shop --to mmrec --out shop_mmrec")
    added.add_argument("workspace", type=Path, metavar="W", help="workspace folder that build made")
    added.add_argument("--to", choices=["mmrec"], required=True, help="layout of the folder")
    added.add_argument("--out", type=folder, required=True, metavar="DIR", help="where it goes")
    added = command("captions", captions_command, "example: mllm-rec captions shop --show 12")
    added.add_argument("workspace", type=Path, metavar="W", help="workspace folder that build made")
    added.add_argument("--show", type=positive, default=0, metavar="N", help="a contact sheet of N pictures with their captions")
    added.add_argument("--sheet", type=Path, metavar="PNG", help="where the contact sheet goes (default W/captions.png)")
    added.add_argument("--out", type=Path, metavar="FILE", help="item_id, field, value, confidence, source, conflict: .parquet or .csv")


def _bench_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        required=True,
        metavar="D",
        help="a source (see 'mllm-rec build --help') or a workspace folder; @missing-60, @without-NAME or @cold-items behind it takes that away",
    )


def _bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--results", type=folder, default=Path("benchmarks/results"), metavar="DIR", help="where the files are (default benchmarks/results)"
    )
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help="processes at a time (default 1)")


def _encoders(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--encoder",
        type=encoder,
        action=Merge,
        default={},
        metavar="MODALITY=NAME",
        help="what encodes text, image, audio or video: text=minilm, image=facebook/dinov2-small?pca=64, ... (see docs/encoders.md)",
    )


def _download(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--download", action="store_true", help="fetch pictures named by http(s) addresses, from public hosts, and keep them in W/pictures"
    )


def _strategy(parser: argparse.ArgumentParser) -> None:
    meanings = "; ".join(f"{name}: {meaning}" for name, meaning in STRATEGIES.items())
    parser.add_argument("--strategy", type=names, metavar="A,B", help=f"{meanings} (kept for later builds; none: as usual)")


def _model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mllm",
        type=located,
        metavar="MODEL",
        help="embedded, none, a model's folder or hub name, or openai:MODEL@URL (also: MLLM_REC_MLLM)",
    )
    parser.add_argument(
        "--adapter",
        type=Path,
        action="append",
        default=[],
        metavar="NAME",
        help="LoRA adapter to put on the model: a folder, or a name in adapters/; may be repeated, each is used for the job it was made for",
    )
    parser.add_argument("--device", help="where the model runs: cpu, cuda, cuda:1, .. (default: a GPU if there is one)")
    parser.add_argument(
        "--dtype", choices=["float32", "bfloat16", "float16"], help="of the weights (default: as saved on a GPU, float32 on a CPU)"
    )
    parser.add_argument("--bits", type=int, choices=[8, 4], help="load the model in 8 bits, or in 4 on a GPU (bitsandbytes)")


def _chroma(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--chroma", metavar="HOST:PORT", help="Chroma server of the vectors for search, or 'embedded' (default: where they were put last)"
    )


def _timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--timeout", type=positive, metavar="S", help="seconds that a turn waits for the model (default 20)")


def _model_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    command("systems", systems_command)
    added = command(
        "train-mllm",
        train_mllm_command,
        "Draws, trains, calibrates and judges; interrupted, the same command goes on where it stopped.\n"
        "example: mllm-rec train-mllm --domain my_goods.yaml --out models/my_goods",
    )
    added.add_argument("--domain", default="domains/home_goods.yaml", metavar="YAML", help="domain file to draw from (default: the demo's)")
    added.add_argument("--out", type=folder, required=True, metavar="DIR", help="the model's folder")
    added.add_argument("--device", default="cpu", help="cpu or cuda")
    added.add_argument(
        "--set", type=pairs, action=Merge, default={}, metavar="NAME=N,..", help="drawings, head_steps, word_steps, seed, ..."
    )
    added = command(
        "judge", judge_command, "Seeds 1, 1000, 2000 and 2001 trained, calibrated and judged the model that ships; take another."
    )
    _model(added)
    added.add_argument("--domain", default="domains/home_goods.yaml", metavar="YAML", help="domain file to draw from (default: the demo's)")
    added.add_argument("--count", type=positive, default=1_000, metavar="N", help="drawings (default 1000)")
    added.add_argument("--seed", type=positive, default=4_711, metavar="N", help="of the drawings (default 4711)")
    added.add_argument("--hard", action="store_true", help="more rotation, occlusion, colored light and clutter")
    added = command(
        "finetune",
        finetune_command,
        "Interrupted, the same command goes on where it stopped.\n"
        "example: mllm-rec finetune shop --task caption --base embedded --out adapters/garden",
    )
    added.add_argument("workspace", type=Path, metavar="W", help="workspace folder that build made")
    added.add_argument("--task", choices=["caption", "match", "word"], required=True, help="the job that is learned")
    added.add_argument("--base", required=True, metavar="MODEL", help="embedded, or a model's folder or hub name")
    added.add_argument("--out", type=folder, required=True, metavar="DIR", help="the adapter's folder, like adapters/NAME")
    added.add_argument(
        "--data", type=Path, metavar="FILE", help="examples, one JSON object a line: inputs, answer, image (default: from W)"
    )
    added.add_argument("--replay", type=positive, default=0, metavar="N", help="N drawings of the base's own domain, learned along")
    added.add_argument("--qlora", action="store_true", help="the base in 4 bits; needs a GPU")
    added.add_argument("--merge", type=folder, metavar="DIR", help="write base and adapter as one model, too")
    for name, meaning in (("steps", "steps at most"), ("rank", "rank of the adapter"), ("batch-size", "examples a step"), ("seed", "seed")):
        added.add_argument(f"--{name}", type=positive, metavar="N", help=meaning)
    added.add_argument("--lr", type=float, metavar="X", help="learning rate")
    added = command("prompts", prompts_command, "MLLM_REC_PROMPTS names a folder whose <job>/<version>.yaml take the place of ours.")
    added.add_argument("action", choices=["list", "show", "check"], help="what to do")
    added.add_argument("job", nargs="?", help="only this job: caption, embed, match, word")
    added = command("train", train_command, "example: mllm-rec train shop --systems freedom --set drop=0.9")
    added.add_argument("workspace", type=Path, metavar="W", help="workspace folder that build made")
    added.add_argument("--systems", type=names, required=True, metavar="A,B", help="systems to train")
    added.add_argument("--seeds", type=positive, default=1, metavar="N", help="train each system N times (default 1)")
    added.add_argument(
        "--set", type=pairs, action=Merge, default={}, metavar="NAME=VALUE,..", help="settings of the system, or of fit as fit.lr=0.01"
    )
    _strategy(added)
    added = command("evaluate", evaluate_command, "Full ranking on held-out items; intervals are 95 % bootstraps over users.")
    added.add_argument("workspace", type=Path, metavar="W", help="workspace folder that build made")
    added.add_argument("--systems", type=names, metavar="A,B", help="only these (default: all that were trained)")
    added.add_argument("--seeds", type=positive, default=1, metavar="N", help="average N seeds; what is missing is trained (default 1)")
    added.add_argument("--part", choices=["test", "validation"], default="test", help="held-out part (default test)")
    added.add_argument(
        "--mask", choices=["train+validation", "train"], default="train+validation", help="items never ranked (default both)"
    )
    added.add_argument("--ks", type=numbers, default=(10, 20), metavar="K,..", help="list lengths (default 10,20)")

    added = command(
        "compare",
        compare_command,
        "Each training is one small file under RESULTS; interrupted, or another day, the same command goes on where it stopped.\n"
        "example: mllm-rec compare --data tiktok-va --systems all --seeds 3 --out build/tiktok",
    )
    _bench_data(added)
    _bench(added)
    added.add_argument("--systems", type=names, default=["all"], metavar="A,B", help="only these (default: all)")
    added.add_argument("--seeds", type=positive, default=1, metavar="N", help="train each N times (default 1)")
    added.add_argument(
        "--settings",
        choices=["tuned", "default"],
        default="tuned",
        help="those that 'mllm-rec tune' found, where it did (default), or none",
    )
    added.add_argument("--baseline", metavar="A", help="the system that the others are tested against (default: popularity)")
    added.add_argument("--only-done", action="store_true", help="train nothing: show what is there")
    added.add_argument("--out", type=folder, metavar="DIR", help="write table.md, table.json and index.html")
    added.add_argument(
        "--experiments", type=folder, metavar="DIR", help="write DIR/SYSTEM.toml, which 'mllm-rec reproduce' checks, for each system"
    )
    added = command(
        "robustness",
        robustness_command,
        "Each training is one small file under RESULTS; interrupted, or another day, the same command goes on where it stopped.\n"
        "example: mllm-rec robustness --data tiktok-va --systems vbpr,freedom --out build/robustness",
    )
    _bench_data(added)
    _bench(added)
    added.add_argument("--systems", type=names, default=["all"], metavar="A,B", help="only these (default: all)")
    added.add_argument("--seeds", type=positive, default=1, metavar="N", help="train each N times (default 1)")
    added.add_argument("--only-done", action="store_true", help="train nothing: show what is there")
    added.add_argument("--out", type=folder, metavar="DIR", help="write table.md and table.json")
    added = command(
        "tune",
        tune_command,
        "What was found is RESULTS/DATA/SYSTEM/tuned.json; interrupted, the same command goes on where it stopped.\n"
        "example: mllm-rec tune --data tiktok-va --systems lightgcn,freedom --minutes 10",
    )
    _bench_data(added)
    _bench(added)
    added.add_argument("--systems", type=names, default=["all"], metavar="A,B", help="only these (default: all)")
    added.add_argument(
        "--minutes", type=float, default=10.0, metavar="M", help="processor time of training and validation for each system (default 10)"
    )
    added.add_argument("--trials", type=positive, metavar="N", help="at most N trainings of each (default: as many as there is time for)")
    added = command(
        "reproduce",
        reproduce_command,
        "Trainings whose files are under RESULTS are read; --results ANOTHER_FOLDER trains anew.\n"
        "example: mllm-rec reproduce experiments/freedom.toml",
    )
    added.add_argument("experiment", type=Path, metavar="FILE", help="TOML: data, system, seeds, [settings], [fit], [expected]")
    _bench(added)
    added = command("ablate", ablate_command, "Interrupted, the same command goes on where it stopped.")
    added.add_argument("workspace", type=Path, metavar="W", help="workspace folder that build made")
    added.add_argument("--systems", type=names, metavar="A,B", help="multimodal systems (default: all of them)")
    added.add_argument("--seeds", type=positive, default=5, metavar="N", help="train each N times (default 5)")


def _answer_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    def exclude(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--exclude", type=Path, metavar="FILE", help="item ids never to show, one a line")

    added = command("rerank", rerank_command, "The weight it chooses on validation is 0 unless the interval of the gain excludes 0.")
    added.add_argument("workspace", type=Path, metavar="W", help="workspace folder that build made")
    _model(added)
    added.add_argument("--users", type=positive, default=200, metavar="N", help="validation users asked (default 200)")
    added = command("recommend", recommend_command, "example: mllm-rec recommend shop --all-users --k 20 --out recs.parquet")
    added.add_argument("workspace", type=Path, metavar="W", help="workspace folder that build made")
    added.add_argument("--user", metavar="ID", help="a user of the log")
    added.add_argument("--like", action="append", default=[], metavar="ITEM", help="an item that is liked; may be repeated")
    added.add_argument("--words", default="", metavar="TEXT", help="wishes in plain words: 'a warm lamp under 40'")
    added.add_argument("--k", type=positive, default=10, help="length of the list (default 10)")
    added.add_argument("--explain", action="store_true", help="give the reasons")
    added.add_argument("--rerank", action="store_true", help="let the model take part in the order (see 'mllm-rec rerank')")
    _model(added)
    _timeout(added)
    added.add_argument("--all-users", action="store_true", help="a list for every user of the log")
    added.add_argument("--out", type=Path, metavar="FILE", help="with --all-users: .parquet or .csv (user_id, item_id, rank, score)")
    exclude(added)
    added = command("search", search_command, 'examples: mllm-rec search shop "a warm lamp" and mllm-rec search shop --image photo.jpg')
    added.add_argument("workspace", type=Path, metavar="W", help="workspace folder that build made")
    added.add_argument("words", nargs="?", default="", metavar="WORDS", help="what is looked for")
    added.add_argument("--image", type=Path, metavar="FILE", help="picture that the items should be like")
    added.add_argument("--user", metavar="ID", help="user of the log whose taste they should suit")
    added.add_argument("--k", type=positive, default=10, help="length of the list (default 10)")
    _chroma(added)
    added = command("explain", explain_command, "example: mllm-rec explain shop --user 42 --item A17")
    added.add_argument("workspace", type=Path, metavar="W", help="workspace folder that build made")
    added.add_argument("--user", required=True, metavar="ID", help="a user of the log")
    added.add_argument("--item", required=True, metavar="ID", help="an item of the catalog")
    _model(added)
    _timeout(added)
    added = command("chat", chat_command)
    added.add_argument("workspace", type=Path, metavar="W", help="workspace folder that build made")
    added.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    added.add_argument("--port", type=positive, default=7860, help="port (default 7860)")
    added.add_argument("--user", metavar="ID", help="talk as this user of the log (default: a new visitor)")
    _chroma(added)
    _model(added)
    _timeout(added)
    exclude(added)
    added = command("report", report_command)
    added.add_argument("workspace", type=Path, metavar="W", help="workspace folder that build made")
    added = command("doctor", doctor_command)
    added.add_argument("workspace", nargs="?", type=Path, metavar="W", help="workspace folder that build made")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        Exit status: 0 done, 1 something failed and the message explains it, 2 wrong usage, 130 interrupted.
    """
    args = make_parser().parse_args(argv)
    try:
        value, text = args.run(args)
        print(json.dumps(value, ensure_ascii=False, default=str) if args.json else text, flush=True)
        return 1 if isinstance(value, dict) and value.get("failed") else 0
    except KeyboardInterrupt:
        print("mllm-rec: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if args.debug:
            raise
        known = isinstance(error, (InputError, OSError))
        print(f"mllm-rec: {error}" if known else f"mllm-rec: {type(error).__name__}: {error} (--debug shows where)", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
