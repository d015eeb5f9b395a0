"""The model beside the shop that answers: which one, with which adapters, and how much its opinion counts."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mllm_rec.agent.advisor import SECONDS, Advisor
from mllm_rec.agent.reply import Shop
from mllm_rec.errors import InputError
from mllm_rec.mllm.adapters import WEIGHTS, find_adapter, read_card
from mllm_rec.mllm.prompts import prompt_keys
from mllm_rec.mllm.providers import Loading, jobs, load_provider, model_folder, named
from mllm_rec.pipeline.workspace import Workspace, fingerprint


@dataclass(frozen=True)
class Model:
    """What was asked for on the command line.

    Attributes:
        name: of ``--mllm``; None: what ``MLLM_REC_MLLM`` names, else the model that captioned the workspace.
        adapters: folders or names of LoRA adapters.
        seconds: that a turn waits for the model.
        loading: device and precision.
    """

    name: str | None = None
    adapters: Sequence[Path] = ()
    seconds: float = SECONDS
    loading: Loading = field(default_factory=Loading)

    def of(self, workspace: Workspace) -> str:
        """The model's name for a workspace."""
        return named(self.name, workspace.manifest().get("mllm", "none"))

    def found(self, workspace: Workspace) -> list[Path]:
        """The adapters' folders.

        Raises:
            InputError: there is no such adapter.
        """
        return [find_adapter(adapter, [workspace.root]) for adapter in self.adapters]


def rerank_key(workspace: Workspace, name: str, adapters: Sequence[Path] = ()) -> str:
    """Hash of what the weight of a model's opinion depends on: model, adapters, prompt, and the systems as they are trained."""
    folder = model_folder(name)
    weights = [folder if folder.is_dir() else None, *(adapter / WEIGHTS for adapter in adapters)]
    return fingerprint([name, weights, prompt_keys("match"), workspace.manifest()["stages"].get("training", {}).get("key")])


def rerank_weight(workspace: Workspace, name: str, adapters: Sequence[Path] = ()) -> float | None:
    """The weight that ``rerank`` chose for a model; None where it wasn't asked since model, prompt or systems changed."""
    said = workspace.manifest().get("rerank", {})
    return float(said["weight"]) if said.get("key") == rerank_key(workspace, name, adapters) else None


def advised(workspace: Workspace, shop: Shop, model: Model, rerank: bool = True, words: bool = True, before: Shop | None = None) -> Shop:
    """The shop with its model, where the model has something to say; else the shop as it is.

    Args:
        workspace: where the weight of its opinion is noted.
        shop: of the workspace.
        model: which one.
        rerank: let it take part in the order of lists.
        words: let it word the reasons.
        before: the shop before its workspace changed, whose model is taken over.

    Raises:
        InputError: no such model or adapter, or it can't be used.
    """
    name, adapters = model.of(workspace), model.found(workspace)
    weight = (rerank_weight(workspace, name, adapters) or 0.0) if rerank else 0.0
    tasks = {read_card(folder).get("task", "word") for folder in adapters}
    words = words and "word" in jobs(name) | tasks
    if not weight and not words:
        return shop
    taken = before.advisor.provider if before is not None and before.advisor is not None else None
    provider = taken or load_provider(name, adapters, model.seconds, model.loading)
    if provider is None:
        if model.adapters:
            raise InputError("--adapter needs a model to be put on; name it with --mllm")
        return shop
    return replace(shop, advisor=Advisor(provider, shop.catalog, shop.explainer, weight, words, model.seconds))
