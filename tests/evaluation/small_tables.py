"""Tables of one metric."""

import numpy as np

from mllm_rec.evaluation.table import Table


def table(values, users=None, lists=None) -> Table:
    """One value per user; lists of one item each, of four items."""
    values = np.asarray(values, dtype=np.float64)
    lists = np.zeros((1, len(values), 1), dtype=np.int32) if lists is None else np.asarray(lists, dtype=np.int32)
    return Table(np.arange(len(values)) if users is None else np.asarray(users), {"recall@1": values}, lists, 4, (1,), left_out=3)
