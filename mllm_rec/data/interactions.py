"""The log: who liked what, and when."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mllm_rec.errors import InputError


@dataclass(frozen=True)
class Interactions:
    """One row per (user, item) pair, in the order of the log.

    Attributes:
        table: ``user_id`` and ``item_id`` (``str``); optional ``timestamp`` (float, seconds since 1970), ``rating``
            and ``weight`` (float).

    Raises:
        InputError: a required column is missing.
    """

    table: pd.DataFrame

    def __post_init__(self):
        missing = {"user_id", "item_id"} - set(self.table.columns)
        if missing:
            raise InputError(f"interactions lack the column '{sorted(missing)[0]}'; they have {', '.join(map(str, self.table.columns))}")

    def __len__(self) -> int:
        return len(self.table)

    @property
    def timed(self) -> bool:
        """Whether every row has a time."""
        return "timestamp" in self.table and bool(self.table["timestamp"].notna().all())

    def take(self, rows) -> "Interactions":
        """The rows that a boolean mask or positions choose, in log order."""
        return Interactions(self.table.iloc[np.asarray(rows)])

    @classmethod
    def load(cls, workspace: Path | str, *parts: str) -> "Interactions":
        """Chosen parts of a workspace's log: "train", "validation", "test", "since" (came after training), "seen" (hidden, but no
        interaction), "forgotten" (empty).

        Without ``parts``: every interaction, but not what was only seen.
        """
        table = pd.read_parquet(Path(workspace) / "interactions.parquet")
        chosen = table["part"].isin(parts) if parts else ~table["part"].isin(["seen", "forgotten"])
        return cls(table[chosen].drop(columns="part").reset_index(drop=True))
