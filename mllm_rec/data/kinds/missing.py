"""Cells that say nothing."""

import pandas as pd

#: Cells that say "nothing is known"; lower-case "none" and "na" can be values and are kept.
MISSING = ("n/a", "N/A", "#N/A", "NA", "NaN", "nan", "<NA>", "null", "NULL", "None")


def known(values: pd.Series) -> pd.Series:
    """The values with those of ``MISSING`` missing."""
    return values.mask(values.isin(MISSING))
