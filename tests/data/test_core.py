"""The k-core: what is left when rare users and items go."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllm_rec.data.interactions import Interactions
from mllm_rec.data.log import k_core, keep_core
from mllm_rec.errors import InputError


def log(pairs):
    return Interactions(pd.DataFrame(pairs, columns=["user_id", "item_id"], dtype="str"))


SQUARE = [("u", "a"), ("u", "b"), ("v", "a"), ("v", "b")]


def test_taking_out_one_takes_out_the_next():
    """w has one row; without it c has one, then x has one, and the square is left."""
    chain = log([*SQUARE, ("w", "c"), ("x", "c"), ("x", "a")])
    assert k_core(chain, 1).all()
    assert k_core(chain, 2).tolist() == [True] * 4 + [False] * 3
    assert not k_core(chain, 3).any()
    assert len(k_core(log([]), 2)) == 0


def test_keep_core_says_what_it_keeps():
    kept, note = keep_core(log([("w", "c"), *SQUARE]), 2)
    assert kept.table.index.tolist() == [0, 1, 2, 3] and note == "the 2-core keeps 4 of 5 likes"
    with pytest.raises(InputError, match="--k-core 3 leaves none of the 4 likes; choose a smaller one"):
        keep_core(log(SQUARE), 3)
    assert keep_core(log([]), 3)[1] == "the 3-core keeps 0 of 0 likes"


@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=30), st.integers(1, 4))
def test_it_is_the_largest_part_in_which_all_have_enough(pairs, least):
    pairs = sorted(pairs)
    kept = k_core(log(pairs), least)
    left = [pair for pair, stays in zip(pairs, kept, strict=True) if stays]
    for side in (0, 1):
        counts = np.unique([pair[side] for pair in left], return_counts=True)[1]
        assert (counts >= least).all()
    alone = list(pairs)  # plain: one bad row at a time
    while bad := [p for p in alone if min(sum(q[0] == p[0] for q in alone), sum(q[1] == p[1] for q in alone)) < least]:
        alone.remove(bad[0])
    assert alone == left
