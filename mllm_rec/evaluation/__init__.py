"""Honest metrics: full ranking, everything seen masked, intervals over users, cold users and items apart."""

from mllm_rec.evaluation.compare import Comparison, compare
from mllm_rec.evaluation.protocol import breakdown, by_popularity, evaluate, main_table, training_sample, validator
from mllm_rec.evaluation.significance import Difference, holm, paired_bootstrap
from mllm_rec.evaluation.table import Table, over_seeds

__all__ = [
    "Comparison",
    "Difference",
    "Table",
    "breakdown",
    "by_popularity",
    "compare",
    "evaluate",
    "holm",
    "main_table",
    "over_seeds",
    "paired_bootstrap",
    "training_sample",
    "validator",
]
