"""``mllm-rec forget``: a user is gone from a workspace, everywhere."""

import json
import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mllm_rec.data.files import atomic, read_json, write_json
from mllm_rec.errors import InputError
from mllm_rec.pipeline.ingest import save_log
from mllm_rec.pipeline.since import Forgotten, add
from mllm_rec.pipeline.workspace import Workspace

#: What is made of users' histories and can be made again: files and folders of a workspace.
MADE_OF_HISTORIES = ("opinions.sqlite*", "report.html", "report", "ablation", "**/resume.pt")
#: Endings of files that people put into a workspace themselves, such as lists for every user.
_READABLE = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".html", ".parquet")


def forget(workspace: Workspace, user: str) -> tuple[dict[str, Any], str]:
    """Take a user out: rows of the log, row of every checkpoint, and whatever else is told of them; a rebuild doesn't bring them back.

    What the systems learned of others through them stays until they are trained again: the runs count as stale. Files that
    the workspace was built from are the shop's own, and are left as they are.

    Raises:
        InputError: the log has no such user.
    """
    with workspace.writing():
        log = pd.read_parquet(workspace.interactions)
        theirs = (log["user_id"] == user).to_numpy()
        forgotten = Forgotten(workspace.root)
        if not theirs.any():
            again = "; this user was forgotten before" if user in forgotten else ""
            raise InputError(f"user '{user}' is not in the log of {workspace.root}{again}")
        position = int(np.flatnonzero(pd.unique(log["user_id"]) == user)[0])
        manifest = workspace.manifest()
        with workspace.together() as place:
            forgotten.add(user, place(forgotten.path))
            save_log(_without(log, theirs, position), place(workspace.interactions))
            trained = read_json(workspace.serving) if workspace.serving.exists() else {"users": 0, "items": 0}
            lengths = {trained["users"], trained["users"] + trained["items"]}
            for path in [*workspace.root.glob("runs/*/*/checkpoint.safetensors"), *workspace.root.glob("serving/checkpoint.safetensors")]:
                _zeroed(path, place(path), position, lengths)
            _unsaid(workspace.problems, place(workspace.problems), user)
            write_json(place(workspace.manifest_path), {**manifest, "since": add(manifest, forgotten=1)})
            for path in [path for pattern in MADE_OF_HISTORIES for path in workspace.root.glob(pattern)]:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        rows, left = int(theirs.sum()), _naming(workspace.root, user)
    lines = [
        f"{user} is forgotten: {rows:,} rows of the log, and their row in every checkpoint",
        f"the runs are stale until 'mllm-rec update {workspace.root} --retrain'; the files that you built from may still name this user",
        *(f"{path} still names this user, and was not made by a build: mend it or delete it" for path in left),
    ]
    return {"user": user, "rows": rows, "stale": True, "named in": left}, "\n".join(lines)


def _without(log: pd.DataFrame, theirs: np.ndarray, position: int) -> pd.DataFrame:
    """The log without their rows; one empty row keeps the places of the users after them."""
    first = int(theirs.argmax())
    empty = pd.DataFrame({"user_id": [f"forgotten {position}"], "item_id": [""], "part": ["forgotten"]}).reindex(columns=log.columns)
    parts = [log.iloc[:first][~theirs[:first]], empty.astype(log.dtypes), log.iloc[first:][~theirs[first:]]]
    return pd.concat(parts, ignore_index=True)


def _zeroed(path: Path, to: Path, position: int, lengths: Collection[int]) -> None:
    """The checkpoint with nothing in the user's row of every table of users, alone or above items: told by name or by length."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    state = load_file(path)
    for name, tensor in state.items():
        of_users = "user" in name or (len(tensor) in lengths and "item" not in name) if tensor.dim() else False
        if of_users and len(tensor) > position:
            tensor[position] = 0
    with atomic(to) as temporary:
        save_file(state, temporary, metadata)


def _naming(root: Path, user: str) -> list[str]:
    """Files of a workspace that still name a user: what somebody else wrote there."""
    found = []
    for path in sorted(path for path in root.rglob("*") if path.suffix in _READABLE and path.is_file()):
        content = path.read_bytes() if path.suffix != ".parquet" else pd.read_parquet(path).to_csv(index=False).encode()
        if _word(user).search(content.decode("utf-8", "replace")):
            found.append(str(path))
    return found


def _word(user: str) -> re.Pattern:
    """The user's id, not as a part of another word."""
    return re.compile(rf"(?<!\w){re.escape(user)}(?!\w)")


def _unsaid(path: Path, to: Path, user: str) -> None:
    """The problems without the lines that may quote the user's id."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    with atomic(to) as temporary:
        temporary.write_text("".join(line for line in lines if not _word(user).search(json.loads(line)["why"])), encoding="utf-8")
