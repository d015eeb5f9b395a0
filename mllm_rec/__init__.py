"""mllm-rec makes any catalog with pictures and words recommendable.

Public names are loaded when they are first used: importing the package loads no heavy library.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Catalog": "mllm_rec.data.catalog",
    "Dataset": "mllm_rec.data.dataset",
    "Features": "mllm_rec.data.features",
    "FitSettings": "mllm_rec.optimization.fit",
    "InputError": "mllm_rec.errors",
    "Interactions": "mllm_rec.data.interactions",
    "Query": "mllm_rec.recommender",
    "Recommender": "mllm_rec.recommender",
    "SYSTEMS": "mllm_rec.systems",
    "Workspace": "mllm_rec.pipeline",
    "create": "mllm_rec.recommender",
    "evaluate": "mllm_rec.evaluation",
    "fit": "mllm_rec.optimization.fit",
    "split": "mllm_rec.data.split",
    "validator": "mllm_rec.evaluation",
}

__all__ = [
    "SYSTEMS",
    "Catalog",
    "Dataset",
    "Features",
    "FitSettings",
    "InputError",
    "Interactions",
    "Query",
    "Recommender",
    "Workspace",
    "create",
    "evaluate",
    "fit",
    "split",
    "validator",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mllm_rec' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
