"""Honest metrics: full ranking, everything seen masked, intervals over users, cold users and items apart."""

from mllm_rec.evaluation.compare import Comparison, compare
from mllm_rec.evaluation.protocol import breakdown, evaluate, main_table, validator
from mllm_rec.evaluation.significance import Difference, holm, paired_bootstrap
from mllm_rec.evaluation.table import Table, over_seeds

__all__ = [
    "Comparison",
    "Difference",
    "Table",
    "breakdown",
    "compare",
    "evaluate",
    "holm",
    "main_table",
    "over_seeds",
    "paired_bootstrap",
    "validator",
]
