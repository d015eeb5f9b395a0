"""From files to answers: the stages between a catalog with its log and a list with reasons, each an artifact in a workspace."""

from mllm_rec.pipeline.ablate import ablate
from mllm_rec.pipeline.advise import Model, advised
from mllm_rec.pipeline.build import build, train, update
from mllm_rec.pipeline.caption import captions
from mllm_rec.pipeline.finetune import finetune
from mllm_rec.pipeline.forget import forget
from mllm_rec.pipeline.ingest import Inputs
from mllm_rec.pipeline.live import LiveShop
from mllm_rec.pipeline.recommend import explain_item, recommend, recommend_all
from mllm_rec.pipeline.runs import evaluate_workspace
from mllm_rec.pipeline.search import search
from mllm_rec.pipeline.serve import open_shop
from mllm_rec.pipeline.workspace import Workspace

__all__ = [
    "Inputs",
    "LiveShop",
    "Model",
    "Workspace",
    "ablate",
    "advised",
    "build",
    "captions",
    "evaluate_workspace",
    "explain_item",
    "finetune",
    "forget",
    "open_shop",
    "recommend",
    "recommend_all",
    "search",
    "train",
    "update",
]
