"""What kind of thing a column holds, and its values as that kind."""

from mllm_rec.data.kinds.amounts import common_unit, numbers, parts_thousands, truths
from mllm_rec.data.kinds.columns import convert, infer, names_an_id, read_kinds, settle_order
from mllm_rec.data.kinds.missing import MISSING, known
from mllm_rec.data.kinds.moments import dates
from mllm_rec.data.kinds.sets import literal_list, split_set

__all__ = [
    "MISSING",
    "common_unit",
    "convert",
    "dates",
    "infer",
    "known",
    "literal_list",
    "names_an_id",
    "numbers",
    "parts_thousands",
    "read_kinds",
    "settle_order",
    "split_set",
    "truths",
]
