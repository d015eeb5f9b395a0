"""What happened to a workspace since its systems were trained, and who is to be forgotten in it for good."""

import hashlib
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mllm_rec.data.files import read_json, write_json
from mllm_rec.data.interactions import Interactions
from mllm_rec.errors import InputError
from mllm_rec.pipeline.workspace import Workspace

#: Share of new items, or of new interactions, from which training again is worth its time.
PAYS = 0.1
#: What is counted, in words.
_WORDS = {
    "items": "new items",
    "changed": "changed items",
    "users": "new users",
    "interactions": "new interactions",
    "forgotten": "users forgotten",
}


def told(since: Mapping[str, int]) -> str:
    """The counts in words, such as "12 new items, 3 changed items"."""
    return ", ".join(f"{count:,} {_WORDS[name]}" for name, count in since.items() if count)


def add(manifest: Mapping[str, Any], **more: int) -> dict[str, int]:
    """The manifest's counts since the last training, with some more."""
    before = manifest.get("since") or {}
    return {name: before.get(name, 0) + more.get(name, 0) for name in _WORDS}


def demand_fresh(workspace: Workspace) -> None:
    """Figures come from systems as they were trained.

    Raises:
        InputError: catalog or log are others by now.
    """
    if since := told(workspace.manifest().get("since") or {}):
        raise InputError(
            f"the runs of {workspace.root} are stale: {since} since they were trained; 'mllm-rec update {workspace.root} --retrain' trains them again"
        )


def retraining_pays(workspace: Workspace) -> str | None:
    """Why training again is worth its time; None: it is not yet."""
    since = workspace.manifest().get("since") or {}
    if since.get("forgotten"):
        return "what was learned of forgotten users is still in the systems"
    log = pd.read_parquet(workspace.interactions, columns=["part"])["part"]
    trained = int(log.isin(["train", "validation", "test"]).sum())
    items = len(pd.read_parquet(workspace.catalog, columns=["item_id"]))
    if since.get("items", 0) + since.get("changed", 0) >= PAYS * items:
        return f"a tenth of the items or more is new or changed ({told(since)})"
    if since.get("interactions", 0) >= max(1, PAYS * trained):
        return f"a tenth of the log or more is new ({told(since)})"
    return None


class Forgotten:
    """Users that a workspace has forgotten, as salted hashes: enough to know one again, too little to say who it was.

    Args:
        root: the workspace's folder.
    """

    def __init__(self, root: Path):
        self.path = Path(root) / "forgotten.json"
        said = read_json(self.path) if self.path.exists() else {"salt": secrets.token_hex(16), "hashes": []}
        self._salt, self._hashes = said["salt"], set(said["hashes"])

    def __contains__(self, user_id: str) -> bool:
        return self._hash(user_id) in self._hashes

    def add(self, user_id: str, path: Path) -> None:
        """Count a user in, in a file that takes this one's place."""
        self._hashes.add(self._hash(user_id))
        write_json(path, {"salt": self._salt, "hashes": sorted(self._hashes)})

    def left_out(self, log: Interactions) -> Interactions:
        """The log without their rows."""
        if not self._hashes:
            return log
        users = log.table["user_id"].unique()
        gone = [user for user in users if user in self]
        return Interactions(log.table[~log.table["user_id"].isin(gone)].reset_index(drop=True))

    def _hash(self, user_id: str) -> str:
        return hashlib.sha256(f"{self._salt} {user_id}".encode()).hexdigest()
